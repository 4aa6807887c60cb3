"""Poison in every topic and every call: what becomes of each record is as docs/architecture.md says, and nobody else waits."""

import importlib
import json
import os
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.request

import grpc
from google.protobuf import json_format
from harness import ROOT, SYMBOL, await_true, expect, expect_equal, meshes, timestamp

# How long a sound record behind the poison may take to get through.
SOUND_S = float(os.environ.get("STOCKALERT_POISON_SOUND_S", "20"))
READERS = {"prices": ("evaluator", "ticker"), "alert-events": ("alert",), "triggers": ("notifier",), "user-events": ("alert", "notifier")}
DEAD, HELD, STOPPED, GOES_ON = "dead letter", "partition held", "partition stopped", "goes on"

# By reader and topic: what has to be a dead letter. All others are taken, mended, counted or passed over.
RAW = r"no bytes|garbage|cut short|900 KB of garbage"
DEAD_LETTERS = {
    ("alert", "alert-events"): rf"{RAW}|\w+\.alert_id: .*|triggered\.symbol: .*|symbol_status\.symbol: .*|triggered\.(revision|trigger_number): smallest"
                               r"|change_confirmed\.revision: smallest|triggered\.price_micros: .*|triggered\.(event_time|late_from)_us: .*"
                               r"|symbol_status\.last_event_time_us: .*",
    ("alert", "user-events"): rf"{RAW}|user_deleted\.user_id: .*",
    ("notifier", "user-events"): rf"{RAW}|user_deleted\.user_id: .*",
    ("notifier", "triggers"): rf"{RAW}|unknown kind|user_id: .*|trigger\.(alert_id|symbol): .*|trigger\.trigger_number: smallest"
                              r"|trigger\.(price_micros|event_time_us|late_from_us): .*|(note|summary|destination_ids): no UTF-8",
}
# What the evaluator must not stop at; at records of an unknown kind, and at what it cannot read, it has to.
EVALUATOR_GOES_ON = (r"another key|no key|key of bytes|traceparent: .*|quote\.(?!rules: |.*: no UTF-8).*"
                     r"|split_(suspected|dismissed)\.(publisher_epoch|sequence): largest")
EVALUATOR_STOPS = (rf"{RAW}|unknown kind|quote\..*: no UTF-8|alert_change\.(alert_id|symbol): .*|alert_change\.revision: smallest|restart\..*"
                   r"|quote\.rules: .*|alert_change\.splits_applied: smallest|split\.number: smallest"
                   r"|split\.(symbol|numerator|denominator): .*|split\.split_id: (empty|no UTF-8)"
                   r"|split_(suspected|dismissed)\.(symbol: .*|(publisher_epoch|sequence): smallest)")


def expected(service, topic, name):
    if topic == "prices":
        if service == "ticker" or re.fullmatch(EVALUATOR_GOES_ON, name):
            return {GOES_ON}
        return {STOPPED} if re.fullmatch(EVALUATOR_STOPS, name) else {STOPPED, GOES_ON}
    if re.fullmatch(DEAD_LETTERS[service, topic], name):
        return {DEAD}
    return {HELD} if name == "unknown kind" else {GOES_ON}


def not_ready(mesh, service):
    try:
        with urllib.request.urlopen(f"http://{mesh.address(service, 'http')}/readyz", timeout=5) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


