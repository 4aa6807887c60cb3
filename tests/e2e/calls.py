"""The calls, as clients make them: by a client generated in Python, and by grpcurl as a person types them."""

import json
import re
import subprocess
import uuid

from harness import ROOT, SYMBOL, Grpcurl, await_true, client, expect, expect_equal, refused, stack, timestamp

TARGET = {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "100000"}}


def users_and_keys(world):
    world.start()
    name, key = world.user("Ada")
    expect_equal(world.call("user", "GetUser", {"name": "users/me"}, key)["name"], name, "users/me")
    with refused("UNAUTHENTICATED"):
        world.call("user", "GetUser", {"name": "users/me"}, None)
    with refused("UNAUTHENTICATED"):
        world.call("user", "GetUser", {"name": "users/me"}, "sak_" + "x" * 43)
    # The same address again, in other letters: another user, who learns nothing of the first. The address is for the first who verifies it.
    email = world.call("user", "GetUser", {"name": name}, key)["email"]
    other = world.call("user", "RegisterUser", {"user": {"email": email.upper(), "display_name": "Other"}}, None)
    expect(other["user"]["name"] != name and other["secret"] != key, "the same user twice")
    world.call("user", "SendEmailVerification", {"name": name}, key)
    with refused("RESOURCE_EXHAUSTED", "EMAIL_VERIFICATION_RATE"):
        world.call("user", "SendEmailVerification", {"name": name}, key)
    with refused("FAILED_PRECONDITION", "EMAIL_CODE_INVALID"):
        world.call("user", "VerifyEmail", {"name": name, "code": "0000000000"}, key)
    with refused("INVALID_ARGUMENT", field="code"):
        world.call("user", "VerifyEmail", {"name": name}, key)
    expect("email_verify_time" in world.call("user", "VerifyEmail", {"name": name}, world.mesh.admin_key), "not verified")
    with refused("ALREADY_EXISTS", "EMAIL_TAKEN"):
        world.call("user", "VerifyEmail", {"name": other["user"]["name"]}, world.mesh.admin_key)
    changed = world.call("user", "UpdateUser", {"user": {"name": name, "display_name": "Ada Zoë"}, "update_mask": "displayName"}, key)
    expect_equal(changed["display_name"], "Ada Zoë", "the display name")
    with refused("ABORTED", "ETAG_MISMATCH"):
        world.call("user", "UpdateUser", {"user": {"name": name, "display_name": "B", "etag": "W/\"old\""}, "update_mask": "displayName"}, key)

    reading = world.call("user", "CreateApiKey", {"parent": name, "api_key": {"display_name": "reader", "scope": "SCOPE_READ_ONLY"}}, key)
    world.call("user", "GetUser", {"name": name}, reading["secret"])
    with refused("PERMISSION_DENIED"):
        world.call("alert", "CreateAlert", {"parent": name, "alert": {"symbol": SYMBOL, "condition": TARGET}}, reading["secret"])
    with refused("PERMISSION_DENIED"):
        world.call("user", "ListUsers", {}, key)
    everybody = world.mesh.client.list_all("user", "ListUsers", "users", {}, world.mesh.admin_key)
    expect(name in [user["name"] for user in everybody], "the administrator's list lacks the user")
    world.call("user", "RevokeApiKey", {"name": reading["api_key"]["name"]}, key)
    # Answers about keys are kept for five seconds at most.
    def ended():
        try:
            world.call("user", "GetUser", {"name": name}, reading["secret"])
            return False
        except client.CallError as error:
            return error.code == "UNAUTHENTICATED"
    await_true("the revoked key ends", ended, 8)
    fresh = world.call("user", "CreateApiKey", {"parent": name, "api_key": {"display_name": "by the administrator"}}, world.mesh.admin_key)
    world.call("user", "GetUser", {"name": "users/me"}, fresh["secret"])

    followed = world.call("user", "FollowTicker", {"parent": name, "symbol": " aapl "}, key)
    expect_equal(followed["symbol"], SYMBOL, "the normal form")
    with refused("INVALID_ARGUMENT", "UNKNOWN_SYMBOL", "symbol"):
        world.call("user", "FollowTicker", {"parent": name, "symbol": "NOSUCH"}, key)
    listed = world.mesh.client.list_all("user", "ListFollowedTickers", "followed_tickers", {"parent": name}, key)
    expect_equal([one["symbol"] for one in listed], [SYMBOL], "what is followed")
    with refused("FAILED_PRECONDITION", "TICKER_IN_USE"):
        world.call("ticker", "DeleteTicker", {"name": f"tickers/{SYMBOL}"}, world.mesh.admin_key)


