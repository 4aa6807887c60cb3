"""The whole mesh by docker compose, as its users start it, under a project of its own: volumes and ports are not those of another one."""

import json
import os
import re
import secrets
import subprocess
import sys
import time

import images
import stack
from images import ROOT, SERVICES, docker

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import harness
from harness import await_true, expect, expect_equal, timestamp

HEALTHY_S_MAX = 60
PUBLIC = {"user": "UserService", "ticker": "TickerService", "alert": "AlertService", "notifier": "NotificationService"}


class Project:
    """docker compose with its environment; what the caller's environment says of images wins over the local stand-ins."""

    def __init__(self, file=ROOT / "docker" / "compose.yaml", tag=images.TAG):
        self.file = file
        self.name = f"stockalert-test-{secrets.token_hex(4)}"
        self.ports = {service: stack.free_port() for service in PUBLIC}
        self.pages_port = stack.free_port()
        self.prometheus_port = stack.free_port()
        self.env = {**images.STORES, **{name: value for name, value in os.environ.items() if name.startswith("STOCKALERT_")},
                    "STOCKALERT_TAG": tag, "COMPOSE_PROFILES": "", "FINNHUB_API_KEY": "",
                    # The demonstration receives a webhook.
                    "STOCKALERT_EGRESS_ALLOW": "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16", "STOCKALERT_EGRESS_ALLOW_HTTP": "true",
                    "STOCKALERT_PROMETHEUS_PORT": str(self.prometheus_port), "STOCKALERT_UNSUBSCRIBE_PORT": str(self.pages_port),
                    **{f"STOCKALERT_{service.upper()}_PORT": str(port) for service, port in self.ports.items()}}
        self.started = False
        # Files beside the first.
        self.beside = []

    def compose(self, *arguments, env=None, **options):
        files = [part for file in (self.file, *self.beside) for part in ("-f", file)]
        return docker("compose", *files, "-p", self.name, *arguments, env={**self.env, **(env or {})}, **options)

    def up(self):
        """Answers how many seconds it took until all were healthy."""
        images.build()
        began = time.monotonic()
        self.started = True
        self.compose("up", "-d", "--no-build", "--wait", "--wait-timeout", "180", timeout_s=240)
        return time.monotonic() - began

    def ensure_up(self):
        if not self.started:
            self.up()

    def read(self, path):
        """A file of the mesh's volumes."""
        return self.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "secrets", path).stdout.strip()

    def demo_key(self):
        return re.search(r"api_key = (\S+)", self.read("/var/lib/stockalert/demo/client")).group(1)

    def healthcheck(self, service):
        return self.compose("exec", "-T", service, f"stockalert-{service}", "--healthcheck", check=False).returncode

    def grpcurl(self, service, method, request, key, extra=()):
        package = {"notifier": "notification"}.get(service, service)
        command = [harness.grpcurl_path(), "-plaintext", "-max-time", "15", *extra, "-H", f"authorization: Bearer {key}", "-d", json.dumps(request),
                   f"127.0.0.1:{self.ports[service]}", f"stockalert.{package}.v1.{PUBLIC[service]}/{method}"]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=30)

    def notifications(self, key):
        done = self.grpcurl("notifier", "ListNotifications", {"parent": "users/me"}, key)
        expect_equal(done.returncode, 0, f"grpcurl: {done.stderr}")
        return json.loads(done.stdout).get("notifications", [])

    def stop(self):
        if self.started:
            self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", check=False)
            self.started = False


PROJECT = Project()


def up():
    took_s = PROJECT.up()
    print(f"    all healthy after {took_s:.1f} s", flush=True)
    states = {row["Service"]: row for row in map(json.loads, PROJECT.compose("ps", "--format", "json").stdout.splitlines())}
    for service in (*SERVICES, "edge", "postgres", "kafka"):
        expect_equal(states.get(service, {}).get("Health"), "healthy", f"the health of {service}")
    published = [(service, entry["URL"], entry["PublishedPort"]) for service, row in states.items() for entry in row["Publishers"] or []
                 if entry["PublishedPort"]]
    wanted = [*PROJECT.ports.values(), PROJECT.pages_port]
    expect_equal(sorted(published), sorted(("edge", "127.0.0.1", port) for port in wanted), "what is published, and where")
    expect(took_s < HEALTHY_S_MAX, f"healthy after {took_s:.1f} s, not within {HEALTHY_S_MAX} s")


