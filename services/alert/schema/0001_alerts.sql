-- What the alert service owns. Times are microseconds since 1970 UTC, prices counts of 1e-6 of the currency unit.
CREATE SCHEMA IF NOT EXISTS stockalert_alert;

-- A user as far as this service cares: how many alerts count against the quota, and whether the user is gone for ever. The row is the
-- lock that makes the quota exact and closes the race between CreateAlert and DeleteUser.
CREATE TABLE stockalert_alert.owners (
  user_id uuid PRIMARY KEY,
  alert_count bigint NOT NULL CHECK (alert_count >= 0),
  deleted boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- A deleted alert stays as a tombstone, without its note, until the evaluator has confirmed the deletion and some days have passed:
-- what triggers until then is recorded and not passed on.
CREATE TABLE stockalert_alert.alerts (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  definition jsonb NOT NULL,         -- stockalert.internal.v1.AlertDefinition: micros and 1e-4 of a percent, as whole numbers.
  expire_time_us bigint,             -- Of the definition.
  reference smallint NOT NULL,       -- What WAITING is about: 0 nothing, 1 the previous close, 2 the day open.
  note text NOT NULL,
  revision bigint NOT NULL CHECK (revision >= 1),
  armed_revision bigint NOT NULL CHECK (armed_revision BETWEEN 1 AND revision),
  applied_revision bigint NOT NULL DEFAULT 0 CHECK (applied_revision BETWEEN 0 AND revision),
  paused boolean NOT NULL DEFAULT false,
  triggered boolean NOT NULL DEFAULT false,
  deleted boolean NOT NULL DEFAULT false,
  trigger_count bigint NOT NULL DEFAULT 0,
  last_trigger_number bigint NOT NULL DEFAULT 0,
  create_time_us bigint NOT NULL,
  update_time_us bigint NOT NULL,
  request_id text,                   -- CreateAlert's, unique a user.
  request_fingerprint text           -- SHA-256 of what was asked with it.
) WITH (fillfactor = 80);

CREATE INDEX alerts_by_user ON stockalert_alert.alerts (user_id, create_time_us DESC, id DESC) WHERE NOT deleted;
CREATE INDEX alerts_by_symbol ON stockalert_alert.alerts (symbol, create_time_us DESC, id DESC) WHERE NOT deleted;
CREATE INDEX alerts_by_time ON stockalert_alert.alerts (create_time_us DESC, id DESC) WHERE NOT deleted;
CREATE INDEX alerts_deleted ON stockalert_alert.alerts (update_time_us) WHERE deleted;
CREATE UNIQUE INDEX alerts_request ON stockalert_alert.alerts (user_id, request_id) WHERE request_id IS NOT NULL;

-- A row for each alert whose latest revision the evaluator has not confirmed: its state is published again until it has.
CREATE TABLE stockalert_alert.alert_outbox (
  alert_id uuid PRIMARY KEY,
  revision bigint NOT NULL,
  open_time_us bigint NOT NULL,      -- Since when this revision is open.
  next_attempt_us bigint NOT NULL,   -- When the sweeper publishes it (again).
  attempts integer NOT NULL
);
CREATE INDEX alert_outbox_due ON stockalert_alert.alert_outbox (next_attempt_us);

-- The history. (alert_id, number) is a trigger's identity for ever.
CREATE TABLE stockalert_alert.triggers (
  alert_id uuid NOT NULL,
  number bigint NOT NULL,
  user_id uuid NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  revision bigint NOT NULL,
  price_micros bigint NOT NULL,
  event_time_us bigint NOT NULL,
  price_before_micros bigint,
  reference_micros bigint,
  late boolean NOT NULL,
  ends_alert boolean NOT NULL,
  log_partition integer NOT NULL,
  log_offset bigint NOT NULL,
  withheld smallint NOT NULL,        -- Why it was not passed on to the user: 0 it was, 1 the alert was paused, 2 deleted.
  create_time_us bigint NOT NULL,
  PRIMARY KEY (alert_id, number)
);
CREATE INDEX triggers_by_user ON stockalert_alert.triggers (user_id, create_time_us DESC, alert_id DESC, number DESC);

-- Triggers that the topic `triggers` does not have for certain yet.
CREATE TABLE stockalert_alert.trigger_outbox (
  alert_id uuid NOT NULL,
  number bigint NOT NULL,
  user_id uuid NOT NULL,             -- The record's key.
  message bytea NOT NULL,            -- stockalert.internal.v1.TriggerMessage.
  traceparent text NOT NULL,
  claimed_until_us bigint NOT NULL,  -- Until then it is the business of the instance that wrote or claimed it.
  PRIMARY KEY (alert_id, number)
);
CREATE INDEX trigger_outbox_due ON stockalert_alert.trigger_outbox (claimed_until_us);

-- Which reference prices of a symbol's present date the evaluator knows; the newest place in the log wins.
CREATE TABLE stockalert_alert.symbol_status (
  symbol text COLLATE "C" PRIMARY KEY,
  previous_close_known boolean NOT NULL,
  day_open_known boolean NOT NULL,
  last_event_time_us bigint NOT NULL,  -- 0: none since a restart.
  log_partition integer NOT NULL,
  log_offset bigint NOT NULL
) WITH (fillfactor = 80);
