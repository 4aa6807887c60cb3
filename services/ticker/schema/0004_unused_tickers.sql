-- Whose tickers nobody uses: for the quota of a user, and to forget what nobody has used for long. The version before leaves these as they are.
ALTER TABLE stockalert_ticker.tickers
  -- The user who registered it first. Null: an administrator, or the version before.
  ADD COLUMN registered_by uuid,
  -- When it was last looked whether somebody follows it or has an alert on it, and when that last was so. 0: never.
  ADD COLUMN looked_time_us bigint NOT NULL DEFAULT 0,
  ADD COLUMN used_time_us bigint NOT NULL DEFAULT 0;
CREATE INDEX tickers_by_user ON stockalert_ticker.tickers (registered_by, create_time_us) WHERE registered_by IS NOT NULL;
CREATE INDEX tickers_by_look ON stockalert_ticker.tickers (looked_time_us, symbol);
