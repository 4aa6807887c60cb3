-- A symbol's prices by the minute of their event time. What opens and what closes a bar are known by their order, so that merging a bar that
-- another instance made, or the same one again, changes nothing. deploy/retention.sql forgets old ones; the version before leaves the table
-- as it is.
CREATE TABLE stockalert_ticker.bars (
  symbol text COLLATE "C" NOT NULL,
  start_us bigint NOT NULL,          -- The beginning of the minute.
  open_micros bigint NOT NULL,
  open_time_us bigint NOT NULL,
  open_epoch bigint NOT NULL,
  open_sequence bigint NOT NULL,
  high_micros bigint NOT NULL,
  low_micros bigint NOT NULL,
  close_micros bigint NOT NULL,
  close_time_us bigint NOT NULL,
  close_epoch bigint NOT NULL,
  close_sequence bigint NOT NULL,
  PRIMARY KEY (symbol, start_us)
) WITH (fillfactor = 80);            -- The present minute's are written every second.
-- For deploy/retention.sql: rows come in the order of their time.
CREATE INDEX bars_by_time ON stockalert_ticker.bars USING brin (start_us) WITH (pages_per_range = 32);
