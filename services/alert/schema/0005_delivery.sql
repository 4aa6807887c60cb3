-- Where an alert's notifications go. What the version before stored, and stores while it is at work beside, goes to its user's defaults.
ALTER TABLE stockalert_alert.alerts
  ADD COLUMN delivery smallint NOT NULL DEFAULT 1,            -- 1 DEFAULTS, 2 NAMED, 3 NONE.
  ADD COLUMN destination_ids uuid[] NOT NULL DEFAULT '{}',    -- With NAMED, in the user's order.
  ADD COLUMN critical boolean NOT NULL DEFAULT false;
