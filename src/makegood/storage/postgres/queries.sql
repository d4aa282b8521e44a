-- Named statements. Each has one line on why it is safe, and each is one transaction (autocommit, READ
-- COMMITTED): there is no moment at which a stopped process could leave a lock behind.
--
-- `fence` locks this worker's row and finds none unless it is alive in this epoch. Declaring a worker
-- dead is an UPDATE of that row: it waits for a batch that has the lock, and a batch that comes later
-- (or waited for it, which has the row looked at again) finds none and writes nothing.

-- name: has_schema
-- safe: a read.
SELECT to_regclass('makegood.schema_version') IS NOT NULL

-- name: create_schema
-- safe: of two processes that do this at once, one is refused by the catalogue's own unique indexes and looks
-- again, or comes later and finds it done.
BEGIN;
CREATE SCHEMA IF NOT EXISTS makegood;
CREATE TABLE IF NOT EXISTS makegood.schema_version (version integer NOT NULL);
INSERT INTO makegood.schema_version (version) SELECT 0 WHERE NOT EXISTS (SELECT FROM makegood.schema_version);
COMMIT;

-- name: schema_version
-- safe: a read. A database that does not say whom it serves was made before any did, and serves its own version.
SELECT v.version, coalesce((to_jsonb(v) ->> 'serves')::integer, v.version) FROM makegood.schema_version AS v

-- name: join
-- safe: makes two new rows; a worker that never hears of its own runs out as any other.
WITH joined AS (
    INSERT INTO makegood.worker (node, format_max) VALUES ($1, $2) RETURNING id, epoch
), leased AS (
    INSERT INTO makegood.lease (worker_id, expires_at)
    SELECT j.id, clock_timestamp() + $3::integer * interval '1 millisecond' FROM joined AS j
)
SELECT id, epoch, (SELECT count(*) + 1 FROM makegood.worker WHERE state = 'alive')::integer FROM joined

-- name: renew
-- safe: touches this worker's lease alone; who was declared dead meanwhile is told by `still_alive`.
UPDATE makegood.lease SET expires_at = clock_timestamp() + $2::integer * interval '1 millisecond' WHERE worker_id = $1

-- name: still_alive
-- safe: a read.
SELECT epoch FROM makegood.worker WHERE id = $1 AND state = 'alive'

-- name: bury
-- safe: the lease is looked at under its lock, so that one which is being renewed is left; waits for its batch.
WITH late AS MATERIALIZED (
    SELECT l.worker_id FROM makegood.lease AS l
    WHERE $2::boolean AND l.expires_at < clock_timestamp() AND l.worker_id <> $1 FOR UPDATE SKIP LOCKED
), buried AS (
    UPDATE makegood.worker AS w SET state = 'dead', ended_at = clock_timestamp()
    FROM late WHERE w.id = late.worker_id AND w.state = 'alive' RETURNING w.id
)
SELECT (SELECT count(*) FROM buried)::integer, EXISTS (
    SELECT FROM makegood.worker AS w WHERE w.id = $1 AND w.state = 'alive'),
    ((SELECT count(*) FROM makegood.worker WHERE state = 'alive') - (SELECT count(*) FROM buried))::integer

-- name: bump
-- safe: waits for the batches of the old epoch that have the fence, and bars those that come later.
UPDATE makegood.worker SET epoch = epoch + 1 WHERE id = $1 AND epoch = $2 AND state = 'alive' RETURNING epoch

-- name: leave
-- safe: touches this worker's row alone; its later batches are refused.
UPDATE makegood.worker SET state = 'left', ended_at = clock_timestamp() WHERE id = $1 AND state = 'alive'

-- name: forget
-- safe: only workers that own nothing and can write nothing, and verdicts that nobody waits for any more.
WITH workers AS (
    DELETE FROM makegood.worker AS w
    WHERE w.state <> 'alive' AND w.ended_at < clock_timestamp() - interval '1 hour'
        AND NOT EXISTS (SELECT FROM makegood.execution AS e WHERE e.owner = w.id)
)
DELETE FROM makegood.request WHERE verdict IS NOT NULL AND settled_at < clock_timestamp() - interval '1 hour'

