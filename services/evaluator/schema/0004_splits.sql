-- The splits that were told of, with the record that they are of. Where the log is lost, a checkpoint from before them is brought forward by these.
CREATE TABLE stockalert_evaluator.splits (
  partition integer NOT NULL,
  log_generation bigint NOT NULL,
  record_offset bigint NOT NULL,
  -- The place among the effects of its record.
  ordinal bigint NOT NULL,
  symbol text NOT NULL,
  number bigint NOT NULL,
  split_id text NOT NULL,
  numerator bigint NOT NULL,
  denominator bigint NOT NULL,
  effective_time_us bigint NOT NULL,
  PRIMARY KEY (partition, log_generation, record_offset, ordinal)
);
