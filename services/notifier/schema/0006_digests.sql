-- How a user's notifications are written, and when they are quiet. No row: as at first.
CREATE TABLE stockalert_notifier.notification_settings (
  user_id uuid CONSTRAINT notification_settings_pkey PRIMARY KEY,
  time_zone text NOT NULL,                            -- A name of the IANA database.
  price_decimals smallint,                            -- Of prices in texts. Null: all that a price has.
  quiet_hours text NOT NULL,                          -- JSON, as settings/notification_settings.h says.
  version bigint NOT NULL                             -- Rises with each change.
);

ALTER TABLE stockalert_notifier.destinations
  ADD COLUMN per_minute_max integer NOT NULL DEFAULT 60;  -- Notifications of triggers that are sent one by one within a minute.
-- What the kinds can take: 1 WEBHOOK and 9 HTTP, whose programs want each by itself, 2 EMAIL, 6 NTFY.
UPDATE stockalert_notifier.destinations
  SET per_minute_max = CASE kind WHEN 2 THEN 20 WHEN 6 THEN 12 ELSE 60000 END WHERE kind IN (1, 2, 6, 9);

-- What is held for a destination (state 5 HELD) comes when its lane's digest is due, as one notification of the kind 4 DIGEST; then it is
-- 6 DIGESTED. All that is held for one destination waits for the same time, so that it stands in one place.
ALTER TABLE stockalert_notifier.delivery_lanes
  ADD COLUMN digest_due_us bigint,                    -- When what is held comes. Null: nothing is held.
  ADD COLUMN minute_time_us bigint NOT NULL DEFAULT 0,    -- Start of the minute in which minute_count counts what was queued.
  ADD COLUMN minute_count integer NOT NULL DEFAULT 0;
CREATE INDEX delivery_lanes_digest_due ON stockalert_notifier.delivery_lanes (digest_due_us) WHERE digest_due_us IS NOT NULL;

ALTER TABLE stockalert_notifier.deliveries
  ADD COLUMN hold_reason smallint NOT NULL DEFAULT 0,     -- 1 QUIET_HOURS, 2 RATE: why it is held, or was before it was digested.
  ADD COLUMN digest_id uuid;                          -- The notification of the kind DIGEST that covers it.
CREATE INDEX deliveries_held ON stockalert_notifier.deliveries (destination_id, number) WHERE state = 5;
CREATE INDEX deliveries_digest ON stockalert_notifier.deliveries (digest_id) WHERE digest_id IS NOT NULL;
