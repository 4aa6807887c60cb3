"""A split, on the whole way: declared once, everything from before it in new prices, the right alerts trigger, and the audit agrees."""

import threading

import webhooks
from harness import await_true, client, expect, expect_equal, meshes, refused, timestamp

SYMBOL = "BINANCE:BTCUSDT"  # Its quotes count at any hour.
OTHER = "BINANCE:ETHUSDT"
TICKER = f"tickers/{SYMBOL}"


def split(world):
    mesh = meshes.Mesh(world.folder / "splits", meshes.free_first_port(), prices_partitions=4)
    try:
        mesh.start({"SOURCE": "publish"})
        types = []
        with webhooks.Receiver(on_message=lambda message: types.append(message.type)) as receiver:
            try_all(mesh, receiver, types)
        expect_equal(world.audit(mesh=mesh), 5, "triggers by the log")
        try_log_format(mesh)
    finally:
        killed = mesh.stop()
        mesh.postgres.wipe()
    expect_equal(killed, [], "services that had to be killed")


def declare(mesh, numerator, denominator, request_id, **fields):
    request = {"parent": TICKER, "numerator": numerator, "denominator": denominator, "effective_time": "2026-01-02T14:30:00Z",
               "request_id": request_id, **fields}
    return mesh.client.call("ticker", "DeclareSplit", request, mesh.admin_key, timeout_s=20)


def splits_of(mesh):
    return [one["name"] for one in mesh.client.list_all("ticker", "ListSplits", "splits", {"parent": "tickers/-"}, mesh.admin_key)]


