-- Services put by hand, the instances that register themselves, and the health of endpoints.

-- One row: rises with every change.
CREATE TABLE directory (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL CHECK (revision >= 1)
) STRICT;

INSERT INTO directory (one, revision) VALUES (1, 1);

CREATE TABLE service (
    name     TEXT    NOT NULL PRIMARY KEY CHECK (name <> ''),
    keys     TEXT    NOT NULL,  -- JSON: the keys of [services.NAME], as they were put
    revision INTEGER NOT NULL CHECK (revision >= 1)
) STRICT, WITHOUT ROWID;

-- Of services that a file names too, so that there need be no row of its service.
CREATE TABLE instance (
    service        TEXT    NOT NULL,
    id             TEXT    NOT NULL CHECK (id <> ''),
    url            TEXT    NOT NULL,
    labels         TEXT    NOT NULL,  -- JSON
    lease_until_ms INTEGER NOT NULL,
    PRIMARY KEY (service, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint_health (
    service       TEXT    NOT NULL,
    url           TEXT    NOT NULL,
    well          INTEGER NOT NULL CHECK (well IN (0, 1)),
    reason        TEXT    NOT NULL,
    since_ms      INTEGER NOT NULL,
    checked_at_ms INTEGER,
    in_a_row      INTEGER NOT NULL CHECK (in_a_row >= 0),  -- checks that found other than the verdict
    turn          INTEGER NOT NULL CHECK (turn >= 1),      -- a check of an older one is not heard
    checked_by    TEXT    NOT NULL,
    due_at_ms     INTEGER NOT NULL,                        -- from then on it may be claimed
    PRIMARY KEY (service, url)
) STRICT, WITHOUT ROWID;
