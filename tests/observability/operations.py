"""docs/operations.md, done as it says: the blocks of the document are what is run."""

import os
import re
import subprocess

import grpc
from harness import ROOT, SYMBOL, await_true, expect, expect_equal, grpcurl_path, meshes, refused
from scraped import OPERATIONS, Traffic

done_blocks = set()


def blocks(heading):
    """The commands under a heading, block by block."""
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)
    expect(section, f"docs/operations.md has no heading {heading}")
    return re.findall(r"^```sh\n(.*?)^```$", section.group(1), re.MULTILINE | re.DOTALL)


def run(world, text, succeeds=True):
    """Runs commands of the document as an operator does, in a folder that has deploy/ and what earlier ones left. Answers their output."""
    folder = world.folder / "operator"
    folder.mkdir(exist_ok=True)
    if not (folder / "deploy").exists():
        (folder / "deploy").symlink_to(ROOT / "deploy")
    programs = [meshes.binary("stockalert-migrate").parent, meshes.binary("stockalert").parent, grpcurl_path().parent]
    env = {**os.environ, **world.mesh.operator_env(), "STOCKALERT_API_KEY": world.mesh.admin_key, "HOME": str(folder),
           "PATH": ":".join([*map(str, programs), os.environ["PATH"]])}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=env, capture_output=True, text=True, check=False)
    expect((done.returncode == 0) == succeeds, f"exit {done.returncode} of\n{text}{done.stdout[-2000:]}{done.stderr[-2000:]}")
    done_blocks.add(text)
    return done.stdout + done.stderr


def publishing(world):
    """The mesh, with prices as they come."""
    mesh = world.start()
    if mesh.fetcher_settings["SOURCE"] != "publish":
        mesh.restart("fetcher", {"SOURCE": "publish"})
    return mesh


def await_client(mesh):
    """Until this process's client has noticed that the public ports answer again: it tries each a few times a second."""
    def answers(service, method, request):
        try:
            mesh.client.call(service, method, request)
        except meshes.client.CallError as error:
            return error.code != "UNAVAILABLE"
        return True
    for service, method in (("user", "GetUser"), ("ticker", "GetTicker"), ("alert", "GetAlert"), ("notifier", "ListNotifications")):
        request = {"parent": "users/me"} if method.startswith("List") else {"name": "users/me"}
        await_true(f"the {service} service's answer", lambda s=service, m=method, r=request: answers(s, m, r), 10)


def stop_services(mesh):
    for process in reversed(list(mesh.services.values())):
        expect(process.stop(), f"{process.name} had to be killed")


def start_services(mesh):
    for process in mesh.services.values():
        process.start()
    mesh.await_ready(timeout_s=180)
    await_client(mesh)


def resync(world):
    output = run(world, blocks("Restore")[1])
    expect("alert_count" in output, f"ResyncAlerts answered {output}")
    await_true("every alert confirmed again", lambda: world.mesh.query("SELECT count(*) FROM stockalert_alert.alert_outbox") == [["0"]], 60)


def notified(world, traffic):
    """The triggers that the user was notified of; what tells of a destination is of none."""
    notifications = world.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": traffic.name}, traffic.key)
    return [one["trigger"] for one in notifications if "trigger" in one]


def fire(world, traffic, more=1):
    """One more edge; answers the user's triggers once it has `more` of them."""
    before = len(notified(world, traffic))
    traffic.publish("99")
    traffic.publish("101")
    await_true(f"{more} more notifications", lambda: len(notified(world, traffic)) >= before + more, 30)
    triggers = notified(world, traffic)
    expect_equal(len(triggers), before + more, "notifications")
    expect_equal(len(set(triggers)), len(triggers), "notifications, each trigger once")
    return triggers


def numbers(triggers, alert):
    return sorted(int(name.split("/")[-1]) for name in triggers if f"/{alert}/" in name)


def repeating_alert(triggers):
    """The id of the alert without cooldown: it has triggered most."""
    ids = [name.split("/")[3] for name in triggers]
    return max(ids, key=ids.count)


