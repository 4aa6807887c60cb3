"""What the end-to-end cases stand on: a mesh of their own, grpcurl, the audit, and a report."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
sys.path.insert(0, str(ROOT / "tests" / "support"))
import client  # noqa: E402
import mesh as meshes  # noqa: E402
import stack  # noqa: E402
from cases import Report, Skip, await_true, timestamp  # noqa: E402, F401 # For others, too.

DATA = ROOT / "services" / "fetcher" / "data" / "aapl-1d.csv"
MINUTES = ROOT.parent / "shared" / "data" / "aapl-1m-2016.csv"
SYMBOL = "AAPL"
GRPCURL_VERSION = "v1.8.9"


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def expect_equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


@contextlib.contextmanager
def refused(code, reason=None, field=None):
    """The call within must fail so."""
    try:
        yield
    except client.CallError as error:
        expect_equal(error.code, code, f"the code of «{error}»")
        if reason is not None:
            expect_equal(error.reason, reason, f"the reason of «{error}»")
        if field is not None:
            expect(field in [name for name, _ in error.violations], f"no violation of {field} in «{error}»")
        expect(error.message, "an error without a message")
        return
    raise AssertionError(f"answered OK instead of {code}")


def grpcurl_path():
    """grpcurl, built once by Go into build/tools."""
    path = ROOT / "build" / "tools" / "grpcurl"
    if not path.exists():
        if shutil.which("go") is None:
            raise Skip("grpcurl needs Go: apt-get install golang-go")
        env = dict(os.environ, GOBIN=str(path.parent))
        done = subprocess.run(["go", "install", f"github.com/fullstorydev/grpcurl/cmd/grpcurl@{GRPCURL_VERSION}"], env=env, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            if os.environ.get("CI"):
                raise AssertionError(f"grpcurl could not be built: {done.stderr[-800:]}")
            raise Skip(f"grpcurl could not be built: {done.stderr.strip()[-200:]}")
    return path


class World:
    """One mesh for many cases. Its source is a replay of real prices that each case begins anew."""

    def __init__(self, folder):
        self.folder = folder
        self.mesh = meshes.Mesh(folder / "mesh", meshes.free_first_port(), env={"user": {
            "REGISTRATIONS_PER_MINUTE": "100000", "REGISTRATIONS_PER_PEER_PER_MINUTE": "100000"},
            # The shortest there is: outages.py waits for its end.
            "evaluator": {"SESSION_TIMEOUT_MS": "6000"}})
        self.begin_file = folder / "begin"
        self.started = False
        self.supervisor = meshes.Supervisor(self.mesh, lambda text: print(f"    {text}", flush=True))

    def start(self):
        if not self.started:
            self.mesh.start(self.replay_settings(DATA, 4_000_000))
            self.started = True
        return self.mesh

    def replay_settings(self, file, speed):
        self.begin_file.unlink(missing_ok=True)
        return {"SOURCE": "replay", "FILE": file, "REPLAY_SYMBOL": SYMBOL, "SPEED": str(speed), "REPLAY_RUN": f"e2e-{secrets.token_hex(6)}",
                "REPLAY_START_FILE": self.begin_file}

    def supervise(self):
        """Starts again what ended by itself, as whoever runs a mesh does: a service that cannot go on ends (a consumer that its broker fenced)."""
        self.supervisor.check()

    def await_ready(self, timeout_s=60):
        def ready():
            self.supervise()
            return all(self.mesh.ready(name) for name in self.mesh.services)
        await_true("the services' readiness", ready, timeout_s)

    def prepare_replay(self, file=DATA, speed=4_000_000):
        """A new history, which waits for begin()."""
        self.start()
        self.mesh.restart("fetcher", self.replay_settings(file, speed))

    def begin(self, key):
        """Begins the new history; answers once its prices are shown, and not the earlier one's any more."""
        earlier = self.last_time(key)
        self.begin_file.touch()
        await_true("the new history's first price", lambda: self.last_time(key) not in ("", earlier), 30, interval_s=0.02)

    def user(self, name="E2E"):
        reply = self.mesh.client.call("user", "RegisterUser", {"user": {"email": f"e2e-{secrets.token_hex(6)}@example.com", "display_name": name}})
        return reply["user"]["name"], reply["secret"]

    def call(self, service, method, request, key, **options):
        return self.mesh.client.call(service, method, request, key, **options)

    def last_time(self, key):
        """The event time of the symbol's latest price."""
        try:
            return self.call("ticker", "GetTicker", {"name": f"tickers/{SYMBOL}"}, key).get("latest_quote", {}).get("event_time", "")
        except client.CallError as error:
            if error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "NOT_FOUND"):
                return ""
            raise

    def await_time(self, key, wanted, timeout_s=60):
        def there():
            self.supervise()
            return self.last_time(key) >= wanted
        await_true(f"the replay's price of {wanted}", there, timeout_s)

    def await_applied(self, key, parent="users/me"):
        """Until the evaluator has every alert of the user."""
        await_true("the evaluator's confirmations", lambda: all(
            int(a.get("applied_revision", 0)) >= int(a["revision"])
            for a in self.mesh.client.list_all("alert", "ListAlerts", "alerts", {"parent": parent}, key)), 30)

    def audit(self, semantics=None, wait_s=30, mesh=None):
        """Answers how many triggers the log says; fails where what is stored differs from it."""
        command = [str(ROOT / "scripts" / "audit"), f"--state={(mesh or self.mesh).folder}", f"--wait-s={wait_s}"]
        if semantics:
            command.append(f"--semantics={semantics}")
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        expect(done.returncode == 0, f"the audit disagrees:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return int(re.search(r"(\d+) triggers due", done.stdout).group(1))

    def check_notifications(self, key):
        """The stream from its start and the list hold the same notifications, each trigger once, in one order."""
        listed = self.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, key)
        triggers = [n["trigger"] for n in listed if n["kind"] == "KIND_TRIGGER"]
        expect_equal(len(triggers), len(set(triggers)), "triggers with a notification")
        # Throttled ones are in the stream by those that say how many there are.
        shown = [n for n in listed if not n.get("throttled")]
        streamed = []
        stream = self.mesh.client.stream("notifier", "WatchNotifications", {"parent": "users/me", "from_start": True}, key, timeout_s=20)
        try:
            if shown:
                for reply in stream:
                    streamed += reply.get("notifications", [])
                    if len(streamed) >= len(shown):
                        break
        finally:
            stream.cancel()
        expect_equal(sorted(n["name"] for n in streamed), sorted(n["name"] for n in shown), "the stream's notifications")
        return listed

    def secrets_in_logs(self):
        """Names of log files that hold a secret."""
        known = [*self.mesh.caller_tokens.values(), self.mesh.admin_key, self.mesh.postgres.password,
                 *(path.read_text().strip() for path in self.mesh.postgres.roles.iterdir())]
        found = []
        for path in sorted((self.mesh.folder / "log").glob("*.log")):
            text = path.read_text(errors="replace")
            if any(secret in text for secret in known) or re.search(r"sak_[A-Za-z0-9_-]{20,}", text):
                found.append(path.name)
        return found

    def stop(self):
        return self.mesh.stop() if self.started else []


