#!/usr/bin/python3
"""tests/outages/run.py [--junit=FILE] [--pairs=N | --all] [--seed=TEXT] [--seconds=N] [--results=FILE] [PART...]: two things fail at once.

Each case is a pair of outages from OUTAGES on a mesh of its own: Postgres or Kafka stopped, killed or out of disk, a service frozen or killed. While
prices come and alerts fire, so that commits are pending, the second begins up to a third of --seconds after the first, in a random order of ends,
too; each lasts --seconds. What ends by itself meanwhile is started again, as Kubernetes would. Once the last is back, every service must be ready
and every symbol's alerts must notify again within LIVE_WITHIN_S, and the audit must agree.

Without --all so many pairs are drawn by the seed (default: the commit, so that each commit tries others, and the same ones again). With --results
each pair's row is added to a file of JSON lines, and a pair that stands there as good is not run again: the whole matrix, in portions. PART: only
pairs whose names have it. Full disks are small file systems in memory: without the right to mount they are skipped, loudly.
"""

import argparse
import itertools
import json
import os
import pathlib
import random
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
from harness import Report, Skip, client, expect, meshes, stack, timestamp  # noqa: E402

SERVICES = ("user", "ticker", "alert", "fetcher", "evaluator", "notifier")
OUTAGES = [f"{store}-{how}" for store in ("postgres", "kafka") for how in ("stopped", "killed", "full")]
OUTAGES += [f"{service}-{how}" for service in SERVICES for how in ("frozen", "killed")]
LIVE_WITHIN_S = 30
SYMBOLS = [f"OUT{letter}" for letter in "ABCDEFGHIJKLMNOP"]
DISK_MB = 320
# More than the users' own limits allow: this is no test of those.
LIMITS = {"user": {"REGISTRATIONS_PER_MINUTE": "100000", "REGISTRATIONS_PER_PEER_PER_MINUTE": "100000"}, "alert": {"TRIGGERS_PER_MINUTE": "100000"}}


def pairs():
    """Every two outages of different processes."""
    return [pair for pair in itertools.combinations(OUTAGES, 2) if pair[0].split("-")[0] != pair[1].split("-")[0]]


class Disk:
    """A small file system in memory, which can be filled."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "tmpfs", str(folder)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise Skip(f"a full disk needs the right to mount: {done.stderr.strip()}")
        self.filler = folder / "filler"

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            block = b"\0" * (1 << 20)
            while True:
                try:
                    if file.write(block) < len(block):
                        break
                except OSError:
                    break

    def free(self):
        self.filler.unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


class Publisher:
    """Prices to and fro over every alert's level, each symbol once a second; what is refused while something is away is let go."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.published, self.refused, self.high = 0, 0, False
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(1.0):
            self.high = not self.high
            moment = timestamp()
            quotes = [{"symbol": symbol, "price": "101" if self.high else "99", "event_time": moment, "session": "SESSION_REGULAR"}
                      for symbol in SYMBOLS]
            try:
                self.mesh.client.call("ticker", "PublishQuotes", {"quotes": quotes}, self.mesh.admin_key, timeout_s=5)
                self.published += len(quotes)
            except client.CallError:
                self.refused += len(quotes)

    def stop(self):
        self.stopping.set()
        self.thread.join()