def demo():
    PROJECT.ensure_up()
    done = PROJECT.compose("run", "--rm", "-T", "demo", timeout_s=180)
    print("    " + done.stdout.strip().replace("\n", "\n    "), flush=True)
    expect_equal(len(re.findall(r"^alert\.triggered  AAPL at [\d.]+  msg_", done.stdout, re.M)), 3, "webhooks that the demonstration shows")
    key = PROJECT.demo_key()
    notified = await_true("the demonstration's three notifications", lambda: len(PROJECT.notifications(key)) >= 3 and PROJECT.notifications(key), 30)
    # That the webhook is verified now is the one beside those of alerts.
    found = [n for n in notified if "alert" in n]
    expect_equal([n.get("kind") for n in notified if "alert" not in n], ["KIND_DESTINATION"], "other notifications")
    expect_equal(len({n["alert"] for n in found}), 3, "alerts with a notification")
    expect_equal(len(found), 3, "notifications of alerts")
    expect_equal({n["symbol"] for n in found}, {"AAPL"}, "their symbol")
    stream = PROJECT.grpcurl("notifier", "WatchNotifications", {"parent": "users/me", "from_start": True}, key, ("-max-time", "3"))
    expect_equal(len(re.findall(r'"trigger":', stream.stdout)), 3, f"notifications on grpcurl's stream: {stream.stdout}{stream.stderr}")


def administrator():
    """The administrator's key from its volume lets a price be published."""
    PROJECT.ensure_up()
    key = PROJECT.read("/var/lib/stockalert/admin/admin_key")
    request = {"quotes": [{"symbol": "AAPL", "price": "200.5", "event_time": timestamp(), "session": "SESSION_REGULAR"}]}
    done = PROJECT.grpcurl("ticker", "PublishQuotes", request, key)
    expect_equal(done.returncode, 0, f"grpcurl: {done.stdout}{done.stderr}")


def edge():
    """It is what answers: calls without a key never reach a service, floods are refused, and it is confined."""
    PROJECT.ensure_up()
    done = PROJECT.grpcurl("user", "GetUser", {"name": "users/me"}, "sak_short")
    expect("API_KEY_MISSING" in done.stderr and "Unauthenticated" in done.stderr, f"a key that is none: {done.stderr}")
    listed = subprocess.run([str(harness.grpcurl_path()), "-plaintext", f"127.0.0.1:{PROJECT.ports['alert']}", "list"], capture_output=True, text=True,
                            check=False, timeout=30)
    expect("stockalert.alert.v1.AlertService" in listed.stdout, f"reflection through the edge: {listed.stdout}{listed.stderr}")
    container = PROJECT.compose("ps", "-q", "edge").stdout.strip()
    host = images.inspect_container(container)["HostConfig"]
    expect(host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and host["Memory"] == 512 << 20, f"{host}")
    status = docker("exec", container, "cat", "/proc/1/status").stdout
    expect(re.search(r"^Uid:\s+10002\s", status, re.M) and re.search(r"^CapEff:\s+0+$", status, re.M), f"the edge runs as another user: {status}")
    # A service that is started anew has another address: the name is asked for again.
    PROJECT.compose("up", "-d", "--no-deps", "--force-recreate", "--no-build", "alert")
    # Nobody's key is for the alert service to tell: it is that which answers.
    await_true("an answer of the new container",
               lambda: "API_KEY_INVALID" in PROJECT.grpcurl("alert", "ListAlerts", {"parent": "users/me"}, "sak_" + "x" * 43).stderr, 60)


def health_tells():
    """--healthcheck says no while what a service needs is away, and yes again."""
    PROJECT.ensure_up()
    expect_equal(PROJECT.healthcheck("user"), 0, "the user service's health check")
    PROJECT.compose("stop", "postgres")
    try:
        await_true("user's health check without Postgres", lambda: PROJECT.healthcheck("user") == 1, 30)
    finally:
        PROJECT.compose("start", "postgres")
    for service in SERVICES:
        await_true(f"{service}'s health check with Postgres back", lambda name=service: PROJECT.healthcheck(name) == 0, 60)


