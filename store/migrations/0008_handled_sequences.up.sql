-- The highest sequence that a handler whose dead messages hold their subject has handled, of each subject and source.
CREATE TABLE handled_sequences (
    handler  TEXT NOT NULL,
    subject  TEXT NOT NULL,
    source   TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (handler, subject, source)
);
