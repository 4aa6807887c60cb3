"""The edge alone, before a service that tells what reached it: what passes, what is refused and how, and what an exchange of certificates does."""

import base64
import concurrent.futures
import contextlib
import http.server
import importlib
import ssl
import subprocess
import threading
import time

import attacks
import certificates
import edge as edges
import grpc
from harness import Skip, await_true, client, expect, expect_equal, stack

CHECK = "/grpc.health.v1.Health/Check"
GET = "/stockalert.alert.v1.AlertService/GetAlert"
BATCH = "/stockalert.alert.v1.AlertService/BatchCreateAlerts"
WATCH = "/stockalert.notification.v1.NotificationService/WatchNotifications"
REGISTER = "/stockalert.user.v1.UserService/RegisterUser"
KEY = "sak_" + "k" * 43
# A stream that is asked for by this says much.
LARGE = b"large"


class Service(grpc.GenericRpcHandler):
    """All four services at once: notes each call that reaches it; streams count."""

    def __init__(self, credentials=None):
        self.calls = []
        # How many are open.
        self.streams = 0
        self.ending = threading.Event()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(128), handlers=[self], options=[("grpc.so_reuseport", 0)])
        self.port = self.server.add_secure_port("127.0.0.1:0", credentials) if credentials else self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details):
        method = details.method
        metadata = dict(details.invocation_metadata)

        def unary(request, _context):
            if method != CHECK:
                self.calls.append((method, metadata, len(request)))
            return b"" if method != CHECK else b"\x08\x01"

        def stream(request, context):
            self.calls.append((method, metadata, len(request)))
            context.send_initial_metadata(())
            number = 0
            self.streams += 1
            try:
                while context.is_active() and not self.ending.is_set():
                    time.sleep(0.05)
                    number += 1
                    yield b"x" * 50_000 if request == LARGE else str(number).encode()
            finally:
                self.streams -= 1
        if "/Watch" in method:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    def stop(self):
        self.ending.set()
        self.server.stop(0).wait()


class Behind:
    """A service and an edge before it. `tls`: as a mesh with an authority."""

    def __init__(self, folder, settings=None, tls=False, name="localhost"):
        self.authority = certificates.Authority("an edge's test") if tls else None
        credentials = None
        if tls:
            certificate, key = self.authority.sign((f"DNS:{name}",))
            credentials = grpc.ssl_server_credentials([(key.encode(), certificate.encode())])
        self.service = Service(credentials)
        self.edge = edges.Edge(self, folder / f"edge-{id(self):x}", edges.free_first_port(), settings)

    def address(self, _service):
        return f"127.0.0.1:{self.service.port}"

    def __enter__(self):
        self.edge.start()
        return self

    def __exit__(self, *_):
        self.edge.stop()
        self.service.stop()

    def channel(self, service="alert", ca=None):
        options = [("grpc.use_local_subchannel_pool", 1)]
        if self.authority:
            return grpc.secure_channel(self.edge.address(service), grpc.ssl_channel_credentials((ca or self.authority.certificate).encode()), options)
        return grpc.insecure_channel(self.edge.address(service), options)


def call(channel, method, body=b"", key=KEY, metadata=(), timeout_s=10):
    """(code, reason, retry delay in seconds or None, message)."""
    metadata = tuple(metadata) + ((("authorization", f"Bearer {key}"),) if key else ())
    try:
        channel.unary_unary(method)(body, timeout=timeout_s, metadata=metadata)
        return "OK", "", None, ""
    except grpc.RpcError as error:
        reason, retry_s = "", None
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                reason, retry_s = details(value, error)
        return error.code().name, reason, retry_s, error.details()


def details(value, error=None):
    client.generate()
    status = importlib.import_module("google.rpc.status_pb2").Status.FromString(value)
    kinds = importlib.import_module("google.rpc.error_details_pb2")
    if error is not None:
        expect_equal((status.code, status.message), (error.code().value[0], error.details()), "the details' own code and message")
    reason, retry_s = "", None
    for part in status.details:
        if part.Is(kinds.ErrorInfo.DESCRIPTOR):
            info = kinds.ErrorInfo.FromString(part.value)
            expect_equal(info.domain, "stockalert.dev", "the domain")
            reason = info.reason
        elif part.Is(kinds.RetryInfo.DESCRIPTOR):
            retry_s = kinds.RetryInfo.FromString(part.value).retry_delay.seconds
    return reason, retry_s


