"""A mesh of its own with TLS everywhere: gRPC, Kafka and Postgres. Who is refused, and what an exchange of all certificates does to calls."""

import datetime
import os
import re
import ssl
import subprocess
import threading

import certificates
import grpc
from harness import SYMBOL, await_true, client, expect, expect_equal, meshes, stack, timestamp

HEALTH = "/grpc.health.v1.Health/Check"
TARGET = {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "150"}}


def probe(address, credentials):
    """The code that a health call over a connection of its own ends with."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address, options)
    with channel:
        try:
            channel.unary_unary(HEALTH)(b"", timeout=10)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name


def ports(mesh, kind):
    return {name: mesh.address(name, kind) for name, (_, kinds) in meshes.SERVICES.items() if kind in kinds}


def refusals(mesh):
    """Every internal port against every wrong client, every public port against plaintext and a stranger's authority."""
    trusted = mesh.authority.certificate.encode()
    foreign = certificates.Authority("another mesh")

    def showing(certificate, key):
        return grpc.ssl_channel_credentials(trusted, key.encode(), certificate.encode())

    good = showing(*mesh.authority.sign())
    wrong = {
        "no certificate": grpc.ssl_channel_credentials(trusted),
        "another authority's": showing(*foreign.sign()),
        "an expired one": showing(*mesh.authority.sign(days=-1)),
        "plaintext": None,
    }
    for name, address in ports(mesh, "internal").items():
        expect_equal(probe(address, good), "OK", f"{name}, a certificate of the mesh")
        for what, credentials in wrong.items():
            expect_equal(probe(address, credentials), "UNAVAILABLE", f"{name}, {what}")
    for name, address in ports(mesh, "public").items():
        expect_equal(probe(address, grpc.ssl_channel_credentials(trusted)), "OK", f"{name}, public")
        expect_equal(probe(address, None), "UNAVAILABLE", f"{name}, public, plaintext")
        expect_equal(probe(address, grpc.ssl_channel_credentials(foreign.certificate.encode())), "UNAVAILABLE", f"{name}, public, not trusted")


def callers(mesh):
    """Every service's certificate and token against every internal method, on the real ports: let through if and only if it is in the table."""
    trusted = mesh.authority.certificate.encode()
    text = (stack.ROOT / "services/common/grpc/flow_table.cc").read_text()
    table = {method: set(re.findall(r'"([a-z]+)"', names)) for method, names in
             re.findall(r'\{"stockalert\.internal\.v1\.([A-Za-z]+/[A-Za-z]+)", \{([^}]*)\}', text)}
    expect(len(table) >= 11, f"the flow table has {len(table)} rows only")
    owners = {"UserInternalService": "user", "TickerInternalService": "ticker", "AlertInternalService": "alert",
              "NotifierInternalService": "notifier", "FetcherService": "fetcher", "EvaluatorInternalService": "evaluator"}
    allowed = refused_calls = 0

    reasons = ("CALLER_NOT_ALLOWED", "CALLER_TOKEN_INVALID", "CERTIFICATE_NAMELESS", "CERTIFICATE_SHARED", "MESH_TOKEN_INVALID")

    def refusal(channel, method, token):
        """Why the common path refused an empty call, or the code of what came after it."""
        try:
            channel.unary_unary(f"/stockalert.internal.v1.{method}")(b"", timeout=20, metadata=(("x-stockalert-caller-token", token),))
            return "OK"
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            return next((reason for reason in reasons if reason.encode() in details), error.code().name)

    for name in meshes.SERVICES:
        certificate, key = mesh.authority.sign(names=mesh.certificate_names(name))
        credentials = grpc.ssl_channel_credentials(trusted, key.encode(), certificate.encode())
        for method, permitted in table.items():
            address = mesh.address(owners[method.split("/")[0]], "internal")
            with grpc.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                got = refusal(channel, method, mesh.caller_tokens[name])
                if name in permitted:
                    # An empty request may be an error, but one of the handler's.
                    expect(got not in (*reasons, "UNAVAILABLE", "UNIMPLEMENTED"), f"{name} calls {method}: {got}")
                    allowed += 1
                else:
                    expect_equal(got, "CALLER_NOT_ALLOWED", f"{name} calls {method}")
                    refused_calls += 1
                other = "ticker" if name != "ticker" else "alert"
                expect_equal(refusal(channel, method, mesh.caller_tokens[other]), "CALLER_TOKEN_INVALID", f"{name} calls {method} with {other}'s token")
    everybody = tuple(f"DNS:{name}" for name in meshes.SERVICES)
    for reason, names in (("CERTIFICATE_NAMELESS", ("DNS:localhost",)), ("CERTIFICATE_SHARED", everybody)):
        certificate, key = mesh.authority.sign(names=names)
        credentials = grpc.ssl_channel_credentials(trusted, key.encode(), certificate.encode())
        for method in table:
            with grpc.secure_channel(mesh.address(owners[method.split("/")[0]], "internal"), credentials,
                                     [("grpc.use_local_subchannel_pool", 1)]) as channel:
                expect_equal(refusal(channel, method, mesh.caller_tokens["ticker"]), reason, f"{', '.join(names)}: {method}")
    print(f"    internal calls by certificate: {allowed} let through, {refused_calls} refused", flush=True)