-- name: living
-- safe: a read.
SELECT w.id, w.node, w.format_max, (extract(epoch FROM l.expires_at - clock_timestamp()) * 1000)::bigint
FROM makegood.worker AS w JOIN makegood.lease AS l ON l.worker_id = w.id WHERE w.state = 'alive' ORDER BY w.id

-- name: append
-- safe: fenced; the journal's key refuses a position that is taken; a standing that finds no row of ours fails it all.
WITH fence AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.id = $1 AND w.epoch = $2 AND w.state = 'alive' FOR SHARE
), written AS (
    INSERT INTO makegood.journal (execution_id, position, body)
    SELECT r.execution_id, r.position, r.body
    FROM fence CROSS JOIN unnest($3::text[], $4::integer[], $5::text[]) AS r (execution_id, position, body)
), stood AS (
    UPDATE makegood.execution AS e SET status = v.status, phase = v.phase, pivoted = v.pivoted,
        wake_at_ms = v.wake_at_ms, parked = v.parked, ended_at_ms = v.ended_at_ms, error_code = v.error_code,
        overdue = v.overdue, superseded_by = v.superseded_by, owner = CASE WHEN v.owned THEN $1 END,
        held_key = CASE
            WHEN v.ended_at_ms IS NULL THEN e.held_key
            WHEN e.held_key IS NULL OR e.root = e.id THEN NULL
            -- A child's, for as long as its root lives, which may end by this very statement.
            WHEN EXISTS (
                SELECT FROM makegood.execution AS r WHERE r.id = e.root AND r.ended_at_ms IS NULL AND NOT EXISTS (
                    SELECT FROM unnest($6::text[], $13::bigint[]) AS x (id, ended_at_ms)
                    WHERE x.id = r.id AND x.ended_at_ms IS NOT NULL)) THEN e.held_key END
    FROM fence CROSS JOIN unnest($6::text[], $7::integer[], $8::text[], $9::text[], $10::boolean[], $11::bigint[],
        $12::boolean[], $13::bigint[], $14::text[], $15::boolean[], $16::text[], $17::boolean[])
        AS v (id, bare_at, status, phase, pivoted, wake_at_ms, parked, ended_at_ms, error_code, overdue, superseded_by, owned)
    WHERE e.id = v.id AND (e.owner = $1 OR e.owner IS NULL)
        AND (v.bare_at IS NULL OR NOT EXISTS (
            SELECT FROM makegood.journal AS j WHERE j.execution_id = v.id AND j.position >= v.bare_at))
    RETURNING 1
), freed AS (
    UPDATE makegood.execution AS f SET held_key = NULL
    FROM fence CROSS JOIN unnest($6::text[], $13::bigint[]) AS x (id, ended_at_ms)
    WHERE x.ended_at_ms IS NOT NULL AND f.root = x.id AND f.held_key IS NOT NULL AND f.ended_at_ms IS NOT NULL
        AND f.id <> ALL ($6::text[])
    RETURNING 1
), settled AS (
    UPDATE makegood.request AS q SET verdict = '', settled_at = clock_timestamp()
    FROM fence WHERE q.id = ANY ($18::bigint[]) AND q.verdict IS NULL
), kept AS (
    INSERT INTO makegood.keyed_request (key, content, at_ms, answer)
    SELECT k.key, k.content, k.at_ms, k.answer
    FROM fence CROSS JOIN unnest($19::text[], $20::text[], $21::bigint[], $22::text[])
        AS k (key, content, at_ms, answer)
    ON CONFLICT DO NOTHING
), waited AS (
    DELETE FROM makegood.service_wait AS a USING fence
    WHERE a.execution_id = ANY ($23::text[]) AND NOT EXISTS (
        SELECT FROM unnest($24::text[], $25::text[]) AS v (execution_id, service)
        WHERE v.execution_id = a.execution_id AND v.service = a.service)
), waits AS (
    INSERT INTO makegood.service_wait (execution_id, service, since_ms, step)
    SELECT v.execution_id, v.service, v.since_ms, v.step
    FROM fence CROSS JOIN unnest($24::text[], $25::text[], $26::bigint[], $27::text[])
        AS v (execution_id, service, since_ms, step)
    ON CONFLICT (execution_id, service) DO UPDATE SET since_ms = excluded.since_ms, step = excluded.step
)
SELECT (SELECT count(*) FROM fence)::integer,
    1 / CASE WHEN (SELECT count(*) FROM stood) = cardinality($6::text[]) OR NOT EXISTS (SELECT FROM fence)
        THEN 1 ELSE 0 END

