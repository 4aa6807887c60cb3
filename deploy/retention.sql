-- Forgets what is older than :kept_days days: triggers, notifications, deliveries and request ids; and the bars of minutes that are more than
-- :kept_bar_days days ago (30 where it is not given). To be run daily:
--
--   psql "$STOCKALERT_MAINTENANCE_POSTGRES_URL" -v kept_days=90 -v kept_bar_days=30 -f deploy/retention.sql
--
-- The services may be at work meanwhile. Who reads Kafka's records twice is known by these rows, so they must be kept for longer than
-- Kafka keeps its records (stockalert-migrate --retention_h). Outboxes, checkpoints and tombstones need nothing: the services see to them.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?kept_days}
\else
\set kept_days nothing
\endif
SELECT :'kept_days' ~ '^[0-9]{1,5}$' AS fit \gset
\if :fit
SELECT :kept_days >= 14 AS fit \gset
\endif
\if :fit
\else
\set VERBOSITY terse
DO $$ BEGIN
  RAISE 'retention: kept_days must be a whole number of days, at least 14 and longer than Kafka keeps its records, as in -v kept_days=90';
END $$;
\endif
\if :{?kept_bar_days}
\else
\set kept_bar_days 30
\endif
SELECT :'kept_bar_days' ~ '^[0-9]{1,5}$' AND :'kept_bar_days' !~ '^0+$' AS fit \gset
\if :fit
\else
\set VERBOSITY terse
DO $$ BEGIN
  RAISE 'retention: kept_bar_days must be a whole number of days, at least 1, as in -v kept_bar_days=30';
END $$;
\endif
SELECT CAST(extract(epoch FROM now() - make_interval(days => :kept_days)) * 1000000 AS bigint) AS before_us \gset
SELECT CAST(extract(epoch FROM now() - make_interval(days => :kept_bar_days)) * 1000000 AS bigint) AS bars_before_us \gset

-- The evaluator compares a replay with its triggers: what its older checkpoint has not passed stays. They bear no time of their own, only
-- that of their quotes, which a replay of prices sets years back: the alert service knows when it heard of them. What it has no alert for
-- any more, not even a tombstone, goes at once: the history that would tell the time went with the alert. None of these can be of an alert
-- that is yet to come: an alert is in the table before the evaluator hears of it, and its tombstone stays until the evaluator has confirmed
-- the deletion, which follows the last trigger.
BEGIN;
WITH passed AS (
  SELECT p.partition, p.log_generation, min(c.next_offset) AS next_offset
  FROM stockalert_evaluator.partitions p
  JOIN stockalert_evaluator.checkpoints c ON c.partition = p.partition AND c.log_generation = p.log_generation
  GROUP BY p.partition, p.log_generation
), done AS (
  SELECT a.alert_id, a.number FROM stockalert_alert.triggers a WHERE a.create_time_us < :before_us
  UNION ALL
  SELECT t.alert_id, t.trigger_number FROM stockalert_evaluator.triggers t
  WHERE NOT EXISTS (SELECT FROM stockalert_alert.alerts a WHERE a.id = t.alert_id)
), gone AS (
  DELETE FROM stockalert_evaluator.triggers t USING passed p, done d
  WHERE p.partition = t.partition
    AND (t.log_generation < p.log_generation OR (t.log_generation = p.log_generation AND t.record_offset < p.next_offset))
    AND d.alert_id = t.alert_id AND d.number = t.trigger_number
  RETURNING 1
)
SELECT 'evaluator triggers ' || count(*) FROM gone;

-- The history, as far as the evaluator has forgotten it: this table tells when.
WITH gone AS (
  DELETE FROM stockalert_alert.triggers a
  WHERE a.create_time_us < :before_us
    AND NOT EXISTS (SELECT FROM stockalert_alert.trigger_outbox o WHERE o.alert_id = a.alert_id AND o.number = a.number)
    AND NOT EXISTS (SELECT FROM stockalert_evaluator.triggers t WHERE t.alert_id = a.alert_id AND t.trigger_number = a.number)
  RETURNING 1
)
SELECT 'history ' || count(*) FROM gone;
COMMIT;

-- Deliveries that are still queued (a replay restarts the three days) or held are kept, and so are their notifications; those that a digest is
-- for are kept as long as it.
WITH gone AS (
  DELETE FROM stockalert_notifier.deliveries v WHERE v.state NOT IN (1, 5) AND v.create_time_us < :before_us
    AND NOT EXISTS (SELECT FROM stockalert_notifier.notifications n WHERE n.id = v.digest_id AND n.create_time_us >= :before_us)
  RETURNING v.id
), attempts AS (
  DELETE FROM stockalert_notifier.delivery_attempts a USING gone g WHERE a.delivery_id = g.id
)
SELECT 'deliveries ' || count(*) FROM gone;
WITH gone AS (
  DELETE FROM stockalert_notifier.notifications n
  WHERE n.create_time_us < :before_us
    AND NOT EXISTS (SELECT FROM stockalert_notifier.deliveries v WHERE v.notification_id = n.id AND v.state IN (1, 5))
  RETURNING 1
)
SELECT 'notifications ' || count(*) FROM gone;
-- Deleted destinations that have no deliveries left.
WITH gone AS (
  DELETE FROM stockalert_notifier.destinations d
  WHERE d.delete_time_us < :before_us
    AND NOT EXISTS (SELECT FROM stockalert_notifier.deliveries v WHERE v.destination_id = d.id)
  RETURNING id
), lanes AS (
  DELETE FROM stockalert_notifier.delivery_lanes l USING gone g WHERE l.destination_id = g.id
)
SELECT 'destinations ' || count(*) FROM gone;

-- By the time of their prices: those of a replay of old prices go at once.
WITH gone AS (
  DELETE FROM stockalert_ticker.bars WHERE start_us < :bars_before_us RETURNING 1
)
SELECT 'bars ' || count(*) FROM gone;

-- A request that is sent again later than this makes a second alert, user or key.
WITH gone AS (
  UPDATE stockalert_alert.alerts SET request_id = NULL, request_fingerprint = NULL
  WHERE request_id IS NOT NULL AND create_time_us < :before_us RETURNING 1
)
SELECT 'request ids of alerts ' || count(*) FROM gone;
WITH gone AS (
  DELETE FROM stockalert_user.requests r USING stockalert_user.api_keys k
  WHERE k.id = r.api_key_id AND k.create_time_us < :before_us RETURNING 1
)
SELECT 'request ids of users and keys ' || count(*) FROM gone;
