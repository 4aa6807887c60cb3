-- The splits of a symbol that the evaluator has told of: facts, never changed.
CREATE TABLE stockalert_alert.splits (
  symbol text COLLATE "C" NOT NULL,
  number bigint NOT NULL CHECK (number >= 1),  -- Rising by one with each split of the symbol.
  numerator bigint NOT NULL CHECK (numerator BETWEEN 1 AND 1000000),
  denominator bigint NOT NULL CHECK (denominator BETWEEN 1 AND 1000000),
  effective_time_us bigint NOT NULL,           -- 0: not known. Shown; the place in the log decides.
  create_time_us bigint NOT NULL,
  PRIMARY KEY (symbol, number)
);
-- The number of the symbol's last split that the prices of the definition allow for. Whoever reads the row scales by those after it; whoever
-- writes the definition writes the number with it. The version before knows nothing of splits: none is declared while it is at work.
ALTER TABLE stockalert_alert.alerts ADD COLUMN splits_applied bigint NOT NULL DEFAULT 0;
