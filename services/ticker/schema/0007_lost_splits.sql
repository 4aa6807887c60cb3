-- The log that had the split is gone, and it is to be published in the one that took its place: symbol by symbol, in the order of the numbers. The
-- version before publishes none of these.
ALTER TABLE stockalert_ticker.splits ADD COLUMN lost boolean NOT NULL DEFAULT false;
CREATE INDEX splits_lost ON stockalert_ticker.splits (next_attempt_us) WHERE lost;
