#!/usr/bin/python3
"""tests/chaos/run.py [--junit=FILE] [--alerts=N] [--disturbances=N] [--every-s=N] [--symbols=N] [--quotes-per-s=N] [--seed=TEXT]
[--keep]: an hour of bad luck in minutes.

A mesh of its own with three evaluators and twelve partitions, a replay of many symbols and alerts of every kind on them, some of which are paused,
resumed, rearmed and deleted meanwhile. At random moments, one about every --every-s seconds, an evaluator, the Kafka broker or Postgres is killed,
frozen for longer than an evaluator's session lasts, or restarted in order; several may be away at once. What ends by itself is started again, as
Kubernetes would. In the end every row of the replay must be in the log, and the naive auditor (tests/support/auditor, which shares nothing with the
evaluator), given the log, must find each trigger that was due with the evaluator, in the alert service's history and as a notification, once: 0 missed,
0 doubled, 0 ghosts.

The defaults are two minutes' worth, by a seed that is the commit; by hand: --alerts=100000 --disturbances=200 --quotes-per-s=15.
"""

import argparse
import collections
import contextlib
import datetime
import heapq
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import harness  # noqa: E402
from harness import Report, await_true, client, expect, expect_equal, meshes, stack  # noqa: E402
from processes import family  # noqa: E402

PARTITIONS = 12
EVALUATORS = ("evaluator", "evaluator-2", "evaluator-3")
# Evaluators are what this is about.
TARGETS = EVALUATORS * 2 + ("kafka", "postgres")
SESSION_S = 6.0
KILLED_S = (0.1, 3.0)
FROZEN_S = (SESSION_S + 2, SESSION_S + 6)
RESTARTED_S = (0.1, 1.0)
# Of the replay: a minute a second, nights cut.
SPEED = 60
ALERTS_PER_USER = 500
# More than the limits of users allow: this is no test of those.
LIMITS = {"user": {"REGISTRATIONS_PER_MINUTE": "100000", "REGISTRATIONS_PER_PEER_PER_MINUTE": "100000"},
          "alert": {"TRIGGERS_PER_MINUTE": "1000000"}, "evaluator": {"SESSION_TIMEOUT_MS": str(int(SESSION_S * 1000)), "CHECKPOINT_INTERVAL_S": "5"}}


def write_replay(path, symbols, rows, quotes_per_s, chance):
    """Random walks about 100.00 in regular sessions, a row a tick. Answers (symbol, time in ms, price) of each row."""
    cents = dict.fromkeys(symbols, 10_000)
    day = datetime.datetime(2024, 6, 3, 13, 30, tzinfo=datetime.UTC)
    moment, close = day, day + datetime.timedelta(hours=6, minutes=29)
    step = datetime.timedelta(seconds=SPEED / quotes_per_s)
    ticks = []
    with open(path, "w", encoding="ascii") as file:
        file.write("time_ms,symbol,price\n")
        for row in range(rows):
            symbol = symbols[row % len(symbols)] if row < len(symbols) else chance.choice(symbols)
            # Now and then a leap, over many levels at once.
            cents[symbol] = max(5_000, min(20_000, cents[symbol] + (chance.randint(-300, 300) if chance.random() < 0.02 else chance.randint(-15, 15))))
            ticks.append((symbol, int(moment.timestamp() * 1000), cents[symbol] * 10_000))
            file.write(f"{ticks[-1][1]},{symbol},{cents[symbol] / 100:.2f}\n")
            moment += step
            if moment >= close:
                day += datetime.timedelta(days=3 if day.weekday() == 4 else 1)
                moment, close = day, day + datetime.timedelta(hours=6, minutes=29)
    return ticks


