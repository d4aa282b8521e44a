-- name: revision
-- safe: a read of one row.
SELECT revision FROM makegood.directory

-- name: services
-- safe: a read.
SELECT name, keys, revision FROM makegood.service ORDER BY name

-- name: instances
-- safe: a read.
SELECT service, id, url, labels, (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint
FROM makegood.instance WHERE lease_until > clock_timestamp() ORDER BY service, id

-- name: health
-- safe: a read.
SELECT service, url, well, reason, (extract(epoch FROM since) * 1000)::bigint,
    (extract(epoch FROM checked_at) * 1000)::bigint, in_a_row, turn, checked_by
FROM makegood.endpoint_health ORDER BY service, url

-- name: put_service
-- safe: one statement with its revision; the same keys again change nothing.
WITH bumped AS (
    UPDATE makegood.directory SET revision = revision + 1
    WHERE NOT EXISTS (SELECT FROM makegood.service WHERE name = $1 AND keys = $2) RETURNING revision
), reset AS (
    DELETE FROM makegood.endpoint_health WHERE service = $1 AND EXISTS (SELECT FROM bumped)
)
INSERT INTO makegood.service (name, keys, revision) SELECT $1, $2, revision FROM bumped
ON CONFLICT (name) DO UPDATE SET keys = excluded.keys, revision = excluded.revision RETURNING xmax = 0

-- name: remove_service
-- safe: one statement with its revision; a second time finds nothing.
WITH gone AS (
    DELETE FROM makegood.service WHERE name = $1 RETURNING name
), instances AS (
    DELETE FROM makegood.instance WHERE service = $1 AND EXISTS (SELECT FROM gone)
), health AS (
    DELETE FROM makegood.endpoint_health WHERE service = $1 AND EXISTS (SELECT FROM gone)
), bumped AS (
    UPDATE makegood.directory SET revision = revision + 1 WHERE EXISTS (SELECT FROM gone)
)
SELECT EXISTS (SELECT FROM gone)

-- name: put_instance
-- safe: touches its own row, and those that ran out an hour ago; a renewal leaves the revision as it is.
WITH before AS MATERIALIZED (
    SELECT url, labels FROM makegood.instance WHERE service = $1 AND id = $2 AND lease_until > clock_timestamp()
), forgotten AS (
    DELETE FROM makegood.instance
    WHERE lease_until < clock_timestamp() - interval '1 hour' AND NOT (service = $1 AND id = $2)
), bumped AS (
    UPDATE makegood.directory SET revision = revision + 1
    WHERE NOT EXISTS (SELECT FROM before WHERE url = $3 AND labels = $4)
)
INSERT INTO makegood.instance (service, id, url, labels, lease_until)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5::bigint * interval '1 millisecond')
ON CONFLICT (service, id) DO UPDATE SET url = excluded.url, labels = excluded.labels, lease_until = excluded.lease_until
RETURNING NOT EXISTS (SELECT FROM before)

-- name: remove_instance
-- safe: touches its own row; a second time finds nothing.
WITH gone AS (
    DELETE FROM makegood.instance WHERE service = $1 AND id = $2 RETURNING lease_until > clock_timestamp() AS held
), bumped AS (
    UPDATE makegood.directory SET revision = revision + 1 WHERE EXISTS (SELECT FROM gone WHERE held)
)
SELECT EXISTS (SELECT FROM gone WHERE held)

-- name: claim_checks
-- safe: a row is looked at again under its lock, so that one of several askers is given it; what nobody asked for
-- in an hour is forgotten.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) AS a (service, url, again_ms)
), known AS MATERIALIZED (
    SELECT a.service, a.url, a.again_ms, h.due_at
    FROM asked AS a LEFT JOIN makegood.endpoint_health AS h ON h.service = a.service AND h.url = a.url
), forgotten AS (
    DELETE FROM makegood.endpoint_health AS h WHERE h.due_at < clock_timestamp() - interval '1 hour'
        AND NOT EXISTS (SELECT FROM asked AS a WHERE a.service = h.service AND a.url = h.url)
), claimed AS (
    INSERT INTO makegood.endpoint_health AS h (service, url, checked_by, due_at)
    SELECT service, url, $4, clock_timestamp() + again_ms * interval '1 millisecond' FROM known
    WHERE due_at IS NULL OR due_at <= clock_timestamp() ORDER BY service, url
    ON CONFLICT (service, url) DO UPDATE SET checked_by = excluded.checked_by, due_at = excluded.due_at, turn = h.turn + 1
    WHERE h.due_at <= clock_timestamp()
    RETURNING h.service, h.url, h.well, h.reason, h.since, h.checked_at, h.in_a_row, h.turn, h.checked_by, h.due_at
)
SELECT service, url, well, reason, (extract(epoch FROM since) * 1000)::bigint,
    (extract(epoch FROM checked_at) * 1000)::bigint, in_a_row, turn, checked_by,
    (extract(epoch FROM due_at - clock_timestamp()) * 1000)::bigint FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    (extract(epoch FROM min(due_at) - clock_timestamp()) * 1000)::bigint FROM known WHERE due_at > clock_timestamp()

-- name: put_health
-- safe: a row that was claimed again has another turn, and is left.
WITH told AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::integer[])
        AS t (service, url, turn, well, reason, in_a_row)
), changed AS MATERIALIZED (
    SELECT h.url FROM makegood.endpoint_health AS h
    JOIN told AS t ON h.service = t.service AND h.url = t.url AND h.turn = t.turn
    WHERE h.well <> t.well OR h.reason <> t.reason
), settled AS (
    UPDATE makegood.endpoint_health AS h SET well = t.well, reason = t.reason, in_a_row = t.in_a_row,
        checked_at = clock_timestamp(), since = CASE WHEN h.well <> t.well THEN clock_timestamp() ELSE h.since END
    FROM told AS t WHERE h.service = t.service AND h.url = t.url AND h.turn = t.turn
)
UPDATE makegood.directory SET revision = revision + 1 WHERE EXISTS (SELECT FROM changed)

-- name: description
-- safe: a read.
SELECT source, content, read_ms FROM makegood.description WHERE service = $1

-- name: keep_description
-- safe: one row, the last one read wins.
INSERT INTO makegood.description (service, source, content, read_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (service) DO UPDATE SET source = excluded.source, content = excluded.content, read_ms = excluded.read_ms