-- name: begin
-- safe: as append; the keys of executions choose one of several starts, and what belongs to another is left out.
-- Standings change before executions are made, so that a business key that an end gives back can be had at once.
WITH fence AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.id = $1 AND w.epoch = $2 AND w.state = 'alive' FOR SHARE
), stood AS (
    UPDATE makegood.execution AS e SET status = v.status, phase = v.phase, pivoted = v.pivoted,
        wake_at_ms = v.wake_at_ms, parked = v.parked, ended_at_ms = v.ended_at_ms, error_code = v.error_code,
        overdue = v.overdue, superseded_by = v.superseded_by, owner = CASE WHEN v.owned THEN $1 END,
        held_key = CASE
            WHEN v.ended_at_ms IS NULL THEN e.held_key
            WHEN e.held_key IS NULL OR e.root = e.id THEN NULL
            -- A child's, for as long as its root lives, which may end by this very statement.
            WHEN EXISTS (
                SELECT FROM makegood.execution AS r WHERE r.id = e.root AND r.ended_at_ms IS NULL AND NOT EXISTS (
                    SELECT FROM unnest($6::text[], $13::bigint[]) AS x (id, ended_at_ms)
                    WHERE x.id = r.id AND x.ended_at_ms IS NOT NULL)) THEN e.held_key END
    FROM fence CROSS JOIN unnest($6::text[], $7::integer[], $8::text[], $9::text[], $10::boolean[], $11::bigint[],
        $12::boolean[], $13::bigint[], $14::text[], $15::boolean[], $16::text[], $17::boolean[])
        AS v (id, bare_at, status, phase, pivoted, wake_at_ms, parked, ended_at_ms, error_code, overdue, superseded_by, owned)
    WHERE e.id = v.id AND (e.owner = $1 OR e.owner IS NULL)
        AND (v.bare_at IS NULL OR NOT EXISTS (
            SELECT FROM makegood.journal AS j WHERE j.execution_id = v.id AND j.position >= v.bare_at))
    RETURNING 1
), freed AS (
    UPDATE makegood.execution AS f SET held_key = NULL
    FROM fence CROSS JOIN unnest($6::text[], $13::bigint[]) AS x (id, ended_at_ms)
    WHERE x.ended_at_ms IS NOT NULL AND f.root = x.id AND f.held_key IS NOT NULL AND f.ended_at_ms IS NOT NULL
        AND f.id <> ALL ($6::text[])
    RETURNING 1
), started AS (
    INSERT INTO makegood.execution (id, workflow, version, start_hash, started_at_ms, started_by, business_key,
        held_key, parent, root, search, rerun_of, format_min, status, phase, pivoted, wake_at_ms, parked, ended_at_ms,
        error_code, overdue, superseded_by, owner)
    SELECT s.id, s.workflow, s.version, s.start_hash, s.started_at_ms, $1, s.business_key,
        CASE WHEN s.ended_at_ms IS NULL OR (s.root <> s.id AND EXISTS (
            SELECT FROM makegood.execution AS r WHERE r.id = s.root AND r.ended_at_ms IS NULL))
            THEN s.business_key END,
        s.parent, s.root, s.search, s.rerun_of, s.format_min, s.status, s.phase, s.pivoted, s.wake_at_ms, s.parked,
        s.ended_at_ms, s.error_code, s.overdue, s.superseded_by, CASE WHEN s.owned THEN $1 END
    FROM fence CROSS JOIN (SELECT (SELECT count(*) FROM stood) + (SELECT count(*) FROM freed)) AS before
    CROSS JOIN unnest($18::text[], $19::text[], $20::bigint[], $21::text[], $22::bigint[], $23::text[], $24::text[],
        $25::text[], $26::text[], $27::text[], $28::integer[], $29::text[], $30::text[], $31::boolean[],
        $32::bigint[], $33::boolean[], $34::bigint[], $35::text[], $36::boolean[], $37::text[],
        $38::boolean[])
        AS s (id, workflow, version, start_hash, started_at_ms, business_key, parent, root, search, rerun_of,
            format_min, status, phase, pivoted, wake_at_ms, parked, ended_at_ms, error_code, overdue, superseded_by, owned)
    ORDER BY s.id
    ON CONFLICT DO NOTHING
    RETURNING id
), searched AS (
    INSERT INTO makegood.search_attribute (execution_id, name, value, text, started_at_ms)
    SELECT a.execution_id, a.name, a.value, a.text, a.started_at_ms
    FROM unnest($39::text[], $40::text[], $41::text[], $46::text[], $47::bigint[])
        AS a (execution_id, name, value, text, started_at_ms)
    WHERE a.execution_id IN (SELECT s.id FROM started AS s)
), written AS (
    INSERT INTO makegood.journal (execution_id, position, body)
    SELECT r.execution_id, r.position, r.body
    FROM fence CROSS JOIN unnest($3::text[], $4::integer[], $5::text[], $42::boolean[])
        AS r (execution_id, position, body, begins)
    WHERE NOT r.begins OR r.execution_id IN (SELECT s.id FROM started AS s)
), settled AS (
    UPDATE makegood.request AS q SET verdict = '', settled_at = clock_timestamp()
    FROM fence CROSS JOIN unnest($43::bigint[], $44::text[]) AS i (id, started_id)
    WHERE q.id = i.id AND q.verdict IS NULL
        AND (i.started_id IS NULL OR i.started_id IN (SELECT s.id FROM started AS s))
), kept AS (
    INSERT INTO makegood.keyed_request (key, content, at_ms, answer)
    SELECT k.key, k.content, k.at_ms, k.answer
    FROM fence CROSS JOIN unnest($48::text[], $49::text[], $50::bigint[], $51::text[], $52::text[])
        AS k (key, content, at_ms, answer, started_id)
    WHERE k.started_id IS NULL OR k.started_id IN (SELECT s.id FROM started AS s)
    ON CONFLICT DO NOTHING
), waited AS (
    DELETE FROM makegood.service_wait AS a USING fence
    WHERE a.execution_id = ANY ($53::text[]) AND NOT EXISTS (
        SELECT FROM unnest($54::text[], $55::text[]) AS v (execution_id, service)
        WHERE v.execution_id = a.execution_id AND v.service = a.service)
), waits AS (
    INSERT INTO makegood.service_wait (execution_id, service, since_ms, step)
    SELECT v.execution_id, v.service, v.since_ms, v.step
    FROM fence CROSS JOIN unnest($54::text[], $55::text[], $56::bigint[], $57::text[], $58::text[])
        AS v (execution_id, service, since_ms, step, started_id)
    WHERE v.started_id IS NULL OR v.started_id IN (SELECT s.id FROM started AS s)
    ON CONFLICT (execution_id, service) DO UPDATE SET since_ms = excluded.since_ms, step = excluded.step
)
SELECT (SELECT count(*) FROM fence)::integer,
    1 / CASE WHEN NOT EXISTS (SELECT FROM fence)
        OR ((SELECT count(*) FROM stood) = cardinality($6::text[])
            AND (NOT $45::boolean OR (SELECT count(*) FROM started) = cardinality($18::text[])))
        THEN 1 ELSE 0 END,
    (SELECT array_agg(s.id) FROM started AS s)