def draft(symbol, chance):
    """An alert of any kind and policy, near enough to the prices that many trigger."""
    def price(low=85, high=115):
        return f"{chance.uniform(low, high):.2f}"

    kind = chance.randrange(8)
    if kind < 3:
        comparison = chance.choice(["COMPARISON_AT_OR_ABOVE", "COMPARISON_AT_OR_BELOW", "COMPARISON_CROSSES"])
        condition = {"price_target": {"comparison": comparison, "price": price()}}
    elif kind < 5:
        change = {"direction": chance.choice(["DIRECTION_UP", "DIRECTION_DOWN", "DIRECTION_EITHER"]), "percent": f"{chance.uniform(0.5, 15):.2f}",
                  "reference": chance.choice(["REFERENCE_ARMING", "REFERENCE_PREVIOUS_CLOSE", "REFERENCE_DAY_OPEN", "REFERENCE_WINDOW", "REFERENCE_GIVEN"])}
        if change["reference"] == "REFERENCE_WINDOW":
            change["window"] = chance.choice(["600s", "3600s", "86400s"])
        if change["reference"] == "REFERENCE_GIVEN":
            change["given_price"] = price(95, 105)
        condition = {"percent_change": change}
    elif kind < 7:
        condition = {"trailing_change": {"direction": chance.choice(["DIRECTION_FALLS_FROM_HIGH", "DIRECTION_RISES_FROM_LOW"]),
                                         "percent": f"{chance.uniform(0.5, 12):.2f}"}}
    else:
        low = chance.uniform(85, 112)
        condition = {"channel": {"transition": chance.choice(["TRANSITION_ENTERS", "TRANSITION_LEAVES"]), "low": f"{low:.2f}", "high": f"{low + 3:.2f}"}}
    alert = {"symbol": symbol, "condition": condition,
             "creation_policy": chance.choice(["CREATION_POLICY_FIRE_IF_MET", "CREATION_POLICY_WAIT_FOR_CROSS"])}
    policy = chance.random()
    if policy < 0.15:
        # An hour of the replay's is a minute: enough for several each.
        alert.update(trigger_policy="TRIGGER_POLICY_REPEAT", cooldown="7200s")
    elif policy < 0.3:
        alert.update(trigger_policy="TRIGGER_POLICY_ONCE_A_DAY")
    if kind < 3 and chance.random() < 0.3:
        alert["hysteresis"] = "0.75"
    return alert


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Meddler:
    """Users who change their alerts while all this happens. A change that is refused because something is away is let go."""

    METHODS = ("PauseAlert", "ResumeAlert", "RearmAlert", "DeleteAlert", "CreateAlert")

    def __init__(self, mesh, owners, symbols, chance):
        self.mesh, self.owners, self.symbols, self.chance = mesh, owners, symbols, chance
        self.done, self.refused, self.broken = collections.Counter(), collections.Counter(), []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(0.05):
            key, names = self.chance.choice(self.owners)
            method = self.chance.choice(self.METHODS)
            request = {"name": self.chance.choice(names)}
            if method == "CreateAlert":
                request = {"parent": "users/me", "alert": draft(self.chance.choice(self.symbols), self.chance)}
            try:
                self.mesh.client.call("alert", method, request, key, timeout_s=5)
                self.done[method] += 1
            except client.CallError as error:
                self.refused[error.code] += 1
                if error.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"):
                    self.broken.append(f"{method}: {error}")
            except Exception as error:  # pylint: disable=broad-except # Else this thread would end, and nobody see it.
                self.broken.append(f"{method}: {error!r}")

    def stop(self):
        self.stopping.set()
        self.thread.join()


class Chaos:
    """Disturbs at random moments; everything that starts or ends a process is done by the thread that made this."""

    def __init__(self, mesh, chance, every_s, count):
        self.mesh, self.chance, self.every_s, self.left = mesh, chance, every_s, count
        self.away = {}
        # What is to be done when: (monotonic time, a number that breaks ties, what).
        self.agenda, self.numbers = [], itertools.count()
        self.done, self.restarts, self.crashed = collections.Counter(), collections.Counter(), []

    def process(self, name):
        return getattr(self.mesh, name).process if name in ("kafka", "postgres") else self.mesh.services[name]

    def plan(self, after_s, action):
        heapq.heappush(self.agenda, (time.monotonic() + after_s, next(self.numbers), action))

    def begin(self):
        free = [name for name in TARGETS if name not in self.away]
        if not free:
            return self.plan(0.5, self.begin)
        name, how = self.chance.choice(free), self.chance.choice(("kill", "freeze", "restart"))
        process = self.process(name)
        self.done[(name, how)] += 1
        self.left -= 1
        if how == "freeze":
            frozen = family(process.popen.pid)
            send(frozen, signal.SIGSTOP)
            self.away[name] = frozen
            self.plan(self.chance.uniform(*FROZEN_S), lambda: self.thaw(name))
        else:
            self.away[name] = []
            if how == "kill":
                process.kill()
            else:
                process.request_stop()
            self.plan(self.chance.uniform(*(KILLED_S if how == "kill" else RESTARTED_S)), lambda: self.start(name))
        if self.left > 0:
            self.plan(self.chance.expovariate(1 / self.every_s), self.begin)
        return None

    def thaw(self, name):
        send(reversed(self.away.pop(name)), signal.SIGCONT)

    def start(self, name):
        process = self.process(name)
        # In order, if it takes its time.
        process.stop(ask=False)
        process.start()
        del self.away[name]

    def supervise(self):
        for process in self.mesh.processes():
            name = process.name
            if name not in self.away and not process.alive():
                if process.returncode() is not None and process.returncode() < 0:
                    self.crashed.append(f"{name} by signal {-process.returncode()}:\n{process.log_tail()}")
                self.restarts[name] += 1
                process.start()

    def run(self):
        total, told = self.left, time.monotonic()
        self.plan(self.chance.expovariate(1 / self.every_s), self.begin)
        while self.agenda:
            at, _, action = self.agenda[0]
            if at <= time.monotonic():
                heapq.heappop(self.agenda)
                action()
            else:
                time.sleep(min(0.1, at - time.monotonic()))
            self.supervise()
            if time.monotonic() - told > 15:
                told = time.monotonic()
                print(f"    {total - self.left} of {total} disturbances; away now: {', '.join(self.away) or 'nothing'}", flush=True)

    def end(self):
        for name in list(self.away):
            send(self.away.pop(name), signal.SIGCONT)