def losing_kafka(world):
    mesh = publishing(world)
    traffic = Traffic(world)
    fire(world, traffic, 2)
    before = fire(world, traffic)
    alert = repeating_alert(before)
    stop_services(mesh)
    mesh.kafka.process.stop()
    mesh.kafka.wipe_identity()
    mesh.kafka.start()
    mesh.kafka.await_ready()
    run(world, blocks("Losing Kafka")[0])
    start_services(mesh)
    resync(world)
    after = fire(world, traffic)
    expect_equal(numbers(after, alert), [1, 2, 3], "the numbers of the triggers")
    expect_equal(set(before) - set(after), set(), "notifications that went with Kafka")
    # Other users' alerts trigger by the same quotes, and may be on their way.
    await_true("no trigger that went no further", lambda: "(0 rows)" in run(world, blocks("Losing Kafka")[1]), 30)
    # New alerts, too.
    fire(world, Traffic(world), 2)


def backup_and_restore(world):
    mesh = publishing(world)
    traffic = Traffic(world)
    fire(world, traffic, 2)
    fire(world, traffic)
    run(world, blocks("Backup")[0])
    late = world.call("alert", "CreateAlert", {"parent": traffic.name, "alert": {
        "symbol": SYMBOL, "trigger_policy": "TRIGGER_POLICY_REPEAT",
        "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "100.5"}}}}, traffic.key)
    world.await_applied(traffic.key)
    before = fire(world, traffic, 2)
    alert = repeating_alert(before)
    expect_equal(numbers(before, alert), [1, 2, 3], "triggers before")
    # Epochs of the publisher that the backup does not know.
    mesh.restart("fetcher")
    stop_services(mesh)
    run(world, blocks("Restore")[0])
    start_services(mesh)
    resync(world)
    wanted = {name for name in before if late["name"].split("/")[-1] not in name}
    await_true("what triggered after the backup, computed again", lambda: set(notified(world, traffic)) == wanted, 30)
    with refused("NOT_FOUND"):
        world.call("alert", "GetAlert", {"name": late["name"]}, traffic.key)
    after = fire(world, traffic)
    expect_equal(numbers(after, alert), [1, 2, 3, 4], "triggers afterwards")
    await_true("the alert that is gone is counted", lambda: mesh.metrics("alert")['stockalert_alert_triggers_total{outcome="unknown"}'] >= 1, 10)
    expect_equal(mesh.metrics("evaluator")["stockalert_evaluator_partitions_halted"], 0, "partitions that halted")


def rotating_keys(world):
    mesh = publishing(world)
    traffic = Traffic(world)
    fire(world, traffic, 2)
    admin_key, token = run(world, blocks("Rotating keys")[0]).split()
    expect(re.fullmatch(r"sak_[A-Za-z0-9_-]{43}", admin_key), "an administrator's key of another form")
    old = mesh.admin_key

    mesh.admin_key = admin_key
    mesh.services["user"].env = mesh.service_env("user")
    mesh.restart("user")
    await_client(mesh)
    mesh.client.list_all("user", "ListUsers", "users", {}, admin_key)
    with refused("UNAUTHENTICATED"):
        world.call("user", "ListUsers", {}, old)

    def ended():
        try:
            world.call("ticker", "PublishQuotes", {"quotes": [traffic.quote("99")]}, old)
            return False
        except meshes.client.CallError as error:
            return error.code == "UNAUTHENTICATED"
    await_true("the old key ends at the ticker service", ended, 8)
    fire(world, traffic)

    # A caller's token: both count while it restarts, and no call is refused by it.
    refused_calls = 'stockalert_mesh_calls_refused_total{caller="unknown"}'
    old_token = mesh.caller_tokens["ticker"]
    mesh.caller_tokens["ticker"] = token
    mesh.write_callers(("ticker", old_token))
    for name, method in (("user", "UserInternalService/CountFollowers"), ("alert", "AlertInternalService/CountAlerts"),
                         ("fetcher", "FetcherService/LookupSymbol")):
        await_true(f"{name} knows the new token", lambda n=name, m=method: internal_code(mesh, n, m, token) != "UNAUTHENTICATED", 20)
    refused_before = {name: mesh.metrics(name).get(refused_calls, 0) for name in ("user", "alert", "fetcher")}
    mesh.services["ticker"].env = mesh.service_env("ticker")
    mesh.restart("ticker")
    await_client(mesh)
    fire(world, traffic)
    fire(world, Traffic(world), 2)
    expect_equal({name: mesh.metrics(name).get(refused_calls, 0) for name in refused_before}, refused_before, "calls refused meanwhile")
    mesh.write_callers()
    fire(world, traffic)

    password = run(world, blocks("Rotating keys")[0]).split()[1]
    (mesh.postgres.roles / "alert").write_text(password + "\n")
    mesh.migrate()
    mesh.services["alert"].env = mesh.service_env("alert")
    mesh.restart("alert")
    await_client(mesh)
    fire(world, traffic)
    expect_equal(world.secrets_in_logs(), [], "logs with a secret in them")


def internal_code(mesh, service, method, token):
    """What an empty call on an internal port ends with, for a caller with this token."""
    with grpc.insecure_channel(mesh.address(service, "internal")) as channel:
        try:
            channel.unary_unary(f"/stockalert.internal.v1.{method}")(b"", timeout=10, metadata=(("x-stockalert-caller-token", token),))
            return "OK"
        except grpc.RpcError as error:
            return error.code().name


def leave(world, traffic):
    """The user is deleted, and what the alert service remembers of its alerts is forgotten, as it is after a week. Answers the alerts' ids."""
    mesh = world.mesh
    user_id = traffic.name.split("/")[1]
    traffic.stream.cancel()
    world.call("user", "DeleteUser", {"name": traffic.name}, traffic.key)
    of_user = f"FROM stockalert_alert.alerts a WHERE a.user_id = '{user_id}'"
    await_true("confirmed tombstones of the user's alerts", lambda: mesh.query(
        f"SELECT count(*) {of_user} AND a.deleted AND a.applied_revision = a.revision"
        " AND NOT EXISTS (SELECT FROM stockalert_alert.alert_outbox o WHERE o.alert_id = a.id)") == [["2"]], 30)
    alerts = [row[0] for row in mesh.query(f"SELECT a.id {of_user}")]
    mesh.query(f"UPDATE stockalert_alert.alerts SET update_time_us = 0 WHERE user_id = '{user_id}'")
    # It looks for old tombstones when it begins.
    mesh.restart("alert")
    await_client(mesh)
    await_true("no tombstones", lambda: mesh.query(f"SELECT count(*) {of_user}") == [["0"]], 30)
    expect_equal(mesh.query(f"SELECT count(*) FROM stockalert_alert.triggers WHERE user_id = '{user_id}'"), [["0"]], "history of a user who left")
    return alerts


def retention(world):
    mesh = publishing(world)
    traffic = Traffic(world)
    leaver = Traffic(world)
    request = {"parent": traffic.name, "request_id": "retained", "alert": {
        "symbol": SYMBOL, "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "100000"}}}}
    world.call("alert", "CreateAlert", request, traffic.key)
    fire(world, traffic, 2)
    for _ in range(2):
        # A stop writes a checkpoint; two of them are behind the first triggers then.
        mesh.restart("evaluator")
        triggers = fire(world, traffic)
    alert = repeating_alert(triggers)
    await_true("the notifications of the user who leaves", lambda: len(notified(world, leaver)) == 4, 30)
    left = repeating_alert(notified(world, leaver))
    expect(left in leave(world, leaver), "the alert that triggered most is not the user's")
    mesh.query(f"UPDATE stockalert_alert.triggers SET create_time_us = 0 WHERE alert_id = '{alert}' AND number <> 2")
    mesh.query(f"UPDATE stockalert_notifier.notifications SET create_time_us = 0 WHERE alert_id = '{alert}' AND trigger_number <> 2")
    mesh.query("UPDATE stockalert_alert.alerts SET create_time_us = 0 WHERE request_id = 'retained'")
    command = blocks("Retention")[0]
    expect("at least 14" in run(world, command.replace("kept_days=90", "kept_days=13"), succeeds=False), "13 days were not refused")
    run(world, command)
    # The third trigger is behind the last checkpoint: a replay is still compared with it, and its history stays as long. Of an alert that
    # is gone, nothing but the evaluator's rows is left, and of these what the older of the two checkpoints has not passed.
    rows = mesh.query(f"SELECT trigger_number FROM stockalert_evaluator.triggers WHERE alert_id = '{left}' ORDER BY 1")
    expect_equal([row[0] for row in rows], ["2", "3"], "what is left of the triggers of an alert that is gone")
    for table, number, wanted in (("stockalert_evaluator.triggers", "trigger_number", ["2", "3"]), ("stockalert_alert.triggers", "number", ["2", "3"]),
                                  ("stockalert_notifier.notifications", "trigger_number", ["2"])):
        rows = mesh.query(f"SELECT {number} FROM {table} WHERE alert_id = '{alert}' ORDER BY 1")
        expect_equal([row[0] for row in rows], wanted, f"what is left in {table}")
    expect_equal(mesh.query("SELECT count(*) FROM stockalert_alert.alerts WHERE request_id = 'retained'"), [["0"]], "request ids that are left")
    mesh.services["evaluator"].kill()
    mesh.services["evaluator"].start()
    mesh.await_ready(["evaluator"])
    traffic.publish("99")
    traffic.publish("101")
    await_true("the fourth trigger", lambda: 4 in numbers(notified(world, traffic), alert), 30)
    expect_equal(mesh.metrics("evaluator")["stockalert_evaluator_partitions_halted"], 0, "partitions that halted")


def dead_letters(world):
    """A record that the alert service can never read is listed, comes back when it is replayed with its cause still there, and is dropped."""
    mesh = publishing(world)
    listing, replaying, dropping = blocks("StockAlertDeadLetters")
    mesh.query("INSERT INTO stockalert_alert.dead_letters (topic, partition, log_offset, digest, key, value, header_names, header_values, bytes,"
               " log_time_us, cause, version, create_time_us) VALUES ('alert-events', 0, 7, '', 'k', '\\xffff', '{}', '{}', 3, 0, 'no event', 'test', 0)")

    def listed():
        return [line.split() for line in run(world, listing).splitlines() if line.startswith("alert ")]
    before = listed()
    expect_equal([line[2:5] for line in before], [["alert-events", "0", "7"]], "dead letters")
    expect("alert: 1 replayed" in run(world, replaying), "nothing was replayed")
    await_true("the record's return", lambda: len(listed()) == 1, 30)
    expect(listed()[0][1] != before[0][1], "the letter is the one from before")
    await_true("the gauge", lambda: mesh.metrics("alert").get("stockalert_dead_letters") == 1, 40)
    expect("alert: 1 dropped" in run(world, dropping), "nothing was dropped")
    expect_equal(listed(), [], "dead letters that are left")


def splits(world):
    """Of a symbol that no other case has alerts on."""
    mesh = publishing(world)
    mesh.client.call("ticker", "RegisterTicker", {"symbol": "MSFT"}, mesh.admin_key, timeout_s=20)
    text = blocks("Splits")[0]
    run(world, text.replace("AAPL", "MSFT"))
    done_blocks.add(text)

    def declared():
        return [(one["numerator"], one["denominator"], one["state"])
                for one in mesh.client.list_all("ticker", "ListSplits", "splits", {"parent": "tickers/MSFT"}, mesh.admin_key)]
    await_true("the split in the log", lambda: declared() == [("4", "1", "STATE_APPLIED")], 30)


def suspected_splits(world):
    """Of a symbol that no other case has alerts on."""
    mesh = publishing(world)
    mesh.client.call("ticker", "RegisterTicker", {"symbol": "IBM"}, mesh.admin_key, timeout_s=20)
    for text, is_held in zip(blocks("Suspected splits"), (True, False), strict=True):
        output = run(world, text.replace("AAPL", "IBM"))
        done_blocks.add(text)
        expect_equal("HELD SINCE" in output, is_held, "a table that says since when it is held")
        ticker = mesh.client.call("ticker", "GetTicker", {"name": "tickers/IBM"}, mesh.admin_key)
        expect_equal("hold" in ticker, is_held, "whether the ticker is held")


def every_block_was_run(_world):
    documented = re.findall(r"^```sh\n(.*?)^```$", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)
    expect_equal([text for text in documented if text not in done_blocks], [], "commands of docs/operations.md that no case runs")


CASES = [
    ("losing Kafka", losing_kafka),
    ("backup and restore", backup_and_restore),
    ("rotating keys", rotating_keys),
    ("retention", retention),
    ("dead letters", dead_letters),
    ("declaring a split", splits),
    ("holding a symbol, and dismissing it", suspected_splits),
    ("every command of the document was run", every_block_was_run),
]
