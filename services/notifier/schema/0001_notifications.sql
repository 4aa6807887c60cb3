-- What the notifier owns. Times are microseconds since 1970 UTC, prices counts of 1e-6 of the currency unit.
CREATE SCHEMA IF NOT EXISTS stockalert_notifier;

-- A user as far as this service cares. The row's lock is what makes the sequence of a user's notifications gapless and puts their
-- commits in its order: whoever reads up to a sequence will never find one below it later. A deleted user stays known, so that
-- triggers that come afterwards are dropped.
CREATE TABLE stockalert_notifier.recipients (
  user_id uuid PRIMARY KEY,
  last_sequence bigint NOT NULL DEFAULT 0,
  delete_time_us bigint               -- Null while the user is there.
) WITH (fillfactor = 50);

CREATE TABLE stockalert_notifier.notifications (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  sequence bigint NOT NULL CHECK (sequence >= 1),
  alert_id uuid NOT NULL,
  trigger_number bigint NOT NULL CHECK (trigger_number >= 1),
  symbol text COLLATE "C" NOT NULL,
  price_micros bigint NOT NULL,
  event_time_us bigint NOT NULL,
  price_before_micros bigint,
  reference_micros bigint,
  late boolean NOT NULL,
  summary text NOT NULL,
  note text NOT NULL,
  traceparent text NOT NULL,          -- The trace of the quote that triggered; may be empty.
  create_time_us bigint NOT NULL,
  acknowledge_time_us bigint
) WITH (fillfactor = 90);

-- One trigger makes one notification, ever.
CREATE UNIQUE INDEX notifications_trigger ON stockalert_notifier.notifications (alert_id, trigger_number);
CREATE UNIQUE INDEX notifications_sequence ON stockalert_notifier.notifications (user_id, sequence);
CREATE INDEX notifications_symbol ON stockalert_notifier.notifications (user_id, symbol, sequence);
CREATE INDEX notifications_unacknowledged ON stockalert_notifier.notifications (user_id, sequence) WHERE acknowledge_time_us IS NULL;
