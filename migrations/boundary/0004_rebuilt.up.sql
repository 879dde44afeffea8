-- The last settled rebuild of the read views of each service.
CREATE TABLE rebuilt (
    service TEXT PRIMARY KEY,
    topics  TEXT NOT NULL,  -- JSON: of the events that the views grow from
    since   BIGINT NOT NULL -- when it began
);
