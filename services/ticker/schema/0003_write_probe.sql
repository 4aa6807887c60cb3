-- What the service writes regularly to see that the database takes writes: one row, whose text is as large as a page, kept as it is.
CREATE TABLE stockalert_ticker.write_probe (
  id smallint CONSTRAINT write_probe_pkey PRIMARY KEY CONSTRAINT write_probe_one_check CHECK (id = 1),
  payload text NOT NULL
);
ALTER TABLE stockalert_ticker.write_probe ALTER COLUMN payload SET STORAGE EXTERNAL;
