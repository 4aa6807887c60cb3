"""Kill -9 of each process in the middle of a replay, and stores that are away: nothing is lost, nothing fires twice, the audit agrees."""

import os
import time

from harness import SYMBOL, await_true, client, expect, expect_equal

MIDDLE = "2017-08"
END = "2018-05-11T19:"
# How long a store is away.
AWAY_S = float(os.environ.get("STOCKALERT_AWAY_S", "5"))


def varied_alerts():
    """Every kind and policy, at levels that a year of AAPL meets often."""
    repeat = {"trigger_policy": "TRIGGER_POLICY_REPEAT"}
    daily = {"trigger_policy": "TRIGGER_POLICY_ONCE_A_DAY"}
    alerts = []
    for price in ("145", "150", "155.5", "160", "165", "170", "175", "180"):
        alerts.append({"condition": {"price_target": {"comparison": "COMPARISON_CROSSES", "price": price}}, **repeat})
        alerts.append({"condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": price}}, **repeat, "hysteresis": "1.5"})
        alerts.append({"condition": {"price_target": {"comparison": "COMPARISON_AT_OR_BELOW", "price": price}},
                       "creation_policy": "CREATION_POLICY_WAIT_FOR_CROSS"})
    for percent in ("2", "3.5"):
        alerts.append({"condition": {"percent_change": {"direction": "DIRECTION_EITHER", "percent": percent, "reference": "REFERENCE_ARMING"}}, **repeat})
        alerts.append({"condition": {"percent_change": {"direction": "DIRECTION_UP", "percent": percent, "reference": "REFERENCE_WINDOW",
                                                           "window": "604800s"}}, **repeat,
                       "cooldown": "86400s"})
        alerts.append({"condition": {"percent_change": {"direction": "DIRECTION_DOWN", "percent": percent, "reference": "REFERENCE_PREVIOUS_CLOSE"}}, **daily})
        alerts.append({"condition": {"percent_change": {"direction": "DIRECTION_EITHER", "percent": percent, "reference": "REFERENCE_DAY_OPEN"}}, **daily})
        alerts.append({"condition": {"trailing_change": {"direction": "DIRECTION_FALLS_FROM_HIGH", "percent": percent}}, **repeat})
        alerts.append({"condition": {"trailing_change": {"direction": "DIRECTION_RISES_FROM_LOW", "amount": "4.25", "activation_price": "160"}}, **repeat})
    for low, high in (("150", "155"), ("165", "176.5")):
        alerts.append({"condition": {"channel": {"transition": "TRANSITION_ENTERS", "low": low, "high": high}}, **repeat})
        alerts.append({"condition": {"channel": {"transition": "TRANSITION_LEAVES", "low": low, "high": high}}, **repeat, "hysteresis": "0.5"})
    return [dict(alert, symbol=SYMBOL) for alert in alerts]


def set_alerts(world, key):
    requests = [{"parent": "users/me", "alert": alert} for alert in varied_alerts()]
    made = world.call("alert", "BatchCreateAlerts", {"parent": "users/me", "requests": requests}, key, timeout_s=30)["alerts"]
    expect_equal(len(made), len(requests), "alerts made")
    return [alert["name"] for alert in made]


def process_of(world, name):
    if name == "postgres":
        return world.mesh.postgres.process
    if name == "kafka":
        return world.mesh.kafka.process
    return world.mesh.services[name]


def await_store(world, name):
    part = world.mesh.postgres if name == "postgres" else world.mesh.kafka
    await_true(f"{name} answers", part.answers, 60)


def replay_with(world, disturb):
    """One replay with alerts of all kinds, disturbed in its middle; then the audit. Answers the number of the user's notifications."""
    world.prepare_replay()
    _, key = world.user()
    world.call("user", "FollowTicker", {"parent": "users/me", "symbol": SYMBOL}, key, timeout_s=20)
    set_alerts(world, key)
    world.begin(key)
    world.await_time(key, MIDDLE)
    disturb(key)
    world.await_ready()
    world.await_time(key, END, 90)
    due = world.audit()
    listed = world.check_notifications(key)
    expect(due > 0 and len(listed) > 30, f"only {len(listed)} notifications of {due} triggers: the replay did not do its work")
    for process in world.mesh.processes():
        expect(process.alive(), f"{process.name} is not running: {process.log_tail()}")
    return len(listed)


def kill(name):
    def case(world):
        def disturb(_key):
            process = process_of(world, name)
            process.kill()
            time.sleep(0.3)
            process.start()
            if name in ("postgres", "kafka"):
                await_store(world, name)
        replay_with(world, disturb)
    return case


def stop(name):
    """The store is away for a while; CreateAlert meanwhile answers within its deadline, and rightly."""
    def case(world):
        def disturb(key):
            process = process_of(world, name)
            expect(process.stop(), f"{name} did not stop in order")
            began = time.monotonic()
            alert = {"symbol": SYMBOL, "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "100000"}}}
            made = None
            try:
                made = world.call("alert", "CreateAlert", {"parent": "users/me", "alert": alert}, key, timeout_s=10)
                expect_equal(name, "kafka", "what CreateAlert can do without")
                expect_equal(made.get("state"), "STATE_PENDING", "the state of an alert that is not in the log")
            except client.CallError as error:
                expect_equal((name, error.code), ("postgres", "UNAVAILABLE"), f"CreateAlert without {name}: {error}")
                expect(error.reason, f"no reason in «{error}»")
            time.sleep(max(0.0, AWAY_S - (time.monotonic() - began)))
            process.start()
            await_store(world, name)
            world.await_ready()
            if made is not None:
                await_true("the alert is in the log at last", lambda: world.call(
                    "alert", "GetAlert", {"name": made["name"]}, key).get("state") == "STATE_ACTIVE", 60)
            else:
                # Refused means not stored.
                alerts = world.mesh.client.list_all("alert", "ListAlerts", "alerts", {"parent": "users/me"}, key)
                expect_equal(len(alerts), len(varied_alerts()), "alerts stored")
        replay_with(world, disturb)
    return case


PROCESSES = ("user", "ticker", "alert", "fetcher", "evaluator", "notifier", "postgres", "kafka")
CASES = [(f"kill/{name}", kill(name)) for name in PROCESSES] + [(f"away/{name}", stop(name)) for name in ("postgres", "kafka")]
