-- What there is of each symbol. Stamps are, for each year in order, the year and a hash of its data: they tell whoever holds a copy what is new.
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

-- What is left of deleted portfolios, so that an event that was retried late cannot revive one. A rebuild keeps it.
CREATE TABLE deleted_portfolios (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL
);
