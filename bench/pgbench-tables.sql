-- The tables that bench/pgbench.sql writes: an entity, and the parts of the store that a command touches.
DROP TABLE IF EXISTS entities, operations, sequences, outbox;
CREATE TABLE entities (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, assets TEXT NOT NULL);
CREATE TABLE operations (
    id TEXT PRIMARY KEY, command TEXT NOT NULL, subject TEXT NOT NULL, entity_id TEXT NOT NULL, status TEXT NOT NULL, error TEXT NOT NULL,
    accepted_at BIGINT NOT NULL, finished_at BIGINT NOT NULL, body_hash TEXT NOT NULL
);
CREATE TABLE sequences (subject TEXT PRIMARY KEY, value BIGINT NOT NULL);
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id TEXT NOT NULL, service TEXT NOT NULL, topic TEXT NOT NULL, subject TEXT NOT NULL,
    emitted_at BIGINT NOT NULL, correlation TEXT NOT NULL, causation TEXT NOT NULL, traceparent TEXT NOT NULL, sequence BIGINT NOT NULL,
    published INTEGER NOT NULL DEFAULT 0, data TEXT NOT NULL
);
CREATE INDEX outbox_pending ON outbox (id) WHERE published = 0;
