"""One user's noise beside another's quiet: on a mesh of its own, whose quotes are all published here.

A noisy user has a full quota of alerts that trigger at every edge of one symbol; the quiet one has a single alert on another. Prints how long
the quiet one's notifications take beside none, one and two noisy users, and fails where the quiet one's waits until the noise is through, or
where anything of the noise is lost.
"""

import datetime
import threading
import time

from harness import await_true, expect, expect_equal, meshes

ALERTS = 1000
EDGES = 20            # A burst's, each of which triggers all alerts of a noisy user.
QUIET_QUOTES = 40
INTERVAL_S = 0.25
LEVEL = 100


def stamp():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Person:
    def __init__(self, mesh, name, symbol, alerts):
        self.mesh, self.symbol = mesh, symbol
        made = mesh.client.call("user", "RegisterUser", {"user": {"email": f"{name}@example.com", "display_name": name}})
        self.id, self.key = made["user"]["name"].removeprefix("users/"), made["secret"]
        condition = {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": str(LEVEL)}}
        request = {"alert": {"symbol": symbol, "condition": condition, "trigger_policy": "TRIGGER_POLICY_REPEAT"}}
        for begin in range(0, alerts, 100):
            mesh.client.call("alert", "BatchCreateAlerts", {"parent": "users/me", "requests": [request] * min(100, alerts - begin)}, self.key,
                             timeout_s=60)
        await_true(f"{name}'s alerts in the log", self.applied, 120)

    def applied(self):
        return self.mesh.query(f"SELECT count(*) FROM stockalert_alert.alerts WHERE user_id = '{self.id}' AND applied_revision < revision") == [["0"]]

    def publish(self, *prices):
        quotes = [{"symbol": self.symbol, "price": str(price), "event_time": stamp(), "session": "SESSION_REGULAR"} for price in prices]
        self.mesh.client.call("ticker", "PublishQuotes", {"quotes": quotes}, self.mesh.admin_key, timeout_s=60)

    def count(self, table):
        return int(self.mesh.query(f"SELECT count(*) FROM {table} WHERE user_id = '{self.id}'")[0][0])

    def stored(self):
        return int(self.mesh.query(f"SELECT count(*) FROM stockalert_notifier.notifications WHERE user_id = '{self.id}' AND kind = 1")[0][0])


class Watcher:
    """Reads a person's stream; remembers when each notification came."""

    def __init__(self, person):
        self.came, self.notifications = [], []
        self.stream = person.mesh.client.stream("notifier", "WatchNotifications", {"parent": "users/me"}, person.key)
        next(iter(self.stream))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            for reply in self.stream:
                now = time.monotonic()
                for notification in reply.get("notifications", []):
                    self.notifications.append(notification)
                    self.came.append(now)
        except Exception:  # pylint: disable=broad-except
            return  # Cancelled.

    def stop(self):
        self.stream.cancel()
        self.thread.join()


def stages(quiet, count):
    """Where the time of the quiet user's last notifications went, by the services' own times."""
    rows = quiet.mesh.query(
        "SELECT a.event_time_us, a.create_time_us, n.create_time_us FROM stockalert_alert.triggers a"
        " JOIN stockalert_notifier.notifications n ON n.alert_id = a.alert_id AND n.trigger_number = a.number"
        f" WHERE a.user_id = '{quiet.id}' ORDER BY a.number DESC LIMIT {count}")
    between = [[(int(row[i + 1]) - int(row[i])) / 1e6 for row in rows] for i in range(2)]
    return ", ".join(f"{name} {percentile(values, 0.5):.3f} s" for name, values in zip(("quote to recorded", "recorded to stored"), between))


def evaluated(mesh):
    """(seconds, commits): from the broker's append of a record to the commit of what it made happen."""
    found = mesh.metrics("evaluator")
    return found.get("stockalert_evaluator_commit_delay_seconds_sum", 0.0), found.get("stockalert_evaluator_commit_delay_seconds_count", 0.0)


def steady(quiet, noisy):
    """The quiet user's times while each noisy one's symbol has an edge every INTERVAL_S."""
    watcher = Watcher(quiet)
    stopping = threading.Event()
    edges = dict.fromkeys(noisy, 0)

    def make_noise(person):
        while not stopping.is_set():
            begun = time.monotonic()
            person.publish(LEVEL - 1, LEVEL)
            edges[person] += 1
            stopping.wait(max(0.0, INTERVAL_S - (time.monotonic() - begun)))

    threads = [threading.Thread(target=make_noise, args=(person,)) for person in noisy]
    for thread in threads:
        thread.start()
    sent = []
    time.sleep(1 if noisy else 0)
    delay_before, commits_before = evaluated(quiet.mesh)
    for _ in range(QUIET_QUOTES):
        begun = time.monotonic()
        sent.append(begun)
        quiet.publish(LEVEL - 1, LEVEL)
        time.sleep(max(0.0, INTERVAL_S - (time.monotonic() - begun)))
    stopping.set()
    for thread in threads:
        thread.join()
    await_true("the quiet user's notifications", lambda: len(watcher.came) >= QUIET_QUOTES, 300)
    watcher.stop()
    expect_equal(len(watcher.came), QUIET_QUOTES, "the quiet user's notifications")
    delay, commits = evaluated(quiet.mesh)
    print(f"      on its way, p50: {stages(quiet, QUIET_QUOTES)}; the evaluator's commits, mean: "
          f"{(delay - delay_before) / max(1, commits - commits_before):.3f} s", flush=True)
    return [came - at for came, at in zip(watcher.came, sent)], edges


def burst(quiet, noisy):
    """How much of a burst's noise was there when the quiet user's notification came, whose quote was published after it."""
    before = sum(person.stored() for person in noisy)
    watcher = Watcher(quiet)
    for person in noisy:
        person.publish(*[LEVEL - 1, LEVEL] * EDGES)
    begun = time.monotonic()
    quiet.publish(LEVEL - 1, LEVEL)
    await_true("the quiet user's notification", lambda: watcher.came, 300, interval_s=0.001)
    there = sum(person.stored() for person in noisy) - before
    watcher.stop()
    return there, watcher.came[0] - begun


def through(noisy, edges, timeout_s=600):
    """Until all of the noise is stored: one notification each trigger."""
    for person in noisy:
        wanted = ALERTS * edges[person]
        begun = time.monotonic()
        await_true("the noise to be through", lambda p=person, w=wanted: p.stored() >= w, timeout_s)
        print(f"    {wanted} of the noise stored, {time.monotonic() - begun:.1f} s later", flush=True)
        expect_equal(person.stored(), wanted, "notifications of the noisy user")
        expect_equal(person.count("stockalert_alert.triggers"), wanted, "triggers of the noisy user")


def shown(world, mesh, quiet, noisy):
    """What was throttled is marked wherever it is seen, and counted once in what the stream shows in its place."""
    for person in noisy:
        throttled = int(mesh.query(f"SELECT count(*) FROM stockalert_alert.triggers WHERE user_id = '{person.id}' AND throttled")[0][0])
        expect(throttled > 0, "nothing of the noise was throttled")
        stream = mesh.client.stream("notifier", "WatchNotifications", {"parent": "users/me", "from_start": True}, person.key, timeout_s=60)
        folded, single = 0, 0
        for reply in stream:
            for notification in reply.get("notifications", []):
                expect(not notification.get("throttled"), "a stream shows a throttled notification by itself")
                if notification["kind"] == "KIND_THROTTLED":
                    folded += int(notification["folded_count"])
                    expect("throttled" in notification["summary"] and "price" not in notification, f"it is shown as {notification}")
                else:
                    single += 1
            if folded + single >= person.stored():
                break
        stream.cancel()
        expect_equal((folded, folded + single), (throttled, person.stored()), "the triggers that the stream's notifications stand for")
        alerts = mesh.client.list_all("alert", "ListAlerts", "alerts", {"parent": "users/me"}, person.key)
        expect_equal(sum(int(alert.get("throttled_count", 0)) for alert in alerts), throttled, "the alerts' throttled triggers")
        listed = mesh.client.call("alert", "ListTriggers", {"parent": "users/me/alerts/-", "page_size": 1000}, person.key)["triggers"]
        expect(any(trigger.get("throttled") for trigger in listed), "no trigger is listed as throttled")
    expect_equal(int(mesh.query(f"SELECT count(*) FROM stockalert_alert.triggers WHERE user_id = '{quiet.id}' AND throttled")[0][0]), 0,
                 "throttled triggers of the quiet user")
    world.audit(mesh=mesh)


def fairness(world):
    mesh = meshes.Mesh(world.folder / "fairness", meshes.free_first_port(), env={"user": {
        "REGISTRATIONS_PER_MINUTE": "100000", "REGISTRATIONS_PER_PEER_PER_MINUTE": "100000"}})
    try:
        mesh.start({"SOURCE": "publish"})
        quiet = Person(mesh, "quiet", "QUIET", 1)
        noisy = [Person(mesh, f"noisy{n}", f"NOISY{n}", ALERTS) for n in range(2)]
        edges = dict.fromkeys(noisy, 0)
        for count in range(3):
            times, more = steady(quiet, noisy[:count])
            print(f"    beside {count} noisy users: p50 {percentile(times, 0.5):.3f} s, p99 {percentile(times, 0.99):.3f} s "
                  f"({sum(more.values())} edges of {ALERTS} alerts)", flush=True)
            for person, added in more.items():
                edges[person] += added
            through(noisy[:count], edges)
        there, seconds = burst(quiet, noisy)
        print(f"    after a burst of {EDGES * ALERTS * len(noisy)}: {seconds:.3f} s, when {there} of it were stored", flush=True)
        for person in noisy:
            edges[person] += EDGES
        through(noisy, edges)
        expect(there < EDGES * ALERTS * len(noisy) / 2, f"the quiet user's notification waited for {there} of the noisy ones'")
        shown(world, mesh, quiet, noisy)
    finally:
        mesh.stop()
        if mesh.postgres:
            mesh.postgres.wipe()


CASES = [("fairness", fairness)]