def a_price_comes_through(mesh, key):
    """One alert all the way: gRPC between the services, Kafka, Postgres, the stream."""
    mesh.client.call("user", "FollowTicker", {"parent": "users/me", "symbol": SYMBOL}, key, timeout_s=20)
    alert = mesh.client.call("alert", "CreateAlert", {"parent": "users/me", "alert": {"symbol": SYMBOL, "condition": TARGET}}, key, timeout_s=20)
    for price in ("149", "151"):
        mesh.client.call("ticker", "PublishQuotes", {"quotes": [{"symbol": SYMBOL, "price": price, "event_time": timestamp(),
                                                                 "session": "SESSION_REGULAR"}]}, mesh.admin_key)
    await_true("the notification", lambda: [n for n in mesh.client.list_all("notifier", "ListNotifications", "notifications",
                                                                            {"parent": "users/me"}, key)
                                            if n["trigger"].startswith(alert["name"])])
    # From the alert service to the evaluator.
    explained = mesh.client.call("alert", "ExplainAlert", {"name": alert["name"]}, key, timeout_s=20)
    expect_equal(explained["readiness"], "READINESS_ENDED", "what the evaluator says of the alert")


class Load:
    """Calls without retries that reach through the mesh: on channels that stay, and on new ones."""

    CALLS = [("user", "GetUser", {"name": "users/me"}), ("alert", "ListAlerts", {"parent": "users/me"}),
             ("ticker", "GetTicker", {"name": f"tickers/{SYMBOL}"}), ("notifier", "ListNotifications", {"parent": "users/me"}),
             # From ticker to fetcher, and from alert to user and ticker.
             ("ticker", "BatchGetQuotes", {"names": [f"tickers/{SYMBOL}"]}),
             ("alert", "CreateAlert", {"parent": "users/me", "alert": {"symbol": SYMBOL, "condition": {"price_target": {
                 "comparison": "COMPARISON_AT_OR_ABOVE", "price": "100000"}}}})]

    def __init__(self, mesh, key, trusted):
        self.mesh, self.key, self.trusted = mesh, key, trusted
        self.count, self.failures = 0, []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(stays,)) for stays in (True, False)]
        for thread in self.threads:
            thread.start()

    def _connect(self):
        return client.Client({name: self.mesh.address(name) for name in client.PORTS}, ca=self.trusted.encode())

    def _run(self, stays):
        connection = self._connect()
        while not self.stopping.is_set():
            if not stays:
                connection.close()
                connection = self._connect()
            for service, method, request in self.CALLS:
                try:
                    connection.call(service, method, request, self.key)
                    failure = None
                except client.CallError as error:
                    failure = f"{service}.{method}: {error}"
                with self.lock:
                    self.count += 1
                    if failure:
                        self.failures.append(failure)
        connection.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def shown(address, trusted):
    """The certificate that a new connection is shown, in PEM."""
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context(cadata=trusted)
    context.set_alpn_protocols(["h2"])
    with stack.socket.create_connection((host, int(port)), timeout=5) as raw, context.wrap_socket(raw, server_hostname=host) as secured:
        return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True)).strip()


