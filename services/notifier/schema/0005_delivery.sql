-- Destinations: where a user's notifications are sent.
CREATE TABLE stockalert_notifier.destinations (
  id uuid CONSTRAINT destinations_pkey PRIMARY KEY,
  user_id uuid NOT NULL,
  kind smallint NOT NULL,                             -- 1 WEBHOOK, 2 EMAIL, 3 SLACK, 4 DISCORD, 5 TELEGRAM, 6 NTFY, 7 PUSHOVER, 8 TEAMS, 9 HTTP.
  display_name text NOT NULL,
  is_default boolean NOT NULL,
  state smallint NOT NULL,                            -- 1 UNVERIFIED, 2 ACTIVE, 3 DISABLED.
  disable_reason smallint NOT NULL DEFAULT 0,         -- 0 none, 1 GONE, 2 FAILING, 3 SECRETS_LOST.
  host text NOT NULL,                                 -- Attempts in flight are limited for each host.
  spacing_us bigint NOT NULL DEFAULT 0,               -- The least time between the starts of two attempts.
  target_hash text COLLATE "C" NOT NULL DEFAULT '',    -- Keyed: what receives the messages, for verification_counts.
  address_shown text NOT NULL,                        -- What people know it by, without secrets.
  shown_settings text NOT NULL,                       -- JSON, without secrets.
  public_key text NOT NULL,                           -- Empty: its kind has no keys.
  sealed_settings text NOT NULL,                      -- Encrypted for this row only, as are the secrets. Empty when deleted.
  sealed_secrets text NOT NULL,
  sealed_previous_secrets text NOT NULL,              -- Empty: none.
  previous_secret_expire_time_us bigint,
  verification_id uuid,                               -- The delivery that verifies it or carries its code. Null: none is requested.
  sealed_code text NOT NULL DEFAULT '',               -- The code that verifies it, encrypted. Empty: it needs none.
  wrong_codes integer NOT NULL DEFAULT 0,             -- Tried since the code was made.
  verify_time_us bigint,
  disable_time_us bigint,
  last_success_time_us bigint,
  failing_since_time_us bigint,
  create_time_us bigint NOT NULL,
  update_time_us bigint NOT NULL,
  delete_time_us bigint,                              -- Null: not deleted.
  version bigint NOT NULL DEFAULT 1,                  -- Of the settings; rises with each change.
  verify_ask_time_us bigint NOT NULL DEFAULT 0,       -- When a verification was last requested.
  verify_window_time_us bigint NOT NULL DEFAULT 0,    -- Start of the time in which verify_window_count counts; likewise for tests.
  verify_window_count integer NOT NULL DEFAULT 0,
  test_window_time_us bigint NOT NULL DEFAULT 0,
  test_window_count integer NOT NULL DEFAULT 0,
  request_id text COLLATE "C",
  request_fingerprint text
) WITH (fillfactor = 70);
CREATE INDEX destinations_user ON stockalert_notifier.destinations (user_id, create_time_us, id) WHERE delete_time_us IS NULL;
CREATE UNIQUE INDEX destinations_request ON stockalert_notifier.destinations (user_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX destinations_disabled ON stockalert_notifier.destinations (id) WHERE state = 3 AND delete_time_us IS NULL;
CREATE INDEX destinations_deleted ON stockalert_notifier.destinations (delete_time_us) WHERE delete_time_us IS NOT NULL;

-- How many verifications were requested lately, by each user and for each target; of deleted destinations, too. A row goes a day after
-- its last request, by one of the next requests. Locked after destinations, the user's before the target's.
CREATE TABLE stockalert_notifier.verification_counts (
  counted text COLLATE "C" CONSTRAINT verification_counts_pkey PRIMARY KEY,  -- "user/" and the id, or "target/" and the target_hash.
  hour_time_us bigint NOT NULL DEFAULT 0,             -- Start of the time in which hour_count counts; likewise for the day.
  hour_count integer NOT NULL DEFAULT 0,
  day_time_us bigint NOT NULL DEFAULT 0,
  day_count integer NOT NULL DEFAULT 0,
  expire_time_us bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX verification_counts_expire ON stockalert_notifier.verification_counts (expire_time_us);

-- Deliveries to a destination, queued or ended: of a notification, of a verification, of a test notification.
CREATE TABLE stockalert_notifier.deliveries (
  id uuid CONSTRAINT deliveries_pkey PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY,         -- In the order in which a user's deliveries were first queued.
  user_id uuid NOT NULL,
  destination_id uuid NOT NULL,
  notification_id uuid,                               -- Null: a verification or a test.
  kind smallint NOT NULL,                             -- 1 NOTIFICATION, 2 VERIFICATION, 3 TEST.
  state smallint NOT NULL,                            -- 1 QUEUED, 2 SUCCEEDED, 3 FAILED, 4 CANCELLED.
  challenge text NOT NULL DEFAULT '',                 -- What the answer to a verification must contain.
  attempt_count integer NOT NULL DEFAULT 0,           -- All attempts made.
  schedule_count integer NOT NULL DEFAULT 0,          -- Attempts of the current schedule; a replay starts it again at 0.
  replay_count integer NOT NULL DEFAULT 0,
  next_attempt_time_us bigint,                        -- Null unless QUEUED.
  create_time_us bigint NOT NULL,
  end_time_us bigint,
  last_error text NOT NULL DEFAULT ''
) WITH (fillfactor = 80);
-- For reading due deliveries. By kind: an unverified destination is sent only verifications, and what waits for them is not scanned.
CREATE INDEX deliveries_due ON stockalert_notifier.deliveries (destination_id, kind, next_attempt_time_us, number) WHERE state = 1;
-- For lists.
CREATE INDEX deliveries_user ON stockalert_notifier.deliveries (user_id, number);
CREATE INDEX deliveries_unsuccessful ON stockalert_notifier.deliveries (user_id, state, number) WHERE state <> 2;
CREATE INDEX deliveries_destination ON stockalert_notifier.deliveries (destination_id, number);
CREATE UNIQUE INDEX deliveries_notification ON stockalert_notifier.deliveries (notification_id, destination_id)
  WHERE notification_id IS NOT NULL;
-- For replays.
CREATE INDEX deliveries_failed ON stockalert_notifier.deliveries (destination_id, create_time_us, number) WHERE state = 3;

CREATE TABLE stockalert_notifier.delivery_attempts (
  delivery_id uuid NOT NULL,
  number integer NOT NULL,
  start_time_us bigint NOT NULL,
  duration_us bigint NOT NULL,
  http_status integer NOT NULL,                       -- 0: no answer.
  error text NOT NULL,
  answer text NOT NULL,                               -- The first 1 KiB of the body.
  CONSTRAINT delivery_attempts_pkey PRIMARY KEY (delivery_id, number)
);

-- One lane for each destination: what waits for one costs the others nothing. A transaction that changes a destination's state or queues
-- deliveries for it holds its lane's lock. Locks are taken in the order recipients, lanes (by destination), destinations, deliveries.
CREATE TABLE stockalert_notifier.delivery_lanes (
  destination_id uuid CONSTRAINT delivery_lanes_pkey PRIMARY KEY,
  user_id uuid NOT NULL,
  failing boolean NOT NULL DEFAULT false,             -- Its last attempt failed: failing lanes share a part of all attempts.
  due_us bigint NOT NULL,                             -- When a delivery is due next; the greatest bigint: none is queued.
  hold_until_us bigint NOT NULL DEFAULT 0,            -- No attempt before this time (Retry-After).
  lease_owner text NOT NULL DEFAULT '',
  lease_owner_start_us bigint NOT NULL DEFAULT 0,     -- When its process started.
  lease_number bigint NOT NULL DEFAULT 0,             -- Rises with each lease: results under an older one are late.
  lease_until_us bigint NOT NULL DEFAULT 0            -- In the past: not leased.
) WITH (fillfactor = 50);
CREATE INDEX delivery_lanes_due ON stockalert_notifier.delivery_lanes (failing, due_us);
CREATE INDEX delivery_lanes_user ON stockalert_notifier.delivery_lanes (user_id);

-- Codes that verify users' addresses, to be mailed; one a user. A row stays until its code expires, so that an event that is read again mails
-- nothing again.
CREATE TABLE stockalert_notifier.code_mails (
  user_id uuid CONSTRAINT code_mails_pkey PRIMARY KEY,
  sealed_content text NOT NULL,                       -- Address and code, encrypted for the user; empty once it was sent or refused.
  expire_time_us bigint NOT NULL,                     -- Which code it is, too.
  next_attempt_time_us bigint,                        -- Null: it is not sent any more.
  attempt_count integer NOT NULL DEFAULT 0
);
CREATE INDEX code_mails_due ON stockalert_notifier.code_mails (next_attempt_time_us) WHERE next_attempt_time_us IS NOT NULL;
CREATE INDEX code_mails_expire ON stockalert_notifier.code_mails (expire_time_us);

-- What notifications say of their alerts' destinations, and of those that they are about (kind 3 DESTINATION).
ALTER TABLE stockalert_notifier.notifications
  ADD COLUMN critical boolean NOT NULL DEFAULT false,
  ADD COLUMN rerouted boolean NOT NULL DEFAULT false,              -- None of the alert's destinations was left: the defaults got it.
  ADD COLUMN destination_id uuid,                                  -- Of a DESTINATION one, as the next.
  ADD COLUMN destination_disabled boolean NOT NULL DEFAULT false;  -- Else it was verified.