def passes_and_refuses(folder):
    with Behind(folder) as behind, behind.channel() as channel:
        calls = behind.service.calls
        expect_equal(call(channel, GET)[0], "OK", "a call with a key")
        for key in (None, "sak_short", "other_" + "k" * 43, "sak_" + "k" * 43 + "\"", "sak_" + "k" * 300):
            code, reason, retry_s, _ = call(channel, GET, key=key)
            expect_equal((code, reason, retry_s), ("UNAUTHENTICATED", "API_KEY_MISSING", None), f"the key {key}")
        expect_equal(call(channel, GET, key=None, metadata=[("authorization", "bearer " + KEY)])[0], "OK", "the scheme in small letters")
        expect_equal(call(channel, "/stockalert.internal.v1.UserInternalService/GetUser")[:2], ("UNIMPLEMENTED", "METHOD_UNKNOWN"), "another path")
        expect_equal(call(channel, GET, b"x" * 20_000)[:2], ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE"), "a large request")
        expect_equal([method for method, _, _ in calls], [GET, GET], "what reached the service")
        expect_equal(call(channel, BATCH, b"x" * 1_000_000)[0], "OK", "a large batch")
        expect_equal(calls[-1][2], 1_000_000, "the batch's size")
        expect_equal(call(channel, GET, b"x" * 12_000)[0], "OK", "a request that is not small")
        expect_equal(call(channel, CHECK, key=None)[0], "OK", "health without a key")
        # What no service should see: gRPC 1.51 aborts at some of it, and ends the connection at some.
        raw = attacks.Connection(behind.edge.address("alert"), "127.0.0.1").open()
        stream = raw.stream()
        odd = [("x-data-bin", "not base64!"), ("grpc-trace-bin", "%"), ("grpclb_client_stats", "x"), ("x-even", "1")]
        raw.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, stream, attacks.headers(GET, KEY, odd))
                 + attacks.frame(attacks.DATA, attacks.END_STREAM, stream, attacks.message()))
        await_true("an answer", lambda: raw.drain(0.1) or stream in raw.ended, 5)
        expect_equal((raw.answers[stream], calls[-1][1]["x-even"]), (0, "1"), "odd fields")
        raw.close()
        expect_equal({name for name in calls[-1][1] if name.endswith("-bin") or name.startswith("grpclb")}, set(), "odd fields that came through")
        expect_equal(call(channel, GET, metadata=[("x-long", "y" * 8000)])[:2], ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE"), "8 KB of metadata")
        with behind.channel("user") as users:
            expect_equal(call(users, REGISTER, key=None)[0], "OK", "registration without a key")
        refused = {cause: behind.edge.refused(cause) for cause in ("key", "size", "unknown", "rate", "calls")}
        expect_equal(refused, {"key": 5, "size": 2, "unknown": 1, "rate": 0, "calls": 0}, "what the metrics tell")


def every_reply_is_grpc(_folder):
    """What HAProxy answers by itself cannot all be provoked here: the files."""
    for path in sorted((edges.CONFIG / "replies").glob("*.http")):
        head, _, body = path.read_bytes().partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        expect_equal((lines[0], body, fields["content-type"]), ("HTTP/1.1 200 OK", b"", "application/grpc"), path.name)
        value = fields["grpc-status-details-bin"]
        status = base64.b64decode(value + "=" * (-len(value) % 4))
        reason, retry_s = details(status)
        parsed = importlib.import_module("google.rpc.status_pb2").Status.FromString(status)
        expect_equal((str(parsed.code), parsed.message), (fields["grpc-status"], fields["grpc-message"]), path.name)
        expect(reason, f"{path.name} has no reason")
        expect((retry_s is not None) == (parsed.code in (14,) or path.stem in ("rate", "calls")), f"{path.name}: RetryInfo {retry_s}")


def peers(folder):
    """Whose address reaches the services."""
    def seen(behind, metadata, source="127.0.0.1"):
        connection = attacks.Connection(behind.edge.address("alert"), source).open()
        stream = connection.stream()
        connection.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, stream, attacks.headers(GET, KEY, metadata))
                        + attacks.frame(attacks.DATA, attacks.END_STREAM, stream, attacks.message()))
        await_true("an answer", lambda: connection.drain(0.1) or stream in connection.ended, 5)
        connection.close()
        sent = behind.service.calls[-1][1]
        return sent.get("x-forwarded-for"), {name for name in sent if name in ("forwarded", "x-real-ip")}

    lies = [("x-forwarded-for", "10.1.1.1, 10.2.2.2"), ("forwarded", "for=10.3.3.3"), ("x-real-ip", "10.4.4.4")]
    with Behind(folder) as behind:
        expect_equal(seen(behind, lies), ("127.0.0.1", set()), "a client's own words")
        expect_equal(seen(behind, [], "127.0.0.9"), ("127.0.0.9", set()), "another address")
    with Behind(folder, {"EDGE_TRUSTED_PROXIES": "127.0.0.8/31 10.0.0.0/8"}) as behind:
        expect_equal(seen(behind, lies, "127.0.0.9"), ("10.2.2.2", set()), "a proxy's last word")
        expect_equal(seen(behind, lies, "127.0.0.7"), ("127.0.0.7", set()), "one that is no proxy")
        expect_equal(seen(behind, [("x-forwarded-for", "nonsense")], "127.0.0.9"), ("127.0.0.9", set()), "a proxy's nonsense")


