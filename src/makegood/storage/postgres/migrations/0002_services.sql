-- Services that all replicas share, the instances that register themselves, and the health of endpoints.
-- Leases and turns go by the database's clock.

-- One row: rises with every change that replicas must hear of.
CREATE TABLE makegood.directory (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint  NOT NULL CHECK (revision >= 1)
) WITH (fillfactor = 50);

INSERT INTO makegood.directory (revision) VALUES (1);

CREATE TABLE makegood.service (
    name     text   COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    keys     text   NOT NULL,  -- JSON: the keys of [services.NAME], as they were put
    revision bigint NOT NULL CHECK (revision >= 1)
);

-- Of services that a file names too, so that there need be no row of its service.
CREATE TABLE makegood.instance (
    service     text        COLLATE "C" NOT NULL,
    id          text        COLLATE "C" NOT NULL CHECK (id <> ''),
    url         text        NOT NULL,
    labels      text        NOT NULL,  -- JSON
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (service, id)
) WITH (fillfactor = 50);

CREATE TABLE makegood.endpoint_health (
    service    text        COLLATE "C" NOT NULL,
    url        text        COLLATE "C" NOT NULL,
    well       boolean     NOT NULL DEFAULT true,
    reason     text        NOT NULL DEFAULT '',
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    checked_at timestamptz,
    in_a_row   integer     NOT NULL DEFAULT 0 CHECK (in_a_row >= 0),  -- checks that found other than the verdict
    turn       bigint      NOT NULL DEFAULT 1 CHECK (turn >= 1),      -- a check of an older one is not heard
    checked_by text        NOT NULL,
    due_at     timestamptz NOT NULL,                                  -- from then on somebody may claim it
    PRIMARY KEY (service, url)
) WITH (fillfactor = 50);
