-- What the ticker service owns. Times are microseconds since 1970 UTC, prices counts of 1e-6 of the currency unit.
CREATE SCHEMA IF NOT EXISTS stockalert_ticker;

-- A registered symbol. A row is not deleted while hold_until_us is ahead: somebody is about to use it. deleting_token marks a
-- DeleteTicker at work; the mark counts for nothing once deleting_until_us is past.
CREATE TABLE stockalert_ticker.tickers (
  symbol text COLLATE "C" PRIMARY KEY,
  create_time_us bigint NOT NULL,
  hold_until_us bigint NOT NULL DEFAULT 0,
  deleting_token uuid,
  deleting_until_us bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

-- symbols_version rises with each change of the set of symbols, in the same transaction; publisher_epoch with each publisher that starts.
CREATE TABLE stockalert_ticker.counters (
  name text PRIMARY KEY,
  value bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO stockalert_ticker.counters (name, value) VALUES ('symbols_version', 1), ('publisher_epoch', 0);

-- What the log has said of a symbol's prices up to (log_partition, log_offset), its last restart counted in. Columns that may be
-- unknown are null.
CREATE TABLE stockalert_ticker.latest_prices (
  symbol text COLLATE "C" PRIMARY KEY,
  publisher_epoch bigint NOT NULL,
  sequence bigint NOT NULL,
  event_time_us bigint,              -- Of the last accepted quote.
  price_micros bigint,               -- From here on: of that quote,
  session smallint NOT NULL,
  source text NOT NULL,
  day_open_micros bigint,
  day_high_micros bigint,
  day_low_micros bigint,
  previous_close_micros bigint,      -- to here.
  regular_price_micros bigint,       -- The last of a REGULAR session; of PRE, REGULAR or POST.
  extended_price_micros bigint,
  date_previous_close_micros bigint, -- The latest known of that quote's date.
  date_day_open_micros bigint,
  log_partition integer NOT NULL,
  log_offset bigint NOT NULL
) WITH (fillfactor = 70);

-- Where reading goes on: every record before it is in latest_prices.
CREATE TABLE stockalert_ticker.log_places (
  partition integer PRIMARY KEY,
  next_offset bigint NOT NULL
) WITH (fillfactor = 50);

-- The log that the places are of: one row.
CREATE TABLE stockalert_ticker.log_identity (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  cluster_id text NOT NULL
);
