"""scripts/run as a person uses it: its printed lines work as printed, it keeps its data, and it leaves no process behind."""

import http.server
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import threading
import time
import urllib.parse

from harness import ROOT, await_true, expect, expect_equal, grpcurl_path, meshes


def start(folder, port, *options, env=None, cwd=None):
    command = [str(ROOT / "scripts" / "run"), "--no-build", f"--state={folder}", f"--first-port={port}", *options]
    env = {**{name: value for name, value in os.environ.items() if not name.startswith("FINNHUB_")}, **(env or {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=cwd,
                            start_new_session=True)


def left_behind(folder):
    """Processes that have to do with this state folder, by their command or environment; without this one."""
    tokens = [path.read_text().strip().encode() for path in (folder / "callers").glob("*")]
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if int(path.name) != os.getpid() and (str(folder).encode() in text or any(token in text for token in tokens)):
            found.append((path.name, (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:100]))
    return found


def read_until(process, text, timeout_s):
    lines = []
    deadline = time.monotonic() + timeout_s
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
        expect(time.monotonic() < deadline, f"no «{text}» within {timeout_s} s:\n" + "\n".join(lines[-30:]))
    raise AssertionError(f"ended ({process.wait()}) without «{text}»:\n" + "\n".join(lines[-30:]))


def finish(process):
    """The lines of a run that ends by itself, and well."""
    lines = process.stdout.read().splitlines()
    expect_equal(process.wait(), 0, "\n".join(lines[-30:]))
    return lines


def notified(lines):
    """The symbols that notifications were shown of, sorted."""
    return sorted(match.group(1) for line in lines if (match := re.match(r"  notification  (\w+) ", line, re.I)))


def delivered(lines):
    """How many webhooks of alerts were shown."""
    return sum(line.startswith("  WEBHOOK  alert.triggered  ") for line in lines)


def tour(world):
    folder = world.folder / "run"
    port = meshes.free_first_port()
    process = start(folder, port)
    try:
        lines = read_until(process, "Running until Ctrl-C", 180)
        expect_equal(notified(lines), ["AAPL", "FB", "GOOG", "IBM", "MSFT"], "notifications shown")
        expect_equal(delivered(lines), 5, "webhooks shown")
        env = dict(os.environ, PATH=f"{grpcurl_path().parent}:{os.environ['PATH']}")
        commands = [line.strip() for line in lines if line.strip().startswith("grpcurl ")]
        expect_equal(len(commands), 5, "grpcurl lines printed")

        def run(command):
            done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=False, timeout=30, cwd=ROOT)
            expect_equal(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
            return done.stdout

        expect("CreateAlert" in run(commands[0]), "list")
        expect("sak_" in run(commands[1]), "register")
        expect("STATE_" in run(commands[2]), "create")
        watching = subprocess.Popen(["bash", "-c", f"timeout 20 {commands[3]}"], env=env, stdout=subprocess.PIPE, text=True)
        # An alert that only prices of the past would fire.
        run(commands[2].replace('"500"', '"600"'))
        # The stream answers at once, with a cursor: from then on nothing is missed.
        seen = [watching.stdout.readline()]
        run(commands[4])
        for line in watching.stdout:
            seen.append(line)
            if '"price": "500.5"' in line:
                watching.terminate()
        watching.wait()
        expect(any('"price": "500.5"' in line for line in seen), f"watch saw {seen}")
        read_until(process, "500.5", 20)
    finally:
        # Ctrl-C: to the whole group, as a terminal does it.
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(40)
    expect_equal(left_behind(folder), [], "processes left behind by Ctrl-C")
    expect(code in (0, 130), f"Ctrl-C ended it with {code}")
    key_before = (folder / "demo.json").read_text()

    began = time.monotonic()
    lines = finish(start(folder, port, "--exit"))
    print(f"    a second start took {time.monotonic() - began:.1f} s", flush=True)
    expect_equal((folder / "demo.json").read_text(), key_before, "the demo user")
    expect(any("nothing is replayed" in line for line in lines), "\n".join(lines))
    expect_equal(notified(lines), [], "notifications of a start that nobody asked for prices")
    expect_equal(left_behind(folder), [], "processes left behind by --exit")

    lines = finish(start(folder, port, "--source=replay", "--exit"))
    expect(any("as you asked" in line for line in lines), "\n".join(lines))
    expect_equal(sum("fired once" in line for line in lines), 5, "alerts that fired once")
    # Those of this run, and the one that had waited.
    expect_equal(notified(lines), ["AAPL", "AAPL", "FB", "GOOG", "IBM", "MSFT"], "notifications of a replay that was asked for")


def sources(world):
    """Prices from where they are said to come from."""
    folder = world.folder / "sources"
    port = meshes.free_first_port()
    for options, said in ((["--source=live"], "unknown option"), (["--source=finnhub"], "needs a key"), (["--source=publish", "--file=x"], "--file is what"),
                          (["--file=/nowhere.csv"], "cannot be read")):
        process = start(folder, port, "--exit", *options)
        text = process.stdout.read()
        expect(process.wait() != 0 and said in text and "Traceback" not in text, text)
    lines = finish(start(folder, port, "--source=publish", "--exit"))
    expect(any("by PublishQuotes alone" in line for line in lines) and not any("quote " in line for line in lines), "\n".join(lines))
    # A file of one's own, named as seen from where one is.
    (world.folder / "abc-2020.csv").write_text("time,price,symbol\n1600092000,10,ABC\n1600092060,10.5,ABC\n1600092120,9,XYZ\n")
    process = start(folder, port, "--file=abc-2020.csv", cwd=world.folder)
    try:
        lines = read_until(process, "NOTIFICATION", 120)
        expect_equal(notified(lines), ["ABC"], "notifications of a file of one's own")
        expect_equal(sum("  alert  " in line for line in lines), 2, "alerts on a file of two symbols")
        read_until(process, "Running until Ctrl-C", 60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(40)


def killed(world):
    """However it is ended, its children end, too."""
    folder = world.folder / f"killed-{secrets.token_hex(2)}"
    port = meshes.free_first_port()
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = start(folder, port)
        read_until(process, "the mesh is up", 120)
        if number == signal.SIGTERM:
            second = subprocess.run([str(ROOT / "scripts" / "run"), "--no-build", "--exit", f"--state={folder}", f"--first-port={port}"], capture_output=True,
                                    text=True, check=False)
            expect(second.returncode == 1 and "another run" in second.stdout, f"two runs in one folder: {second.stdout[-500:]}")
        process.send_signal(number)
        process.stdout.read()
        process.wait(40)
        await_true(f"no process after {number.name}", lambda: not left_behind(folder), 20)
    process = start(folder, port, "--exit", "--reset")
    text = process.stdout.read()
    expect_equal(process.wait(), 0, re.sub(r"(?m)^.*quote.*\n", "", text)[-1500:])


class FakeFinnhub(http.server.BaseHTTPRequestHandler):
    """Answers the two calls that a first price takes."""

    def do_GET(self):  # pylint: disable=invalid-name
        if "/quote" in self.path:
            reply = {"c": 190.25, "d": 1.25, "dp": 0.66, "h": 191, "l": 188.5, "o": 189, "pc": 189, "t": int(time.time())}
        else:
            symbol = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("q", [""])[0]
            reply = {"count": 1, "result": [{"description": "INC", "displaySymbol": symbol, "symbol": symbol, "type": "Common Stock"}]}
        text = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


def live(world):
    """With a Finnhub key: alerts near the live price, a state of its own, and the key in no log."""
    folder = world.folder / "live"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeFinnhub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key = f"key-{secrets.token_hex(8)}"
    # Nobody listens at the stream's address: prices are polled.
    env = {"FINNHUB_API_KEY": key, "FINNHUB_REST_URL": f"http://127.0.0.1:{server.server_port}/api/v1",
           "FINNHUB_WS_URL": f"ws://127.0.0.1:{meshes.free_first_port()}"}
    try:
        process = start(folder, meshes.free_first_port(), "--exit", env=env)
        text = process.stdout.read()
        expect_equal(process.wait(), 0, text[-1500:])
    finally:
        server.shutdown()
    expect("at or above 190.35" in text and text.count("  alert  ") == 3, text[-1500:])
    for path in (folder / "log").glob("*.log"):
        expect(key not in path.read_text(errors="replace"), f"{path.name} holds the Finnhub key")


CASES = [("run/tour", tour), ("run/sources", sources), ("run/killed", killed), ("run/live", live)]