def life_of_an_alert(world):
    world.start()
    user, key = world.user()
    _, other = world.user()
    request = {"parent": "users/me", "alert": {"symbol": "aapl", "condition": TARGET, "note": "Ü" * 500}, "request_id": uuid.uuid4().hex}
    made = world.call("alert", "CreateAlert", request, key, timeout_s=20)
    expect(made["name"].startswith(f"{user}/alerts/"), f"its name is {made['name']}")
    expect_equal(world.call("alert", "CreateAlert", request, key)["name"], made["name"], "the same request again")
    other_content = {**request, "alert": {**request["alert"], "note": "other"}}
    with refused("INVALID_ARGUMENT", "REQUEST_ID_REUSED"):
        world.call("alert", "CreateAlert", other_content, key)
    world.await_applied(key)
    name = {"name": made["name"]}
    for method in ("GetAlert", "PauseAlert", "DeleteAlert"):
        with refused("NOT_FOUND", "ALERT_NOT_FOUND"):
            world.call("alert", method, name, other)
    expect_equal(world.call("alert", "PauseAlert", name, key)["state"], "STATE_PAUSED", "after a pause")
    expect_equal(world.call("alert", "PauseAlert", name, key)["revision"], "2", "a pause of a paused one")
    world.call("alert", "ResumeAlert", name, key)
    update = {"alert": {"name": made["name"], "note": "shorter"}, "update_mask": "note"}
    expect_equal(world.call("alert", "UpdateAlert", update, key)["revision"], "4", "the revision after four changes")
    with refused("ABORTED", "ETAG_MISMATCH"):
        world.call("alert", "DeleteAlert", {**name, "etag": made["etag"]}, key)
    world.await_applied(key)
    expect_equal(world.call("alert", "GetAlert", name, key)["state"], "STATE_ACTIVE", "its state in the end")
    for state, count in (("STATE_ACTIVE", 1), ("STATE_TRIGGERED", 0)):
        found = world.mesh.client.list_all("alert", "ListAlerts", "alerts", {"parent": "users/me", "symbol": SYMBOL, "states": [state]}, key)
        expect_equal(len(found), count, f"alerts that are {state}")
    world.call("alert", "DeleteAlert", name, key)
    with refused("NOT_FOUND"):
        world.call("alert", "GetAlert", name, key)


def pages(world):
    world.start()
    _, key = world.user()
    _, other = world.user()
    requests = [{"parent": "users/me", "alert": {"symbol": SYMBOL, "condition": TARGET, "note": str(n)}} for n in range(7)]
    world.call("alert", "BatchCreateAlerts", {"parent": "users/me", "requests": requests}, key, timeout_s=20)
    seen, token = [], ""
    for _ in range(4):
        page = world.call("alert", "ListAlerts", {"parent": "users/me", "page_size": 3, "page_token": token}, key)
        seen += [alert["note"] for alert in page.get("alerts", [])]
        token = page.get("next_page_token", "")
        if not token:
            break
    expect_equal(sorted(seen), [str(n) for n in range(7)], "the pages together")
    token = world.call("alert", "ListAlerts", {"parent": "users/me", "page_size": 3}, key)["next_page_token"]
    for request, who in (({"parent": "users/me", "page_token": token}, other), ({"parent": "users/me", "page_token": token, "symbol": SYMBOL}, key),
                         ({"parent": "users/me", "page_token": "bm9uc2Vuc2U"}, key)):
        with refused("INVALID_ARGUMENT", field="page_token"):
            world.call("alert", "ListAlerts", request, who)
    with refused("INVALID_ARGUMENT", field="page_size"):
        world.call("alert", "ListAlerts", {"parent": "users/me", "page_size": -1}, key)


