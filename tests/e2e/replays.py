"""Whole replays of real prices: what triggered equals what two implementations of the contract compute from the log."""

from harness import MINUTES, ROOT, SYMBOL, Skip, await_true, expect, meshes
from kills import END, set_alerts


def auditor():
    return meshes.build_folder() / "tests" / "support" / "auditor" / "stockalert-auditor"


def settled(world):
    """What the log makes due, once two looks in a row agree: the last bar's own prices may still be on their way."""
    counts = [world.audit()]

    def unchanged():
        counts.append(world.audit())
        return counts[-1] == counts[-2]

    await_true("the end of the replay", unchanged, 30, interval_s=1)
    return counts[-1]


def replay(world, file, speed, end, few):
    world.prepare_replay(file, speed)
    _, key = world.user()
    world.call("user", "FollowTicker", {"parent": "users/me", "symbol": SYMBOL}, key, timeout_s=20)
    set_alerts(world, key)
    world.begin(key)
    world.await_time(key, end, 180)
    due = settled(world)
    expect(due == world.audit(semantics=auditor()), "the two implementations count differently")
    listed = world.check_notifications(key)
    expect(len(listed) > few, f"only {len(listed)} notifications")


def days(world):
    replay(world, ROOT / "services" / "fetcher" / "data" / "aapl-1d.csv", 8_000_000, END, 30)


def minutes(world):
    if not MINUTES.exists():
        raise Skip(f"{MINUTES.name} is not there")
    replay(world, MINUTES, 300_000, "2016-05-13T19:59", 5)


CASES = [("replay/days", days), ("replay/minutes", minutes)]
