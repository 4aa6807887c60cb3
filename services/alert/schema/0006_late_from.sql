-- Of a trigger by a day's high or low: the event time of the quote before, since when the price may have been there.
ALTER TABLE stockalert_alert.triggers ADD COLUMN late_from_us bigint;
