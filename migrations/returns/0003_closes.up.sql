-- The exact close of the last day of each symbol, which the returns carry to services that follow them. A symbol whose
-- prices have not changed since an earlier version has no row.
CREATE TABLE closes (
    symbol TEXT PRIMARY KEY,
    day    INTEGER NOT NULL, -- days since 1970-01-01
    close  TEXT NOT NULL
);
