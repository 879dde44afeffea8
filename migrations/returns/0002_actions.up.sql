-- Format of data: 1 has closes and adjusted closes, 2 has dividends and splits too. Rows of format 1 stay readable and
-- become format 2 with their next change.
ALTER TABLE series ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
