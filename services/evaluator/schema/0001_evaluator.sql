-- The evaluator's own: how far each partition of the log has been folded, what that made happen, and states to go on from.
CREATE SCHEMA IF NOT EXISTS stockalert_evaluator;

-- One row a partition. (next_offset, next_ordinal) is the truth about progress: every record below next_offset is done, and of the
-- record at next_offset the first next_ordinal effects are committed. Whoever takes the partition raises epoch, and every write is
-- conditional on it.
CREATE TABLE stockalert_evaluator.partitions (
  partition integer PRIMARY KEY,
  epoch bigint NOT NULL,
  next_offset bigint NOT NULL,
  next_ordinal bigint NOT NULL,
  next_outbox_sequence bigint NOT NULL,
  -- Which log this is: the broker's cluster, and how many other logs came before it.
  cluster_id text NOT NULL,
  log_generation bigint NOT NULL,
  -- Of the record at next_offset - 1; NULL where none has been read.
  last_record_checksum bigint,
  owner text NOT NULL,
  taken_at timestamptz NOT NULL
);

-- Every trigger for ever. The identity is (alert_id, trigger_number).
CREATE TABLE stockalert_evaluator.triggers (
  alert_id uuid NOT NULL,
  trigger_number bigint NOT NULL,
  symbol text NOT NULL,
  revision bigint NOT NULL,
  price_micros bigint NOT NULL,
  event_time_us bigint NOT NULL,
  price_before_micros bigint,
  reference_micros bigint,
  partition integer NOT NULL,
  log_generation bigint NOT NULL,
  record_offset bigint NOT NULL,
  -- The place among the effects of its record.
  ordinal bigint NOT NULL,
  late boolean NOT NULL,
  ends_alert boolean NOT NULL,
  PRIMARY KEY (alert_id, trigger_number)
);

-- What a replay is compared with.
CREATE UNIQUE INDEX triggers_by_place ON stockalert_evaluator.triggers (partition, log_generation, record_offset, ordinal);

-- Events that the broker has not acknowledged yet, in the order in which they go out.
CREATE TABLE stockalert_evaluator.outbox (
  partition integer NOT NULL,
  sequence bigint NOT NULL,
  key text NOT NULL,
  value bytea NOT NULL,
  traceparent text NOT NULL,
  PRIMARY KEY (partition, sequence)
);

-- The fold's state before the record at next_offset. Two a partition are kept.
CREATE TABLE stockalert_evaluator.checkpoints (
  partition integer NOT NULL,
  log_generation bigint NOT NULL,
  next_offset bigint NOT NULL,
  epoch bigint NOT NULL,
  -- Of the record at next_offset - 1.
  last_record_checksum bigint,
  state bytea NOT NULL,
  written_at timestamptz NOT NULL,
  PRIMARY KEY (partition, log_generation, next_offset)
);