class Trader:
    """A user and what it can say of its alerts."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.key = mesh.client.call("user", "RegisterUser", {"user": {"email": "splits@example.com", "display_name": "S"}})["secret"]

    def call(self, service, method, request, key=None):
        return self.mesh.client.call(service, method, request, key or self.key, timeout_s=20)

    def create(self, condition, symbol=SYMBOL, **fields):
        return self.call("alert", "CreateAlert", {"parent": "users/me", "alert": {"symbol": symbol, "condition": condition, **fields}})["name"]

    def get(self, name):
        return self.call("alert", "GetAlert", {"name": name})

    def settle(self, *names):
        """Until the evaluator has heard of them all as they are."""
        def settled():
            return all(int(alert.get("applied_revision", 0)) == int(alert["revision"]) for alert in map(self.get, names))
        await_true("the evaluator's word", settled, 30)

    def publish(self, price, symbol=SYMBOL, **fields):
        quote = {"symbol": symbol, "price": price, "event_time": timestamp(), **fields}
        self.call("ticker", "PublishQuotes", {"quotes": [quote]}, self.mesh.admin_key)

    def price(self):
        return self.call("ticker", "GetTicker", {"name": TICKER})["latest_quote"]["price"]

    def triggers(self, name):
        return [trigger["price"] for trigger in self.mesh.client.list_all("alert", "ListTriggers", "triggers", {"parent": name}, self.key)]


def target(comparison, price):
    return {"price_target": {"comparison": "COMPARISON_" + comparison, "price": price}}


def try_all(mesh, receiver, types):
    trader = Trader(mesh)
    listen(trader, receiver)
    alerts = {
        "above": trader.create(target("AT_OR_ABOVE", "480")),
        "below": trader.create(target("AT_OR_BELOW", "300"), hysteresis="2"),
        "old": trader.create(target("AT_OR_ABOVE", "200"), creation_policy="CREATION_POLICY_WAIT_FOR_CROSS"),
        "percent": trader.create({"percent_change": {"direction": "DIRECTION_UP", "percent": "10", "reference": "REFERENCE_ARMING"}}),
        "given": trader.create({"percent_change": {"direction": "DIRECTION_DOWN", "percent": "50", "reference": "REFERENCE_GIVEN",
                                                   "given_price": "400"}}),
        "trailing": trader.create({"trailing_change": {"direction": "DIRECTION_FALLS_FROM_HIGH", "amount": "80", "activation_price": "440"}}),
        "channel": trader.create({"channel": {"transition": "TRANSITION_LEAVES", "low": "320", "high": "460"}}),
        "paused": trader.create(target("AT_OR_ABOVE", "404")),
        "other": trader.create(target("AT_OR_ABOVE", "120"), OTHER),
    }
    trader.call("alert", "PauseAlert", {"name": alerts["paused"]})
    trader.settle(*alerts.values())
    trader.publish("400")
    trader.publish("110", OTHER)
    await_true("the price", lambda: trader.price() == "400", 20)

    try_refusals(trader)
    made = declare_at_once(trader)
    expect_equal((made["name"], made["number"], made["state"]), (f"{TICKER}/splits/1", "1", "STATE_APPLIED"), "the split")
    expect_equal(trader.price(), "100", "the price shown")
    # What is created from here on is in prices of after it, whoever has heard of it yet.
    alerts["after"] = trader.create(target("AT_OR_ABOVE", "109"))
    with refused("FAILED_PRECONDITION", "CONDITION_MET"):
        trader.create(target("AT_OR_ABOVE", "99"), creation_policy="CREATION_POLICY_REJECT_IF_MET")
    alerts["rejecting"] = trader.create(target("AT_OR_ABOVE", "111"), creation_policy="CREATION_POLICY_REJECT_IF_MET")
    await_true("the alert service's hearing of it", lambda: condition(trader, alerts["above"])["price_target"]["price"] == "120", 30)
    check_scaled(trader, alerts)

    mesh.restart("evaluator")
    mesh.restart("alert")
    mesh.restart("ticker")
    expect_equal(trader.price(), "100", "the price after a restart")
    check_scaled(trader, alerts)
    updated = trader.call("alert", "UpdateAlert", {"alert": {"name": alerts["above"], "condition": target("AT_OR_ABOVE", "115")},
                                                   "update_mask": "condition"})
    expect_equal((updated["condition"]["price_target"]["price"], updated["revision"]), ("115", "2"), "the update")
    noted = trader.call("alert", "UpdateAlert", {"alert": {"name": alerts["below"], "note": "kept"}, "update_mask": "note"})
    expect_equal((noted["condition"]["price_target"]["price"], noted["hysteresis"]), ("75", "0.5"), "a note alone")
    trader.settle(*alerts.values())

    # 75 and below triggers nothing above; 110 is 10 percent up from 100, and beyond what was set after the split.
    trader.publish("100.5")
    trader.publish("110")
    await_true("the alerts set after it", lambda: trader.triggers(alerts["after"]) == ["110"], 30)
    await_true("the percent of the price at arming", lambda: trader.triggers(alerts["percent"]) == ["110"], 30)
    trader.publish("116")
    for name in ("above", "rejecting", "channel"):
        await_true(f"the trigger of {name}", lambda name=name: trader.triggers(alerts[name]) == ["116"], 30)
    trader.publish("114", OTHER)
    for name in ("below", "old", "given", "trailing", "paused", "other"):
        expect_equal(trader.triggers(alerts[name]), [], f"triggers of {name}")
    check_told(trader, types)
    expect_equal(splits_of(mesh), [f"{TICKER}/splits/1"], "the splits that are listed")
    expect(mesh.query("SELECT count(*) FROM stockalert_alert.splits") == [["1"]], "the alert service knows more than the one split")


def listen(trader, receiver):
    """The user's default destination is the receiver."""
    made = trader.call("destination", "CreateDestination", {"parent": "users/me", "destination": {"display_name": "s", "webhook": {"url": receiver.url}}})
    receiver.secret = made["secret"]
    name = made["destination"]["name"]
    await_true("the webhook's verification",
               lambda: trader.call("destination", "GetDestination", {"name": name})["state"] == "STATE_ACTIVE", 20)


