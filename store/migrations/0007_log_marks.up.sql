-- How far the broker's log is known to be handled, for each topic: every event of it up to there is in the inbox.
CREATE TABLE log_marks (
    topic      TEXT PRIMARY KEY,
    position   BIGINT NOT NULL,
    message_id TEXT NOT NULL -- of the event at the position, which proves that the log is still the same; empty: before all
);