-- name: raise_format
-- safe: fenced, only ever raised, and before the record that needs it: too early harms nobody.
WITH fence AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.id = $1 AND w.epoch = $2 AND w.state = 'alive' FOR SHARE
)
UPDATE makegood.execution AS e SET format_min = greatest(e.format_min, v.format_min)
FROM fence CROSS JOIN unnest($3::text[], $4::integer[]) AS v (id, format_min) WHERE e.id = v.id

-- name: was_written
-- safe: a read, after `bump` has seen to it that the batch in question is over.
SELECT 1 FROM makegood.journal WHERE execution_id = $1 AND position = $2 AND body = $3

-- name: were_started
-- safe: a read, after `bump`; a row is ours if this worker stored it with this very record.
SELECT e.id FROM unnest($2::text[], $3::text[]) AS v (id, body)
JOIN makegood.execution AS e ON e.id = v.id AND e.started_by = $1
JOIN makegood.journal AS j ON j.execution_id = e.id AND j.position = 0 AND j.body = v.body

-- name: next_positions
-- safe: a read; an id that is left out has no row.
SELECT e.id, coalesce((SELECT max(j.position) + 1 FROM makegood.journal AS j WHERE j.execution_id = e.id), 0)
FROM makegood.execution AS e WHERE e.id = ANY ($1::text[])

