"""A day's high that a published quote tells of triggers what the price had reached, late: on the whole way, and by the audit."""

from harness import await_true, expect, expect_equal, meshes, refused, timestamp

SYMBOL = "BINANCE:BTCUSDT"  # Its figures are used at any hour.


def late_trigger(world):
    mesh = meshes.Mesh(world.folder / "gaps", meshes.free_first_port(), prices_partitions=4)
    try:
        mesh.start({"SOURCE": "publish"})
        try_all(mesh)
        expect_equal(world.audit(mesh=mesh), 1, "triggers by the log")
    finally:
        killed = mesh.stop()
        mesh.postgres.wipe()
    expect_equal(killed, [], "services that had to be killed")


def try_all(mesh):
    user = mesh.client.call("user", "RegisterUser", {"user": {"email": "gaps@example.com", "display_name": "G"}})
    key = user["secret"]
    made = mesh.client.call("alert", "CreateAlert", {"parent": "users/me", "alert": {"symbol": SYMBOL, "condition": {
        "price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "110"}}}}, key, timeout_s=20)

    def shown():
        return mesh.client.call("alert", "GetAlert", {"name": made["name"]}, key)

    def publish(**quote):
        mesh.client.call("ticker", "PublishQuotes", {"quotes": [{"symbol": SYMBOL, **quote}]}, mesh.admin_key, timeout_s=20)

    await_true("the evaluator's word", lambda: int(shown().get("applied_revision", 0)) >= 1, 30)
    before, now = timestamp(-20), timestamp()
    with refused("INVALID_ARGUMENT", field="quotes[0].session"):
        publish(price="100", event_time=before, session="SESSION_POST")
    publish(price="100", event_time=before)
    publish(price="105", event_time=now, day_high="111.5")
    await_true("the alert's end", lambda: shown()["state"] == "STATE_TRIGGERED", 30)
    trigger = mesh.client.call("alert", "ListTriggers", {"parent": made["name"]}, key)["triggers"][0]
    expect_equal((trigger["late"], trigger["price"], trigger["price_before"]), (True, "111.5", "100"), "the trigger")
    expect_equal((trigger["late_from_time"], trigger["event_time"]), (before, now), "between when the price was there")
    await_true("the notification", lambda: mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, key), 30)
    notification = mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, key)[0]
    expect(notification["late"], "its notification does not say that it is late")


CASES = [("gaps/late trigger", late_trigger)]
