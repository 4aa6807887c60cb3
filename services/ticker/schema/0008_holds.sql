-- When the log got the suspicion that the symbol is held for, and all else in its row is as at that place. Null: not held. log_places does not pass
-- that place until it is settled, so that what came since is read again. The version before leaves this as it is: no symbol is held while it is
-- at work.
ALTER TABLE stockalert_ticker.latest_prices ADD COLUMN held_since_us bigint;
