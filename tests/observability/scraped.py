"""A mesh at work and in trouble, scraped by a real Prometheus: every rule and every query of a dashboard has data."""

import json
import re
import subprocess
import time

import edge as edges
import stack
import webhooks
from harness import DATA, ROOT, SYMBOL, await_true, client, expect, expect_equal, timestamp
from prometheus import DEPLOY, Prometheus, promtool

OPERATIONS = ROOT / "docs" / "operations.md"
RULES = DEPLOY / "rules" / "stockalert.yml"
# A metric's name where it stands for one in an expression.
METRIC = re.compile(r"\b(?:stockalert[_:]|process_|up\b|ALERTS\b|scrape_)[a-zA-Z0-9_:]*")


def anchor(heading):
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def rules_and_runbooks(_world):
    for arguments in (("check", "rules", RULES), ("check", "config", DEPLOY / "prometheus.yml")):
        code, output = promtool(*arguments)
        expect_equal(code, 0, f"promtool {arguments}: {output}")
    text = RULES.read_text()
    alerts = re.findall(r"^ +- alert: (\w+)$", text, re.MULTILINE)
    expect(alerts, "no alerts in the rules")
    expect_equal(len(alerts), len(set(alerts)), "alerts with names of their own")
    for block in re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]:
        name = block.split("\n", 1)[0]
        expect(re.search(r"labels: \{severity: (critical|warning)\}", block), f"{name} has no severity")
        expect(re.search(r"summary: \S", block), f"{name} has no summary")
        expect(f"runbook_url: docs/operations.md#{anchor(name)}\n" in block, f"{name} has another runbook, or none")
    # Some metrics are absent from a mesh without TLS, and their rules then fall back on a constant: a wrong name would not be noticed.
    sources = "\n".join(path.read_text() for path in (ROOT / "services").rglob("*.cc"))
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bstockalert_\w+", text)}
    expect_equal([name for name in sorted(names) if f'"{name}"' not in sources], [], "metrics in the rules that no service has")
    runbooks = re.findall(r"^### (StockAlert\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    expect_equal(sorted(runbooks), sorted(alerts), "runbooks in docs/operations.md, one an alert")


def dashboards_are_current(_world):
    done = subprocess.run([str(ROOT / "scripts" / "dashboards"), "--check"], capture_output=True, text=True, check=False)
    expect_equal(done.returncode, 0, done.stdout + done.stderr)


def every_alert_fires(_world):
    code, output = promtool("test", "rules", "rules_test.yml", cwd=ROOT / "tests" / "observability")
    expect_equal(code, 0, output)
    tested = set(re.findall(r"alertname: (\w+)", (ROOT / "tests" / "observability" / "rules_test.yml").read_text()))
    expect_equal(tested, set(re.findall(r"- alert: (\w+)", RULES.read_text())), "alerts that are made to fire")


class Traffic:
    """One user with an alert that triggers at every other quote, and a stream and a receiver of webhooks that show it."""

    def __init__(self, world):
        self.world = world
        self.name, self.key = world.user("Watcher")
        self.receiver = webhooks.Receiver()
        made = world.call("destination", "CreateDestination", {"parent": self.name, "destination": {"webhook": {"url": self.receiver.url}}}, self.key)
        self.receiver.secret = made["secret"]
        world.call("user", "FollowTicker", {"parent": self.name, "symbol": SYMBOL}, self.key)
        self.stream = world.mesh.client.stream("notifier", "WatchNotifications", {"parent": self.name}, self.key, timeout_s=600)
        condition = {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "100"}}
        for cooldown in ("0s", "3600s"):
            world.call("alert", "CreateAlert", {"parent": self.name, "alert": {
                "symbol": SYMBOL, "condition": condition, "trigger_policy": "TRIGGER_POLICY_REPEAT", "cooldown": cooldown}}, self.key)
        world.await_applied(self.key)

    def quote(self, price):
        return {"symbol": SYMBOL, "price": price, "event_time": timestamp(), "session": "SESSION_REGULAR"}

    def publish(self, price):
        self.world.call("ticker", "PublishQuotes", {"quotes": [self.quote(price)]}, self.world.mesh.admin_key)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.publish("99")
            self.publish("101")
            self.world.call("ticker", "GetTicker", {"name": f"tickers/{SYMBOL}"}, self.key)
            for service, method, request in (
                    ("alert", "GetAlert", {"name": f"{self.name}/alerts/00000000-0000-4000-8000-000000000000"}),
                    ("alert", "CreateAlert", {"parent": self.name, "alert": {"symbol": SYMBOL}}),
                    ("ticker", "PublishQuotes", {"quotes": [{**self.quote("100"), "event_time": "2100-01-01T00:00:00Z"}]})):
                try:
                    self.world.call(service, method, request, self.world.mesh.admin_key if service == "ticker" else self.key)
                    raise AssertionError(f"{method} was answered OK")
                except client.CallError as error:
                    expect(error.code in ("NOT_FOUND", "INVALID_ARGUMENT"), f"{method}: {error}")
            time.sleep(0.2)

    def stop(self):
        self.stream.cancel()
        self.receiver.close()


