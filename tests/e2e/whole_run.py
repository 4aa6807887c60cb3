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

from harness import ROOT, await_true, expect, expect_equal, grpcurl_path, meshes


def start(folder, port, *options, env=None):
    command = [str(ROOT / "scripts" / "run"), "--no-build", f"--state={folder}", f"--first-port={port}", *options]
    env = {**{name: value for name, value in os.environ.items() if not name.startswith("FINNHUB_")}, **(env or {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True)


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


def tour(world):
    folder = world.folder / "run"
    port = meshes.free_first_port()
    process = start(folder, port)
    try:
        lines = read_until(process, "Running until Ctrl-C", 180)
        expect_equal(sum("NOTIFICATION" in line for line in lines), 3, "notifications shown")
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
        # The stream answers at once, with a cursor: from then on nothing is missed.
        seen = [watching.stdout.readline()]
        run(commands[4])
        for line in watching.stdout:
            seen.append(line)
            if '"price": "200.5"' in line:
                watching.terminate()
        watching.wait()
        expect(any('"price": "200.5"' in line for line in seen), f"watch saw {seen}")
        read_until(process, "200.5", 20)
    finally:
        # Ctrl-C: to the whole group, as a terminal does it.
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(40)
    expect_equal(left_behind(folder), [], "processes left behind by Ctrl-C")
    expect(code in (0, 130), f"Ctrl-C ended it with {code}")
    key_before = (folder / "demo.json").read_text()

    began = time.monotonic()
    process = start(folder, port, "--exit")
    lines = process.stdout.read().splitlines()
    took = time.monotonic() - began
    expect_equal(process.wait(), 0, "\n".join(lines[-30:]))
    expect_equal(sum("fired once" in line for line in lines), 3, "alerts that fired once")
    expect_equal((folder / "demo.json").read_text(), key_before, "the demo user")
    expect_equal(left_behind(folder), [], "processes left behind by --exit")
    print(f"    a second start took {took:.1f} s", flush=True)


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
            reply = {"count": 1, "result": [{"description": "APPLE INC", "displaySymbol": "AAPL", "symbol": "AAPL", "type": "Common Stock"}]}
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


CASES = [("run/tour", tour), ("run/killed", killed), ("run/live", live)]
