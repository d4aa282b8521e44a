-- The inbox file's statements; a file of its own, because other processes write it beside the engine.

-- name: create
-- safe: repeating it is no error; run in a write transaction.
CREATE TABLE IF NOT EXISTS request (
    id            INTEGER PRIMARY KEY,
    execution_id  TEXT    NOT NULL,
    kind          TEXT    NOT NULL CHECK (kind <> ''),
    body          TEXT    NOT NULL,  -- JSON
    put_at_ms     INTEGER NOT NULL,
    verdict       TEXT,              -- NULL while undecided, '' accepted, else why it was refused
    settled_at_ms INTEGER,
    CHECK ((verdict IS NULL) = (settled_at_ms IS NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS request_waiting ON request (id) WHERE verdict IS NULL;
CREATE INDEX IF NOT EXISTS request_settled ON request (settled_at_ms) WHERE verdict IS NOT NULL;

-- name: put
-- safe: ids ascend with the time in microseconds, so that none comes again even if the file was deleted.
INSERT INTO request (id, execution_id, kind, body, put_at_ms)
SELECT max(coalesce(max(id), 0) + 1, ?1), ?2, ?3, ?4, ?1 / 1000 FROM request RETURNING id

-- name: waiting
-- safe: a read.
SELECT id, execution_id, kind, body FROM request WHERE verdict IS NULL ORDER BY id LIMIT ?

-- name: settle
-- safe: a verdict is given once; repeating it changes nothing.
UPDATE request SET verdict = ?, settled_at_ms = ? WHERE id = ? AND verdict IS NULL

-- name: purge
-- safe: only what has been settled for longer than anybody waits.
DELETE FROM request WHERE verdict IS NOT NULL AND settled_at_ms < ?

-- name: verdict
-- safe: a read.
SELECT verdict FROM request WHERE id = ?