-- name: key_holder
-- safe: a read.
SELECT id FROM makegood.execution WHERE workflow = $1 AND held_key = $2

-- name: free_key
-- safe: of an end of a child and one of its root at the same moment neither may have seen the other: this one does.
UPDATE makegood.execution AS e SET held_key = NULL
WHERE e.workflow = $1 AND e.held_key = $2 AND e.ended_at_ms IS NOT NULL AND NOT EXISTS (
    SELECT FROM makegood.execution AS r WHERE r.id = e.root AND r.ended_at_ms IS NULL)
RETURNING e.id

-- name: claim
-- safe: fenced; rows are taken under their locks, those of others are skipped; the counter rises in the same write.
WITH fence AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.id = $1 AND w.epoch = $2 AND w.state = 'alive' FOR SHARE
), gone AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.state <> 'alive'
), share AS MATERIALIZED (
    SELECT least($4::bigint, greatest(100, ceil((
        SELECT count(*) FROM (SELECT FROM gone JOIN makegood.execution AS e ON e.owner = gone.id LIMIT 20000) AS n
    )::numeric / greatest((SELECT count(*) FROM makegood.worker AS w WHERE w.state = 'alive'), 1))))::bigint AS most
), left_over AS MATERIALIZED (
    SELECT x.id FROM gone CROSS JOIN LATERAL (
        SELECT e.id, e.crashes FROM makegood.execution AS e
        WHERE e.owner = gone.id AND e.not_understood IS NULL AND e.format_min <= $5
        AND ($6::text[] IS NULL OR NOT EXISTS (
            SELECT FROM makegood.definition AS d
            WHERE d.name = e.workflow AND d.version = e.version AND NOT d.services <@ $6::text[]))
        ORDER BY e.crashes LIMIT (SELECT most FROM share) FOR UPDATE OF e SKIP LOCKED
    ) AS x ORDER BY gone.id, x.crashes LIMIT (SELECT most FROM share)
), due AS MATERIALIZED (
    SELECT e.id FROM makegood.execution AS e
    WHERE e.parked AND e.wake_at_ms <= $3 AND e.not_understood IS NULL AND e.format_min <= $5
        AND ($6::text[] IS NULL OR NOT EXISTS (
            SELECT FROM makegood.definition AS d
            WHERE d.name = e.workflow AND d.version = e.version AND NOT d.services <@ $6::text[]))
    ORDER BY e.wake_at_ms LIMIT $4::bigint - (SELECT count(*) FROM left_over) FOR UPDATE OF e SKIP LOCKED
), chosen AS MATERIALIZED (
    SELECT l.id FROM left_over AS l UNION ALL SELECT d.id FROM due AS d
), taken AS (
    UPDATE makegood.execution AS e SET
        crashes = CASE
            WHEN e.owner IS NULL THEN e.crashes
            WHEN (SELECT w.state FROM makegood.worker AS w WHERE w.id = e.owner) = 'left' THEN 0
            ELSE e.crashes + 1 END,
        owner = $1, parked = false, wake_at_ms = NULL, not_understood = NULL
    FROM fence CROSS JOIN chosen WHERE e.id = chosen.id
    RETURNING e.id
)
SELECT (SELECT count(*) FROM fence)::integer, (SELECT array_agg(c.id) FROM chosen AS c),
    (SELECT count(*) FROM taken)::integer

