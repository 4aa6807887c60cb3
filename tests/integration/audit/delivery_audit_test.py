#!/usr/bin/python3
"""Each broken state of deliveries that is planted in a real Postgres is found by scripts/lib/delivery_audit.py, and a sound one is not.

A world of users, destinations, notifications and deliveries as notifiers leave them is written once; each case breaks one thing of it in a
transaction that is rolled back."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import delivery_audit  # noqa: E402
import stack  # noqa: E402

URL = os.environ.get("STOCKALERT_TEST_POSTGRES", "")
NAME = f"delivery_audit_{os.getpid()}"
S = 1_000_000
NOW_US = 1_767_366_000 * S
NEVER = delivery_audit.NEVER


def uuid(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:04d}{number:08d}"


def user(number: int) -> str:
    return uuid(1, number)


def destination(number: int) -> str:
    return uuid(2, number)


def notification(number: int) -> str:
    return uuid(3, number)


def delivery(number: int) -> str:
    return uuid(4, number)


def alert(number: int) -> str:
    return uuid(5, number)


def insert(table: str, schema: str = "stockalert_notifier", **values: object) -> str:
    texts = ["NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'" for value in values.values()]
    return f"INSERT INTO {schema}.{table} ({', '.join(values)}) VALUES ({', '.join(texts)});"


def a_destination(number: int, owner: int, **changes: object) -> str:
    row = {"id": destination(number), "user_id": user(owner), "kind": 1, "is_default": "t", "state": 2, "create_time_us": NOW_US - 9000 * S,
           "update_time_us": NOW_US - 8000 * S, "verify_time_us": NOW_US - 8000 * S}
    return insert("destinations", **{**row, **changes})


def a_lane(number: int, owner: int, due_us: int = NEVER, **changes: object) -> str:
    return insert("delivery_lanes", **{"destination_id": destination(number), "user_id": user(owner), "due_us": due_us, **changes})


def a_notification(number: int, owner: int, sequence: int, age_s: int, **changes: object) -> str:
    row = {"id": notification(number), "user_id": user(owner), "sequence": sequence, "alert_id": alert(number), "trigger_number": 1,
           "symbol": "AAPL", "price_micros": 1, "event_time_us": 1, "late": "f", "summary": "", "note": "", "traceparent": "", "kind": 1,
           "key": str(number), "create_time_us": NOW_US - age_s * S}
    return insert("notifications", **{**row, **changes})


def named(*numbers: int) -> dict[str, object]:
    return {"delivery": 2, "destination_ids": "{" + ",".join(destination(number) for number in numbers) + "}"}


def an_alert(number: int, owner: int, **changes: object) -> str:
    """With the trigger of the notification of its number."""
    row = {"id": alert(number), "user_id": user(owner), "symbol": "AAPL", "definition": "{}", "reference": 0, "note": "", "revision": 3,
           "armed_revision": 1, "create_time_us": 1, "update_time_us": 1}
    return insert("alerts", "stockalert_alert", **{**row, **changes}) + insert(
        "triggers", "stockalert_alert", alert_id=alert(number), number=1, user_id=user(owner), symbol="AAPL", revision=3, price_micros=1,
        event_time_us=1, late="f", ends_alert="f", log_partition=0, log_offset=number, withheld=0, create_time_us=1)


def a_delivery(number: int, owner: int, of: int | None, to: int, state: int, attempts: int, **changes: object) -> str:
    row = {"id": delivery(number), "user_id": user(owner), "destination_id": destination(to), "notification_id": of and notification(of),
           "kind": 1, "state": state, "attempt_count": attempts, "schedule_count": attempts, "create_time_us": NOW_US - 7000 * S,
           "next_attempt_time_us": NOW_US + 50 * S if state == 1 else None, "end_time_us": None if state == 1 else NOW_US - 6999 * S}
    return insert("deliveries", **{**row, **changes}) + "".join(
        insert("delivery_attempts", delivery_id=delivery(number), number=n, start_time_us=1, duration_us=1,
               http_status=204 if state == 2 and n == attempts else 500, error="", answer="") for n in range(max(attempts - 49, 1), attempts + 1))


# What the audit does not look at is empty.
EMPTY_TEXTS = """DO $$ DECLARE c record; BEGIN
  FOR c IN SELECT column_name FROM information_schema.columns WHERE table_schema = 'stockalert_notifier' AND table_name = 'destinations'
    AND data_type = 'text' AND is_nullable = 'NO' AND column_default IS NULL
  LOOP EXECUTE format('ALTER TABLE stockalert_notifier.destinations ALTER COLUMN %I SET DEFAULT %L', c.column_name, ''); END LOOP;