def check_told(trader, types):
    """One notification of the split, in the list, on the stream and at the webhook: of the eight alerts on the symbol that were there before it."""
    def of_split(notifications):
        return [one for one in notifications if one["kind"] == "KIND_SPLIT"]

    def listed(**filters):
        return of_split(trader.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me", **filters}, trader.key))

    await_true("the notification of the split", listed, 60)
    await_true("the webhook of the split", lambda: "ticker.split" in types, 30)
    told = listed(symbol=SYMBOL)
    expect_equal(len(told), 1, "notifications of the split")
    expect_equal(told[0]["split"], {"name": f"{TICKER}/splits/1", "numerator": "4", "denominator": "1", "effective_time": "2026-01-02T14:30:00Z",
                                    "alert_count": "8"}, "what it says")
    expect_equal(told[0]["summary"], f"{SYMBOL} split 4-for-1: 8 of your alerts now use prices divided by 4", "its words")
    expect_equal(listed(symbol=OTHER), [], "notifications of a split of another symbol")
    # All that there was when it began: the newest in the list comes last.
    newest = trader.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, trader.key)[0]["name"]
    stream = trader.mesh.client.stream("notifier", "WatchNotifications", {"parent": "users/me", "from_start": True}, trader.key, timeout_s=20)
    seen = []
    for response in stream:
        seen += response.get("notifications", [])
        if newest in [one["name"] for one in seen]:
            break
    stream.cancel()
    streamed = of_split(seen)
    expect_equal([one["name"] for one in streamed], [told[0]["name"]], "the split on the stream")
    expect_equal(types.count("ticker.split"), 1, "webhooks of the split")


def try_refusals(trader):
    with refused("PERMISSION_DENIED"):
        trader.call("ticker", "DeclareSplit", {"parent": TICKER, "numerator": 4, "denominator": 1, "request_id": "x"})
    for fields, field in (((0, 1), "numerator"), ((4, 1_000_001), "denominator"), ((3, 3), "denominator")):
        with refused("INVALID_ARGUMENT", field=field):
            declare(trader.mesh, *fields, "refused")
    with refused("INVALID_ARGUMENT", field="effective_time"):
        declare(trader.mesh, 4, 1, "refused", effective_time=timestamp(3 * 86400))
    with refused("INVALID_ARGUMENT", field="request_id"):
        declare(trader.mesh, 4, 1, "")
    with refused("NOT_FOUND", "TICKER_NOT_FOUND"):
        declare(trader.mesh, 4, 1, "refused", parent="tickers/NOBODY")
    expect_equal(splits_of(trader.mesh), [], "splits after refusals")


def declare_at_once(trader):
    """The same request many times at once is one split; another one under its id is refused."""
    answers = []

    def ask():
        try:
            answers.append(declare(trader.mesh, 4, 1, "four-for-one"))
        except client.CallError as error:
            answers.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_equal([answer for answer in answers if answer != answers[0]], [], "answers that differ")
    with refused("INVALID_ARGUMENT", "REQUEST_ID_REUSED"):
        declare(trader.mesh, 5, 1, "four-for-one")
    expect_equal(declare(trader.mesh, 4, 1, "four-for-one"), answers[0], "the same request later")
    return answers[0]


def condition(trader, name):
    return trader.get(name)["condition"]


def check_scaled(trader, alerts):
    def part(name, kind):
        return condition(trader, alerts[name])[kind]

    expect_equal(part("above", "price_target")["price"], "120", "a target")
    expect_equal(part("below", "price_target")["price"], "75", "a target below")
    expect_equal(trader.get(alerts["below"])["hysteresis"], "0.5", "a hysteresis")
    expect_equal(part("given", "percent_change")["given_price"], "100", "a given price")
    trailing = part("trailing", "trailing_change")
    expect_equal((trailing["amount"], trailing["activation_price"]), ("20", "110"), "a trailing amount")
    channel = part("channel", "channel")
    expect_equal((channel["low"], channel["high"]), ("80", "115"), "a channel's bounds")
    expect_equal(part("paused", "price_target")["price"], "101", "the target of one that is paused")
    expect_equal(part("other", "price_target")["price"], "120", "another symbol's target")
    expect_equal(part("after", "price_target")["price"], "109", "what was set after it")
    expect_equal(part("rejecting", "price_target")["price"], "111", "what was set after it with a price to compare")
    expect_equal({trader.get(alerts[name])["revision"] for name in ("above", "below", "channel")}, {"1"}, "revisions")


def try_log_format(mesh):
    """A log that may still be read by a version that knows no splits gets none."""
    mesh.restart("fetcher", {"SOURCE": "publish", "LOG_FORMAT": "1"})
    with refused("FAILED_PRECONDITION", "LOG_FORMAT_TOO_OLD"):
        declare(mesh, 2, 1, "too-early")
    expect_equal(splits_of(mesh), [f"{TICKER}/splits/1"], "splits after the refusal")


