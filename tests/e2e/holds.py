"""A suspected split, on the whole way: held, nothing triggers by it; settled by a split, or dismissed, in the order of what was kept; the audit agrees."""

from harness import await_true, expect_equal, meshes, refused, timestamp
from splits import SYMBOL, TICKER, Trader, condition, declare, target


def hold(world):
    mesh = meshes.Mesh(world.folder / "holds", meshes.free_first_port(), prices_partitions=4)
    try:
        mesh.start({"SOURCE": "publish"})
        try_all(mesh)
        expect_equal(world.audit(mesh=mesh), 3, "triggers by the log")
        try_log_format(mesh)
    finally:
        killed = mesh.stop()
        mesh.postgres.wipe()
    expect_equal(killed, [], "services that had to be killed")


def administer(mesh, method, name=TICKER):
    return mesh.client.call("ticker", method, {"name": name}, mesh.admin_key, timeout_s=20)


def publish(trader, price):
    """Answers what became of it."""
    quote = {"symbol": SYMBOL, "price": price, "event_time": timestamp()}
    answer = trader.call("ticker", "PublishQuotes", {"quotes": [quote]}, trader.mesh.admin_key)
    return answer["outcomes"][0]["verdict"].removeprefix("VERDICT_")


def check_held(trader, alerts, price, kept):
    """Also over a restart of who has to keep it."""
    for restarted in (False, True):
        if restarted:
            for service in ("evaluator", "ticker"):
                trader.mesh.restart(service)

        def is_kept():
            return trader.call("ticker", "GetTicker", {"name": TICKER}).get("hold", {}).get("kept_quote_count", "0") == str(kept)
        await_true("the prices that are kept", is_kept, 30)
        expect_equal(trader.price(), price, "the price shown of a held ticker")
        expect_equal(trader.call("ticker", "GetQuote", {"name": TICKER})["price"], price, "GetQuote of a held ticker")
        for name, alert in alerts.items():
            await_true(f"{name} to be held", lambda alert=alert: trader.get(alert)["state"] == "STATE_HELD", 30)


def try_all(mesh):
    trader = Trader(mesh)
    alerts = {
        "above": trader.create(target("AT_OR_ABOVE", "480")),
        "below": trader.create(target("AT_OR_BELOW", "300")),
    }
    trader.settle(*alerts.values())
    expect_equal(publish(trader, "400"), "ACCEPTED", "what became of a price")
    try_refusals(trader)

    held = administer(mesh, "HoldSymbol")
    expect_equal(held["hold"].get("kept_quote_count", "0"), "0", "prices kept at once")
    expect_equal(administer(mesh, "HoldSymbol")["hold"], held["hold"], "holding what is held")
    expect_equal([publish(trader, price) for price in ("101", "102")], ["HELD", "HELD"], "what became of prices in a hold")
    # Judged by the price of before; it begins at its place, behind the prices that are kept.
    with refused("FAILED_PRECONDITION", "CONDITION_MET"):
        trader.create(target("AT_OR_ABOVE", "390"), creation_policy="CREATION_POLICY_REJECT_IF_MET")
    alerts["within"] = trader.create(target("AT_OR_BELOW", "300"), creation_policy="CREATION_POLICY_REJECT_IF_MET")
    check_held(trader, alerts, "400", 2)
    expect_equal({name: trader.triggers(alert) for name, alert in alerts.items()}, {name: [] for name in alerts}, "triggers in a hold")

    made = declare(mesh, 4, 1, "it-was-one")
    expect_equal(made["state"], "STATE_APPLIED", "the split")
    expect_equal(trader.price(), "102", "the price once it is settled")
    for name, alert in alerts.items():
        await_true(f"{name} to go on", lambda alert=alert: trader.get(alert)["state"] == "STATE_ACTIVE", 30)
        expect_equal(condition(trader, alert)["price_target"]["price"], "120" if name == "above" else "75", f"the target of {name}")
    expect_equal(publish(trader, "121"), "ACCEPTED", "what became of a price afterwards")
    await_true("the trigger above", lambda: trader.triggers(alerts["above"]) == ["121"], 30)
    expect_equal([trader.triggers(alerts[name]) for name in ("below", "within")], [[], []], "triggers by a split's prices")

    del alerts["above"]
    administer(mesh, "HoldSymbol")
    expect_equal([publish(trader, price) for price in ("74", "73", "100")], ["HELD"] * 3, "what became of prices in the second hold")
    check_held(trader, alerts, "121", 3)
    expect_equal([trader.triggers(alert) for alert in alerts.values()], [[], []], "triggers in the second hold")
    dismissed = administer(mesh, "DismissSplit")
    expect_equal((dismissed.get("hold"), dismissed["latest_quote"]["price"]), (None, "100"), "the ticker once that is dismissed")
    for name, alert in alerts.items():
        await_true(f"the trigger of {name}", lambda alert=alert: trader.triggers(alert) == ["74"], 30)
    expect_equal(administer(mesh, "DismissSplit").get("hold"), None, "dismissing what is not held")


def try_refusals(trader):
    for method in ("HoldSymbol", "DismissSplit"):
        with refused("PERMISSION_DENIED"):
            trader.call("ticker", method, {"name": TICKER})
        with refused("NOT_FOUND", "TICKER_NOT_FOUND"):
            administer(trader.mesh, method, "tickers/NOBODY")
        with refused("INVALID_ARGUMENT", field="name"):
            administer(trader.mesh, method, "tickers/no symbol")


def try_log_format(mesh):
    """A log that may still be read by a version that knows no holds gets none."""
    mesh.restart("fetcher", {"SOURCE": "publish", "LOG_FORMAT": "1"})
    for method in ("HoldSymbol", "DismissSplit"):
        with refused("FAILED_PRECONDITION", "LOG_FORMAT_TOO_OLD"):
            administer(mesh, method)


CASES = [("holds/held, settled, dismissed", hold)]
