-- Who may come in. A token itself is nowhere: hash is SHA-256 of its random bytes. Times of 0 mean never.
CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    scope        TEXT NOT NULL,   -- read, write, admin
    hash         BYTEA NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    revoked_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX tokens_by_name ON tokens (name) WHERE revoked_at = 0;

-- Who wrote what. Ids are in the order of time.
CREATE TABLE audit (
    id           TEXT PRIMARY KEY,
    at           BIGINT NOT NULL,
    token_id     TEXT NOT NULL,   -- empty: from this machine, without a token
    who          TEXT NOT NULL,   -- the name of the token, or local
    remote       TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    command      TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    status       INTEGER NOT NULL -- that of the answer
);
CREATE INDEX audit_by_time ON audit (at);
