CREATE TABLE schedules (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    folded         TEXT NOT NULL UNIQUE, -- the name in lower case
    version        BIGINT NOT NULL,
    cron           TEXT NOT NULL,
    time_zone      TEXT NOT NULL,
    kind           TEXT NOT NULL,
    symbols        TEXT NOT NULL,        -- JSON
    provider       TEXT NOT NULL,
    enabled        BOOLEAN NOT NULL,
    next_at        BIGINT NOT NULL,      -- when it runs next; 0: never
    last_at        BIGINT NOT NULL,      -- when it ran last; 0: not yet
    last_due_at    BIGINT NOT NULL,      -- when that run was due; 0: triggered by a request
    last_operation TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX schedules_due ON schedules (next_at);