class Person:
    def __init__(self, mesh, symbol):
        reply = mesh.client.call("user", "RegisterUser", {"user": {"email": f"poison-{secrets.token_hex(6)}@example.com", "display_name": "P"}})
        self.mesh, self.symbol, self.name, self.key = mesh, symbol, reply["user"]["name"], reply["secret"]
        self.id = self.name.split("/")[-1]
        alert = mesh.client.call("alert", "CreateAlert", {"parent": "users/me", "alert": {
            "symbol": symbol, "trigger_policy": "TRIGGER_POLICY_REPEAT",
            "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "100"}}}}, self.key, timeout_s=20)
        self.alert_id = alert["name"].split("/")[-1]

    def notified(self):
        return len(self.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, self.key))

    def fire(self):
        """From the publishing of a price to the notification of it, in seconds."""
        before = self.notified()
        began = time.monotonic()
        for price in ("99", "101"):
            quote = {"symbol": self.symbol, "price": price, "event_time": timestamp(), "session": "SESSION_REGULAR"}
            self.mesh.client.call("ticker", "PublishQuotes", {"quotes": [quote]}, self.mesh.admin_key, timeout_s=20)
        await_true(f"the notification of {self.symbol}", lambda: self.notified() > before, SOUND_S, interval_s=0.02)
        return time.monotonic() - began


def write(mesh, topic, victim, keep):
    binary = ROOT / "build" / (os.environ.get("STOCKALERT_PRESET") or "dev") / "tests" / "support" / "poison" / "stockalert-poison"
    command = [str(binary), f"--topic={topic}", f"--user={victim.id}", f"--alert={victim.alert_id}", f"--symbol={victim.symbol}",
               f"--keep={','.join(keep)}"]
    done = subprocess.run(command, env={**os.environ, **mesh.operator_env()}, capture_output=True, text=True, check=False, timeout=120)
    expect_equal(done.returncode, 0, f"stockalert-poison {topic}: {done.stderr[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def dead_letters(mesh, service):
    return {(topic, int(partition), int(offset)) for topic, partition, offset in
            mesh.query(f"SELECT topic, partition, log_offset FROM stockalert_{service}.dead_letters WHERE replay_time_us IS NULL")}


def held_places(mesh, service):
    found = set()
    for line in (mesh.folder / "log" / f"{service}.log").read_text(errors="replace").splitlines():
        if "a partition stands still at a record" in line:
            fields = json.loads(line)["fields"]
            found.add((fields["topic"], int(fields["partition"]), int(fields["offset"])))
    return found


def metric(mesh, service, name, topic=None):
    return sum(value for series, value in mesh.metrics(service).items()
               if series.split("{")[0] == name and (topic is None or f'topic="{topic}"' in series))


def outcomes(mesh, written):
    """(service, topic, name) → what became of it."""
    stopped = {int(number) for number in re.findall(r"partition (\d+) is stopped", not_ready(mesh, "evaluator"))}
    dead = {service: dead_letters(mesh, service) for service in ("alert", "notifier", "ticker")}
    held = {service: held_places(mesh, service) for service in ("alert", "notifier")}
    table = {}
    for record in written:
        place = (record["topic"], record["partition"], record["offset"])
        for service in READERS[record["topic"]]:
            if service == "evaluator":
                outcome = STOPPED if record["partition"] in stopped else GOES_ON
            elif place in dead[service]:
                outcome = DEAD
            elif place in held.get(service, ()):
                outcome = HELD
            else:
                outcome = GOES_ON
            table[service, record["topic"], record["name"]] = outcome
    return table


def show(table):
    lines = ["| service | topic | poison | what became of it |", "|---|---|---|---|"]
    lines += [f"| {service} | {topic} | {name} | {outcome} |" for (service, topic, name), outcome in table.items()]
    path = ROOT / "build" / "poison.md"
    path.write_text("\n".join(lines) + "\n")
    for service, topic in dict.fromkeys(key[:2] for key in table):
        for outcome in (DEAD, HELD, STOPPED, GOES_ON):
            names = [name for (s, t, name), o in table.items() if (s, t, o) == (service, topic, outcome)]
            if names:
                print(f"    {service:9} {topic:12} {outcome:17} {len(names):3}: {'; '.join(names)}", flush=True)
    print(f"    a row a record: {path}", flush=True)


def try_all(mesh):
    watcher, other, leaver, victim = (Person(mesh, symbol) for symbol in ("GOODA", "GOODB", "GOODC", "VICTIM"))
    people = (watcher, other, leaver, victim)
    quiet = {person.symbol: person.fire() for person in people}

    written = write(mesh, "triggers", victim, [watcher.id, other.id])
    written += write(mesh, "alert-events", victim, [*(person.alert_id for person in people), victim.symbol])
    written += write(mesh, "user-events", victim, [leaver.id, victim.id])
    written += write(mesh, "prices", victim, [person.symbol for person in people])

    # Sound records: of another user in the poisoned partition, and of another one elsewhere.
    poisoned = {person.symbol: person.fire() for person in (watcher, other)}
    began = time.monotonic()
    mesh.client.call("user", "DeleteUser", {"name": leaver.name}, leaver.key)
    for service, query in (("alert", "SELECT count(*) FROM stockalert_alert.alerts WHERE NOT deleted AND user_id = '{}'"),
                           ("notifier", "SELECT count(*) FROM stockalert_notifier.notifications WHERE user_id = '{}'")):
        await_true(f"the deletion at the {service} service", lambda q=query: mesh.query(q.format(leaver.id)) == [["0"]], SOUND_S)
    deletion_s = time.monotonic() - began
    print("    seconds from a price to its notification: " + ", ".join(
        f"{symbol} {quiet[symbol]:.2f} before, {seconds:.2f} behind the poison" for symbol, seconds in poisoned.items())
        + f"; a deletion behind it: {deletion_s:.2f}", flush=True)

    wanted = {(service, record["topic"], record["name"]): expected(service, record["topic"], record["name"])
              for record in written for service in READERS[record["topic"]]}

    def differences():
        table = outcomes(mesh, written)
        return {key: (table[key], wanted[key]) for key in table if table[key] not in wanted[key]}
    try:
        await_true("every record's end", lambda: not differences(), 60)
    except AssertionError as error:
        show(outcomes(mesh, written))
        raise AssertionError(f"other than documented: {differences()}") from error
    table = outcomes(mesh, written)
    show(table)

    # The ticker reads all of it, and saves; but for partitions of symbols that are held now, which it would read again.
    ends = {record["partition"]: record["offset"] + 1 for record in written if record["topic"] == "prices"}
    await_true("the ticker's places", lambda: all(int(offset) >= ends.get(int(partition), 0) for partition, offset in mesh.query(
        "SELECT partition, next_offset FROM stockalert_ticker.log_places p WHERE NOT EXISTS (SELECT FROM stockalert_ticker.latest_prices"
        " WHERE log_partition = p.partition AND held_since_us IS NOT NULL)")), 30)

    # Counted, and told.
    for service, topics in (("alert", ("alert-events", "user-events")), ("notifier", ("triggers", "user-events"))):
        # Beside those that were written there may be what the evaluator made of an absurd price: a trigger at a time that nobody can be told.
        await_true(f"{service}'s gauge of dead letters",
                   lambda s=service: metric(mesh, s, "stockalert_dead_letters") == len(dead_letters(mesh, s)), 40)
        for topic in topics:
            holds = sum(1 for (s, t, _), outcome in table.items() if (s, t, outcome) == (service, topic, HELD))
            await_true(f"{service}'s gauge of held partitions of {topic}",
                       lambda s=service, t=topic, n=holds: metric(mesh, s, "stockalert_consumer_partitions_held", t) == n, 10)
            if holds:
                expect(metric(mesh, service, "stockalert_consumer_held_seconds", topic) > 0, f"{service} does not say how long {topic} is held")
                expect(metric(mesh, service, "stockalert_kafka_consumer_lag_records", topic) >= 1, f"{service}'s lag of {topic} hides what is held")
        expect_equal(metric(mesh, service, "stockalert_consumer_blocked_seconds"), 0, f"how long {service} is blocked")
    # What is held or put aside does not keep anybody from answering.
    for service in ("user", "ticker", "alert", "notifier", "fetcher"):
        expect(mesh.ready(service), f"{service} is not ready: {not_ready(mesh, service)}")
    for process in mesh.processes():
        expect(process.alive(), f"{process.name} is not running: {process.log_tail()}")
    return table


def restart_and_clean_up(mesh, table):
    """What is held is held again after a restart, once; what is put aside is not put aside twice; and the operator gets rid of it."""
    for service in ("alert", "notifier"):
        before = dead_letters(mesh, service)
        mesh.restart(service)
        await_true(f"{service}'s held partitions after a restart",
                   lambda s=service: metric(mesh, s, "stockalert_consumer_partitions_held") == sum(
                       1 for (one, _, _), outcome in table.items() if (one, outcome) == (s, HELD)), 40)
        expect_equal(dead_letters(mesh, service), before, f"{service}'s dead letters after a restart")
    command = [str(meshes.binary("stockalert-migrate")), "deadletters"]
    env = {**os.environ, **mesh.operator_env()}

    def run(*arguments):
        done = subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, check=False, timeout=120)
        expect_equal(done.returncode, 0, f"deadletters {arguments}: {done.stderr[-500:]}")
        return done.stdout
    before = {service: dead_letters(mesh, service) for service in ("alert", "notifier", "ticker")}
    expect_equal(len(run("list").splitlines()), sum(map(len, before.values())) + 1, "lines of the list")
    # What is held is put aside, and its partition goes on.
    for service, topic in sorted({key[:2] for key, outcome in table.items() if outcome == HELD}):
        for _, partition, offset in (place for place in held_places(mesh, service) if place[0] == topic):
            run("take", f"--service={service}", f"--topic={topic}", f"--partition={partition}", f"--offset={offset}")
        await_true(f"{service}'s partition of {topic}, which goes on",
                   lambda s=service, t=topic: metric(mesh, s, "stockalert_consumer_partitions_held", t) == 0, 60)
    for service in ("alert", "notifier"):
        for (number,) in mesh.query(f"SELECT id FROM stockalert_{service}.dead_letters WHERE cause = 'put aside by an operator'"):
            run("drop", f"--service={service}", f"--id={number}", "--yes")
    expect_equal({service: dead_letters(mesh, service) for service in before}, before, "dead letters beside what was put aside")
    # Replayed with the cause still there: each comes back, as a letter of its own.
    run("replay", "--service=notifier", "--all")
    # Those of user-events come to the alert service, too.
    letters = {"notifier": len(before["notifier"]),
               "alert": len(before["alert"]) + sum(1 for topic, _, _ in before["notifier"] if topic == "user-events")}
    for service, wanted in letters.items():
        await_true(f"the return of what was replayed to {service}", lambda s=service, n=wanted: len(dead_letters(mesh, s)) == n, 40)
    run("drop", "--all", "--yes")
    expect_equal([dead_letters(mesh, service) for service in ("alert", "notifier", "ticker")], [set()] * 3, "letters that are left")


# --- bytes that come in by calls

# Requests that are sound but for the one field that is poisoned, so that it is looked at. Others begin with what every call has.
REQUESTS = {
    "RegisterUser": {"user": {"email": "sound@example.com", "display_name": "S"}, "request_id": "r"},
    "UpdateUser": {"user": {"name": "users/me", "display_name": "S"}, "update_mask": "displayName"},
    "CreateApiKey": {"parent": "users/me", "api_key": {"display_name": "k"}, "request_id": "r"},
    "FollowTicker": {"parent": "users/me", "symbol": SYMBOL},
    "RegisterTicker": {"symbol": SYMBOL},
    "GetQuote": {"name": f"tickers/{SYMBOL}"},
    "CreateAlert": {"parent": "users/me", "request_id": "r", "alert": {
        "symbol": SYMBOL, "note": "n", "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "100"}}}},
    "ListAlerts": {"parent": "users/me"},
    "PublishQuotes": {"quotes": [{"symbol": SYMBOL, "price": "5", "event_time": "2026-01-05T15:00:00Z", "session": "SESSION_REGULAR"}]},
}
PLACE = "zqzqzq"
# Of the same size. NUL, and what is no UTF-8.
BYTES = {"NUL": b"a\0b\0c\0", "no UTF-8": b"a\xff\xfe\xc0\xafz", "another NUL": b"\0\0\0\0\0\0"}
# What a service may answer to bytes that it must not take. INTERNAL is gRPC's own word for a message that cannot be parsed.
# ABORTED: an etag that is none is not the present one. FAILED_PRECONDITION: a mailbox where no mail server is configured.
REFUSALS = {"NUL": {"INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "ABORTED",
                    "FAILED_PRECONDITION"}}
REFUSALS["another NUL"] = REFUSALS["NUL"]
REFUSALS["no UTF-8"] = REFUSALS["NUL"] | {"INTERNAL"}


def string_fields(descriptor, path=()):
    """Paths of all text fields, into messages and lists of them."""
    for field in descriptor.fields:
        if field.type == field.TYPE_STRING:
            yield (*path, field)
        elif field.message_type and len(path) < 5 and not field.message_type.full_name.startswith("google.protobuf."):
            yield from string_fields(field.message_type, (*path, field))


def put(message, path):
    for field in path[:-1]:
        part = getattr(message, field.name)
        message = (part[0] if len(part) else part.add()) if field.label == field.LABEL_REPEATED else part
    field = path[-1]
    if field.label == field.LABEL_REPEATED:
        getattr(message, field.name).append(PLACE)
    else:
        setattr(message, field.name, PLACE)


def requests(world):
    """Every text field of every public call, with bytes that Postgres cannot hold: refused, and never taken or an error of the service's own."""
    mesh = world.start()
    _, key = world.user()
    world.call("user", "FollowTicker", {"parent": "users/me", "symbol": SYMBOL}, key, timeout_s=20)
    tried, wrong = 0, []
    for service, (package, name, proto) in meshes.client.SERVICES.items():
        module = importlib.import_module(proto.replace("/", ".").removesuffix(".proto") + "_pb2")
        for method in module.DESCRIPTOR.services_by_name[name].methods:
            request_class = mesh.client._message(method.input_type)  # pylint: disable=protected-access
            stub = mesh.client.channels[meshes.client.AT.get(service, service)].unary_stream(f"/{package}.{name}/{method.name}", None, None)
            for path in string_fields(method.input_type):
                message = json_format.ParseDict(REQUESTS.get(method.name, {}), request_class())
                for common in ("parent", "name"):
                    if common in method.input_type.fields_by_name and not getattr(message, common):
                        setattr(message, common, "users/me")
                put(message, path)
                for what, value in BYTES.items():
                    tried += 1
                    metadata = [("authorization", f"Bearer {mesh.admin_key if method.name == 'PublishQuotes' else key}"), ("traceparent", "no trace")]
                    try:
                        call = stub(message.SerializeToString().replace(PLACE.encode(), value), timeout=20, metadata=metadata)
                        reply = next(iter(call), b"")
                        call.cancel()
                        # A field that calls do not set (a resource's name) may be ignored, and is then not given back either.
                        code = "TAKEN" if value in reply else "IGNORED"
                    except grpc.RpcError as error:
                        code = error.code().name
                    if code != "IGNORED" and code not in REFUSALS[what]:
                        wrong.append((method.name, ".".join(field.name for field in path), what, code))
    print(f"    {tried} calls", flush=True)
    expect(tried > 100, f"only {tried} calls were tried")
    expect_equal(wrong, [], "fields that were taken, or were an error of the service's own")


def poison(world):
    mesh = meshes.Mesh(world.folder / "poison", meshes.free_first_port(), prices_partitions=128,
                       env={"user": {"REGISTRATIONS_PER_MINUTE": "100000", "REGISTRATIONS_PER_PEER_PER_MINUTE": "100000"}})
    try:
        mesh.start({"SOURCE": "publish"})
        table = try_all(mesh)
        restart_and_clean_up(mesh, table)
    finally:
        killed = mesh.stop()
        mesh.postgres.wipe()
    expect_equal(killed, [], "services that had to be killed")


CASES = [("poison/requests", requests), ("poison/records", poison)]