def limits_of_a_peer(folder):
    with Behind(folder, {"EDGE_CALLS_PER_PEER": 3}) as behind, behind.channel("notifier") as channel:
        streams = [channel.unary_stream(WATCH)(b"", metadata=(("authorization", f"Bearer {KEY}"),)) for _ in range(3)]
        for stream in streams:
            next(stream)
        expect_equal(call(channel, GET)[:3], ("RESOURCE_EXHAUSTED", "EDGE_CALLS", 1), "a fourth call at once")
        streams.pop().cancel()
        await_true("a place again", lambda: call(channel, GET)[0] == "OK", 5)
        for stream in streams:
            stream.cancel()
    with Behind(folder, {"EDGE_CALLS_PER_PEER_10S": 20}) as behind, behind.channel() as channel:
        answers = [call(channel, GET) for _ in range(40)]
        expect_equal({answer[:3] for answer in answers}, {("OK", "", None), ("RESOURCE_EXHAUSTED", "EDGE_RATE", 5)}, "40 calls of 20 in ten seconds")
        expect_equal(len([answer for answer in answers if answer[0] == "OK"]), 20, "of which were let through")
        # Another address is not concerned.
        other = attacks.Connection(behind.edge.address("alert"), "127.0.0.5").open()
        expect_equal(other.call(GET, b"", KEY), 0, "a neighbour's call")
        other.close()
    with Behind(folder, {"EDGE_CALLS_PER_PEER_10S": 10}) as behind:
        # Four times as many: its connection is dropped, and it gets no other.
        flood = attacks.Attack(behind.edge.address("alert"), "127.0.0.6", 10, [])
        try:
            connection = flood.opened(1)[0]
            for _ in range(60):
                connection.call(GET, b"", KEY, timeout_s=1)
            raise AssertionError("60 calls of 10 in ten seconds, and none dropped")
        except attacks.Gone:
            pass

        def shut_out():
            """Before it says a word of a call."""
            try:
                for one in flood.opened(1):
                    for _ in range(10):
                        one.drain(0.1)
                    return False
            except attacks.Gone:
                pass
            return True
        expect(shut_out(), "it got another connection")
        other = attacks.Connection(behind.edge.address("alert"), "127.0.0.5").open()
        expect_equal(other.call(GET, b"", KEY), 0, "a neighbour's call")
        other.close()
    with Behind(folder, {"EDGE_CONNECTIONS_PER_PEER": 5}) as behind:
        # Connections above the limit may be closed before they have sent anything.
        held = attacks.Attack(behind.edge.address("alert"), "127.0.0.4", 5, []).opened(12)
        alive = 0
        for connection in held:
            try:
                connection.drain(0.1)
                alive += connection.call(GET, b"", KEY) == 0
            except attacks.Gone:
                pass
        expect_equal(alive, 5, "connections of one peer")
    with Behind(folder, {"EDGE_REFLECTIONS_PER_PEER": 2, "EDGE_BATCHES_PER_PEER": 2}) as behind:
        for path in (attacks.REFLECTION, BATCH):
            connection = attacks.Connection(behind.edge.address("alert"), "127.0.0.4").open()
            for _ in range(4):
                stream = connection.stream()
                connection.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, stream, attacks.headers(path, KEY)))
            await_true("two refused", lambda c=connection: c.drain(0.1) or len(c.answers) == 2, 5)
            expect_equal(set(connection.answers.values()), {8}, f"{path}, more than two at once")
            connection.close()
    # A peer of IPv6 is its /64, for each kind of calls, too.
    with Behind(folder, {"EDGE_BATCHES_PER_PEER": 2, "EDGE_TRUSTED_PROXIES": "127.0.0.8"}) as behind:
        connection = attacks.Connection(behind.edge.address("alert"), "127.0.0.8").open()
        for client_address in ("2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ff::3", "2001:db8:0:2::4"):
            stream = connection.stream()
            connection.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, stream,
                                          attacks.headers(BATCH, KEY, [("x-forwarded-for", client_address)])))
        await_true("one refused", lambda: connection.drain(0.1) or connection.answers, 5)
        connection.drain(0.3)
        expect_equal(connection.answers, {5: 8}, "a third batch of one network, and one of another")
        connection.close()


