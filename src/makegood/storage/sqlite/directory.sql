-- name: revision
-- safe: a read of one row.
SELECT revision FROM directory

-- name: bump
-- safe: in the transaction of the change.
UPDATE directory SET revision = revision + 1

-- name: services
-- safe: a read.
SELECT name, keys, revision FROM service ORDER BY name

-- name: instances
-- safe: a read.
SELECT service, id, url, labels, lease_until_ms - ?1 FROM instance WHERE lease_until_ms > ?1 ORDER BY service, id

-- name: health
-- safe: a read.
SELECT service, url, well, reason, since_ms, checked_at_ms, in_a_row, turn, checked_by
FROM endpoint_health ORDER BY service, url

-- name: health_of
-- safe: a read.
SELECT service, url, well, reason, since_ms, checked_at_ms, in_a_row, turn, checked_by
FROM endpoint_health WHERE service = ? AND url = ?

-- name: service
-- safe: a read.
SELECT keys FROM service WHERE name = ?

-- name: put_service
-- safe: with its revision, in one transaction.
INSERT INTO service (name, keys, revision) VALUES (?, ?, (SELECT revision FROM directory))
ON CONFLICT (name) DO UPDATE SET keys = excluded.keys, revision = excluded.revision

-- name: remove_service
-- safe: with its revision, in one transaction.
DELETE FROM service WHERE name = ?

-- name: remove_instances
-- safe: with their service, in one transaction.
DELETE FROM instance WHERE service = ?

-- name: remove_health
-- safe: what a service that is another now was known for.
DELETE FROM endpoint_health WHERE service = ?

-- name: instance
-- safe: a read.
SELECT url, labels FROM instance WHERE service = ? AND id = ? AND lease_until_ms > ?

-- name: put_instance
-- safe: touches its own row.
INSERT INTO instance (service, id, url, labels, lease_until_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (service, id) DO UPDATE SET url = excluded.url, labels = excluded.labels, lease_until_ms = excluded.lease_until_ms

-- name: forget_instances
-- safe: their leases ran out long ago.
DELETE FROM instance WHERE lease_until_ms < ?

-- name: remove_instance
-- safe: touches its own row.
DELETE FROM instance WHERE service = ? AND id = ?

-- name: due_at
-- safe: a read.
SELECT due_at_ms FROM endpoint_health WHERE service = ? AND url = ?

-- name: claim_check
-- safe: in the transaction that found its turn come.
INSERT INTO endpoint_health (service, url, well, reason, since_ms, in_a_row, turn, checked_by, due_at_ms)
VALUES (?1, ?2, 1, '', ?3, 0, 1, ?4, ?5)
ON CONFLICT (service, url) DO UPDATE SET turn = turn + 1, checked_by = excluded.checked_by, due_at_ms = excluded.due_at_ms

-- name: forget_health
-- safe: nobody asked for them in an hour.
DELETE FROM endpoint_health WHERE due_at_ms < ?

-- name: put_health
-- safe: a row that was claimed again has another turn, and is left.
UPDATE endpoint_health SET well = ?1, reason = ?2, in_a_row = ?3, checked_at_ms = ?4,
    since_ms = CASE WHEN well <> ?1 THEN ?4 ELSE since_ms END
WHERE service = ?5 AND url = ?6 AND turn = ?7

-- name: description
-- safe: a read.
SELECT source, content, read_ms FROM description WHERE service = ?

-- name: keep_description
-- safe: one row, the last one read wins.
INSERT INTO description (service, source, content, read_ms) VALUES (?, ?, ?, ?)
ON CONFLICT (service) DO UPDATE SET source = excluded.source, content = excluded.content, read_ms = excluded.read_ms