class Trial:
    """A mesh of its own, two outages, and what became of it."""

    def __init__(self, folder, pair, seconds, chance):
        self.pair, self.seconds, self.chance = pair, seconds, chance
        self.folder = folder
        self.disks = {}
        self.restarts = {}
        self.failing = set()
        self.key = None
        self.mesh = meshes.Mesh(folder, meshes.free_first_port(), env=LIMITS, prices_partitions=8)

    def start(self):
        if "postgres-full" in self.pair:
            # Where Postgres' own user can come, too.
            self.disks["postgres"] = Disk(pathlib.Path("/var/tmp") / f"stockalert-{self.folder.name}")
            self.mesh.postgres = stack.Postgres(self.mesh.folder, self.mesh.postgres.port, data=self.disks["postgres"].folder / "data")
        if "kafka-full" in self.pair:
            self.disks["kafka"] = Disk(self.mesh.kafka.folder)
        self.mesh.start({"SOURCE": "publish"})
        email = f"outages-{self.folder.name}@example.com"
        self.key = self.mesh.client.call("user", "RegisterUser", {"user": {"email": email, "display_name": "Outages"}})["secret"]
        for symbol in SYMBOLS:
            for comparison in ("COMPARISON_CROSSES", "COMPARISON_AT_OR_ABOVE"):
                alert = {"symbol": symbol, "trigger_policy": "TRIGGER_POLICY_REPEAT",
                         "condition": {"price_target": {"comparison": comparison, "price": "100"}}}
                self.mesh.client.call("alert", "CreateAlert", {"parent": "users/me", "alert": alert}, self.key, timeout_s=20)

    # --- outages

    def process(self, name):
        if name in ("postgres", "kafka"):
            return getattr(self.mesh, name).process
        return self.mesh.services[name]

    def begin(self, outage):
        name, how = outage.split("-")
        process = self.process(name)
        if how == "frozen":
            process.popen.send_signal(signal.SIGSTOP)
        elif how == "full":
            self.disks[name].fill()
        else:
            # Down for as long as the outage lasts; Kubernetes starts it at once, on a node that may be gone.
            self.failing.add(name)
            if how == "stopped":
                process.request_stop()
            else:
                process.kill()

    def end(self, outage):
        name, how = outage.split("-")
        process = self.process(name)
        if how == "frozen":
            process.popen.send_signal(signal.SIGCONT)
        elif how == "full":
            self.disks[name].free()
        else:
            self.failing.discard(name)
            process.stop()
            process.start()

    def supervise(self):
        """Starts again what ended by itself; a store whose disk is full may end again, and is started again."""
        for process in self.mesh.processes():
            if process.alive() or process.name in self.failing:
                continue
            self.restarts[process.name] = self.restarts.get(process.name, 0) + 1
            process.start()

    def wait(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.supervise()
            time.sleep(min(left, 0.5))

    def disturb(self):
        """Both outages, overlapping; answers what was done when."""
        first, second = self.chance.sample(self.pair, 2)
        lag = self.chance.uniform(0, self.seconds / 3)
        last_ends_first = self.chance.random() < 0.5
        self.begin(first)
        self.wait(lag)
        self.begin(second)
        self.wait(self.seconds - lag)
        self.end(second if last_ends_first else first)
        self.wait(lag)
        self.end(first if last_ends_first else second)
        return f"{first}, {second} {lag:.0f} s later, {'the second' if last_ends_first else 'the first'} back first"

    # --- and after them

    def stores_answer(self):
        return self.mesh.postgres.answers() and self.mesh.kafka.answers()

    def notified_since(self, moment):
        """The symbols with a notification of a price from `moment` on, or none where that cannot be asked."""
        try:
            reply = self.mesh.client.call("notifier", "ListNotifications", {"parent": "users/me", "page_size": 200}, self.key, timeout_s=3)
        except client.CallError:
            return set()
        return {n.get("symbol") for n in reply.get("notifications", []) if n.get("event_time", "") >= moment}

    def await_live(self):
        """Answers the seconds from the last's return to all being live."""
        deadline = time.monotonic() + 60
        while not self.stores_answer():
            self.supervise()
            expect(time.monotonic() < deadline, "a store does not answer 60 s after its outage")
            time.sleep(0.1)
        back, moment = time.monotonic(), timestamp()[:19]
        missing, unready = set(SYMBOLS), set(SERVICES)
        while time.monotonic() - back < 3 * LIVE_WITHIN_S:
            self.supervise()
            unready = {name for name in SERVICES if not self.mesh.ready(name)}
            missing = set(SYMBOLS) - self.notified_since(moment)
            if not unready and not missing:
                return time.monotonic() - back
            time.sleep(0.3)
        raise AssertionError(f"not live {3 * LIVE_WITHIN_S} s after the last outage: not ready {sorted(unready)}, silent {sorted(missing)}")

    def audit(self):
        done = subprocess.run([str(ROOT / "scripts" / "audit"), f"--state={self.mesh.folder}", "--wait-s=60"], capture_output=True, text=True,
                              check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        expect(done.returncode == 0, f"the audit disagrees:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return int(done.stdout.split(" triggers due")[0].split()[-1])

    def run(self):
        """The row of the table; raises where it is not as it must be."""
        row = {"pair": "+".join(self.pair), "seconds": self.seconds}
        publisher = None
        try:
            self.start()
            publisher = Publisher(self.mesh)
            self.wait(4)
            row["how"] = self.disturb()
            row["live_after_s"] = round(self.await_live(), 1)
            publisher.stop()
            row["restarts"] = self.restarts
            row["triggers"] = self.audit()
            expect(row["triggers"] > 0, "nothing was due: the trial did not do its work")
            expect(row["live_after_s"] <= LIVE_WITHIN_S, f"live only {row['live_after_s']} s after the last outage")
            return row
        finally:
            if publisher:
                publisher.stop()

    def close(self):
        for name in SERVICES:
            if (process := self.mesh.services.get(name)) and process.alive():
                process.popen.send_signal(signal.SIGCONT)
        self.mesh.stop()
        for disk in self.disks.values():
            disk.close()
        if "postgres" in self.disks:
            shutil.rmtree(self.disks["postgres"].folder, ignore_errors=True)
        else:
            self.mesh.postgres.wipe()


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no commit"


def done_before(results):
    if results is None or not results.exists():
        return set()
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {row["pair"] for row in rows if row.get("result") == "good"}


def print_table(rows):
    print(f"\n{'pair':36} {'live after':>10} {'triggers':>9}  {'started again':24} how")
    for row in rows:
        again = ", ".join(f"{name} {count}" for name, count in sorted(row.get("restarts", {}).items())) or "–"
        print(f"{row['pair']:36} {row.get('live_after_s', '–'):>8} s {row.get('triggers', '–'):>9}  {again:24} {row.get('how', '')}"
              f"{'' if row['result'] == 'good' else '  ' + row['result'].upper()}")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(prog="tests/outages/run.py", description=__doc__)
    parser.add_argument("--junit")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", default=None)
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_args()
    seed = arguments.seed or commit()
    known = done_before(arguments.results)
    chosen = [pair for pair in pairs() if not arguments.parts or any(part in "+".join(pair) for part in arguments.parts)]
    if not arguments.all and not arguments.parts:
        chosen = random.Random(seed).sample(chosen, arguments.pairs)
    chosen = [pair for pair in chosen if "+".join(pair) not in known]
    print(f"{len(chosen)} pairs, seed {seed}: the same again by --seed={seed}", flush=True)
    report, rows = Report("outages"), []
    trial = None

    def stop():
        if trial:
            trial.close()

    stack.run_at_exit(stop)
    for number, pair in enumerate(chosen, 1):
        name = "+".join(pair)
        folder = harness.new_folder("outages")
        trial = Trial(folder, pair, arguments.seconds, random.Random(f"{seed}/{name}"))
        row = {"pair": name, "seconds": arguments.seconds, "result": "failed"}

        def case(trial=trial, row=row):
            try:
                row.update(trial.run(), result="good")
            except Skip:
                row["result"] = "skipped"
                raise
            finally:
                trial.close()
        print(f"--- {number} of {len(chosen)}: {name}", flush=True)
        report.run(name, case)
        row.setdefault("restarts", trial.restarts)
        trial = None
        rows.append(row)
        if row["result"] == "failed":
            print(f"the logs are kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        if arguments.results:
            arguments.results.parent.mkdir(parents=True, exist_ok=True)
            with arguments.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "seed": seed, "commit": commit()}) + "\n")
    print_table(rows)
    return 0 if report.end(arguments.junit) and report.counts["passed"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
