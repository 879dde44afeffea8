CREATE TABLE series (
    symbol    TEXT NOT NULL,
    year      INTEGER NOT NULL,
    first_day INTEGER NOT NULL, -- days since 1970-01-01
    last_day  INTEGER NOT NULL,
    days      INTEGER NOT NULL,
    data      BYTEA NOT NULL,   -- the prices of the year, packed
    PRIMARY KEY (symbol, year)
);

CREATE TABLE portfolios (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    assets  TEXT NOT NULL      -- JSON
);

CREATE TABLE holdings (
    symbol       TEXT NOT NULL,
    portfolio_id TEXT NOT NULL,
    PRIMARY KEY (symbol, portfolio_id)
);
CREATE INDEX holdings_by_portfolio ON holdings (portfolio_id);

-- Versions of deleted portfolios, so that an event that is retried late cannot restore one. A rebuild keeps this table.
CREATE TABLE deleted_portfolios (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL
);
