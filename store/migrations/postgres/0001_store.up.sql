CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id TEXT NOT NULL,
    service TEXT NOT NULL, -- whose command queue; empty for an event
    topic TEXT NOT NULL,
    subject TEXT NOT NULL,
    emitted_at BIGINT NOT NULL,
    correlation TEXT NOT NULL,
    causation TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    published INTEGER NOT NULL DEFAULT 0, -- 1: the broker has it, but might lose it
    data TEXT NOT NULL
);
CREATE INDEX outbox_pending ON outbox (id) WHERE published = 0;

CREATE TABLE sequences (
    subject TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE inbox (
    message_id TEXT NOT NULL,
    handler TEXT NOT NULL,
    handled_at BIGINT NOT NULL,
    PRIMARY KEY (message_id, handler)
);
CREATE INDEX inbox_by_age ON inbox (handled_at);

CREATE TABLE parked (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler TEXT NOT NULL,
    message_id TEXT NOT NULL,
    source TEXT NOT NULL,
    topic TEXT NOT NULL,
    subject TEXT NOT NULL,
    emitted_at BIGINT NOT NULL,
    correlation TEXT NOT NULL,
    causation TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    traceparent TEXT NOT NULL,
    content_type TEXT NOT NULL,
    data BYTEA NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    cause TEXT NOT NULL,
    parked_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    died_at BIGINT NOT NULL,
    holds BOOLEAN NOT NULL
);
CREATE INDEX parked_by_lane ON parked (handler, subject, id);
CREATE INDEX parked_by_due ON parked (due_at) WHERE state <> 'dead';

CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    command TEXT NOT NULL,
    subject TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    body_hash TEXT NOT NULL
);
CREATE INDEX operations_by_end ON operations (finished_at) WHERE finished_at > 0;