def kinds_have_a_way_each(folder):
    """Streams that fill theirs leave the calls', and the check's: a service is not taken for away."""
    authorization = (("authorization", f"Bearer {KEY}"),)
    with Behind(folder, {"EDGE_STREAMS_PER_BACKEND": 60}) as behind, behind.channel("notifier") as channel:
        # All at once, over a connection that is just there: each may get one of its own to the service, and no more than pass are there.
        burst = attacks.Connection(behind.edge.address("notifier"), "127.0.0.3").open()
        for _ in range(90):
            begun = burst.stream()
            burst.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, begun, attacks.headers(WATCH, KEY))
                       + attacks.frame(attacks.DATA, attacks.END_STREAM, begun, attacks.message()))
        await_true("those that found no place within two seconds", lambda: burst.drain(0.1) or len(burst.answers) == 30, 10)
        expect_equal((set(burst.answers.values()), behind.service.streams), ({14}, 60), "their status, and the streams that are open")
        expect_equal(call(channel, GET)[0], "OK", "a call beside them")
        # As long as three checks that fail take.
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            expect_equal(call(channel, GET)[0], "OK", "a call beside them")
            burst.drain(0.2)
        expect(behind.edge.all_up(), "a service was taken for away")
        burst.close()
        await_true("their end", lambda: behind.service.streams == 0, 5)
        stream = channel.unary_stream(WATCH)(b"", metadata=authorization)
        next(stream)
        stream.cancel()
    with Behind(folder, {"EDGE_UNARY_CALLS_PER_PEER": 2}) as behind, behind.channel("notifier") as channel:
        streams = [channel.unary_stream(WATCH)(b"", metadata=authorization) for _ in range(4)]
        for stream in streams:
            next(stream)
        expect_equal(call(channel, GET)[0], "OK", "a call of who has streams")
        # Bodies that do not come: they are under way.
        held = attacks.Connection(behind.edge.address("notifier"), "127.0.0.1").open()
        begun = []

        def third_is_refused():
            # A call that its caller has seen end may still count for a moment: one of the two may be refused for it, and comes again.
            held.drain(0.1)
            while len(begun) - len(held.answers) < 2:
                begun.append(held.stream())
                held.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, begun[-1], attacks.headers(GET, KEY)))
            return call(channel, GET)[:2] == ("RESOURCE_EXHAUSTED", "EDGE_CALLS")
        await_true("a third call refused", third_is_refused, 10)
        other = attacks.Connection(behind.edge.address("notifier"), "127.0.0.5").open()
        expect_equal(other.call(GET, b"", KEY), 0, "a neighbour's call")
        other.close()
        held.close()
        for stream in streams:
            stream.cancel()


