-- What is known of each operation of the suite.
CREATE TABLE ledger (
    id          TEXT PRIMARY KEY,
    stamp       TEXT NOT NULL,    -- changes with every change of the operation
    command     TEXT NOT NULL,    -- empty while only receipts of what it caused have come
    service     TEXT NOT NULL,
    subject     TEXT NOT NULL,
    entity_id   TEXT NOT NULL,
    status      TEXT NOT NULL,
    error       TEXT NOT NULL,    -- a fault as JSON; empty for none
    progress    TEXT NOT NULL,    -- JSON; empty for none
    outcome     TEXT NOT NULL,    -- pending, settled, failed, stalled
    waiting     TEXT NOT NULL,    -- JSON: whom it waits for, when it is stalled or failed
    shared      BOOLEAN NOT NULL, -- others depend on what it caused
    accepted_at BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    settled_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL
);
CREATE INDEX ledger_open ON ledger (changed_at) WHERE outcome <> 'settled';
CREATE INDEX ledger_settled ON ledger (settled_at) WHERE settled_at > 0;

-- What services said of an operation, a row for each unit of work.
CREATE TABLE receipts (
    operation TEXT NOT NULL,
    stamp     TEXT NOT NULL,
    body      TEXT NOT NULL, -- JSON
    PRIMARY KEY (operation, stamp)
);

-- Operations that wait for something that another one accounts for.
CREATE TABLE dependents (
    operation TEXT NOT NULL, -- the other one
    dependent TEXT NOT NULL,
    PRIMARY KEY (operation, dependent)
);
