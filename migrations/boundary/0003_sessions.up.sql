-- One-time links, and the sessions of browsers that used one. hash is SHA-256 of the random bytes in the link or the cookie.
CREATE TABLE sessions (
    hash       BYTEA PRIMARY KEY,
    kind       TEXT NOT NULL,   -- link, session
    token_id   TEXT NOT NULL,   -- of the token that made the link; its end ends the session
    scope      TEXT NOT NULL,   -- at most that of the token
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_token ON sessions (token_id, expires_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- What a request made, as JSON without secrets, and how many requests a line stands for.
ALTER TABLE audit ADD COLUMN detail TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN requests BIGINT NOT NULL DEFAULT 1;
