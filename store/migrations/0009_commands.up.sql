-- Deferred commands that are not settled. The broker's queue may lose them; they are sent again when they are due and nowhere else.
CREATE TABLE commands (
    message_id  TEXT PRIMARY KEY,
    topic       TEXT NOT NULL,
    subject     TEXT NOT NULL,
    emitted_at  BIGINT NOT NULL,
    correlation TEXT NOT NULL,
    causation   TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    data        TEXT NOT NULL,
    due_at      BIGINT NOT NULL
);
CREATE INDEX commands_by_due ON commands (due_at);