def restart():
    """`down` and `up` keep everything: users, secrets, notifications."""
    PROJECT.ensure_up()
    admin_key, key = PROJECT.read("/var/lib/stockalert/admin/admin_key"), PROJECT.demo_key()
    before = PROJECT.notifications(key)
    expect(before, "there is nothing to keep: the demonstration has not run")
    PROJECT.compose("--profile", "*", "down")
    PROJECT.up()
    expect_equal(PROJECT.read("/var/lib/stockalert/admin/admin_key"), admin_key, "the administrator's key")
    expect_equal(PROJECT.notifications(key), before, "the notifications")


def confined():
    """Every service runs without root, capabilities and a writable file system; nothing is told to the logs that is secret."""
    PROJECT.ensure_up()
    for service in (*SERVICES, "postgres", "kafka"):
        container = PROJECT.compose("ps", "-q", service).stdout.strip()
        found = images.inspect_container(container)
        host = found["HostConfig"]
        expect(host["Memory"] > 0, f"{service} has no limit of memory")
        expect(any("no-new-privileges" in option for option in host["SecurityOpt"] or []), f"{service} may gain privileges: {host['SecurityOpt']}")
        expect(host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{service}: {host['CapDrop']} {host['ReadonlyRootfs']}")
        status = docker("exec", container, "cat", "/proc/1/status").stdout
        uid = {"postgres": 999, "kafka": 1000}.get(service, 10001)
        expect(re.search(rf"^Uid:\s+{uid}\s", status, re.M), f"{service} runs as another user: {status}")
        expect(re.search(r"^CapEff:\s+0+$", status, re.M), f"{service} has capabilities: {status}")
    logs = PROJECT.compose("--profile", "*", "logs", "--no-color").stdout
    expect(not re.search(r"sak_[A-Za-z0-9_-]{20,}", logs), "a log holds an API key")
    for name in ("secrets/postgres_password", *(f"secrets/roles/{role}" for role in
                                                 ("user", "ticker", "alert", "evaluator", "notifier", "maintenance", "audit")),
                 *(f"secrets/callers/{service}" for service in SERVICES), "admin/admin_key"):
        expect(PROJECT.read(f"/var/lib/stockalert/{name}") not in logs, f"a log holds {name}")


def live():
    """With a key the fetcher asks Finnhub, and without one it does not."""
    def command(key):
        return json.loads(PROJECT.compose("config", "--format", "json", env={"FINNHUB_API_KEY": key}).stdout)["services"]["fetcher"]["command"]
    expect("--source=finnhub" not in command(""), f"without a key: {command('')}")
    expect("--source=finnhub" in command("k"), f"with a key: {command('k')}")


def observed():
    """Prometheus, started by its profile, has the rules and reaches every service."""
    PROJECT.ensure_up()
    PROJECT.compose("--profile", "observability", "up", "-d", "--no-build", "prometheus")
    address = f"http://127.0.0.1:{PROJECT.prometheus_port}/api/v1"

    def ask(path):
        try:
            return json.loads(stack.http_get(f"{address}/{path}"))["data"]
        except OSError:
            return {}
    await_true("a scrape of every service", lambda: {target["labels"]["service"] for target in ask("targets").get("activeTargets", [])
                                                     if target["health"] == "up"} == {*SERVICES, "edge"}, 90, interval_s=1)
    expect(sum(len(group["rules"]) for group in ask("rules")["groups"]) > 0, "Prometheus has no rules")


CASES = [
    ("compose: a key for live prices", live),
    ("compose: up and healthy", up),
    ("compose: demonstration by grpcurl", demo),
    ("compose: administrator", administrator),
    ("compose: the edge", edge),
    ("compose: confined, and no secret in a log", confined),
    ("compose: Prometheus", observed),
    ("compose: health checks tell", health_tells),
    ("compose: down and up again", restart),
]
STOP = PROJECT.stop
