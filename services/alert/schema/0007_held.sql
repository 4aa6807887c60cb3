-- Whether a split of the symbol is suspected: nothing of it is evaluated until that is settled.
ALTER TABLE stockalert_alert.symbol_status ADD COLUMN held boolean NOT NULL DEFAULT false;
