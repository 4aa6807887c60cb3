-- Registration tells nobody who else is registered: an address may stand with many users, and belongs to the first who proves that it is theirs.
-- The version before goes on beside this: it writes none of the new columns, and leaves the new tables alone.

ALTER TABLE stockalert_user.users
  -- When the user proved that mail to the address reaches them, or an administrator vouched for it. Null: not yet.
  ADD COLUMN email_verify_time_us bigint;
ALTER TABLE stockalert_user.users DROP CONSTRAINT users_email_key;
CREATE UNIQUE INDEX users_verified_email_key ON stockalert_user.users (email_key) WHERE email_verify_time_us IS NOT NULL;

-- The code that was last made for a user's address; one a user.
CREATE TABLE stockalert_user.email_verifications (
  user_id uuid CONSTRAINT email_verifications_pkey PRIMARY KEY
    CONSTRAINT email_verifications_user_fkey REFERENCES stockalert_user.users (id) ON DELETE CASCADE,
  -- What it proves: worth nothing once the user has another address.
  email text NOT NULL,
  email_key text NOT NULL,
  code_sha256 bytea NOT NULL,
  -- The code itself, only until the broker has the event that carries it to the mail.
  untold_code text,
  traceparent text NOT NULL,
  create_time_us bigint NOT NULL,
  expire_time_us bigint NOT NULL,
  -- Wrong codes that were tried.
  tries int NOT NULL,
  -- Codes made since day_begin_us, which bounds the mails that anybody can have sent to an address.
  day_begin_us bigint NOT NULL,
  made_in_day int NOT NULL
);
CREATE INDEX email_verifications_untold ON stockalert_user.email_verifications (create_time_us) WHERE untold_code IS NOT NULL;

-- Who may register where registration is by invitation. Each serves once.
CREATE TABLE stockalert_user.invitations (
  code_sha256 bytea CONSTRAINT invitations_pkey PRIMARY KEY,
  note text NOT NULL,
  create_time_us bigint NOT NULL,
  expire_time_us bigint NOT NULL,
  use_time_us bigint,
  -- Whom it let in; null also where that user is gone.
  user_id uuid CONSTRAINT invitations_user_fkey REFERENCES stockalert_user.users (id) ON DELETE SET NULL
);
CREATE INDEX invitations_by_expiry ON stockalert_user.invitations (expire_time_us);
CREATE INDEX invitations_by_user ON stockalert_user.invitations (user_id);
