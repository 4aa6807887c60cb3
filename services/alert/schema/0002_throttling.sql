-- Triggers beyond what a user is told of one by one in a minute are marked, and passed on after the others. A service of the version
-- before, at work beside, marks none.
ALTER TABLE stockalert_alert.triggers ADD COLUMN throttled boolean NOT NULL DEFAULT false;
ALTER TABLE stockalert_alert.trigger_outbox ADD COLUMN throttled boolean NOT NULL DEFAULT false;
ALTER TABLE stockalert_alert.alerts
  ADD COLUMN throttled_count bigint NOT NULL DEFAULT 0,
  ADD COLUMN throttle_end_us bigint NOT NULL DEFAULT 0;  -- The end of the last minute in which one of its triggers was throttled; 0: none was.

-- How many triggers a user had in a minute of event time. The row's lock makes the count exact among instances. Rows are forgotten an hour
-- after they were last written.
CREATE TABLE stockalert_alert.trigger_minutes (
  user_id uuid NOT NULL,
  minute bigint NOT NULL,              -- Event time in whole minutes since 1970.
  count bigint NOT NULL CHECK (count >= 1),
  update_time_us bigint NOT NULL,
  PRIMARY KEY (user_id, minute)
) WITH (fillfactor = 50);