-- name: claim_these
-- safe: as claim.
WITH fence AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.id = $1 AND w.epoch = $2 AND w.state = 'alive' FOR SHARE
), gone AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.state <> 'alive'
), chosen AS MATERIALIZED (
    SELECT e.id FROM makegood.execution AS e
    WHERE e.id = ANY ($5::text[]) AND e.format_min <= $7 AND e.ended_at_ms IS NULL AND (
        e.owner IN (SELECT g.id FROM gone AS g) OR (e.parked AND ($6::boolean OR e.wake_at_ms <= $3)))
    ORDER BY (e.owner IS NULL), e.owner, CASE WHEN e.owner IS NOT NULL THEN e.crashes END, e.wake_at_ms
    LIMIT $4::bigint FOR UPDATE OF e SKIP LOCKED
), taken AS (
    UPDATE makegood.execution AS e SET
        crashes = CASE
            WHEN e.owner IS NULL THEN e.crashes
            WHEN (SELECT w.state FROM makegood.worker AS w WHERE w.id = e.owner) = 'left' THEN 0
            ELSE e.crashes + 1 END,
        owner = $1, parked = false, wake_at_ms = NULL, not_understood = NULL
    FROM fence CROSS JOIN chosen WHERE e.id = chosen.id
    RETURNING e.id
)
SELECT (SELECT count(*) FROM fence)::integer, (SELECT array_agg(c.id) FROM chosen AS c),
    (SELECT count(*) FROM taken)::integer

-- name: claim_waiting
-- safe: as claim; the longest first, so that all workers bring them back in the order in which they came.
WITH fence AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.id = $1 AND w.epoch = $2 AND w.state = 'alive' FOR SHARE
), chosen AS MATERIALIZED (
    SELECT e.id FROM makegood.service_wait AS a JOIN makegood.execution AS e ON e.id = a.execution_id
    WHERE a.service = $3 AND a.since_ms <= $4 AND e.parked AND e.not_understood IS NULL AND e.format_min <= $6
        AND ($7::text[] IS NULL OR NOT EXISTS (
            SELECT FROM makegood.definition AS d
            WHERE d.name = e.workflow AND d.version = e.version AND NOT d.services <@ $7::text[]))
        AND ($8::text[] IS NULL OR e.id = ANY ($8::text[]))
    ORDER BY a.since_ms, a.execution_id LIMIT $5::bigint FOR UPDATE OF e SKIP LOCKED
), taken AS (
    UPDATE makegood.execution AS e SET owner = $1, parked = false, wake_at_ms = NULL
    FROM fence CROSS JOIN chosen WHERE e.id = chosen.id
    RETURNING e.id
)
SELECT (SELECT count(*) FROM fence)::integer, (SELECT array_agg(c.id) FROM chosen AS c),
    (SELECT count(*) FROM taken)::integer

-- name: waited_for
-- safe: a read of the first fitting entry of an index, for each service.
SELECT s.service, x.since_ms FROM unnest(
    coalesce($1::text[], ARRAY(SELECT DISTINCT w.service FROM makegood.service_wait AS w))
) AS s (service) CROSS JOIN LATERAL (
    SELECT a.since_ms FROM makegood.service_wait AS a JOIN makegood.execution AS e ON e.id = a.execution_id
    WHERE a.service = s.service AND e.parked AND e.not_understood IS NULL AND e.format_min <= $2
        AND ($3::text[] IS NULL OR NOT EXISTS (
            SELECT FROM makegood.definition AS d
            WHERE d.name = e.workflow AND d.version = e.version AND NOT d.services <@ $3::text[]))
    ORDER BY a.since_ms LIMIT 1) AS x