class Trial:
    def __init__(self, folder, arguments, seed):
        self.folder, self.arguments = folder, arguments
        self.chance = random.Random(f"{seed}/chaos")
        self.symbols = [f"CH{number:03d}" for number in range(arguments.symbols)]
        self.mesh = meshes.Mesh(folder / "mesh", meshes.free_first_port(), env=LIMITS, prices_partitions=PARTITIONS)
        self.ports = [stack.free_port((0, 1)) for _ in EVALUATORS[1:]]
        self.begin_file = folder / "begin"
        self.chaos = self.meddler = None
        self.ticks, self.owners = [], []

    # --- before

    def start(self):
        seconds = self.arguments.disturbances * self.arguments.every_s + 10
        self.ticks = write_replay(self.folder / "replay.csv", self.symbols, int(seconds * self.arguments.quotes_per_s),
                                  self.arguments.quotes_per_s, self.chance)
        self.mesh.start({"SOURCE": "replay", "FILE": self.folder / "replay.csv", "SPEED": SPEED, "GAP_MAX_S": "60", "REPLAY_RUN": "chaos",
                         "REPLAY_START_FILE": self.begin_file})
        for name, port in zip(EVALUATORS[1:], self.ports, strict=True):
            env = {**self.mesh.service_env("evaluator"), "STOCKALERT_HTTP_ADDRESS": f"127.0.0.1:{port}", "STOCKALERT_INTERNAL_ADDRESS": f"127.0.0.1:{port + 1}",
                   "STOCKALERT_INSTANCE_ID": name}
            process = stack.Process(name, [meshes.binary("stockalert-evaluator")], self.mesh.folder / "log" / f"{name}.log", env=env)
            self.mesh.services[name] = process
            process.start()
        self.await_ready()

    def ready(self, name):
        if name in EVALUATORS[1:]:
            return stack.http_ok(f"http://127.0.0.1:{self.ports[EVALUATORS.index(name) - 1]}/readyz")
        return self.mesh.ready(name)

    def await_ready(self):
        def ready():
            if self.chaos:
                self.chaos.supervise()
            return all(self.ready(name) for name in self.mesh.services)
        await_true("all services' readiness", ready, 90)

    def create(self):
        began, names = time.monotonic(), 0
        while names < self.arguments.alerts:
            user = self.mesh.client.call("user", "RegisterUser", {"user": {"email": f"chaos-{names}@example.com", "display_name": "Chaos"}})
            own = []
            for _ in range(ALERTS_PER_USER // 100):
                requests = [{"parent": "users/me", "alert": draft(self.chance.choice(self.symbols), self.chance)} for _ in range(100)]
                made = self.mesh.client.call("alert", "BatchCreateAlerts", {"parent": "users/me", "requests": requests}, user["secret"], timeout_s=60)
                own += [alert["name"] for alert in made["alerts"]]
            self.owners.append((user["secret"], own))
            names += len(own)
        print(f"    {names} alerts in {time.monotonic() - began:.0f} s", flush=True)

    # --- afterwards

    def await_end(self):
        """Until the ticker service shows the last price of each symbol."""
        last = {symbol: price for symbol, _, price in self.ticks}
        key = self.owners[0][0]

        def behind():
            self.chaos.supervise()
            shown = {}
            try:
                for ticker in self.mesh.client.list_all("ticker", "ListTickers", "tickers", {"page_size": 1000}, key):
                    shown[ticker["symbol"]] = round(float(ticker.get("latest_quote", {}).get("price", "0")) * 1_000_000)
            except client.CallError:
                return set(last)
            return {symbol for symbol, price in last.items() if shown.get(symbol) != price}
        await_true("the replay's end", lambda: not behind(), 120 + len(self.ticks) / self.arguments.quotes_per_s, interval_s=1)

    def check_log(self):
        """Every row of the replay is in the log, in its order: what repeats is skipped by its readers."""
        env = {**os.environ, **{name: value for name, value in self.mesh.operator_env().items() if value is not None}}
        dump = subprocess.run([str(meshes.binary("stockalert-log"))], env=env, capture_output=True, check=True)
        rows = collections.defaultdict(list)
        for line in dump.stdout.splitlines():
            record = json.loads(line)
            if record.get("op") == "quote":
                rows[record["symbol"]].append((int(record["time"]) // 1000, round(float(record["price"]) * 1_000_000)))
        wanted = collections.defaultdict(list)
        for symbol, time_ms, price in self.ticks:
            wanted[symbol].append((time_ms, price))
        lost = 0
        for symbol, ticks in wanted.items():
            found = iter(rows[symbol])
            lost += sum(tick not in found for tick in ticks)
        expect_equal(lost, 0, f"rows of the replay, of {len(self.ticks)}, that are not in the log in their order")

    def audit(self):
        """Answers how many triggers were due; fails with what was missed, doubled or invented."""
        auditor = meshes.build_folder() / "tests" / "support" / "auditor" / "stockalert-auditor"
        done = subprocess.run([str(ROOT / "scripts" / "audit"), f"--state={self.mesh.folder}", "--wait-s=120", "--overdue-s=600", f"--semantics={auditor}"],
                              capture_output=True, text=True, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        shown = {word: len(re.findall(pattern, done.stdout)) for word, pattern in (
            ("missed", r"(?m) is missing$"), ("doubled", r"(?m) is there \d+ times$"), ("ghosts", r"(?m)the log has no such"))}
        print("    " + ", ".join(f"{count} {word}" for word, count in shown.items()) + f"; {done.stdout.strip().splitlines()[-1] if done.stdout else ''}",
              flush=True)
        expect(done.returncode == 0, f"the audit disagrees:\n{done.stdout[-4000:]}{done.stderr[-1000:]}")
        return int(re.search(r"(\d+) triggers due", done.stdout).group(1))

    def check_notifications(self):
        """What some of the users see by the API: each trigger once."""
        for key, _ in self.chance.sample(self.owners, min(10, len(self.owners))):
            listed = self.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me", "page_size": 1000}, key)
            triggers = [n["trigger"] for n in listed if n["kind"] == "KIND_TRIGGER"]
            expect_equal(len(triggers), len(set(triggers)), "triggers with a notification")

    def run(self):
        self.start()
        self.create()
        self.chaos = Chaos(self.mesh, self.chance, self.arguments.every_s, self.arguments.disturbances)
        self.meddler = Meddler(self.mesh, self.owners, self.symbols, random.Random(self.chance.random()))
        self.begin_file.touch()
        began = time.monotonic()
        self.chaos.run()
        print(f"    {self.arguments.disturbances} disturbances in {time.monotonic() - began:.0f} s: "
              + ", ".join(f"{name} {how} {count}" for (name, how), count in sorted(self.chaos.done.items())), flush=True)
        restarts = ", ".join(f"{name} {count}" for name, count in self.chaos.restarts.items())
        print(f"    started again because they had ended: {restarts or 'none'}", flush=True)
        self.await_ready()
        self.await_end()
        self.meddler.stop()
        expect(not self.chaos.crashed, f"ended, and nobody had killed them: {self.chaos.crashed[:3]}")
        expect(not self.meddler.broken, f"calls failed in ways that no outage explains: {self.meddler.broken[:3]}")
        changes = sum(self.meddler.done.values())
        print(f"    {changes} changes meanwhile, {sum(self.meddler.refused.values())} refused: {dict(self.meddler.refused)}", flush=True)
        expect(changes > 0, "nobody could change an alert")
        self.check_log()
        due = self.audit()
        expect(due > self.arguments.alerts // 10, f"only {due} triggers were due: the replay did not do its work")
        self.check_notifications()

    def close(self):
        if self.meddler:
            self.meddler.stop()
        if self.chaos:
            self.chaos.end()
        self.mesh.stop()
        self.mesh.postgres.wipe()


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no commit"


def main():
    parser = argparse.ArgumentParser(prog="tests/chaos/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--junit")
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--disturbances", type=int, default=20)
    parser.add_argument("--every-s", type=float, default=4.0)
    parser.add_argument("--symbols", type=int, default=48)
    parser.add_argument("--quotes-per-s", type=float, default=60, help="of the replay; the auditor's time is these times the alerts")
    parser.add_argument("--seed", default=None)
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    arguments = parser.parse_args()
    seed = arguments.seed or commit()
    print(f"seed {seed}: the same again by --seed={seed}", flush=True)
    folder = harness.new_folder("chaos")
    report = Report("chaos")
    trial = Trial(folder, arguments, seed)
    stack.run_at_exit(trial.close)
    report.run(f"{arguments.disturbances} disturbances, {arguments.alerts} alerts", trial.run)
    good = report.end(arguments.junit)
    if good and not arguments.keep:
        trial.close()
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"the logs are kept: {folder}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
