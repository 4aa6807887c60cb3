-- Forgets what is older than :kept_days days: triggers, notifications and request ids. To be run daily:
--
--   psql "$STOCKALERT_MAINTENANCE_POSTGRES_URL" -v kept_days=90 -f deploy/retention.sql
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
SELECT CAST(extract(epoch FROM now() - make_interval(days => :kept_days)) * 1000000 AS bigint) AS before_us \gset

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

WITH gone AS (
  DELETE FROM stockalert_notifier.notifications WHERE create_time_us < :before_us RETURNING 1
)
SELECT 'notifications ' || count(*) FROM gone;

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