-- name: waiting
-- safe: a read by the index.
SELECT execution_id, service, since_ms, step FROM makegood.service_wait
WHERE service = $1 ORDER BY since_ms, execution_id LIMIT $2

-- name: count_waiting
-- safe: a read of the index.
SELECT count(*) FROM makegood.service_wait WHERE service = $1

-- name: owned
-- safe: a read, after `bump`: what an unanswered claim may have taken.
SELECT id FROM makegood.execution WHERE owner = $1

-- name: clear_crashes
-- safe: sets a counter to a constant; repeating it is no error.
UPDATE makegood.execution SET crashes = 0 WHERE id = ANY ($1::text[]) AND crashes <> 0

-- name: set_aside
-- safe: fenced, and only what this worker owns: nobody else is at it.
WITH fence AS MATERIALIZED (
    SELECT w.id FROM makegood.worker AS w WHERE w.id = $1 AND w.epoch = $2 AND w.state = 'alive' FOR SHARE
)
UPDATE makegood.execution AS e SET owner = NULL, parked = true, wake_at_ms = NULL, not_understood = $4
FROM fence WHERE e.id = $3 AND e.owner = $1

-- name: next_wake
-- safe: a read of the first fitting entry of the partial index.
SELECT e.wake_at_ms FROM makegood.execution AS e
WHERE e.parked AND e.wake_at_ms IS NOT NULL AND e.not_understood IS NULL AND e.format_min <= $1
        AND ($2::text[] IS NULL OR NOT EXISTS (
            SELECT FROM makegood.definition AS d
            WHERE d.name = e.workflow AND d.version = e.version AND NOT d.services <@ $2::text[]))
ORDER BY e.wake_at_ms LIMIT 1

-- name: stored
-- safe: a read; `positions` counts by the journal's key. Conditions follow.
SELECT e.id, e.workflow, e.version, e.start_hash, e.started_at_ms, e.business_key, e.parent, e.root, e.search,
    e.rerun_of, e.status, e.phase, e.pivoted, e.wake_at_ms, e.parked, e.ended_at_ms, e.error_code, e.overdue,
    e.superseded_by, e.crashes,
    (SELECT w.id FROM makegood.worker AS w WHERE w.id = e.owner AND w.state = 'alive'),
    coalesce((SELECT max(j.position) + 1 FROM makegood.journal AS j WHERE j.execution_id = e.id), 0)
FROM makegood.execution AS e

-- name: load
-- safe: a read by the primary key.
SELECT body FROM makegood.journal WHERE execution_id = $1 AND position >= $2 ORDER BY position LIMIT $3

-- name: load_ahead
-- safe: a read by the primary key, of executions that only this worker appends to.
SELECT r.execution_id, r.body FROM (
    SELECT j.execution_id, j.position, j.body,
        sum(octet_length(j.body)) OVER (ORDER BY j.execution_id, j.position) AS bytes
    FROM makegood.journal AS j WHERE j.execution_id = ANY ($1::text[]) AND j.position < $2::integer
) AS r WHERE r.bytes <= $3::bigint ORDER BY r.execution_id, r.position

-- name: at_rest
-- safe: a read by the primary key.
SELECT id FROM makegood.execution WHERE id = ANY ($1::text[]) AND (status = 'suspended' OR ended_at_ms IS NOT NULL)

-- name: put_request
-- safe: makes one row; that of a lost answer is a request like any other, and requests may be repeated.
INSERT INTO makegood.request (execution_id, kind, body) VALUES ($1, $2, $3) RETURNING id

-- name: requests
-- safe: a read; whose execution another worker advances, that worker's poll finds.
SELECT r.id, r.execution_id, r.kind, r.body FROM makegood.request AS r
LEFT JOIN makegood.execution AS e ON e.id = r.execution_id
LEFT JOIN makegood.worker AS w ON w.id = e.owner
WHERE r.verdict IS NULL AND (e.owner IS NULL OR e.owner = $1 OR w.state <> 'alive') ORDER BY r.id LIMIT $2