class Grpcurl:
    """Calls as a person makes them."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.path = grpcurl_path()

    def run(self, service, method, request=None, key=None, extra=()):
        """(exit code, what it printed)"""
        command = [str(self.path), "-plaintext", "-max-time", "15", *extra]
        if key:
            command += ["-H", f"authorization: Bearer {key}"]
        if request is not None:
            command += ["-d", json.dumps(request)]
        command.append(self.mesh.address(client.AT.get(service, service)))
        command += method.split(" ")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return done.returncode, done.stdout + done.stderr


def run_cases(cases, folder, junit=None, only=(), tier="e2e", world=None):
    """Runs them in order. A case is (name, function); its first argument is the world. Answers the exit code."""
    report = Report(tier)
    world = world or World(folder)

    def stop():
        killed = world.stop()
        if killed:
            print(f"had to be killed: {killed}", flush=True)

    def revive():
        for process in world.mesh.processes() if world.started else []:
            if not process.alive():
                print(f"    {process.name} is not running (exit {process.returncode()}):\n{process.log_tail()}", flush=True)
                process.start()

    stack.run_at_exit(stop)
    for name, function in cases:
        if not only or any(part in name for part in only):
            report.run(name, lambda function=function: function(world), revive)
    if not report.end(junit):
        print(f"the logs are kept: {folder}", flush=True)
        return 1
    stop()
    world.started = False
    world.mesh.postgres.wipe()
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if report.counts["passed"] > 0 else 1


def new_folder(tier="e2e"):
    folder = ROOT / "build" / f"{tier}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    return folder
