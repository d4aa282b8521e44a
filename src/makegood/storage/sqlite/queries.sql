-- Named statements. Each has one line on why it is safe. A final row of `(?, ...)` after VALUES is
-- repeated by `sql.repeated`, so that a whole batch is one statement (see there for the reason).

-- name: fence
-- safe: read inside the write transaction; whoever opened the file later has a higher id.
SELECT max(id) FROM engine

-- name: insert_engine
-- safe: under the engine's file lock; AUTOINCREMENT never gives an id twice.
INSERT INTO engine (started_at_ms, pid, host) VALUES (?, ?, ?) RETURNING id

-- name: close_engine
-- safe: touches this engine's row alone.
UPDATE engine SET closed_at_ms = ? WHERE id = ?

-- name: next_position
-- safe: a read; no row means that there is no such execution.
SELECT coalesce((SELECT max(position) + 1 FROM journal WHERE execution_id = e.id), 0) FROM execution AS e WHERE e.id = ?

-- name: insert_execution
-- safe: UNIQUE (id) and the partial index on held_key refuse a second holder.
INSERT INTO execution (id, workflow, version, start_hash, started_at_ms, business_key, held_key, parent, root, search,
    rerun_of, status, phase, pivoted, wake_at_ms, parked, ended_at_ms, error_code, overdue, superseded_by, owner)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_search
-- safe: in the transaction of its execution's row.
INSERT INTO search_attribute (execution_id, name, value, text, started_at_ms) VALUES (?, ?, ?, ?, ?)

-- name: insert_record
-- safe: UNIQUE (execution_id, position) refuses a position that is taken.
INSERT INTO journal (execution_id, position, body) VALUES (?, ?, ?)

-- name: update_standing
-- safe: each id at most once in the values; the count of changed rows is compared with theirs.
UPDATE execution SET status = v.column2, phase = v.column3, pivoted = v.column4, wake_at_ms = v.column5, parked = v.column6,
    ended_at_ms = v.column7, error_code = v.column8, overdue = v.column9, superseded_by = v.column10,
    owner = v.column11,
    held_key = iif(v.column7 IS NULL OR root <> id, held_key, NULL)
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS v WHERE execution.id = v.column1

-- name: free_keys
-- safe: after the standings, in their transaction; what has ended, and whose root has, never needs its key again.
UPDATE execution SET held_key = NULL
WHERE held_key IS NOT NULL AND ended_at_ms IS NOT NULL
    AND root IN (SELECT root FROM execution WHERE id IN (VALUES (?)))
    AND NOT EXISTS (SELECT 1 FROM execution AS r WHERE r.id = execution.root AND r.ended_at_ms IS NULL)

-- name: insert_inbox_done
-- safe: in the transaction of the record; a second settling of one id is no error.
INSERT OR IGNORE INTO inbox_done (id) VALUES (?)

-- name: inbox_done
-- safe: a read.
SELECT id FROM inbox_done ORDER BY id

-- name: forget_inbox_done
-- safe: only after the ids are durably gone from the inbox file; repeating it is no error.
DELETE FROM inbox_done WHERE id IN (VALUES (?))

-- name: forget_waits
-- safe: in the transaction of the record that says what is waited for now, before `insert_wait`.
DELETE FROM service_wait WHERE execution_id IN (VALUES (?))

-- name: insert_wait
-- safe: likewise; the key has each service once.
INSERT INTO service_wait (execution_id, service, since_ms, step) VALUES (?, ?, ?, ?)

-- name: waiting
-- safe: a read by the index.
SELECT execution_id, service, since_ms, step FROM service_wait WHERE service = ? ORDER BY since_ms, execution_id LIMIT ?

-- name: count_waiting
-- safe: a read of the index.
SELECT count(*) FROM service_wait WHERE service = ?

-- name: waited_for
-- safe: a read by the index; who waits in memory is passed over.
SELECT w.since_ms FROM service_wait AS w INDEXED BY service_wait_longest JOIN execution AS e ON e.id = w.execution_id
WHERE w.service = ? AND e.parked = 1 ORDER BY w.since_ms LIMIT 1

-- name: waited_services
-- safe: a read by the index.
SELECT DISTINCT service FROM service_wait INDEXED BY service_wait_longest

-- name: parked_for
-- safe: read in the transaction that takes them; `only` is one list of ids, or NULL.
SELECT e.id FROM service_wait AS w INDEXED BY service_wait_longest JOIN execution AS e ON e.id = w.execution_id
WHERE w.service = ?1 AND w.since_ms <= ?2 AND e.parked = 1
    AND (?3 IS NULL OR e.id IN (SELECT these.value FROM json_each(?3) AS these))
ORDER BY w.since_ms, w.execution_id LIMIT ?4

-- name: insert_request
-- safe: with its effect, or alone; a key that is kept already stays as it is.
INSERT OR IGNORE INTO keyed_request (key, content, at_ms, answer) VALUES (?, ?, ?, ?)

-- name: request
-- safe: a read.
SELECT key, content, at_ms, answer FROM keyed_request WHERE key = ?