def published_quotes(world):
    """From a price by the administrator to the notification on an open stream, and its acknowledgement."""
    world.start()
    user, key = world.user()
    _, other = world.user()
    # A symbol of its own: what other cases do to the replay's history does not matter.
    world.call("user", "FollowTicker", {"parent": user, "symbol": SYMBOL}, key, timeout_s=20)
    made = world.call("alert", "CreateAlert", {"parent": user, "alert": {"symbol": SYMBOL, "condition": {
        "price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "900"}}, "note": "published"}}, key, timeout_s=20)
    world.await_applied(key)
    quote = {"symbol": SYMBOL, "price": "900.25", "event_time": timestamp(), "session": "SESSION_REGULAR"}
    with refused("PERMISSION_DENIED"):
        world.call("ticker", "PublishQuotes", {"quotes": [quote]}, key)
    for bad in ({"price": "0"}, {"price": "-5"}, {"price": "NaN"}, {"price": "1e3"}, {"price": "1.1234567"}, {"price": ""}, {"event_time": timestamp(60)}):
        with refused("INVALID_ARGUMENT"):
            world.call("ticker", "PublishQuotes", {"quotes": [{**quote, **bad}]}, world.mesh.admin_key)
    stream = world.mesh.client.stream("notifier", "WatchNotifications", {"parent": user}, key, timeout_s=30)
    replies = iter(stream)
    next(replies)  # Says where the stream begins.
    expect_equal(world.call("ticker", "PublishQuotes", {"quotes": [quote]}, world.mesh.admin_key)["published_count"], 1, "quotes published")
    notification = next(replies)["notifications"][0]
    stream.cancel()
    expect_equal((notification["alert"], notification["price"], notification["note"]), (made["name"], "900.25", "published"), "the notification")
    expect("900" in notification["summary"], f"the summary is «{notification['summary']}»")
    expect_equal(world.call("alert", "GetAlert", {"name": made["name"]}, key)["state"], "STATE_TRIGGERED", "the alert's state")
    expect_equal(world.call("ticker", "GetTicker", {"name": f"tickers/{SYMBOL}"}, key)["latest_quote"]["price"], "900.25", "the latest price")
    with refused("NOT_FOUND"):
        world.call("notifier", "AcknowledgeNotification", {"name": notification["name"]}, other)
    expect("acknowledge_time" in world.call("notifier", "AcknowledgeNotification", {"name": notification["name"]}, key), "not acknowledged")
    waiting = world.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": user, "unacknowledged_only": True}, key)
    expect_equal(waiting, [], "what is not acknowledged")
    trace = world.mesh.query(f"SELECT traceparent FROM stockalert_notifier.notifications WHERE id = '{notification['name'].split('/')[-1]}'")
    expect(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", trace[0][0]), f"the trace from quote to notification is {trace}")
    world.call("alert", "RearmAlert", {"name": made["name"]}, key)
    world.call("alert", "DeleteAlert", {"name": made["name"]}, key)


def explained(world):
    """The evaluator says what an alert waits for, to its owner alone; without the evaluator, and until it is back, the answer says so."""
    mesh = world.start()
    user, key = world.user()
    _, other = world.user()
    world.call("ticker", "RegisterTicker", {"symbol": SYMBOL}, key, timeout_s=20)
    quote = {"symbol": SYMBOL, "price": "950.5", "event_time": timestamp(), "session": "SESSION_REGULAR"}
    expect_equal(world.call("ticker", "PublishQuotes", {"quotes": [quote]}, mesh.admin_key)["published_count"], 1, "quotes published")
    wanted = {"parent": user, "alert": {"symbol": SYMBOL, "condition": {"percent_change": {"direction": "DIRECTION_EITHER", "percent": "2"}}}}
    checked = world.call("alert", "CreateAlert", {**wanted, "validate_only": True}, key, timeout_s=20)
    expect("name" not in checked or not checked["name"], f"an alert that was only validated has the name {checked}")
    expect_equal(mesh.client.list_all("alert", "ListAlerts", "alerts", {"parent": user}, key), [], "alerts after a validation")
    made = world.call("alert", "CreateAlert", wanted, key, timeout_s=20)
    world.await_applied(key)

    def explain(api_key=key, name=made["name"]):
        return world.call("alert", "ExplainAlert", {"name": name}, api_key, timeout_s=20)

    def expect_explained():
        said = explain()
        expect_equal((said["name"], said["readiness"], said["last_price"]["price"]), (made["name"], "READINESS_READY", "950.5"), "the explanation")
        up, down = ([(r.get("low", ""), r.get("high", ""), r["distance"], r["distance_percent"]) for r in side["trigger_ranges"]] for side in said["sides"])
        expect_equal(up, [("969.51", "", "19.01", "2")], "where it triggers above")
        expect_equal(down, [("", "931.49", "-19.01", "-2")], "where it triggers below")
        expect("969.51" in said["detail"], f"«{said['detail']}» tells nobody where it triggers")

    expect_explained()
    with refused("NOT_FOUND", "ALERT_NOT_FOUND"):
        explain(other)
    with refused("NOT_FOUND", "ALERT_NOT_FOUND"):
        explain(name=f"{user}/alerts/{uuid.uuid4()}")
    mesh.services["evaluator"].stop()
    with refused("UNAVAILABLE", "EVALUATOR_UNAVAILABLE"):
        explain()
    mesh.restart("evaluator")

    def back():
        try:
            return explain()
        except client.CallError as error:
            expect_equal(error.code, "UNAVAILABLE", "the answer until the evaluator is back")
            return None
    await_true("an explanation after a restart", back, 60)
    expect_explained()
    world.call("alert", "DeleteAlert", {"name": made["name"]}, key)


def late_quotes(world):
    """Who publishes hears what became of each quote; the current price is the one that alerts go by, whoever shows it."""
    world.start()
    _, key = world.user()
    world.call("ticker", "RegisterTicker", {"symbol": SYMBOL}, key, timeout_s=20)

    def publish(*quotes):
        made = [{"symbol": SYMBOL, "session": "SESSION_REGULAR", **quote} for quote in quotes]
        outcomes = world.call("ticker", "PublishQuotes", {"quotes": made}, world.mesh.admin_key)["outcomes"]
        return [(outcome["verdict"].removeprefix("VERDICT_"), outcome.get("counts_for_no_alert", False)) for outcome in outcomes]

    moment = timestamp()
    expect_equal(publish({"price": "901", "event_time": moment}, {"price": "902", "event_time": timestamp(-30)},
                         {"price": "903", "event_time": moment, "session": "SESSION_CLOSED"}),
                 [("ACCEPTED", False), ("LATE", False), ("ACCEPTED", True)], "what became of them")
    expect_equal(publish({"price": "904", "event_time": timestamp(-60)}), [("LATE", False)], "what became of a late one")
    shown = {world.call("ticker", "GetQuote", {"name": f"tickers/{SYMBOL}"}, key)["price"],
             world.call("ticker", "GetTicker", {"name": f"tickers/{SYMBOL}"}, key)["latest_quote"]["price"]}
    expect_equal(shown, {"903"}, "the current price")


def bars(world):
    """Published prices are in the bar of their minute, by grpcurl and after a restart of the ticker service."""
    mesh = world.start()
    _, key = world.user()
    world.call("ticker", "RegisterTicker", {"symbol": SYMBOL}, key, timeout_s=20)
    moment = timestamp()
    quotes = [{"symbol": SYMBOL, "session": "SESSION_REGULAR", "price": price, "event_time": moment} for price in ("960", "940.5", "945")]
    world.call("ticker", "PublishQuotes", {"quotes": quotes}, mesh.admin_key)
    minute = moment[:16] + ":00Z"

    def newest():
        code, text = Grpcurl(mesh).run("ticker", "stockalert.ticker.v1.TickerService/ListBars",
                                       {"parent": f"tickers/{SYMBOL}", "start_time": minute, "page_size": 1}, key)
        return json.loads(text)["bars"][0] if code == 0 and "bars" in text else {}

    await_true("the bar", lambda: newest().get("close") == "945", 15)
    expect_equal((newest()["start_time"], newest()["high"]), (minute, "960"), "the minute and its highest price")
    before = newest()
    mesh.restart("ticker")
    expect_equal(newest(), before, "the bar after a restart")


def deleted_user(world):
    """What a user leaves is deleted: alerts in the log too, notifications, keys."""
    world.start()
    user, key = world.user()
    world.call("alert", "CreateAlert", {"parent": user, "alert": {"symbol": SYMBOL, "condition": TARGET}}, key, timeout_s=20)
    world.await_applied(key)
    world.call("user", "DeleteUser", {"name": user}, key)

    def key_ended():
        try:
            world.call("alert", "ListAlerts", {"parent": user}, key)
            return False
        except client.CallError as error:
            return error.code == "UNAUTHENTICATED"
    await_true("the deleted user's key ends", key_ended, 10)
    await_true("the deleted user's alerts go", lambda: not world.mesh.client.list_all(
        "alert", "ListAlerts", "alerts", {"parent": user}, world.mesh.admin_key), 20)


def by_hand(world):
    """Bad calls by grpcurl: the right code, a message that says what to do, and nothing stored."""
    mesh = world.start()
    grpcurl = Grpcurl(mesh)
    _, key = world.user()
    _, other = world.user()
    theirs = world.call("alert", "CreateAlert", {"parent": "users/me", "alert": {"symbol": SYMBOL, "condition": TARGET}}, other, timeout_s=20)["name"]
    for n in range(3):
        world.call("alert", "CreateAlert", {"parent": "users/me", "alert": {"symbol": SYMBOL, "condition": TARGET, "note": f"o{n}"}}, other, timeout_s=20)
    token = world.call("alert", "ListAlerts", {"parent": "users/me", "page_size": 1}, other)["next_page_token"]
    create = "stockalert.alert.v1.AlertService/CreateAlert"

    def asking(**alert):
        return {"parent": "users/me", "alert": {"symbol": SYMBOL, "condition": TARGET, **alert}}

    def price(text):
        return {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": text}}

    def count():
        return mesh.query("SELECT (SELECT count(*) FROM stockalert_alert.alerts), (SELECT count(*) FROM stockalert_ticker.tickers), "
                          "(SELECT count(*) FROM stockalert_user.users)")[0]

    before = count()
    table = [
        ("a wrong key", "alert", create, asking(), "sak_" + "A" * 43, "Unauthenticated", "key"),
        ("no key", "alert", create, asking(), None, "Unauthenticated", "authorization"),
        ("another user's alert", "alert", "stockalert.alert.v1.AlertService/GetAlert", {"name": theirs}, key, "NotFound", "alert"),
        ("deleting another user's alert", "alert", "stockalert.alert.v1.AlertService/DeleteAlert", {"name": theirs}, key, "NotFound", "alert"),
        ("an unknown symbol", "alert", create, asking(symbol="NOSUCH"), key, "InvalidArgument", "NOSUCH"),
        ("no symbol", "alert", create, asking(symbol=""), key, "InvalidArgument", "symbol"),
        ("a NaN", "alert", create, asking(condition=price("NaN")), key, "InvalidArgument", "price"),
        ("a negative price", "alert", create, asking(condition=price("-1")), key, "InvalidArgument", "price"),
        ("a price of nothing", "alert", create, asking(condition=price("")), key, "InvalidArgument", "price"),
        ("seven decimals", "alert", create, asking(condition=price("1.0000001")), key, "InvalidArgument", "price"),
        ("no condition", "alert", create, asking(condition={}), key, "InvalidArgument", "condition"),
        ("a long note", "alert", create, asking(note="x" * 501), key, "InvalidArgument", "note"),
        ("an expiry in the past", "alert", create, asking(expire_time="2020-01-01T00:00:00Z"), key, "InvalidArgument", "expire"),
        ("a page token from elsewhere", "alert", "stockalert.alert.v1.AlertService/ListAlerts", {"parent": "users/me", "page_token": token}, key,
         "InvalidArgument", "page_token"),
        ("somebody else as parent", "alert", create, {**asking(), "parent": "/".join(theirs.split("/")[:2])}, key, "NotFound", ""),
        ("bars of an unknown ticker", "ticker", "stockalert.ticker.v1.TickerService/ListBars", {"parent": "tickers/NOSUCH"}, key, "NotFound", "NOSUCH"),
        ("bars of no time", "ticker", "stockalert.ticker.v1.TickerService/ListBars",
         {"parent": f"tickers/{SYMBOL}", "start_time": "2026-01-02T15:00:00Z", "end_time": "2026-01-02T15:00:00Z"}, key, "InvalidArgument", "end_time"),
        ("no mail address", "user", "stockalert.user.v1.UserService/RegisterUser", {"user": {"email": "nobody", "display_name": "N"}}, None,
         "InvalidArgument", "email"),
        ("an administrator's call", "user", "stockalert.user.v1.UserService/ListUsers", {}, key, "PermissionDenied", "administrator"),
    ]
    for what, service, method, request, who, code, word in table:
        exit_code, text = grpcurl.run(service, method, request, who)
        expect(exit_code != 0, f"{what} was answered OK: {text}")
        expect(f"Code: {code}" in text, f"{what}: wanted {code}, got {text}")
        message = re.search(r"Message: (.*)", text)
        expect(message and len(message.group(1)) > 10 and word.lower() in message.group(1).lower(), f"{what}: what does «{text}» tell a person?")
        expect("ErrorInfo" in text, f"{what}: no ErrorInfo in {text}")
    expect_equal(count(), before, "alerts, tickers and users stored")


def reflection_and_health(world):
    mesh = world.start()
    grpcurl = Grpcurl(mesh)
    for service, (package, name, _) in client.SERVICES.items():
        code, text = grpcurl.run(service, "list")
        expect(code == 0 and f"{package}.{name}" in text and "grpc.health.v1.Health" in text, f"{service}: {text}")
        code, text = grpcurl.run(service, f"describe {package}.{name}")
        expect(code == 0 and "rpc " in text, f"{service}: {text}")
        code, text = grpcurl.run(service, "grpc.health.v1.Health/Check", {})
        expect(code == 0 and "SERVING" in text, f"{service}: {text}")
    # The evaluator's own come with its loop.
    loops = {"user": {"user_outbox_relay", "kafka_producer", "calls_public", "calls_internal", "stream_keys_public"},
             "ticker": {"ticker_log_reader", "ticker_price_saver", "calls_public", "calls_internal", "calls_source"},
             "alert": {"alert_events", "alert_outbox_sweeper", "alert_trigger_relay", "kafka_producer", "calls_public", "calls_internal"},
             "notifier": {"notifier_intake", "notifier_watch_poll", "calls_public", "stream_keys_public"},
             "fetcher": {"fetcher_symbol_watch", "fetcher_live_quotes", "fetcher_lease", "kafka_producer", "calls_internal", "calls_source"}}
    for service in mesh.services:
        for path in ("healthz", "readyz"):
            stack.http_get(f"http://{mesh.address(service, 'http')}/{path}")
        watched = {re.search(r'loop="(\w+)"', series).group(1) for series in mesh.metrics(service) if series.startswith("stockalert_loop_stuck")}
        expect(watched >= loops.get(service, set()), f"{service} watches {sorted(watched)} alone")
        expect(any(series.startswith("stockalert_") for series in mesh.metrics(service)), f"{service} has no metrics of its own")
        for line in (mesh.folder / "log" / f"{service}.log").read_text().splitlines():
            json.loads(line)


def no_secret_in_logs(world):
    world.start()
    expect_equal(world.secrets_in_logs(), [], "logs that hold a secret")


def wrong_configuration(_world):
    """Every error is told at once, and the exit code is 2."""
    from harness import meshes  # pylint: disable=import-outside-toplevel
    for service in meshes.SERVICES:
        env = {"PATH": "/usr/bin:/bin", "STOCKALERT_HTTP_ADDRESS": "nowhere"}
        done = subprocess.run([str(meshes.binary(f"stockalert-{service}"))], env=env, capture_output=True, text=True, check=False, cwd=ROOT, timeout=20)
        expect_equal(done.returncode, 2, f"{service}'s exit code: {done.stderr}")
        errors = [line for line in done.stderr.lower().splitlines() if " must " in line or " is required" in line]
        expect(len(errors) > 1 and any("http_address" in line for line in errors), f"{service} tells {errors}")


CASES = [
    ("calls/users and keys", users_and_keys),
    ("calls/life of an alert", life_of_an_alert),
    ("calls/pages", pages),
    ("calls/published quotes", published_quotes),
    ("calls/explained", explained),
    ("calls/late quotes", late_quotes),
    ("calls/bars", bars),
    ("calls/deleted user", deleted_user),
    ("calls/by hand", by_hand),
    ("calls/reflection and health", reflection_and_health),
    ("calls/wrong configuration", wrong_configuration),
]
LAST_CASES = [("calls/no secret in logs", no_secret_in_logs)]
