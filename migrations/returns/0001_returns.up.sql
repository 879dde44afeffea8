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

-- What is left of deleted portfolios, so that an event that was retried late cannot revive one. A rebuild keeps it.
CREATE TABLE deleted_portfolios (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL
);