def exchange(mesh, authority, trusted):
    """New certificates for all services; answers once each public port shows its own, and each internal port as well."""
    both = grpc.ssl_channel_credentials(trusted.encode(), *(part.encode() for part in reversed(authority.sign())))
    for service in ports(mesh, "internal") | ports(mesh, "public"):
        certificate, key = authority.sign(names=mesh.certificate_names(service))
        certificates.swap(mesh.tls_folder(service), {"tls.crt": certificate, "tls.key": key, "ca.crt": trusted})
    for service, address in ports(mesh, "public").items():
        wanted = (mesh.tls_folder(service) / "tls.crt").read_text().strip()
        await_true(f"{service}'s new certificate", lambda a=address, w=wanted: shown(a, trusted) == w, 20)
    for service, address in ports(mesh, "internal").items():
        await_true(f"{service}'s new authorities", lambda a=address: probe(a, both) == "OK", 20)
    for service in ports(mesh, "internal") | ports(mesh, "public"):
        expiry = [v for k, v in mesh.metrics(service).items() if k.startswith("stockalert_tls_certificate_expiry_time_seconds")]
        expect(len(expiry) >= 2 and min(expiry) > datetime.datetime.now().timestamp(), f"{service} does not tell when its certificates expire")


def rotation(mesh, key):
    first, second = mesh.authority, certificates.Authority("the mesh's next authority")
    both = first.certificate + second.certificate
    load = Load(mesh, key, both)
    try:
        exchange(mesh, first, first.certificate)
        # Another authority: trusted first, then used, then alone.
        exchange(mesh, first, both)
        exchange(mesh, second, both)
        exchange(mesh, second, second.certificate)
        count = load.count
        await_true("calls after the exchange", lambda: load.count > count + 50, 30)
    finally:
        load.stop()
    print(f"    {load.count} calls while all certificates were exchanged four times, {len(load.failures)} failed", flush=True)
    expect(not load.failures, f"{len(load.failures)} calls failed, as in {load.failures[:3]}")
    old = grpc.ssl_channel_credentials(both.encode(), *(part.encode() for part in reversed(first.sign())))
    for name, address in ports(mesh, "internal").items():
        await_true(f"{name} trusts the old authority no more", lambda a=address: probe(a, old) == "UNAVAILABLE", 20)
    mesh.authority = second
    # Connections between the services last an hour: after restarts each is made anew, with what lies there now.
    for name in ports(mesh, "internal"):
        mesh.restart(name)
    trusted = grpc.ssl_channel_credentials(second.certificate.encode())
    for name, address in ports(mesh, "public").items():
        await_true(f"{name} serves again", lambda a=address: probe(a, trusted) == "OK", 30)


NEW_CLIENT = b"a new client uses the swapped TLS files"


def another_authority_for_kafka(mesh, key):
    """Clients that still used the files of their start could not connect to the broker any more."""
    first, second = mesh.kafka.authority, certificates.Authority("Kafka's next authority")
    both = first.certificate + second.certificate
    names = ("fetcher", "alert", "evaluator", "user")
    logs = {name: mesh.folder / "log" / f"{name}.log" for name in names}
    begins = {name: log.stat().st_size for name, log in logs.items()}
    for service in meshes.SERVICES:
        second.issue(mesh.kafka.client_tls(service), trusted=both, subject=f"stockalert-{service}")
    for name, log in logs.items():
        # Each of its connections.
        lanes = 4 if name in ("fetcher", "evaluator") else 1
        await_true(f"{name}'s new producer", lambda p=log, b=begins[name], n=lanes: p.read_bytes()[b:].count(NEW_CLIENT) >= n, 30)
    mesh.kafka.authority = second
    mesh.kafka.process.stop()
    mesh.kafka.start()
    mesh.kafka.await_ready()
    mesh.await_ready()
    a_price_comes_through(mesh, key)


