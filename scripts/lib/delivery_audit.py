"""What scripts/audit knows of deliveries: rules that hold whatever the notifiers' code is, each a query for what breaks it.

All are one statement, so that they see one state of the database. Only what is certain counts: since when a destination has been
active and a default one is known from its last change alone, so notifications of before that are not judged, nor are those that
deploy/retention.sql may have taken the deliveries of. What an alert said of its destinations when it triggered is known if it still has the
revision that triggered: each change of them raises it.

What is late by design is not overdue: a lane is held while its service asks for quiet, for the pause between two messages of a kind (which
each attempt renews), and while the mail server cannot be used, which counts as no attempt.
"""

import urllib.parse
from collections.abc import Callable

import stack

# A notifier reads its clock before it has the locks: an outcome counts for what is stored this long afterwards. With a delivery that
# shows the destination to be active already, the shorter one is enough.
ACTIVE_GRACE_S = 60
CHANGE_GRACE_S = 5
# deploy/retention.sql keeps everything for this long.
KEPT_DAYS_MIN = 14
# A lane whose last attempt failed shares a part of the attempts, and may wait longer.
FAILING_FACTOR = 12
ATTEMPTS_KEPT = 50
# Every rule reads whole tables. Where statistics are older than most rows, Postgres would join them by nested loops, which are meant for a
# few: over a million deliveries that takes hours.
SETTINGS = "-c enable_nestloop=off -c jit=off -c work_mem=64MB"
SHOWN_MAX = 1000
NEVER = 9223372036854775807

CANCEL_REASONS = ("cancelled", "cancelled, because the destination was deleted or disabled",
                  "cancelled, because another verification was requested")

# The deliveries that a destination's state lets out: an unverified one gets verifications alone.
ELIGIBLE = "v.state = 1 AND (v.kind = 2 OR d.state = 2) AND d.state <> 3 AND d.delete_time_us IS NULL"

Rule = tuple[str, str]


def routing_rules(kept_since_us: int) -> list[Rule]:
    """Do notifications go where they should? `route`: 1 to the defaults, 2 to the alert's own, 3 nowhere, 4 to all but the one that it is of,
    5 to that one alone (these are stockalert_alert.alerts' numbers, and one more); null: not known."""
    n = "stockalert_notifier"
    routed = f"""routed AS (SELECT m.id, m.user_id, m.sequence, m.create_time_us, m.rerouted, m.critical, m.destination_id AS about,
        a.id AS alert_id, a.delivery, a.destination_ids, a.critical AS alert_critical,
        CASE WHEN m.kind = 3 THEN 4 WHEN m.kind = 4 THEN 5 WHEN m.kind IN (2, 5) OR m.rerouted THEN 1 ELSE a.delivery END AS route
      FROM {n}.notifications m
      LEFT JOIN stockalert_alert.triggers t ON m.kind = 1 AND t.alert_id = m.alert_id AND t.number = m.trigger_number
      LEFT JOIN stockalert_alert.alerts a ON a.id = t.alert_id AND a.revision = t.revision
      WHERE NOT m.throttled AND m.create_time_us > {kept_since_us})"""
    grace_us = ACTIVE_GRACE_S * 1_000_000
    named = f"SELECT FROM {n}.destinations d WHERE d.id = ANY(r.destination_ids) AND"
    return [
        ("has no delivery to the destination {}, which was active and should have got one",
         f"""WITH {routed}, active AS (SELECT id, user_id, is_default,
               GREATEST(COALESCE(verify_time_us, create_time_us), update_time_us) AS since_us
               FROM {n}.destinations WHERE state = 2 AND delete_time_us IS NULL),
             shown AS (SELECT a.id, r.route, min(r.sequence) AS sequence FROM active a JOIN {n}.deliveries v ON v.destination_id = a.id
               JOIN routed r ON r.id = v.notification_id WHERE r.create_time_us > a.since_us + {CHANGE_GRACE_S * 1_000_000}
               GROUP BY a.id, r.route)
             SELECT r.id, a.id FROM active a JOIN routed r ON r.user_id = a.user_id LEFT JOIN shown s ON s.id = a.id AND s.route = r.route
             WHERE CASE r.route WHEN 1 THEN a.is_default WHEN 2 THEN a.id = ANY(r.destination_ids) WHEN 4 THEN a.id <> r.about
               WHEN 5 THEN a.id = r.about ELSE false END
               AND (r.create_time_us > a.since_us + {grace_us} OR r.sequence > s.sequence)
               AND NOT EXISTS (SELECT FROM {n}.deliveries v WHERE v.notification_id = r.id AND v.destination_id = a.id)"""),
        ("has a delivery to the destination {}, where it should not go",
         f"""WITH {routed} SELECT r.id, d.id FROM routed r JOIN {n}.deliveries v ON v.notification_id = r.id
             JOIN {n}.destinations d ON d.id = v.destination_id
             WHERE CASE r.route WHEN 1 THEN NOT d.is_default AND d.update_time_us < r.create_time_us - {grace_us}
               WHEN 2 THEN d.id <> ALL(r.destination_ids) WHEN 3 THEN true WHEN 4 THEN d.id = r.about WHEN 5 THEN d.id <> r.about
               ELSE false END"""),
        ("is rerouted, and its alert {} names a destination that existed, or none",
         f"""WITH {routed} SELECT r.id, r.alert_id FROM routed r WHERE r.rerouted AND (r.delivery <> 2
             OR EXISTS ({named} d.create_time_us < r.create_time_us - {grace_us}
               AND COALESCE(d.delete_time_us, {NEVER}) > r.create_time_us + {grace_us}))"""),
        ("is not rerouted, and no destination that its alert {} names existed",
         f"""WITH {routed} SELECT r.id, r.alert_id FROM routed r WHERE r.route = 2
             AND NOT EXISTS ({named} COALESCE(d.delete_time_us, {NEVER}) > r.create_time_us - {grace_us})"""),
        ("is critical, and tells of a split: {}", f"SELECT id, key FROM {n}.notifications WHERE kind = 5 AND critical"),
        ("is critical or not, unlike its alert {}",
         f"WITH {routed} SELECT id, alert_id FROM routed WHERE critical <> alert_critical"),
    ]


