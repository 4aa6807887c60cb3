-- Users, their API keys, the tickers that they follow, and the messages that wait to be told to the other services.
-- Times are microseconds since 1970 UTC.

CREATE TABLE stockalert_user.users (
  id uuid CONSTRAINT users_pkey PRIMARY KEY,
  email text NOT NULL,
  -- The address in lower case: one user an address, whatever its case.
  email_key text NOT NULL CONSTRAINT users_email_key UNIQUE,
  display_name text NOT NULL,
  create_time_us bigint NOT NULL,
  update_time_us bigint NOT NULL,
  -- Rises with every change; the etag is made from it.
  version bigint NOT NULL
);
CREATE INDEX users_by_time ON stockalert_user.users (create_time_us, id);

CREATE TABLE stockalert_user.api_keys (
  id uuid CONSTRAINT api_keys_pkey PRIMARY KEY,
  user_id uuid NOT NULL CONSTRAINT api_keys_user_fkey REFERENCES stockalert_user.users (id) ON DELETE CASCADE,
  display_name text NOT NULL,
  read_only boolean NOT NULL,
  secret_prefix text NOT NULL,
  -- The secret itself is never stored. It has 256 random bits, so a plain hash is enough.
  secret_sha256 bytea NOT NULL CONSTRAINT api_keys_secret_key UNIQUE,
  create_time_us bigint NOT NULL,
  expire_time_us bigint,
  revoke_time_us bigint
);
CREATE INDEX api_keys_by_user ON stockalert_user.api_keys (user_id, create_time_us, id);

CREATE TABLE stockalert_user.followed_tickers (
  user_id uuid NOT NULL CONSTRAINT followed_tickers_user_fkey REFERENCES stockalert_user.users (id) ON DELETE CASCADE,
  symbol text NOT NULL,
  create_time_us bigint NOT NULL,
  CONSTRAINT followed_tickers_pkey PRIMARY KEY (user_id, symbol)
);
CREATE INDEX followed_tickers_by_symbol ON stockalert_user.followed_tickers (symbol);

-- Which request made which key (and user): a request that is sent again finds what it made.
CREATE TABLE stockalert_user.requests (
  -- "register/" and the e-mail address, or "key/" and the user's id.
  scope text NOT NULL,
  request_id text NOT NULL,
  -- SHA-256 of what was asked for.
  fingerprint bytea NOT NULL,
  user_id uuid NOT NULL CONSTRAINT requests_user_fkey REFERENCES stockalert_user.users (id) ON DELETE CASCADE,
  api_key_id uuid NOT NULL CONSTRAINT requests_api_key_fkey REFERENCES stockalert_user.api_keys (id) ON DELETE CASCADE,
  CONSTRAINT requests_pkey PRIMARY KEY (scope, request_id)
);
CREATE INDEX requests_by_user ON stockalert_user.requests (user_id);
CREATE INDEX requests_by_api_key ON stockalert_user.requests (api_key_id);

-- Written with the change that it tells of; a row goes once the broker has it.
CREATE TABLE stockalert_user.outbox (
  sequence bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_pkey PRIMARY KEY,
  user_id uuid NOT NULL,
  delete_time_us bigint NOT NULL,
  traceparent text NOT NULL
);
