-- How data is packed: 1 has closes and adjusted closes, 2 has dividends and splits too. Rows of 1 are read as they are, and become 2 with the next change.
ALTER TABLE series ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