def digest_rules(now_us: int, overdue_us: int, kept_since_us: int) -> list[Rule]:
    """What is held comes in time, and each digest is for what it says."""
    n = "stockalert_notifier"
    return [
        ("is held, and no digest of its destination {} is due",
         f"""SELECT v.id, v.destination_id FROM {n}.deliveries v JOIN {n}.delivery_lanes l ON l.destination_id = v.destination_id
             WHERE v.state = 5 AND l.digest_due_us IS NULL"""),
        ("has a digest that has been due for {} s",
         f"""SELECT l.destination_id, ({now_us} - l.digest_due_us) / 1000000 FROM {n}.delivery_lanes l
             WHERE l.digest_due_us > 0 AND l.digest_due_us < {now_us - overdue_us}"""),
        ("has a digest that is due at {}, and nothing is held for it",
         f"""SELECT l.destination_id, l.digest_due_us FROM {n}.delivery_lanes l WHERE l.digest_due_us IS NOT NULL
             AND NOT EXISTS (SELECT FROM {n}.deliveries v WHERE v.destination_id = l.destination_id AND v.state = 5)"""),
        ("is held or digested for the reason {}",
         f"SELECT id, hold_reason FROM {n}.deliveries WHERE state IN (5, 6) AND hold_reason NOT IN (1, 2)"),
        ("is digested by {}, which is no digest for its destination",
         f"""SELECT v.id, v.digest_id FROM {n}.deliveries v WHERE (v.state = 6 OR v.digest_id IS NOT NULL)
             AND NOT EXISTS (SELECT FROM {n}.notifications m WHERE m.id = v.digest_id AND m.kind = 4 AND m.user_id = v.user_id
               AND m.destination_id = v.destination_id)"""),
        ("is a digest of another number than its deliveries: {}",
         f"""SELECT m.id, format('%s, and %s were digested', m.folded_count, count(v.id)) FROM {n}.notifications m
             LEFT JOIN {n}.deliveries v ON v.digest_id = m.id WHERE m.kind = 4 AND m.create_time_us > {kept_since_us}
             GROUP BY m.id, m.folded_count HAVING count(v.id) <> m.folded_count"""),
        ("is a digest with {} deliveries of its own",
         f"""SELECT m.id, count(v.id) FROM {n}.notifications m LEFT JOIN {n}.deliveries v ON v.notification_id = m.id
             WHERE m.kind = 4 AND m.create_time_us > {kept_since_us} GROUP BY m.id HAVING count(v.id) <> 1"""),
    ]


