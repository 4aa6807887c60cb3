#!/usr/bin/python3
"""tests/abuse/run.py [--junit=FILE] [--seconds=N] [--columns=edge,bare] [--p99] [PART...]: hostile clients, and what becomes of the others.

Each attack of attacks.py whose name has PART goes, from an address of its own, to a private mesh: through the edge, and to the bare port. Told are
the services' highest memory and number of threads, a neighbour's slowest calls, and whether the port answers afterwards. Through the edge the
memory has to stay below the limit of a pod and the port has to answer; on the bare port, too, where BARE_HOLDS says so. With --p99 the
neighbour's p99 has to stay within three times of what it is in as many seconds without an attack: for a machine that does nothing else, and
with --seconds=12 or more, for a p99 of fewer than 500 calls is their slowest.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import attacks  # noqa: E402
import edge as edges  # noqa: E402
import edge_cases  # noqa: E402
import harness  # noqa: E402
from harness import await_true, client, expect, meshes, stack  # noqa: E402

POD_LIMIT_MB = 512
# Small, so that a machine with two cores reaches it: 3072 connections for a port.
OPEN_FILES = 4096
# What passes to a service is below them, as with the defaults of both.
EDGE_SETTINGS = {"EDGE_UNARY_CALLS_PER_BACKEND": 700, "EDGE_STREAMS_PER_BACKEND": 2000, "EDGE_IDLE_CONNECTIONS_PER_BACKEND": 50}
# What the services withstand without an edge.
BARE_HOLDS = ("connections", "reflection", "slow-headers", "idle")
LASTING = ("streams",)
LASTING_S = 10
NEIGHBOUR = {
    "user": ("GetUser", {"name": "users/me"}),
    "ticker": ("ListTickers", {"page_size": 1}),
    "alert": ("ListAlerts", {"parent": "users/me"}),
    "notifier": ("ListNotifications", {"parent": "users/me"}),
}


class Neighbour:
    """Calls one service steadily, over a connection that stays, and tells how long its calls took."""

    PAUSE_S = 0.02

    def __init__(self, connection, service, key):
        self.connection, self.service, self.key = connection, service, key
        self.took_s, self.failures = [], []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        method, request = NEIGHBOUR[self.service]
        while not self.stopping.wait(self.PAUSE_S):
            began = time.monotonic()
            try:
                self.connection.call(self.service, method, request, self.key, timeout_s=5)
            except client.CallError as error:
                self.failures.append(str(error))
            self.took_s.append(time.monotonic() - began)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        took_s = sorted(self.took_s) or [0.0]
        return {"calls": len(self.took_s), "failed": len(self.failures), "why": self.failures[:1],
                "p99_ms": 1000 * took_s[min(len(took_s) - 1, int(len(took_s) * 0.99))]}


class Watch:
    """The highest memory and number of threads of some processes while it runs."""

    def __init__(self, pids):
        self.pids = pids
        self.threads = dict.fromkeys(pids, 0)
        self.stopping = threading.Event()
        for pid in pids.values():
            # The kernel's own high-water mark begins anew: a peak between two looks is no less.
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.cpu = {name: self.cpu_s(pid) for name, pid in pids.items()}
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    @staticmethod
    def status(pid, field):
        try:
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        except OSError:
            pass
        return 0

    @staticmethod
    def cpu_s(pid):
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _run(self):
        while not self.stopping.wait(0.1):
            for name, pid in self.pids.items():
                self.threads[name] = max(self.threads[name], self.status(pid, "Threads"))

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return {name: {"mb": self.status(pid, "VmHWM") / 1024, "threads": self.threads[name],
                       "cpu_s": self.cpu_s(pid) - self.cpu[name]} for name, pid in self.pids.items()}


class World:
    """A mesh whose services may open few files, an edge before it, accounts, and how long calls take when nobody attacks."""

    def __init__(self, folder):
        # The edge's address, so that each attack is its own source's.
        behind = {service: {"TRUSTED_PROXIES": "127.0.0.1"} for service in client.PORTS}
        behind["user"] |= {"REGISTRATIONS_PER_MINUTE": "100000", "REGISTRATIONS_PER_PEER_PER_MINUTE": "100000"}
        self.mesh = meshes.Mesh(folder / "mesh", meshes.free_first_port(), prices_partitions=8, env=behind)
        self.edge = edges.Edge(self.mesh, folder / "edge", edges.free_first_port(), EDGE_SETTINGS)
        self.key_file = folder / "keys"
        self.keys = []

    def start(self):
        self.mesh.start({"SOURCE": "publish"})
        for name in client.PORTS:
            process = self.mesh.services[name]
            process.command = ["prlimit", f"--nofile={OPEN_FILES}:{OPEN_FILES}"] + list(process.command)
            self.mesh.restart(name)
        self.edge.start()
        for place in range(50):
            reply = self.mesh.client.call("user", "RegisterUser", {"user": {"email": f"abuse-{place}@example.com", "display_name": "A"}})
            self.keys.append(reply["secret"])
        self.key_file.write_text("\n".join(self.keys[1:]))
        self.key_file.chmod(0o600)

    def address(self, column, service):
        return (self.edge if column == "edge" else self.mesh).address(service)

    def connection(self, column):
        return client.Client({service: self.address(column, service) for service in client.PORTS})

    def quiet_ms(self, column, service, seconds):
        connection = self.connection(column)
        neighbour = Neighbour(connection, service, self.keys[0])
        time.sleep(seconds)
        p99_ms = neighbour.stop()["p99_ms"]
        connection.close()
        return p99_ms

    def answers(self, column, service):
        """A call over a new connection."""
        connection = self.connection(column)
        method, request = NEIGHBOUR[service]
        try:
            connection.call(service, method, request, self.keys[0], timeout_s=3)
            return True
        except client.CallError:
            return False
        finally:
            connection.close()

    def pids(self):
        """Of the programs, not of what starts them."""
        return {**{name: process.popen.pid for name, process in self.mesh.services.items()}, "edge": self.edge.pid()}

    def attack(self, name, column, seconds, quiet_seconds):
        _, service, keyed = attacks.ATTACKS[name]
        quiet_ms = self.quiet_ms(column, service, quiet_seconds)
        connection = self.connection(column)
        neighbour = Neighbour(connection, service, self.keys[0])
        watch = Watch(self.pids())
        # Its own work would be another machine's: measured is what the mesh does for it, so it gives way to the mesh.
        command = ["nice", "-n", "19", sys.executable, str(pathlib.Path(attacks.__file__)), name,
                   f"--target={self.address(column, service)}", f"--seconds={seconds}",
                   # Each has an address of its own: what the edge remembers of one concerns no other.
                   f"--source=127.0.1.{1 + list(attacks.ATTACKS).index(name)}"]
        if keyed:
            command.append(f"--keys={self.key_file}")
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
        finally:
            others = neighbour.stop()
            highest = watch.stop()
            connection.close()
        expect(done.returncode == 0, f"the attack itself failed: {done.stderr[-600:]}")
        began = time.monotonic()
        answered = True
        try:
            await_true("an answer", lambda: self.answers(column, service), 15)
        except AssertionError:
            answered = False
        services = {who: what for who, what in highest.items() if who != "edge"}
        most = max(services, key=lambda who: services[who]["mb"])
        result = {"attack": name, "column": column, "did": json.loads(done.stdout), "most": most, "mb": services[most]["mb"],
                  "threads": max(what["threads"] for what in services.values()), "edge_mb": highest["edge"]["mb"],
                  "cpu_s": sum(what["cpu_s"] for what in services.values()), "edge_cpu_s": highest["edge"]["cpu_s"], "others": others,
                  "quiet_ms": quiet_ms, "answers": answered, "answers_s": time.monotonic() - began}
        if column == "bare":
            # What the attack left behind is not the next one's.
            self.mesh.services[service].kill()
            self.mesh.restart(service)
            await_true("the edge's way to it", self.edge.all_up, 20)
        return result


def row(result):
    return (f"{result['attack']:13} {result['column']:5} {result['mb']:7.0f} {result['threads']:7} {result['cpu_s']:6.1f} {result['edge_mb']:7.0f} "
            f"{result['edge_cpu_s']:8.1f} "
            f"{result['quiet_ms']:7.0f} {result['others']['p99_ms']:7.0f} {result['others']['failed']:5}/{result['others']['calls']:<5} "
            f"{'yes' if result['answers'] else 'NO':4} {json.dumps(result['did'])}")


HEAD = "attack        port   MB max threads  CPU s edge MB edge CPU  quiet ms  p99 ms failed/calls answers, what it did"


def check(result, p99):
    name = f"{result['attack']} on the {result['column']} port"
    expect(any(result["did"].values()), f"{name}: it did nothing")
    if result["column"] == "edge" or result["attack"] in BARE_HOLDS:
        expect(result["answers"], f"{name}: the port does not answer within 15 s afterwards")
        expect(result["mb"] < POD_LIMIT_MB, f"{name}: {result['most']} took {result['mb']:.0f} MiB, a pod has {POD_LIMIT_MB}")
        expect(result["edge_mb"] < POD_LIMIT_MB, f"{name}: the edge took {result['edge_mb']:.0f} MiB")
        expect(result["others"]["failed"] <= result["others"]["calls"] // 20,
               f"{name}: {result['others']['failed']} of {result['others']['calls']} calls of a neighbour failed: {result['others']['why']}")
        if p99:
            expect(result["others"]["p99_ms"] <= 3 * max(result["quiet_ms"], 5),
                   f"{name}: a neighbour's p99 is {result['others']['p99_ms']:.0f} ms, {result['quiet_ms']:.0f} without")


def main():
    parser = argparse.ArgumentParser(prog="tests/abuse/run.py", description=__doc__)
    parser.add_argument("--junit")
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--columns", default="edge,bare")
    parser.add_argument("--p99", action="store_true")
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_args()
    folder = harness.new_folder("abuse")
    world = World(folder)
    report = harness.Report("abuse")
    rows = []

    def case(name, column):
        # Longer than the edge's checks take until they give a service up.
        seconds = max(arguments.seconds, LASTING_S if name in LASTING and column == "edge" else 0)
        # Compared is what was measured alike: as long, and just before.
        result = world.attack(name, column, seconds, seconds if arguments.p99 else 0.5)
        rows.append(row(result))
        check(result, arguments.p99)

    def stop():
        killed = world.edge.stop() + world.mesh.stop()
        expect(not killed, f"had to be killed: {killed}")
    stack.run_at_exit(lambda: (world.edge.stop(), world.mesh.stop()))
    for name, edge_case in edge_cases.CASES:
        if not arguments.parts or any(part in f"edge alone/{name}" for part in arguments.parts):
            report.run(f"edge alone/{name}", lambda c=edge_case: c(folder))
    wanted = [name for name in attacks.ATTACKS if not arguments.parts or any(part in name for part in arguments.parts)]
    if not wanted:
        return 0 if report.end(arguments.junit) else 1
    report.run("start", world.start)
    if world.edge.process is not None:
        for column in arguments.columns.split(","):
            for name in wanted:
                report.run(f"{column}/{name}", lambda n=name, c=column: case(n, c))
    report.run("stop", stop)
    world.mesh.postgres.wipe()
    print("\n" + HEAD + "\n" + "\n".join(rows) + "\n", flush=True)
    return 0 if report.end(arguments.junit) else 1


if __name__ == "__main__":
    sys.exit(main())