def bodies_that_do_not_come(folder):
    with Behind(folder) as behind:
        connection = attacks.Connection(behind.edge.address("alert"), "127.0.0.1").open()
        stream = connection.stream()
        connection.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, stream, attacks.headers(GET, KEY)) +
                        attacks.frame(attacks.DATA, 0, stream, b"\0\0\0"))
        await_true("the end of it", lambda: connection.drain(0.2) or stream in connection.answers, 15)
        expect_equal(connection.answers[stream], 14, "a body that does not come")
        expect_equal(behind.service.calls, [], "what reached the service")
        # The connection is not to blame.
        expect_equal(connection.call(GET, b"", KEY), 0, "another call on it")
        connection.close()


def ends_reach_the_service(folder):
    """A stream that its client gives up, or whose client goes, ends at the service, too: its place is free again."""
    with Behind(folder) as behind:
        for end in ("cancelled", "gone"):
            channel = behind.channel("notifier")
            streams = [channel.unary_stream(WATCH)(b"", metadata=(("authorization", f"Bearer {KEY}"),)) for _ in range(5)]
            for stream in streams:
                next(stream)
            expect_equal(behind.service.streams, 5, "open streams")
            if end == "cancelled":
                for stream in streams:
                    stream.cancel()
            else:
                channel.close()
            await_true(f"the service's end of streams that are {end}", lambda: behind.service.streams == 0, 5)
            channel.close()


def ipv6(folder):
    try:
        with stack.socket.socket(stack.socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        raise Skip(f"this machine has no IPv6: {error}") from None
    with Behind(folder, {"EDGE_LISTEN_V6": "::1", "EDGE_CALLS_PER_PEER_10S": 5}) as behind:
        port = behind.edge.address("alert").split(":")[1]
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"[::1]:{port}", options) as six, behind.channel() as four:
            expect_equal(call(six, GET)[0], "OK", "a call by IPv6")
            expect_equal(behind.service.calls[-1][1]["x-forwarded-for"], "::1", "whose it is")
            expect_equal({call(six, GET)[1] for _ in range(9)}, {"", "EDGE_RATE"}, "beyond its rate")
            # An IPv4 client is another peer.
            expect_equal(call(four, GET)[0], "OK", "a call by IPv4")


def slow_reader(folder):
    """A client that does not read holds up itself alone, also where another's stream was there before it."""
    with Behind(folder) as behind, behind.channel("notifier") as channel:
        stream = channel.unary_stream(WATCH)(b"", metadata=(("authorization", f"Bearer {KEY}"),), timeout=30)
        next(stream)
        deaf = attacks.Connection(behind.edge.address("notifier"), "127.0.0.3", receive_window=4096).open()
        for _ in range(50):
            begun = deaf.stream()
            deaf.send(attacks.frame(attacks.HEADERS, attacks.END_HEADERS, begun, attacks.headers(WATCH, KEY))
                      + attacks.frame(attacks.DATA, attacks.END_STREAM, begun, attacks.message(LARGE)))
        # Until all that can hold something on their way is full.
        await_true("its streams", lambda: behind.service.streams >= 40, 10)
        last = int(next(stream))
        time.sleep(2)
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline and last < 100:
            last = int(next(stream))
        expect(last >= 40, f"another client's stream was held up at its {last}th message")
        stream.cancel()
        deaf.close()


def shown(behind):
    """The certificate of a new connection, in PEM."""
    context = ssl.create_default_context(cadata=behind.authority.certificate)
    context.set_alpn_protocols(["h2"])
    host, port = behind.edge.address("alert").split(":")
    with stack.socket.create_connection((host, int(port)), timeout=5) as raw, context.wrap_socket(raw, server_hostname="localhost") as secured:
        expect_equal(secured.selected_alpn_protocol(), "h2", "what was agreed on")
        return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True)).strip()