def split_rules(now_us: int, overdue_us: int) -> list[Rule]:
    """Each user whose alerts a split has scaled is told once. An alert that nobody has written since the split (its splits_applied is below) was
    there then as it is now; users of others may have been told or not: their alerts may have ended before or after."""
    n, a = "stockalert_notifier", "stockalert_alert"
    return [
        ("was not told of the split {}",
         f"""SELECT DISTINCT l.user_id, s.symbol || '/' || s.number FROM {a}.splits s JOIN {a}.alerts l ON l.symbol = s.symbol
             JOIN {a}.owners o ON o.user_id = l.user_id AND NOT o.deleted
             WHERE l.splits_applied < s.number AND NOT l.deleted AND NOT l.triggered
               AND COALESCE(l.expire_time_us, {NEVER}) > s.create_time_us
               AND NOT EXISTS (SELECT FROM {n}.notifications m WHERE m.user_id = l.user_id AND m.kind = 5
                 AND m.key = s.symbol || '/' || s.number)
               AND NOT EXISTS (SELECT FROM {a}.split_tellings t WHERE t.symbol = s.symbol AND t.number = s.number
                 AND t.create_time_us > {now_us - overdue_us})"""),
        ("was told {} times of one split",
         f"SELECT user_id, count(*) FROM {n}.notifications WHERE kind = 5 GROUP BY user_id, key HAVING count(*) > 1"),
        ("tells of the split {}, which is none",
         f"""SELECT m.id, m.key FROM {n}.notifications m WHERE m.kind = 5 AND NOT EXISTS (SELECT FROM {a}.splits s
             WHERE m.symbol = s.symbol AND m.key = s.symbol || '/' || s.number
               AND m.split[1:3] = ARRAY[s.number, s.numerator, s.denominator])"""),
    ]


