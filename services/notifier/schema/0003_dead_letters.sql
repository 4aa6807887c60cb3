-- Records of Kafka that this service can never store or understand, until they are replayed or dropped (stockalert-migrate deadletters).
-- Bounded by the service: 10,000 open ones, 256 MiB.
CREATE TABLE stockalert_notifier.dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL,
  partition integer NOT NULL,
  log_offset bigint NOT NULL,
  digest bytea NOT NULL,             -- SHA-256 of key, value and headers: another cluster's record at the same place is another one.
  key bytea NOT NULL,
  value bytea NOT NULL,              -- Empty once it was replayed, as the headers are.
  header_names bytea[] NOT NULL,
  header_values bytea[] NOT NULL,
  bytes bigint NOT NULL,             -- Of key, value and headers.
  log_time_us bigint NOT NULL,       -- The broker's append time.
  cause text NOT NULL,
  version text NOT NULL,             -- Of the program that could not take it.
  create_time_us bigint NOT NULL,
  replay_time_us bigint              -- Null while it is open.
);
CREATE UNIQUE INDEX dead_letters_record ON stockalert_notifier.dead_letters (topic, partition, log_offset, digest);
CREATE INDEX dead_letters_open ON stockalert_notifier.dead_letters (id) WHERE replay_time_us IS NULL;