def certificate_exchange(folder):
    with Behind(folder, tls=True) as behind, behind.channel("notifier") as channel, contextlib.ExitStack() as held:
        edge = behind.edge
        # On each of the edge's threads.
        many = [held.enter_context(behind.channel("notifier")).unary_stream(WATCH)(b"", metadata=(("authorization", f"Bearer {KEY}"),))
                for _ in range(12)]
        stream = channel.unary_stream(WATCH)(b"", metadata=(("authorization", f"Bearer {KEY}"),))
        first = int(next(stream))
        before = shown(behind)
        expiry = 'stockalert_tls_certificate_expiry_time_seconds{file_role="public_cert"}'
        unusable = 'stockalert_tls_files_unusable{file_role="public_cert"}'
        earlier = edge.metrics("/metrics/certificates")
        expect(abs(earlier[expiry] - time.time() - 7 * 86400) < 600, f"expires at {earlier[expiry]}")
        behind.authority.issue(edge.tls_folder, days=20)
        await_true("the new certificate", lambda: shown(behind) == (edge.tls_folder / "tls.crt").read_text().strip() != before, 20)
        await_true("the new expiry", lambda: abs(edge.metrics("/metrics/certificates")[expiry] - time.time() - 20 * 86400) < 600, 10)
        # A key that is not the certificate's: told, and the earlier pair goes on.
        good = (edge.tls_folder / "tls.crt").read_text()
        certificates.swap(edge.tls_folder, {"tls.crt": behind.authority.sign()[0], "tls.key": certificates.new_key(),
                                            "ca.crt": behind.authority.certificate})
        await_true("the unfit pair is told", lambda: edge.metrics("/metrics/certificates")[unusable] == 1, 20)
        expect_equal(shown(behind), good.strip(), "what is shown meanwhile")
        # That was no fault of anybody's stream.
        for one in many:
            seen = [int(next(one)) for _ in range(5)]
            expect_equal(seen, list(range(seen[0], seen[0] + 5)), "a stream while an unfit pair was refused")
            one.cancel()
        # Another authority for the services: trusted first, then alone.
        second = certificates.Authority("the next")
        behind.authority.issue(edge.tls_folder, trusted=behind.authority.certificate + second.certificate)
        await_true("a fit pair again", lambda: edge.metrics("/metrics/certificates")[unusable] == 0, 20)
        with behind.channel() as other:
            expect_equal(call(other, GET)[0], "OK", "a call with two authorities")
        behind.authority.issue(edge.tls_folder, trusted=second.certificate)
        await_true("the service is trusted no more", lambda: edge.metrics()['haproxy_backend_active_servers{proxy="alert_calls"}'] == 0, 20)
        with behind.channel() as other:
            code, reason, _, _ = call(other, GET)
            expect_equal((code, reason), ("UNAVAILABLE", "SERVICE_UNAVAILABLE"), "a service that is not trusted")
        # One stream through all of it.
        last = first
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            number = int(next(stream))
            expect_equal(number, last + 1, "the stream's next")
            last = number
        stream.cancel()
        with grpc.insecure_channel(edge.address("alert")) as plain:
            expect_equal(call(plain, GET, timeout_s=3)[0], "UNAVAILABLE", "plaintext")


def another_service(folder):
    """Whoever listens at a service's address without its name gets no call."""
    behind = Behind(folder, tls=True, name="elsewhere")
    behind.edge.all_up = lambda: True
    with behind, behind.channel() as channel:
        await_true("it is taken for away", lambda: behind.edge.metrics()['haproxy_backend_active_servers{proxy="alert_calls"}'] == 0, 20)
        for path in (GET, BATCH):
            expect_equal(call(channel, path)[:2], ("UNAVAILABLE", "SERVICE_UNAVAILABLE"), path)
        expect_equal(behind.service.calls, [], "what reached it")


class Pages(http.server.ThreadingHTTPServer):
    """The notifier's pages: notes what reaches them."""

    def __init__(self):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                asked.append((self.command, self.path, dict(self.headers.items()), body))
                self.send_response(200)
                self.send_header("content-length", "4")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"page")

            do_POST = do_HEAD = do_GET

            def log_message(self, *_arguments):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_arguments):
        """Checks of the edge end their connections without a word."""

    @property
    def settings(self):
        return {"EDGE_UNSUBSCRIBE_BACKEND": f"127.0.0.1:{self.server_address[1]}"}


def ask(behind, path, method="GET", body=None, headers=(), version="--http1.1"):
    """(status, HTTP version) as curl has it: browsers and mail programs speak HTTP/1.1 and HTTP/2."""
    scheme = "https" if behind.authority else "http"
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "-m", "10", version, "-k", "--path-as-is"]
    command += ["-I"] if method == "HEAD" else ["-X", method]
    for one in headers:
        command += ["-H", one]
    if body is not None:
        command += ["--data-binary", body]
    done = subprocess.run([*command, f"{scheme}://{behind.edge.pages_address}{path}"], capture_output=True, text=True, check=False)
    status, seen = done.stdout.split()
    return int(status), seen


