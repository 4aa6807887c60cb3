-- Where the owner answers questions about its alerts. Empty: it does not; an evaluator of the version before leaves what is there.
ALTER TABLE stockalert_evaluator.partitions ADD COLUMN owner_address text NOT NULL DEFAULT '';