def stores_are_secured(mesh):
    rows = mesh.query("SELECT a.application_name, s.ssl, s.client_dn FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) "
                      "WHERE a.application_name LIKE 'stockalert-%'")
    expect_equal({row[0] for row in rows}, {f"stockalert-{name}" for name in ("user", "ticker", "alert", "evaluator", "notifier")},
                 "who is connected to Postgres")
    for name, secured, subject in rows:
        expect(secured == "t" and subject, f"{name} is connected to Postgres without TLS or a certificate")
    plain = mesh.postgres_url.split("?")[0] + "?sslmode=disable"
    try:
        stack.psql(plain, "SELECT 1")
        raise AssertionError("Postgres took plaintext")
    except stack.StackError:
        pass
    # The same broker without the client's certificate, without TLS; and the listener with a login, with and without it.
    log = str(meshes.binary("stockalert-log"))
    env = {**os.environ, **mesh.operator_env()}
    logged_in = {**env, **{f"STOCKALERT_{name}": str(value) for name, value in mesh.kafka.login_env().items()}}
    no_login = {name: value for name, value in logged_in.items() if "KAFKA_SASL" not in name}
    certificate = {name: value for name, value in env.items() if name not in ("STOCKALERT_KAFKA_TLS_CERT_FILE", "STOCKALERT_KAFKA_TLS_KEY_FILE")}
    plain = {name: value for name, value in env.items() if "KAFKA_TLS" not in name} | {"STOCKALERT_KAFKA_PLAINTEXT": "true"}
    for what, environment, code in (("as configured", env, 0), ("no certificate", certificate, 1), ("plaintext", plain, 1),
                                    ("with a login", logged_in, 0), ("no login", no_login, 1)):
        done = subprocess.run([log, "--timeout_s=5"], env=environment, capture_output=True, text=True, check=False)
        expect_equal(done.returncode, code, f"stockalert-log, {what}: {done.stderr[-300:]}")


def kafka_rights(world):
    """Every principal against every topic and group, over its own certificate: a broker with topics and ACLs as migrations make them, and no
    services, for what may be written is."""
    mesh = meshes.Mesh(world.folder / "rights", meshes.free_first_port(), prices_partitions=4, tls=True)
    try:
        mesh.folder.mkdir(parents=True, exist_ok=True)
        mesh.folder.chmod(0o755)
        mesh.start_stores()
        mesh.migrate()
        try_all_rights(mesh)
    finally:
        mesh.stop()
        mesh.postgres.wipe()