def rules(now_us: int, overdue_us: int) -> list[Rule]:
    """(What is wrong, a query of the ids and details of what has it so.)"""
    n = "stockalert_notifier"
    kept_since_us = now_us - (KEPT_DAYS_MIN - 1) * 86_400_000_000
    return routing_rules(kept_since_us) + digest_rules(now_us, overdue_us, kept_since_us) + split_rules(now_us, overdue_us) + [
        ("has {} deliveries to one destination",
         f"""SELECT notification_id, count(*) FROM {n}.deliveries WHERE notification_id IS NOT NULL
             GROUP BY notification_id, destination_id HAVING count(*) > 1"""),
        ("is throttled, and has the delivery {} all the same",
         f"SELECT m.id, v.id FROM {n}.notifications m JOIN {n}.deliveries v ON v.notification_id = m.id WHERE m.throttled"),
        ("delivers a notification of another user than its destination's, {}",
         f"""SELECT v.id, d.user_id FROM {n}.deliveries v JOIN {n}.destinations d ON d.id = v.destination_id
             LEFT JOIN {n}.notifications m ON m.id = v.notification_id
             WHERE v.user_id <> d.user_id OR m.user_id <> d.user_id"""),
        ("is of kind {}, which fits what it delivers not",
         f"SELECT id, kind FROM {n}.deliveries WHERE (kind = 1) <> (notification_id IS NOT NULL) OR kind NOT IN (1, 2, 3)"),
        ("belongs to the destination {}, which does not exist",
         f"""SELECT v.id, v.destination_id FROM {n}.deliveries v
             WHERE NOT EXISTS (SELECT FROM {n}.destinations d WHERE d.id = v.destination_id)"""),
        ("is in state {}, and its times are those of another one",
         f"""SELECT id, state FROM {n}.deliveries WHERE state NOT IN (1, 2, 3, 4, 5, 6)
             OR (state = 1) <> (next_attempt_time_us IS NOT NULL) OR (state IN (1, 5)) <> (end_time_us IS NULL)"""),
        ("should have been attempted {} s ago",
         f"""SELECT v.id, ({now_us} - GREATEST(v.next_attempt_time_us, l.hold_until_us)) / 1000000
             FROM {n}.deliveries v JOIN {n}.destinations d ON d.id = v.destination_id
             JOIN {n}.delivery_lanes l ON l.destination_id = v.destination_id
             WHERE {ELIGIBLE} AND GREATEST(v.next_attempt_time_us, l.hold_until_us)
               < {now_us} - CASE WHEN l.failing THEN {FAILING_FACTOR * overdue_us} ELSE {overdue_us} END"""),
        ("should have been cancelled {} s ago with its destination",
         f"""SELECT v.id, ({now_us} - COALESCE(d.delete_time_us, d.disable_time_us)) / 1000000
             FROM {n}.deliveries v JOIN {n}.destinations d ON d.id = v.destination_id
             WHERE v.state IN (1, 5) AND (d.delete_time_us IS NOT NULL OR d.state = 3)
               AND COALESCE(d.delete_time_us, d.disable_time_us, 0) < {now_us - overdue_us}"""),
        ("is cancelled, and nothing was that cancels: {}",
         f"""SELECT v.id, v.last_error FROM {n}.deliveries v LEFT JOIN {n}.destinations d ON d.id = v.destination_id
             WHERE v.state = 4 AND (v.last_error NOT IN ({", ".join(f"'{reason}'" for reason in CANCEL_REASONS)})
               OR (v.last_error = '{CANCEL_REASONS[2]}' AND v.kind <> 2)
               OR (v.last_error = '{CANCEL_REASONS[1]}' AND d.delete_time_us IS NULL AND d.disable_time_us IS NULL
                   AND GREATEST(d.update_time_us, d.verify_ask_time_us) < v.end_time_us - {overdue_us}))"""),
        ("has no lane",
         f"""SELECT d.id, '' FROM {n}.destinations d
             WHERE NOT EXISTS (SELECT FROM {n}.delivery_lanes l WHERE l.destination_id = d.id)"""),
        ("is the lane of no destination, and of {} deliveries",
         f"""SELECT l.destination_id, (SELECT count(*) FROM {n}.deliveries v WHERE v.destination_id = l.destination_id)
             FROM {n}.delivery_lanes l WHERE NOT EXISTS (SELECT FROM {n}.destinations d WHERE d.id = l.destination_id)"""),
        ("has a lane that is due {} s after its first delivery",
         f"""SELECT q.destination_id, LEAST((q.due_us - q.first_us) / 1000000, 999999999) FROM (
               SELECT l.destination_id, l.due_us, GREATEST(min(v.next_attempt_time_us), l.hold_until_us) AS first_us
               FROM {n}.delivery_lanes l JOIN {n}.destinations d ON d.id = l.destination_id
               JOIN {n}.deliveries v ON v.destination_id = l.destination_id WHERE {ELIGIBLE}
               GROUP BY l.destination_id, l.due_us, l.hold_until_us) q WHERE q.due_us > q.first_us"""),
        ("has a lane that has been due for {} s, and nobody leases it",
         f"""SELECT destination_id, ({now_us} - GREATEST(due_us, lease_until_us)) / 1000000 FROM {n}.delivery_lanes
             WHERE GREATEST(due_us, lease_until_us) < {now_us} - CASE WHEN failing THEN {FAILING_FACTOR * overdue_us} ELSE {overdue_us} END"""),
        ("has a lane that is due, and no delivery for it",
         f"""SELECT l.destination_id, '' FROM {n}.delivery_lanes l JOIN {n}.destinations d ON d.id = l.destination_id
             WHERE l.due_us <> {NEVER} AND l.lease_until_us = 0 AND d.delete_time_us IS NULL AND d.state <> 3
               AND NOT EXISTS (SELECT FROM {n}.deliveries v WHERE v.destination_id = d.id AND {ELIGIBLE})"""),
        ("has attempts with gaps: {}",
         f"""SELECT v.id, format('%s made, the last %s kept, numbers %s to %s', v.attempt_count, count(a.number), min(a.number), max(a.number))
             FROM {n}.deliveries v LEFT JOIN {n}.delivery_attempts a ON a.delivery_id = v.id GROUP BY v.id, v.attempt_count
             HAVING count(a.number) <> LEAST(v.attempt_count, {ATTEMPTS_KEPT}) OR COALESCE(max(a.number), 0) <> v.attempt_count
               OR COALESCE(min(a.number), 1) <> GREATEST(v.attempt_count - {ATTEMPTS_KEPT - 1}, 1)"""),
        ("has attempts, {} of them, and does not exist",
         f"""SELECT a.delivery_id, count(*) FROM {n}.delivery_attempts a
             WHERE NOT EXISTS (SELECT FROM {n}.deliveries v WHERE v.id = a.delivery_id) GROUP BY a.delivery_id"""),
        ("has more attempts in its schedule than were made: {}",
         f"""SELECT id, format('%s of %s', schedule_count, attempt_count) FROM {n}.deliveries
             WHERE schedule_count > attempt_count OR (replay_count = 0 AND schedule_count <> attempt_count)"""),
        ("has ended without an attempt, in state {}",
         f"SELECT id, state FROM {n}.deliveries WHERE state IN (2, 3) AND attempt_count = 0"),
        ("has succeeded, and its last attempt was answered with {}",
         f"""SELECT v.id, a.http_status FROM {n}.deliveries v JOIN {n}.delivery_attempts a ON a.delivery_id = v.id
               AND a.number = v.attempt_count WHERE v.state = 2 AND (a.http_status < 200 OR a.http_status > 299)"""),
    ]


def find_problems(url: str, now_us: int, overdue_s: float, query: Callable[[str, str], list[list[str]]] = stack.psql) -> list[tuple[str, str]]:
    """(The id of what is wrong, and what is), by all rules on one state of the database."""
    wrong = rules(now_us, int(overdue_s * 1_000_000))
    sql = " UNION ALL ".join(f"(SELECT {place}, CAST(x.id AS text), CAST(x.detail AS text) FROM ({rule}) AS x(id, detail) LIMIT {SHOWN_MAX})"
                             for place, (_, rule) in enumerate(wrong))
    with_settings = url + ("&" if urllib.parse.urlsplit(url).query else "?") + urllib.parse.urlencode({"options": SETTINGS})
    return [(row[1], wrong[int(row[0])][0].format(row[2])) for row in query(with_settings, sql)]


def count(url: str) -> int:
    return int(stack.psql(url, "SELECT count(*) FROM stockalert_notifier.deliveries")[0][0])
