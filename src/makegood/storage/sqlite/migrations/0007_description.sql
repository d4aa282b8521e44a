-- What services describe of themselves, as it was read last: for when its address does not answer.

CREATE TABLE description (
    service  TEXT    PRIMARY KEY,
    source   TEXT    NOT NULL,
    content  TEXT    NOT NULL,
    read_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
