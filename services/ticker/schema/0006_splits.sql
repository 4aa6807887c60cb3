-- The splits of a symbol: declared here (pending until the log is seen to have them), or found in the log. Never deleted, whatever becomes of
-- the ticker: numbers go on.
CREATE TABLE stockalert_ticker.splits (
  symbol text COLLATE "C" NOT NULL,
  number bigint NOT NULL CHECK (number >= 1),    -- Rising by one with each split of the symbol.
  split_id text NOT NULL,                        -- Of the log's record.
  numerator bigint NOT NULL CHECK (numerator BETWEEN 1 AND 1000000),
  denominator bigint NOT NULL CHECK (denominator BETWEEN 1 AND 1000000),
  effective_time_us bigint NOT NULL,             -- Shown.
  create_time_us bigint NOT NULL,
  request_id text CONSTRAINT splits_request UNIQUE,  -- DeclareSplit's. Null: found in the log.
  log_partition integer,                         -- Where the log has it. Null: pending,
  log_offset bigint,                             -- as this.
  attempts integer NOT NULL DEFAULT 0,           -- To publish it.
  next_attempt_us bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (symbol, number)
);
CREATE INDEX splits_pending ON stockalert_ticker.splits (next_attempt_us) WHERE log_offset IS NULL;

-- The number of the symbol's last split that the prices of the row allow for. A row of latest_prices is brought forward with the split's
-- record; a bar by whoever reads it, or merges into it. The version before leaves these as they are: no split is declared while it is at work.
ALTER TABLE stockalert_ticker.latest_prices ADD COLUMN split_number bigint NOT NULL DEFAULT 0;
ALTER TABLE stockalert_ticker.bars ADD COLUMN split_number bigint NOT NULL DEFAULT 0;
