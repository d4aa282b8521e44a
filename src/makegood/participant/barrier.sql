-- The barrier: one table beside the service's own, written in the transaction of the effect itself.
-- Placeholders are $1, $2, ... in order, each once; `makegood_barrier` may be given another name.

-- name: table
CREATE TABLE IF NOT EXISTS makegood_barrier (
    key        text PRIMARY KEY,  -- the Idempotency-Key: '{execution}:{step}:do' or '...:undo'
    state      text NOT NULL CHECK (state IN ('begun', 'ongoing', 'done', 'rejected', 'undone')),
    asked      text,              -- hash of the request; null for a tombstone
    status     integer,           -- the answer that is kept
    media_type text,
    reply      text,
    at_ms      bigint NOT NULL,   -- milliseconds since 1970, for `forget`
    CHECK ((state IN ('done', 'rejected')) = (reply IS NOT NULL))
)

-- name: index
CREATE INDEX IF NOT EXISTS makegood_barrier_at_ms ON makegood_barrier (at_ms)

-- name: exists_sqlite
SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1

-- name: exists_postgres
SELECT 1 WHERE to_regclass($1) IS NOT NULL

-- name: create_alone_postgres
SELECT pg_advisory_xact_lock(7236837001)

-- name: patience_postgres
SELECT current_setting('lock_timeout'), set_config('lock_timeout', $1, true)

-- name: claim
INSERT INTO makegood_barrier (key, state, asked, at_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (key) DO NOTHING RETURNING key

-- name: kept_sqlite
SELECT state, asked, status, media_type, reply FROM makegood_barrier WHERE key = $1

-- name: kept_postgres
SELECT state, asked, status, media_type, reply FROM makegood_barrier WHERE key = $1 FOR UPDATE

-- name: keep
UPDATE makegood_barrier SET state = $1, status = $2, media_type = $3, reply = $4, at_ms = $5 WHERE key = $6

-- name: close
UPDATE makegood_barrier SET state = 'undone', at_ms = $1 WHERE key = $2 AND state IN ('begun', 'ongoing')

-- name: mark
SAVEPOINT makegood

-- name: accept
RELEASE SAVEPOINT makegood

-- name: take_back
ROLLBACK TO SAVEPOINT makegood

-- name: forget
DELETE FROM makegood_barrier WHERE key IN (SELECT key FROM makegood_barrier WHERE at_ms < $1 LIMIT 1000) RETURNING key