-- name: requests_for
-- safe: as requests.
SELECT r.id, r.execution_id, r.kind, r.body FROM makegood.request AS r
WHERE r.verdict IS NULL AND r.execution_id = $1 ORDER BY r.id LIMIT $2

-- name: verdict
-- safe: a read.
SELECT verdict FROM makegood.request WHERE id = $1

-- name: settle
-- safe: a verdict is given once; repeating it changes nothing.
UPDATE makegood.request SET verdict = $2, settled_at = clock_timestamp() WHERE id = ANY ($1::bigint[]) AND verdict IS NULL

-- name: insert_definition
-- safe: the primary key refuses a version that exists; who got no row looks again.
INSERT INTO makegood.definition (name, version, tree, canonical, services, format_min, created_at_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING version

-- name: definition
-- safe: a read.
SELECT name, version, tree, created_at_ms, canonical FROM makegood.definition WHERE name = $1 AND version = $2

-- name: newest_definition
-- safe: a read by the primary key, backwards.
SELECT name, version, tree, created_at_ms, canonical FROM makegood.definition
WHERE name = $1 ORDER BY version DESC LIMIT 1

-- name: definitions
-- safe: a read.
SELECT DISTINCT ON (name) name, version, tree, created_at_ms, canonical
FROM makegood.definition ORDER BY name, version DESC

-- name: insert_request
-- safe: alone; a key that is kept already stays as it is.
INSERT INTO makegood.keyed_request (key, content, at_ms, answer) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: request
-- safe: a read.
SELECT key, content, at_ms, answer FROM makegood.keyed_request WHERE key = $1

-- name: forget_requests
-- safe: only what nobody repeats any more, a piece at a time; another worker that is at it takes others.
DELETE FROM makegood.keyed_request WHERE key IN (
    SELECT k.key FROM makegood.keyed_request AS k WHERE k.at_ms < $1
    ORDER BY k.at_ms LIMIT $2::bigint FOR UPDATE SKIP LOCKED)
RETURNING key

-- name: counts
-- safe: a read of one index, of so many entries for each state at most.
SELECT s.status, (SELECT count(*) FROM (
    SELECT FROM makegood.execution AS e WHERE e.workflow = $1 AND e.status = s.status LIMIT $2) AS n)
FROM unnest($3::text[]) AS s (status)

-- name: statuses
-- safe: a read.
SELECT status, count(*) FROM makegood.execution GROUP BY status

-- name: purge
-- safe: whole families of which nobody lives, under their locks; who brings one back at this moment is skipped.
WITH roots AS MATERIALIZED (
    SELECT r.id FROM makegood.execution AS r
    WHERE r.root = r.id AND r.ended_at_ms < $1 AND NOT EXISTS (
        SELECT FROM makegood.execution AS c WHERE c.root = r.id AND c.root <> c.id AND c.ended_at_ms IS NULL)
    ORDER BY r.ended_at_ms, r.id LIMIT $2 FOR UPDATE OF r SKIP LOCKED
), members AS MATERIALIZED (
    SELECT c.id FROM makegood.execution AS c
    WHERE c.root IN (SELECT r.id FROM roots AS r) AND c.root <> c.id FOR UPDATE OF c
), gone AS MATERIALIZED (
    SELECT r.id FROM roots AS r UNION ALL SELECT m.id FROM members AS m
), records AS (
    DELETE FROM makegood.journal AS j WHERE j.execution_id IN (SELECT g.id FROM gone AS g)
), attributes AS (
    DELETE FROM makegood.search_attribute AS a WHERE a.execution_id IN (SELECT g.id FROM gone AS g)
), requests AS (
    DELETE FROM makegood.request AS q WHERE q.execution_id IN (SELECT g.id FROM gone AS g)
), executions AS (
    DELETE FROM makegood.execution AS e WHERE e.id IN (SELECT g.id FROM gone AS g) RETURNING 1
)
SELECT (SELECT count(*) FROM roots)::integer, (SELECT count(*) FROM executions)::integer