def without(world, process, seconds, probe):
    """Takes a process away for a while, in which `probe` is called."""
    process.stop()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            probe()
        except client.CallError as error:
            expect(error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED"), f"while {process.name} was away: {error}")
        time.sleep(0.3)
    process.start()
    # Apache Kafka takes its time on a busy machine.
    world.await_ready(180)


def everything_has_data(world):
    # Nobody is mailed, and nobody unsubscribes, so nothing has to listen there.
    world.mesh.extra_env["notifier"] = {"SMTP_ADDRESS": f"127.0.0.1:{stack.free_port()}", "SMTP_TLS": "none", "MAIL_FROM": "alerts@example.com",
                                        "PUBLIC_URL": "https://alerts.example.com", "UNSUBSCRIBE_ADDRESS": f"127.0.0.1:{stack.free_port()}"}
    mesh = world.start()
    folder = world.folder / "prometheus"
    folder.mkdir()
    edge = edges.Edge(mesh, world.folder / "edge", edges.free_first_port())
    edge.start()
    prometheus = Prometheus(folder, mesh, edge)
    prometheus.start()
    try:
        start = time.time()
        watcher = Traffic(world)
        # A replay of half a minute, in which Postgres goes away: there is something to commit then.
        mesh.restart("fetcher", {**world.replay_settings(DATA, 4_000_000), "QUOTES_PER_S_MAX": 40})
        world.begin_file.touch()
        await_true("the replay's begin", lambda: mesh.metrics("fetcher").get("stockalert_fetcher_replay_position", 0) > 50, 60)
        without(world, mesh.postgres.process, 6, lambda: mesh.client.call("alert", "ListAlerts", {"parent": watcher.name}, watcher.key, timeout_s=2))
        await_true("the replay's end", lambda: mesh.metrics("fetcher")["stockalert_fetcher_replay_position"]
                   == mesh.metrics("fetcher")["stockalert_fetcher_replay_quotes"], 120)
        # Event times of the replay lie in the past; those from now on are later.
        mesh.restart("fetcher", {"SOURCE": "publish"})
        watcher.run(12)
        ask = {"name": f"tickers/{SYMBOL}"}
        without(world, mesh.services["fetcher"], 6, lambda: watcher.publish("100"))
        without(world, mesh.kafka.process, 10, lambda: mesh.client.call("ticker", "GetTicker", ask, watcher.key, timeout_s=2))
        watcher.run(8)
        without(world, mesh.services["evaluator"], 6, lambda: watcher.publish("101"))
        watcher.run(4)
        time.sleep(3)
        end = time.time()

        targets = prometheus.get("targets")["activeTargets"]
        expect_equal([t["lastError"] for t in targets if t["health"] != "up"], [], "targets that are not up")
        expect_equal(len(targets), 7, "targets")
        check_rules(prometheus, start, end)
        check_dashboards(prometheus, start, end)
        check_series(prometheus, watcher)
        # The latency is that of this run: replayed quotes are of years ago.
        slowest = max(prometheus.samples("stockalert:end_to_end_seconds:p99_5m", start, end))
        expect(slowest <= 30, f"end to end {slowest} s")
        states = prometheus.samples("ALERTS{alertname='StockAlertServiceDown'}", start, end)
        expect(states, "no alert about the service that was away")
        expect(prometheus.samples("stockalert_evaluator_commits_blocked == 1", start, end), "Postgres was away, and commits were not blocked")
        expect(watcher.receiver.counts, "no webhook came")
        watcher.stop()
    finally:
        prometheus.process.stop()
        edge.stop()


def check_rules(prometheus, start, end):
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    expect(len(rules) > 30, f"only {len(rules)} rules are loaded")
    empty = []
    for rule in rules:
        expect_equal((rule["health"], rule.get("lastError", "")), ("ok", ""), f"the rule {rule['name']}")
        samples = prometheus.samples(rule["query"], start, end)
        if rule["type"] == "recording":
            if not samples or not prometheus.samples(rule["name"], start, end):
                empty.append(rule["name"])
            continue
        # An alert is silent while all is well: what it compares must have data.
        for metric in sorted(set(METRIC.findall(rule["query"]))):
            if not prometheus.samples(metric, start, end):
                empty.append(f"{rule['name']}: {metric}")
    expect_equal(empty, [], "rules without data")
    print(f"    {len(rules)} rules evaluated, all with data", flush=True)


def check_dashboards(prometheus, start, end):
    count = 0
    empty = []
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                count += 1
                # As Grafana asks where all are chosen.
                if not prometheus.samples(target["expr"].replace("$namespace", ".*"), start, end):
                    empty.append(f"{path.stem}: {panel['title']}: {target['expr']}")
    expect(count > 40, f"only {count} queries in the dashboards")
    expect_equal(empty, [], "queries without data")
    print(f"    {count} queries of dashboards, all with data", flush=True)


def check_series(prometheus, watcher):
    """Names, help and bounded labels."""
    metadata = prometheus.get("metadata")
    names = {series["metric"]["__name__"] for series in prometheus.query('count by (__name__) ({__name__=~"stockalert_.*"})')}
    for name in sorted(names):
        base = re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in metadata else name
        expect(base in metadata and metadata[base][0]["help"], f"{name} has no help")
        kind = metadata[base][0]["type"]
        expect(kind != "counter" or name.endswith("_total"), f"the counter {name} does not end in _total")
        expect(kind != "histogram" or base.endswith(("_seconds", "_calls")), f"the histogram {base} does not tell its unit")
        count = len(prometheus.query(f"count by (le) ({name})" if kind == "histogram" else name))
        expect(count <= 400, f"{name} has {count} series")
    labels = [label for label in prometheus.get("labels") if label not in ("__name__", "instance", "job", "alertname", "le")]
    user_id = watcher.name.split("/")[1]
    for label in labels:
        for value in prometheus.get(f"label/{label}/values"):
            expect(value != SYMBOL and user_id not in value and not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", value), f"the label {label} has the value {value}")
    print(f"    {len(names)} metrics", flush=True)


CASES = [
    ("rules and runbooks", rules_and_runbooks),
    ("dashboards are current", dashboards_are_current),
    ("every alert fires", every_alert_fires),
    ("everything has data", everything_has_data),
]
