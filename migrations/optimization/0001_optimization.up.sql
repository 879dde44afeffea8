-- One row for each symbol with returns; the revision rises with every change.
CREATE TABLE symbols (
    symbol     TEXT PRIMARY KEY,
    revision   BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE series (
    symbol    TEXT NOT NULL,
    year      INTEGER NOT NULL,
    first_day INTEGER NOT NULL, -- days since 1970-01-01
    last_day  INTEGER NOT NULL,
    days      INTEGER NOT NULL,
    data      BYTEA NOT NULL,   -- the returns of the year, packed
    PRIMARY KEY (symbol, year)
);

CREATE TABLE closes (
    symbol TEXT PRIMARY KEY,
    day    INTEGER NOT NULL,
    close  TEXT NOT NULL       -- exact, of the last day
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

CREATE TABLE optimizations (
    id           TEXT PRIMARY KEY,   -- also the id of its operation
    name         TEXT NOT NULL,
    objective    TEXT NOT NULL,
    portfolio_id TEXT NOT NULL,
    follow       INTEGER NOT NULL,
    status       TEXT NOT NULL,
    asked        TEXT NOT NULL,      -- JSON, as the next two; the request
    answer       TEXT NOT NULL,
    error        TEXT NOT NULL,
    seen         TEXT NOT NULL,      -- the revisions of the inputs of the answer
    runs         BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,    -- when its inputs changed last
    queued_at    BIGINT NOT NULL,    -- when it was enqueued to run again; 0: it is not in the queue
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX optimizations_that_follow ON optimizations (portfolio_id) WHERE follow = 1;