def outlives_log(world):
    """Kafka is lost with a split that its readers, one and then the other, had not read: they hear of it all the same, and of the next."""
    mesh = meshes.Mesh(world.folder / "splits_lost_log", meshes.free_first_port(), prices_partitions=4)
    try:
        mesh.start({"SOURCE": "publish"})
        try_lost_logs(mesh)
    finally:
        killed = mesh.stop()
        mesh.postgres.wipe()
    expect_equal(killed, [], "services that had to be killed")


def lose_log(mesh, trader):
    for process in reversed(list(mesh.services.values())):
        expect(process.stop(), f"{process.name} had to be killed")
    mesh.kafka.process.stop()
    mesh.kafka.wipe_identity()
    mesh.kafka.start()
    mesh.kafka.await_ready()
    mesh.migrate()
    for process in mesh.services.values():
        process.start()
    mesh.await_ready(timeout_s=180)

    def answers(call):
        try:
            call()
        except client.CallError:
            return False
        return True
    await_true("the ticker service's answer", lambda: answers(lambda: splits_of(mesh)), 20)
    await_true("the alert service's answer", lambda: answers(lambda: trader.call("alert", "ResyncAlerts", {}, mesh.admin_key)), 20)


def await_split(mesh, trader, alert, number, price):
    """Until everybody is at the split: the ticker service that publishes it, the alert service that shows it, the evaluator that measures by it."""
    def states():
        return {one["number"]: one["state"] for one in mesh.client.list_all("ticker", "ListSplits", "splits", {"parent": TICKER}, mesh.admin_key)}

    def evaluated():
        try:
            return trader.call("alert", "ExplainAlert", {"name": alert})["condition"]["price_target"]["price"]
        except client.CallError:
            return None  # The partition is being restored.
    await_true(f"split {number} in the log", lambda: states() == {str(n + 1): "STATE_APPLIED" for n in range(number)}, 60)
    await_true(f"split {number} in the alert service", lambda: condition(trader, alert)["price_target"]["price"] == price, 60)
    await_true(f"split {number} in the evaluator", lambda: evaluated() == price, 60)
    known = mesh.query(f"SELECT number FROM stockalert_alert.splits WHERE symbol = '{SYMBOL}' ORDER BY 1")
    expect_equal(known, [[str(n + 1)] for n in range(number)], "the splits that the alert service knows")


def try_lost_logs(mesh):
    trader = Trader(mesh)
    alert = trader.create(target("AT_OR_ABOVE", "480"), trigger_policy="TRIGGER_POLICY_REPEAT")
    trader.publish("400")
    await_true("the price", lambda: trader.price() == "400", 20)
    trader.settle(alert)

    expect(mesh.services["evaluator"].stop(), "the evaluator had to be killed")
    expect_equal(declare(mesh, 4, 1, "first")["state"], "STATE_APPLIED", "the first split")
    expect_equal(condition(trader, alert)["price_target"]["price"], "480", "the target that the alert service shows")
    lose_log(mesh, trader)
    await_split(mesh, trader, alert, 1, "120")

    # The evaluator has read this one, and what it told of it is lost.
    expect(mesh.services["alert"].stop(), "the alert service had to be killed")
    expect_equal(declare(mesh, 2, 1, "second")["state"], "STATE_APPLIED", "the second split")
    await_true("the evaluator's word of it", lambda: mesh.query(
        "SELECT count(*) FROM stockalert_evaluator.splits WHERE number = 2 AND NOT EXISTS (SELECT FROM stockalert_evaluator.outbox)") == [["1"]], 30)
    lose_log(mesh, trader)
    await_split(mesh, trader, alert, 2, "60")

    expect_equal(declare(mesh, 1, 3, "third")["number"], "3", "a split afterwards")
    await_split(mesh, trader, alert, 3, "180")
    expect_equal(trader.price(), "150", "the price shown")
    trader.settle(alert)
    trader.publish("179")
    trader.publish("180")
    await_true("the trigger", lambda: trader.triggers(alert) == ["180"], 30)


CASES = [("splits/declared, scaled, evaluated", split), ("splits/outlive the log", outlives_log)]