-- name: forget_requests
-- safe: only what nobody repeats any more, a piece at a time.
DELETE FROM keyed_request WHERE key IN (SELECT key FROM keyed_request WHERE at_ms < ? ORDER BY at_ms LIMIT ?)

-- name: count
-- safe: a read of one index, of so many entries at most.
SELECT count(*) FROM (SELECT 1 FROM execution WHERE workflow = ? AND status = ? LIMIT ?)

-- name: key_holder
-- safe: a read inside the transaction that was refused.
SELECT id FROM execution WHERE workflow = ? AND held_key = ?

-- name: load_page
-- safe: a read by the unique index; one row, so that the page is one step. group_concat keeps a subquery's order.
SELECT count(*), '[' || group_concat(body, ',') || ']' FROM (
    SELECT body FROM journal WHERE execution_id = ? AND position >= ? AND position < ? ORDER BY position)

-- name: stored
-- safe: a read; `positions` counts by the journal's index. Conditions follow.
SELECT e.id, e.workflow, e.version, e.start_hash, e.started_at_ms, e.business_key, e.parent, e.root, e.search,
    e.rerun_of, e.status, e.phase, e.pivoted, e.wake_at_ms, e.parked, e.ended_at_ms, e.error_code, e.overdue,
    e.superseded_by, e.crashes,
    coalesce((SELECT max(position) + 1 FROM journal WHERE execution_id = e.id), 0)
FROM execution AS e

-- name: left_over
-- safe: read in the transaction that takes them; owners below this engine's id are gone, it holds the lock.
SELECT e.id FROM execution AS e WHERE e.owner < ? ORDER BY e.owner, e.crashes LIMIT ?

-- name: left_over_of
-- safe: as left_over, for some ids, which come as one list.
SELECT e.id FROM json_each(?) AS these JOIN execution AS e ON e.id = these.value WHERE e.owner < ?
ORDER BY e.owner, e.crashes LIMIT ?

-- name: due
-- safe: read in the transaction that takes them.
SELECT e.id FROM execution AS e WHERE e.parked = 1 AND e.wake_at_ms <= ? AND e.ended_at_ms IS NULL
ORDER BY e.wake_at_ms LIMIT ?

-- name: due_of
-- safe: as due, for some ids, which come as one list; `early` takes them whatever their time.
SELECT e.id FROM json_each(?1) AS these JOIN execution AS e ON e.id = these.value
WHERE e.parked = 1 AND e.ended_at_ms IS NULL AND (?3 OR e.wake_at_ms <= ?2)
ORDER BY e.wake_at_ms LIMIT ?4

-- name: take
-- safe: raises the counter in the write that takes the row, and only if its last owner did not end gracefully.
UPDATE execution SET
    crashes = CASE
        WHEN owner IS NULL THEN crashes
        WHEN (SELECT closed_at_ms FROM engine WHERE engine.id = execution.owner) IS NULL THEN crashes + 1
        ELSE 0 END,
    owner = ?1, parked = 0, wake_at_ms = NULL
WHERE id = ?2

-- name: clear_crashes
-- safe: sets a counter to a constant; repeating it is no error.
UPDATE execution SET crashes = 0 WHERE id = ? AND crashes <> 0

-- name: next_wake
-- safe: a read of the first entry of the partial index.
SELECT wake_at_ms FROM execution WHERE parked = 1 AND wake_at_ms IS NOT NULL ORDER BY wake_at_ms LIMIT 1

-- name: insert_definition
-- safe: the primary key refuses a version that exists.
INSERT INTO definition (name, version, tree, canonical, created_at_ms) VALUES (?, ?, ?, ?, ?)

-- name: definition
-- safe: a read.
SELECT name, version, tree, created_at_ms, canonical FROM definition WHERE name = ? AND version = ?

-- name: newest_definition
-- safe: a read by the primary key, backwards.
SELECT name, version, tree, created_at_ms, canonical FROM definition WHERE name = ? ORDER BY version DESC LIMIT 1

-- name: definitions
-- safe: a read.
SELECT name, version, tree, created_at_ms, canonical FROM definition AS d
WHERE version = (SELECT max(version) FROM definition WHERE name = d.name) ORDER BY name

-- name: purge_roots
-- safe: a read in the transaction that deletes them; a family goes only when all of it has ended.
SELECT r.id FROM execution AS r
WHERE r.root = r.id AND r.ended_at_ms < ?1 AND NOT EXISTS (
    SELECT 1 FROM execution AS c WHERE c.root = r.id AND c.root <> c.id AND c.ended_at_ms IS NULL)
ORDER BY r.ended_at_ms LIMIT ?2

-- name: purge_children
-- safe: a read in that transaction.
SELECT id FROM execution WHERE root <> id AND root IN (VALUES (?))

-- name: purge_journal
-- safe: in the transaction of its executions.
DELETE FROM journal WHERE execution_id IN (VALUES (?))

-- name: purge_search
-- safe: likewise.
DELETE FROM search_attribute WHERE execution_id IN (VALUES (?))

-- name: purge_executions
-- safe: only what was found in the same transaction.
DELETE FROM execution WHERE id IN (VALUES (?))
