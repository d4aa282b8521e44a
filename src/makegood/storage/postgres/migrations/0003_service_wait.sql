-- Which executions wait for which service, none of whose endpoints is well: one row for each pair.

CREATE TABLE makegood.service_wait (
    execution_id text   COLLATE "C" NOT NULL,
    service      text   COLLATE "C" NOT NULL,
    since_ms     bigint NOT NULL,
    step         text   NOT NULL,  -- of those in it that wait for the service, the one that waits longest
    PRIMARY KEY (execution_id, service)
);

CREATE INDEX service_wait_longest ON makegood.service_wait (service, since_ms, execution_id);
