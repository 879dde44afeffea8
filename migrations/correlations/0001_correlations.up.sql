-- One row for each symbol. Stamps are the years in order, each with a hash of its data, by which caches find what
-- changed.
CREATE TABLE symbols (
    symbol    TEXT PRIMARY KEY,
    first_day INTEGER NOT NULL, -- days since 1970-01-01
    last_day  INTEGER NOT NULL,
    days      INTEGER NOT NULL, -- with a price
    stamps    BYTEA NOT NULL
);

CREATE TABLE series (
    symbol TEXT NOT NULL,
    year   INTEGER NOT NULL,
    data   BYTEA NOT NULL,      -- the returns of the year, packed
    PRIMARY KEY (symbol, year)
);

CREATE TABLE portfolios (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    assets  TEXT NOT NULL       -- JSON
);

-- Versions of deleted portfolios, so that an event that is retried late cannot restore one. A rebuild keeps this table.
CREATE TABLE deleted_portfolios (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL
);
