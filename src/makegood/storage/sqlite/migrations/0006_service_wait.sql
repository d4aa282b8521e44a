-- Which executions wait for which service, none of whose endpoints is well: one row for each pair.

CREATE TABLE service_wait (
    execution_id TEXT    NOT NULL,
    service      TEXT    NOT NULL,
    since_ms     INTEGER NOT NULL,
    step         TEXT    NOT NULL,  -- of those in it that wait for the service, the one that waits longest
    PRIMARY KEY (execution_id, service)
) STRICT, WITHOUT ROWID;

CREATE INDEX service_wait_longest ON service_wait (service, since_ms, execution_id);
