-- Besides the kinds of 0002_kinds.sql and 0006_digests.sql there is 5 SPLIT, whose key is <symbol>/<number of the split>.
ALTER TABLE stockalert_notifier.notifications
  ADD COLUMN split bigint[] CHECK (cardinality(split) = 5);  -- Of a SPLIT one: number, numerator, denominator, effective time (0: not known), alerts.