def pages_that_unsubscribe(folder):
    """One path on a port of its own, over HTTP/1.1 and HTTP/2, with limits; nothing of it without the setting."""
    for tls in (False, True):
        with Pages() as pages, Behind(folder / f"tls-{tls}", {**pages.settings, "EDGE_PAGES_PER_PEER_10S": 20}, tls=tls) as behind:
            await_true("the way to the pages",
                       lambda edge=behind.edge: edge.metrics()['haproxy_backend_active_servers{proxy="notifier_pages"}'] == 1, 20)
            form = "List-Unsubscribe=One-Click"
            expect_equal(ask(behind, "/unsubscribe/abc?x=1", "POST", form, ["Authorization: Bearer x", "Cookie: y"]), (200, "1.1"), "a POST")
            method, path, headers, body = pages.asked[-1]
            expect_equal((method, path, body), ("POST", "/unsubscribe/abc?x=1", form.encode()), "what reached the notifier")
            expect({"authorization", "cookie"}.isdisjoint(name.lower() for name in headers), f"it got {headers}")
            expect_equal(ask(behind, "/unsubscribe/abc"), (200, "1.1"), "a GET")
            expect_equal(ask(behind, "/unsubscribe/abc", "HEAD"), (200, "1.1"), "a HEAD")
            version = "--http2" if tls else "--http2-prior-knowledge"
            expect_equal(ask(behind, "/unsubscribe/abc", version=version), (200, "2"), "a GET over HTTP/2")
            reached = len(pages.asked)
            for path in ("/", "/metrics", "/healthz", "/unsubscribe", "/x/unsubscribe/", GET):
                expect_equal(ask(behind, path)[0], 404, path)
            expect_equal(ask(behind, "/unsubscribe/abc", "DELETE")[0], 405, "another method")
            expect_equal(ask(behind, "/unsubscribe/abc", "POST", "x" * 5000)[0], 413, "a large body")
            expect_equal(len(pages.asked), reached, "what else reached the notifier")
            statuses = [ask(behind, "/unsubscribe/abc")[0] for _ in range(20)]
            expect(200 in statuses and statuses[-1] == 429, f"a peer's many requests: {statuses}")
            # The gRPC ports do not know the path.
            with behind.channel("notifier") as channel:
                expect_equal(call(channel, "/unsubscribe/abc")[0], "UNIMPLEMENTED", "the path on a gRPC port")
    with Behind(folder / "without") as behind:
        expect(not stack.port_open(int(behind.edge.pages_address.split(":")[1])), "a port for pages without the setting")


def orderly_end(folder):
    """Asked to stop, it takes no new connections, lets calls end, and ends itself after its grace."""
    with Behind(folder, {"EDGE_SHUTDOWN_GRACE_S": 3}) as behind, behind.channel("notifier") as channel:
        stream = channel.unary_stream(WATCH)(b"", metadata=(("authorization", f"Bearer {KEY}"),))
        next(stream)
        process = behind.edge.process
        process.popen.send_signal(stack.signal.SIGUSR1)
        began = time.monotonic()
        await_true("no new connections", lambda: not stack.port_open(int(behind.edge.address("alert").split(":")[1])), 5)
        next(stream)
        await_true("its end", lambda: not process.alive(), 15)
        took_s = time.monotonic() - began
        expect(2 < took_s < 12, f"ended after {took_s:.1f} s")


CASES = [("passes and refuses", passes_and_refuses), ("every reply is gRPC", every_reply_is_grpc), ("peers", peers),
         ("limits of a peer", limits_of_a_peer), ("kinds have a way each", kinds_have_a_way_each),
         ("bodies that do not come", bodies_that_do_not_come), ("slow reader", slow_reader),
         ("ends reach the service", ends_reach_the_service), ("IPv6", ipv6),
         ("certificate exchange", certificate_exchange), ("another service", another_service), ("pages", pages_that_unsubscribe), ("orderly end", orderly_end)]