def try_all_rights(mesh):
    program = meshes.build_folder() / "tests" / "support" / "kafka_rights" / "stockalert-kafka-rights"
    topics = ("prices", "alert-events", "triggers", "user-events")
    # What each may, said here once more: by whom is read and written what.
    reads = {"ticker": {"prices"}, "alert": {"alert-events", "user-events"}, "notifier": {"triggers", "user-events"}, "fetcher": {"prices"},
             "evaluator": {"prices"}, "audit": {"prices"}}
    writes = {"user": {"user-events"}, "alert": {"prices", "triggers"}, "fetcher": {"prices"}, "evaluator": {"alert-events"}}
    groups = {name: {f"stockalert-{name}"} for name in ("alert", "notifier", "evaluator")}
    def tried(key):
        env = {**os.environ, "STOCKALERT_KAFKA_BOOTSTRAP": mesh.kafka_bootstrap,
               **{f"STOCKALERT_{name}": str(value) for name, value in mesh.kafka.client_env(key).items()}}
        done = subprocess.run([str(program)], env=env, capture_output=True, text=True, check=False, timeout=180)
        said = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
        expect_equal(done.returncode, 0, f"stockalert-kafka-rights as {key}: {said}")
        return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())

    # The broker hears of them from its controller a moment after they were made.
    await_true("ACLs that count", lambda: tried("user")["write user-events"] == "yes", 60)
    counts = {"yes": 0, "no": 0}
    for key in (*meshes.SERVICES, "audit"):
        wanted = {f"{way} {topic}": "yes" if topic in may.get(key, ()) else "no"
                  for way, may in (("read", reads), ("write", writes)) for topic in topics}
        wanted |= {f"group stockalert-{name}": "yes" if f"stockalert-{name}" in groups.get(key, ()) else "no" for name in groups}
        wanted |= {"create a topic": "no", "allow itself more": "no"}
        expect_equal(tried(key), wanted, f"what {key} may do with Kafka")
        for answer in wanted.values():
            counts[answer] += 1
    print(f"    Kafka: {counts['yes']} ways open, {counts['no']} refused", flush=True)


def health_and_command_line(mesh):
    for name in meshes.SERVICES:
        # Without any of the settings that the service itself needs.
        done = subprocess.run([str(meshes.binary(f"stockalert-{name}")), "--healthcheck", f"--http_address={mesh.address(name, 'http')}"],
                              capture_output=True, text=True, check=False, timeout=10)
        expect_equal((done.returncode, done.stdout, done.stderr), (0, "", ""), f"{name} --healthcheck")
    command = [str(meshes.binary("stockalert")), "quotes", "get", SYMBOL]
    env = {"PATH": os.environ["PATH"], "HOME": str(mesh.folder), "STOCKALERT_API_KEY": mesh.admin_key,
           **{f"STOCKALERT_{name.upper()}_ADDRESS": mesh.address(name) for name in client.PORTS}}
    trusted = {**env, "STOCKALERT_CA_FILE": str(mesh.tls_folder("user") / "ca.crt")}
    for what, environment, extra, code in (("its authority", trusted, [], 0), ("plaintext", env, [], 6),
                                           ("the system's authorities", env, ["--plaintext=false"], 6)):
        done = subprocess.run(command + extra, env=environment, capture_output=True, text=True, check=False, timeout=60)
        expect_equal(done.returncode, code, f"the client with {what}: {done.stderr[-300:]}")


def whole_mesh(world):
    mesh = meshes.Mesh(world.folder / "secured", meshes.free_first_port(), prices_partitions=8, tls=True,
                       # What a fast machine's load would exceed.
                       env={"ticker": {"QUOTES_PER_USER_PER_MINUTE": "1000000"},
                             "alert": {"ALERTS_PER_USER_MAX": "1000000", "CREATIONS_PER_USER_PER_H": "1000000000", "WRITES_PER_USER_PER_S": "1000000"}})
    try:
        mesh.start({"SOURCE": "publish"})
        reply = mesh.client.call("user", "RegisterUser", {"user": {"email": "tls@example.com", "display_name": "T"}})
        key = reply["secret"]
        a_price_comes_through(mesh, key)
        refusals(mesh)
        callers(mesh)
        stores_are_secured(mesh)
        health_and_command_line(mesh)
        rotation(mesh, key)
        mesh.client.close()
        mesh.client = client.Client({name: mesh.address(name) for name in client.PORTS}, ca=mesh.authority.certificate.encode())
        a_price_comes_through(mesh, key)
        another_authority_for_kafka(mesh, key)
        for path in (mesh.folder / "log").glob("*.log"):
            expect(mesh.kafka.password not in path.read_text(errors="replace"), f"{path.name} holds Kafka's password")
    finally:
        killed = mesh.stop()
        mesh.postgres.wipe()
    expect_equal(killed, [], "services that had to be killed")


CASES = [("secured/whole mesh", whole_mesh), ("secured/kafka rights", kafka_rights)]
