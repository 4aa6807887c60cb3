-- Of how many splits of its symbol an alert's prices knew when it was created: later ones have scaled it, whatever it was changed to since.
-- Null: the version before created it, and splits_applied stands for it.
ALTER TABLE stockalert_alert.alerts ADD COLUMN create_splits bigint;

-- Splits that users are still being told of. First the alerts that each has scaled are counted, newest first, some at a time, then the notices
-- are sent; the row goes with the last of these.
CREATE TABLE stockalert_alert.split_tellings (
  symbol text COLLATE "C" NOT NULL,
  number bigint NOT NULL,
  split_id text NOT NULL,
  create_time_us bigint NOT NULL,           -- What had expired by then is not told of.
  before_create_time_us bigint NOT NULL,    -- Counting goes on with alerts that were created before this one,
  before_alert_id uuid NOT NULL,            -- and within a microsecond have a lower id.
  counted boolean NOT NULL DEFAULT false,   -- All of them.
  alert_count bigint NOT NULL DEFAULT 0,    -- Scaled ones, so far.
  sent_count bigint NOT NULL DEFAULT 0,     -- Notices that the topic `triggers` has.
  PRIMARY KEY (symbol, number)
);

-- Who is to be told of a split, until the topic `triggers` has the notice for certain.
CREATE TABLE stockalert_alert.split_notices (
  symbol text COLLATE "C" NOT NULL,
  number bigint NOT NULL,
  user_id uuid NOT NULL,
  alert_count bigint NOT NULL CHECK (alert_count >= 1),
  claimed_until_us bigint NOT NULL DEFAULT 0,  -- Until then it is the business of the instance that claimed it.
  PRIMARY KEY (symbol, number, user_id)
) WITH (fillfactor = 70);
