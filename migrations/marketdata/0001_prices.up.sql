CREATE TABLE prices (
    symbol    TEXT NOT NULL,
    year      INTEGER NOT NULL,
    first_day INTEGER NOT NULL, -- days since 1970-01-01
    last_day  INTEGER NOT NULL,
    bars      INTEGER NOT NULL,
    data      BYTEA NOT NULL,   -- the bars of the year, packed
    PRIMARY KEY (symbol, year)
);
