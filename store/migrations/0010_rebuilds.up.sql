-- The rebuild of the read views of a service that is under way (package replay). There is one at most.
CREATE TABLE rebuilds (
    one        INTEGER PRIMARY KEY, -- 1
    operation  TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    moved_at   BIGINT NOT NULL,
    owners     TEXT NOT NULL        -- JSON: how far the entities of each owner are
);

-- Its entities: those that were named, and those that were replaced.
CREATE TABLE rebuild_keys (
    owner    TEXT NOT NULL,
    key      TEXT NOT NULL,
    replaced INTEGER NOT NULL,      -- 0 or 1
    PRIMARY KEY (owner, key)
);