END $$"""

# User 1 has an active default destination (1), one that is none (2), and a deleted one (3); user 2 has a failing one (4) and one that is
# not verified (5). User 3 has a default destination (6) and two others (7, 8), of which 7 is a chat that wants pauses, and 8 a mailbox while the
# mail server cannot be used; 9 was deleted. Their alerts name them (11, 12), nobody (13), or what is gone (14); one was changed since (15).
# User 4 is quiet: for 10 something is held, and two that were are in a digest.
WORLD = "".join([
    a_destination(1, 1), a_destination(2, 1, is_default="f"), a_destination(3, 1, delete_time_us=NOW_US - 6000 * S),
    a_destination(4, 2), a_destination(5, 2, state=1, verify_time_us=None),
    a_lane(1, 1, due_us=NOW_US + 50 * S), a_lane(2, 1), a_lane(3, 1), a_lane(4, 2, due_us=NOW_US - 900 * S, failing="t"),
    a_lane(5, 2, due_us=NOW_US + 10 * S),
    a_notification(1, 1, 1, 8500), a_notification(2, 1, 2, 7000), a_notification(3, 1, 3, 6000, throttled="t"), a_notification(4, 1, 4, 5000),
    a_notification(5, 2, 1, 900), *(an_alert(number, 1) for number in (1, 2, 3, 4)), an_alert(5, 2),
    a_delivery(1, 1, 2, 1, 2, 3), a_delivery(2, 1, 4, 1, 1, 1),
    a_delivery(3, 1, 2, 3, 4, 0, last_error="cancelled, because the destination was deleted or disabled"),
    a_delivery(4, 2, 5, 4, 1, 2, next_attempt_time_us=NOW_US - 900 * S), a_delivery(5, 2, None, 5, 1, 1, kind=2, challenge="c",
                                                                                  next_attempt_time_us=NOW_US + 10 * S),
    # It waits for a verification.
    a_delivery(6, 2, 5, 5, 1, 0, next_attempt_time_us=NOW_US - 5000 * S),
    a_delivery(7, 1, None, 2, 2, 60, kind=3, replay_count=1, schedule_count=1), a_delivery(8, 1, None, 1, 3, 11, kind=3),
    a_destination(6, 3), a_destination(7, 3, kind=5, is_default="f", spacing_us=S), a_destination(8, 3, kind=2, is_default="f"),
    a_destination(9, 3, is_default="f", delete_time_us=NOW_US - 7000 * S),
    a_lane(6, 3), a_lane(7, 3, due_us=NOW_US - 4000 * S, hold_until_us=NOW_US - 2 * S, lease_until_us=NOW_US + 5 * S),
    a_lane(8, 3, due_us=NOW_US + 20 * S, hold_until_us=NOW_US + 20 * S), a_lane(9, 3),
    an_alert(11, 3, **named(7, 8, 9), critical="t"), an_alert(12, 3, **named(8)), an_alert(13, 3, delivery=3), an_alert(14, 3, **named(9)),
    an_alert(15, 3, **named(7), revision=4), an_alert(16, 3),
    a_notification(11, 3, 1, 5000, critical="t"), a_notification(12, 3, 2, 4900), a_notification(13, 3, 3, 4800),
    a_notification(14, 3, 4, 4700, rerouted="t"), a_notification(15, 3, 5, 4600), a_notification(16, 3, 6, 4500),
    a_notification(17, 3, 7, 4400, kind=3, alert_id=user(3), trigger_number=7, destination_id=destination(8)),
    a_notification(18, 3, 8, 4300, kind=2, alert_id=user(3), trigger_number=8, folded_count=2),
    # Hundreds wait for the pauses of 7, the first of them for more than an hour.
    a_delivery(11, 3, 11, 7, 1, 0, next_attempt_time_us=NOW_US - 4000 * S),
    # Mail that could not be sent for hours, for no fault of its destination: no attempt counts.
    a_delivery(12, 3, 11, 8, 1, 0, next_attempt_time_us=NOW_US - 5000 * S), a_delivery(13, 3, 12, 8, 1, 0, next_attempt_time_us=NOW_US - 4900 * S),
    a_delivery(14, 3, 14, 6, 2, 1), a_delivery(15, 3, 15, 6, 2, 1), a_delivery(16, 3, 16, 6, 2, 1), a_delivery(17, 3, 17, 6, 2, 1),
    a_delivery(18, 3, 17, 7, 2, 1), a_delivery(19, 3, 18, 6, 2, 1),
    a_destination(10, 4), a_lane(10, 4, digest_due_us=NOW_US + 900 * S),
    *(an_alert(number, 4) for number in (21, 22, 23)), a_notification(21, 4, 1, 5000), a_notification(22, 4, 2, 4900),
    a_notification(23, 4, 4, 4800), a_notification(24, 4, 3, 4850, kind=4, alert_id=user(4), trigger_number=3, folded_count=2,
                                                   destination_id=destination(10)),
    *(a_delivery(number, 4, number, 10, 6, 0, hold_reason=1, digest_id=notification(24)) for number in (21, 22)),
    a_delivery(23, 4, 23, 10, 5, 0, hold_reason=1, end_time_us=None), a_delivery(24, 4, 24, 10, 2, 1),
])


def database() -> str:
    return URL.rsplit("/", 1)[0] + "/" + NAME


def find(plant: str) -> list[tuple[str, str]]:
    """What the rules find once `plant` is done; nothing of it stays."""

    def query(url: str, sql: str) -> list[list[str]]:
        return stack.psql(url, f"BEGIN; {plant}; {sql}; ROLLBACK") if plant else stack.psql(url, sql)

    # psql tells of the statements that are no query, too.
    return delivery_audit.find_problems(database(), NOW_US, 300, lambda url, sql: [row for row in query(url, sql) if row[0].isdigit()])


def setting(table: str, what: str, row: str, column: str = "id") -> str:
    return f"UPDATE stockalert_notifier.{table} SET {what} WHERE {column} = '{row}'"


def removing(table: str, row: str, column: str = "id") -> str:
    return f"DELETE FROM stockalert_notifier.{table} WHERE {column} = '{row}'"


def undelivered(number: int) -> str:
    return removing("deliveries", delivery(number)) + "; " + removing("delivery_attempts", delivery(number), "delivery_id")


def changing_alert(number: int, what: str) -> str:
    return f"UPDATE stockalert_alert.alerts SET {what} WHERE id = '{alert(number)}'"


def a_split(number: int, numerator: int = 4, symbol: str = "AAPL") -> str:
    return insert("splits", "stockalert_alert", symbol=symbol, number=number, numerator=numerator, denominator=1, effective_time_us=0,
                  create_time_us=NOW_US - 100 * S)


def a_telling(age_s: int) -> str:
    return insert("split_tellings", "stockalert_alert", symbol="SPLT", number=1, split_id="", create_time_us=NOW_US - age_s * S,
                  before_create_time_us=1, before_alert_id=alert(1))


def told(number: int, owner: int, sequence: int, split: str = "{1,4,1,0,1}") -> str:
    """Of the split 1 of SPLT; user 5 has no destinations."""
    return a_notification(number, owner, sequence, 90, kind=5, key="SPLT/1", symbol="SPLT", alert_id=user(owner), trigger_number=sequence, split=split)


# User 5 has an alert on SPLT from before its split.
SPLIT = (insert("owners", "stockalert_alert", user_id=user(5), alert_count=1) + an_alert(31, 5, symbol="SPLT") + a_split(1, symbol="SPLT"))

SOUND = {
    "a user who was told of a split": SPLIT + told(31, 5, 1),
    "a user who is being told of a split": SPLIT + a_telling(299),
    "a user whose alert ended before the split": SPLIT + changing_alert(31, "triggered = true"),
    "a user whose alert expired before the split": SPLIT + changing_alert(31, f"expire_time_us = {NOW_US - 101 * S}"),
    "a user whose alert is from after the split": SPLIT + changing_alert(31, "splits_applied = 1"),
}

BROKEN = {
    "a user who was not told of a split": (SPLIT, user(5), "was not told of the split SPLT/1"),
    "a user whom nobody gets to tell of a split": (SPLIT + a_telling(301), user(5), "was not told of the split SPLT/1"),
    "a user who was told twice of a split": (
        "DROP INDEX stockalert_notifier.notifications_key; " + SPLIT + told(31, 5, 1) + told(32, 5, 2), user(5), "was told 2 times of one split"),
    "a split that is none": (told(31, 5, 1), notification(31), "tells of the split SPLT/1, which is none"),
    "a split told as critical": (
        SPLIT + told(31, 5, 1) + setting("notifications", "critical = true", notification(31)), notification(31), "is critical, and tells of a split"),
    "a split with another ratio": (SPLIT + told(31, 5, 1, "{1,5,1,0,1}"), notification(31), "which is none"),
    "something that is held for ever": (
        setting("delivery_lanes", "digest_due_us = NULL", destination(10), "destination_id"), delivery(23), "no digest of its destination"),
    "a digest that nobody makes": (
        setting("delivery_lanes", f"digest_due_us = {NOW_US - 301 * S}", destination(10), "destination_id"), destination(10), "due for 301 s"),
    "a digest of nothing": (
        setting("delivery_lanes", "digest_due_us = 77", destination(2), "destination_id"), destination(2), "due at 77, and nothing is held"),
    "something that is held for no reason": (setting("deliveries", "hold_reason = 0", delivery(23)), delivery(23), "for the reason 0"),
    "a digested delivery without a digest": (
        removing("notifications", notification(24)), delivery(21), f"digested by {notification(24)}, which is no digest"),
    "a digested delivery of another destination's digest": (
        setting("notifications", f"destination_id = '{destination(1)}'", notification(24)), delivery(22), "which is no digest for its destination"),
    "a digest of more than there were": (
        setting("notifications", "folded_count = 3", notification(24)), notification(24), "3, and 2 were digested"),
    "a digest that nobody gets": (undelivered(24), notification(24), "a digest with 0 deliveries"),
    "a digest for somebody else": (
        setting("deliveries", f"destination_id = '{destination(4)}'", delivery(24)), notification(24), f"{destination(4)}, where it should not go"),
    "a held delivery of a disabled destination": (
        setting("destinations", f"state = 3, disable_reason = 2, disable_time_us = {NOW_US - 500 * S}", destination(10)), delivery(23),
        "cancelled 500 s ago"),
    "a held delivery that has ended": (setting("deliveries", "end_time_us = 1", delivery(23)), delivery(23), "another one"),
    "a notification without its delivery": (
        removing("deliveries", delivery(2)) + "; " + removing("delivery_attempts", delivery(2), "delivery_id") + "; " +
        setting("delivery_lanes", f"due_us = {NEVER}", destination(1), "destination_id"), notification(4), "has no delivery to"),
    "no notification has its delivery": (
        removing("deliveries", destination(1), "destination_id") + "; DELETE FROM stockalert_notifier.delivery_attempts; " +
        setting("delivery_lanes", f"due_us = {NEVER}", destination(1), "destination_id"), notification(2), "has no delivery to"),
    "a trigger of an alert that names its destinations": (undelivered(11), notification(11), f"has no delivery to the destination {destination(7)}"),
    "a trigger beside those of the same alert's other destination": (
        undelivered(12), notification(11), f"has no delivery to the destination {destination(8)}"),
    "a rerouted trigger": (undelivered(14), notification(14), f"has no delivery to the destination {destination(6)}"),
    "a throttled triggers' summary": (undelivered(19), notification(18), f"has no delivery to the destination {destination(6)}"),
    "word of a destination, to a default one": (undelivered(17), notification(17), f"has no delivery to the destination {destination(6)}"),
    "word of a destination, to another one": (undelivered(18), notification(17), f"has no delivery to the destination {destination(7)}"),
    "word of a destination, to itself": (a_delivery(20, 3, 17, 8, 2, 1), notification(17), f"{destination(8)}, where it should not go"),
    "a trigger that its alert wants sent nowhere": (
        a_delivery(20, 3, 13, 6, 2, 1), notification(13), f"{destination(6)}, where it should not go"),
    "a trigger to a destination that its alert does not name": (
        a_delivery(20, 3, 12, 6, 2, 1), notification(12), f"{destination(6)}, where it should not go"),
    "a trigger to a destination that is no default one": (
        a_delivery(20, 3, 16, 7, 2, 1), notification(16), f"{destination(7)}, where it should not go"),
    "a rerouted trigger, though its destination exists": (
        setting("notifications", "rerouted = true", notification(12)), notification(12), f"is rerouted, and its alert {alert(12)}"),
    "a rerouted trigger of an alert that names none": (
        setting("notifications", "rerouted = true", notification(16)), notification(16), f"is rerouted, and its alert {alert(16)}"),
    "a trigger that was not rerouted": (
        setting("notifications", "rerouted = false", notification(14)), notification(14), "is not rerouted"),
    "a trigger that is not critical": (
        setting("notifications", "critical = false", notification(11)), notification(11), f"is critical or not, unlike its alert {alert(11)}"),
    "two deliveries of one notification": (
        "DROP INDEX stockalert_notifier.deliveries_notification; " + a_delivery(20, 1, 2, 1, 2, 1), notification(2), "has 2 deliveries"),
    "a delivery of a throttled trigger": (a_delivery(20, 1, 3, 1, 2, 1), notification(3), "is throttled"),
    "a delivery to another user's destination": (a_delivery(20, 2, 5, 1, 2, 1), delivery(20), "of another user"),
    "a delivery of another user's notification": (a_delivery(20, 1, 5, 1, 2, 1), delivery(20), "of another user"),
    "a notification that is no notification": (setting("deliveries", "kind = 3", delivery(1)), delivery(1), "fits what it delivers not"),
    "a delivery to nobody": (removing("destinations", destination(3)), delivery(3), "which does not exist"),
    "a queued delivery without a time": (setting("deliveries", "next_attempt_time_us = NULL", delivery(2)), delivery(2), "another one"),
    "a delivery that has ended and is due": (setting("deliveries", "next_attempt_time_us = 1", delivery(1)), delivery(1), "another one"),
    "a delivery without an end": (setting("deliveries", "end_time_us = NULL", delivery(1)), delivery(1), "another one"),
    "an attempt that is overdue": (
        setting("deliveries", f"next_attempt_time_us = {NOW_US - 301 * S}", delivery(2)), delivery(2), "attempted 301 s ago"),
    "a failing destination that is overdue": (
        setting("deliveries", f"next_attempt_time_us = {NOW_US - 3700 * S}", delivery(4)), delivery(4), "attempted 3700 s ago"),
    "a delivery that waits for longer than the pause between two": (
        setting("delivery_lanes", f"hold_until_us = {NOW_US - 302 * S}", destination(7), "destination_id"), delivery(11), "attempted 302 s ago"),
    "a mail that waits for longer than the mail server was away": (
        setting("delivery_lanes", f"hold_until_us = {NOW_US - 303 * S}", destination(8), "destination_id"), delivery(12), "attempted 303 s ago"),
    "a postponed mail that counts an attempt": (
        setting("deliveries", "attempt_count = 1, schedule_count = 1", delivery(12)), delivery(12), "with gaps"),
    "a queued delivery of a deleted destination": (
        setting("deliveries", "state = 1, end_time_us = NULL, next_attempt_time_us = 5", delivery(3)), delivery(3), "should have been cancelled"),
    "a queued delivery of a disabled destination": (
        setting("destinations", f"state = 3, disable_reason = 2, disable_time_us = {NOW_US - 500 * S}", destination(1)), delivery(2),
        "cancelled 500 s ago"),
    "a delivery that nobody cancelled": (setting("deliveries", "state = 4, last_error = 'status 500'", delivery(1)), delivery(1),
                                         "nothing was that cancels"),
    "a delivery cancelled with a destination that is there": (
        setting("deliveries", f"state = 4, last_error = '{delivery_audit.CANCEL_REASONS[1]}'", delivery(1)), delivery(1),
        "nothing was that cancels"),
    "a notification cancelled as a verification": (
        setting("deliveries", f"state = 4, last_error = '{delivery_audit.CANCEL_REASONS[2]}'", delivery(1)), delivery(1),
        "nothing was that cancels"),
    "a destination without a lane": (removing("delivery_lanes", destination(2), "destination_id"), destination(2), "has no lane"),
    "a lane without a destination": (a_lane(99, 1), destination(99), "is the lane of no destination"),
    "a lane that sleeps past its delivery": (
        setting("delivery_lanes", f"due_us = {NEVER}", destination(1), "destination_id"), destination(1), "after its first delivery"),
    "a lane that nobody leases": (
        setting("delivery_lanes", f"due_us = {NOW_US - 400 * S}", destination(1), "destination_id"), destination(1), "nobody leases it"),
    "a lane that is due for nothing": (
        setting("delivery_lanes", f"due_us = {NOW_US}", destination(2), "destination_id"), destination(2), "no delivery for it"),
    "a gap in the attempts": (
        f"DELETE FROM stockalert_notifier.delivery_attempts WHERE delivery_id = '{delivery(1)}' AND number = 2", delivery(1), "with gaps"),
    "the last attempt is missing": (
        f"DELETE FROM stockalert_notifier.delivery_attempts WHERE delivery_id = '{delivery(1)}' AND number = 3", delivery(1), "with gaps"),
    "attempts of no delivery": (removing("deliveries", delivery(8)), delivery(8), "has attempts, 11 of them"),
    "a schedule beyond the attempts": (setting("deliveries", "schedule_count = 4", delivery(1)), delivery(1), "4 of 3"),
    "a success without an attempt": (
        setting("deliveries", "attempt_count = 0, schedule_count = 0", delivery(1)) + "; " +
        removing("delivery_attempts", delivery(1), "delivery_id"), delivery(1), "without an attempt"),
    "a success that was answered with an error": (
        f"UPDATE stockalert_notifier.delivery_attempts SET http_status = 500 WHERE delivery_id = '{delivery(1)}'", delivery(1),
        "was answered with 500"),
    "a success of a chat that was answered with an error": (
        f"UPDATE stockalert_notifier.delivery_attempts SET http_status = 500 WHERE delivery_id = '{delivery(18)}'", delivery(18),
        "was answered with 500"),
}


class DeliveryAudit(unittest.TestCase):
    def test_a_sound_world_has_no_problems(self) -> None:
        self.assertEqual(find(""), [])

    def test_each_broken_state_is_found_and_each_rule_finds_one(self) -> None:
        forms = [text for text, _ in delivery_audit.rules(NOW_US, 300 * S)]
        for name, (plant, wanted_id, wanted) in BROKEN.items():
            with self.subTest(name):
                found = [text for row, text in find(plant) if row == wanted_id and wanted in text]
                self.assertTrue(found, f"found {find(plant)}")
                forms = [form for form in forms if not re.fullmatch(re.escape(form).replace(r"\{\}", ".*"), found[0])]
        self.assertEqual(forms, [], "rules that nothing here breaks")

    def test_what_is_not_certain_is_not_judged(self) -> None:
        late = f"update_time_us = {NOW_US - 900 * S}, verify_time_us = {NOW_US - 900 * S}"
        # Notification 4 was stored before the destination became active again; and one just afterwards, whose notifier did not know yet.
        plant = (removing("deliveries", delivery(2)) + "; " + removing("delivery_attempts", delivery(2), "delivery_id") + "; " +
                 setting("delivery_lanes", f"due_us = {NEVER}", destination(1), "destination_id") + "; " +
                 setting("destinations", late, destination(1)) + "; " + an_alert(20, 1) + a_notification(20, 1, 5, 850))
        self.assertEqual(find(plant), [])
        self.assertIn(notification(20), [row for row, _ in find(plant + "; " + setting("notifications", f"create_time_us = {NOW_US - 800 * S}",
                                                                                     notification(20)))])

    def test_what_alerts_said_when_they_triggered_counts(self) -> None:
        """Who changes an alert afterwards raises its revision; an alert that is deleted says nothing any more, and later is gone."""
        for name, plant in {
            "now names others": changing_alert(12, f"destination_ids = '{{{destination(7)}}}', revision = 4"),
            "now goes nowhere": changing_alert(16, "delivery = 3, revision = 4"),
            "now goes to the defaults": changing_alert(13, "delivery = 1, revision = 4"),
            "now names one that exists": changing_alert(14, f"destination_ids = '{{{destination(8)}}}', revision = 4"),
            "is not critical any more": changing_alert(11, "critical = false, revision = 4"),
            "is deleted": changing_alert(11, "delivery = 1, destination_ids = '{}', critical = false, deleted = true, revision = 4"),
            "is gone": f"DELETE FROM stockalert_alert.alerts WHERE id = '{alert(12)}'",
        }.items():
            with self.subTest(name):
                self.assertEqual(find(plant), [])
                self.assertNotEqual(find(plant.replace("revision = 4", "revision = 3")) if "revision" in plant else [""], [])

    def test_named_destinations_that_are_not_active_get_nothing(self) -> None:
        disabled = f"state = 3, disable_reason = 1, disable_time_us = {NOW_US - 4000 * S}, update_time_us = {NOW_US - 4000 * S}"
        cancelled = f"state = 4, next_attempt_time_us = NULL, end_time_us = 1, last_error = '{delivery_audit.CANCEL_REASONS[1]}'"
        plant = "; ".join([setting("destinations", disabled, destination(8)), setting("deliveries", cancelled, destination(8), "destination_id"),
                           setting("delivery_lanes", f"due_us = {NEVER}", destination(8), "destination_id"), undelivered(13)])
        self.assertEqual(find(plant), [])

    def test_who_need_not_be_told_of_a_split(self) -> None:
        for name, plant in SOUND.items():
            with self.subTest(name):
                self.assertEqual(find(plant), [])

    def test_a_code_that_was_entered_cancels_the_mail_with_it(self) -> None:
        verified = f"verify_time_us = {NOW_US - 100 * S}, update_time_us = {NOW_US - 100 * S}"
        verification = a_delivery(20, 3, None, 8, 4, 0, kind=2, end_time_us=NOW_US - 100 * S, last_error=delivery_audit.CANCEL_REASONS[2])
        self.assertEqual(find(setting("destinations", verified, destination(8)) + "; " + verification), [])


def main() -> int:
    if not URL:
        print("SKIPPED: STOCKALERT_TEST_POSTGRES is not set (scripts/lib/with_testbed.py sets it)", file=sys.stderr)
        return 77
    stack.psql(URL, f"CREATE DATABASE {NAME}")
    try:
        for service in ("alert", "notifier"):
            for path in sorted((ROOT / "services" / service / "schema").glob("*.sql")):
                stack.psql(database(), path.read_text())
        stack.psql(database(), EMPTY_TEXTS)
        stack.psql(database(), WORLD)
        return 0 if unittest.main(exit=False, argv=[sys.argv[0]]).result.wasSuccessful() else 1
    except subprocess.SubprocessError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        stack.psql(URL, f"DROP DATABASE {NAME} WITH (FORCE)")


if __name__ == "__main__":
    sys.exit(main())
