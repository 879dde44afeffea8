CREATE TABLE portfolios (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    folded     TEXT NOT NULL UNIQUE, -- the name in lower case
    version    BIGINT NOT NULL,
    assets     TEXT NOT NULL,        -- JSON
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
