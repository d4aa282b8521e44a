-- Executions, their journals and what belongs to them. Times are milliseconds since the epoch, UTC.

-- One row for each engine that ever opened the file. The highest id is the one that may write.
CREATE TABLE engine (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at_ms INTEGER NOT NULL,
    pid           INTEGER NOT NULL,
    host          TEXT    NOT NULL,
    closed_at_ms  INTEGER            -- ended gracefully: what it left over did not crash it
) STRICT;

CREATE TABLE execution (
    id            TEXT    NOT NULL UNIQUE,
    workflow      TEXT    NOT NULL,
    version       INTEGER NOT NULL CHECK (version >= 1),
    start_hash    TEXT    NOT NULL,
    started_at_ms INTEGER NOT NULL,
    business_key  TEXT,
    held_key      TEXT,              -- the business key from the start to the first end, of a child to its root's
    parent        TEXT,
    root          TEXT    NOT NULL,
    search        TEXT    NOT NULL,  -- the search attributes as one JSON object
    status        TEXT    NOT NULL CHECK (status IN (
        'running', 'suspended', 'compensating',
        'completed', 'failed', 'compensated', 'compensation_failed', 'superseded')),
    phase         TEXT    CHECK (phase IN ('forward', 'halting')),
    pivoted       INTEGER NOT NULL CHECK (pivoted IN (0, 1)),
    wake_at_ms    INTEGER,
    parked        INTEGER NOT NULL CHECK (parked IN (0, 1)),
    ended_at_ms   INTEGER,
    error_code    TEXT,
    overdue       INTEGER NOT NULL CHECK (overdue IN (0, 1)),
    owner         INTEGER,           -- the engine that advances it
    crashes       INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    CHECK ((ended_at_ms IS NOT NULL) = (status NOT IN ('running', 'suspended', 'compensating'))),
    CHECK ((owner IS NOT NULL) = (ended_at_ms IS NULL AND parked = 0)),
    CHECK (held_key IS NULL OR (held_key = business_key AND (ended_at_ms IS NULL OR root <> id)))
) STRICT;

CREATE UNIQUE INDEX execution_held_key ON execution (workflow, held_key) WHERE held_key IS NOT NULL;
CREATE INDEX execution_family_key ON execution (root) WHERE held_key IS NOT NULL;
CREATE INDEX execution_started  ON execution (started_at_ms, id);
CREATE INDEX execution_workflow ON execution (workflow, started_at_ms, id);
CREATE INDEX execution_status   ON execution (status, started_at_ms, id);
CREATE INDEX execution_key      ON execution (business_key, started_at_ms, id) WHERE business_key IS NOT NULL;
CREATE INDEX execution_parent   ON execution (parent) WHERE parent IS NOT NULL;
CREATE INDEX execution_owner    ON execution (owner, crashes) WHERE owner IS NOT NULL;
CREATE INDEX execution_wake     ON execution (wake_at_ms) WHERE parked = 1;

CREATE TABLE search_attribute (
    execution_id TEXT NOT NULL,
    name         TEXT NOT NULL,
    value        TEXT NOT NULL,      -- JSON
    PRIMARY KEY (execution_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX search_attribute_value ON search_attribute (name, value, execution_id);

-- Rows stand in the order of arrival, which keeps a commit's pages together; the index finds them.
CREATE TABLE journal (
    execution_id TEXT    NOT NULL,
    position     INTEGER NOT NULL CHECK (position >= 0),
    body         TEXT    NOT NULL CHECK (body <> ''),
    UNIQUE (execution_id, position)
) STRICT;

CREATE TABLE definition (
    name          TEXT    NOT NULL,
    version       INTEGER NOT NULL CHECK (version >= 1),
    tree          TEXT    NOT NULL,  -- JSON, keys in their own order
    canonical     BLOB    NOT NULL,  -- JSON, keys sorted: what "same content" compares
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

-- Requests from the inbox file that a record here has settled, until they are gone from that file.
CREATE TABLE inbox_done (
    id INTEGER PRIMARY KEY
) STRICT;
