-- Workers, executions, their journals and what belongs to them. Moments of executions are
-- milliseconds since the epoch, UTC, by the engine's clock; those of workers are the database's.
-- Payloads are text: jsonb costs twice as much, and refuses \u0000, which a service may answer.
-- Ids compare by bytes, so that pages of a list follow one another as they do on any other database.

-- One row for each process that ever took part. What it commits is refused once it is not alive.
CREATE TABLE makegood.worker (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node       text        NOT NULL,  -- host and process, for people
    epoch      integer     NOT NULL DEFAULT 1 CHECK (epoch >= 1),
    state      text        NOT NULL DEFAULT 'alive' CHECK (state IN ('alive', 'dead', 'left')),
    format_max integer     NOT NULL CHECK (format_max >= 1),
    joined_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz,
    CHECK ((ended_at IS NOT NULL) = (state <> 'alive'))
);

-- Apart from its worker, so that a renewal never waits for a batch, nor a batch for a renewal.
CREATE TABLE makegood.lease (
    worker_id  bigint      PRIMARY KEY REFERENCES makegood.worker ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE makegood.execution (
    id             text    COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    workflow       text    COLLATE "C" NOT NULL,
    version        bigint  NOT NULL CHECK (version >= 1),
    start_hash     text    NOT NULL,
    started_at_ms  bigint  NOT NULL,
    started_by     bigint  NOT NULL,  -- the worker that stored it: tells its own start from another's
    business_key   text    COLLATE "C",
    held_key       text    COLLATE "C",  -- the business key from the start to the first end, of a child to its root's
    parent         text    COLLATE "C",
    root           text    COLLATE "C" NOT NULL,
    search         text    NOT NULL,  -- the search attributes as one JSON object
    format_min     integer NOT NULL CHECK (format_min >= 1),  -- who folds less leaves it alone
    status         text    NOT NULL CHECK (status IN (
        'running', 'suspended', 'compensating',
        'completed', 'failed', 'compensated', 'compensation_failed', 'superseded')),
    phase          text    CHECK (phase IN ('forward', 'halting')),
    pivoted        boolean NOT NULL,
    wake_at_ms     bigint,
    parked         boolean NOT NULL,
    ended_at_ms    bigint,
    error_code     text,
    overdue        boolean NOT NULL,
    rerun_of       text    COLLATE "C",  -- this one goes on in the place of that one
    superseded_by  text    COLLATE "C",  -- that one goes on in the place of this one
    owner          bigint,            -- the worker that advances it
    crashes        integer NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    not_understood text,              -- why no worker so far could fold it; it is left as it is
    CHECK ((ended_at_ms IS NOT NULL) = (status NOT IN ('running', 'suspended', 'compensating'))),
    CHECK ((owner IS NOT NULL) = (ended_at_ms IS NULL AND NOT parked)),
    CHECK (held_key IS NULL OR (held_key = business_key AND (ended_at_ms IS NULL OR root <> id)))
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX execution_held_key ON makegood.execution (workflow, held_key) WHERE held_key IS NOT NULL;
CREATE INDEX execution_family_key ON makegood.execution (root) WHERE held_key IS NOT NULL;
CREATE INDEX execution_started  ON makegood.execution (started_at_ms, id);
CREATE INDEX execution_workflow ON makegood.execution (workflow, started_at_ms, id);
CREATE INDEX execution_status   ON makegood.execution (status, started_at_ms, id);
CREATE INDEX execution_state    ON makegood.execution (workflow, status);
CREATE INDEX execution_key      ON makegood.execution (business_key, started_at_ms, id) WHERE business_key IS NOT NULL;
CREATE INDEX execution_parent   ON makegood.execution (parent) WHERE parent IS NOT NULL;
CREATE INDEX execution_family   ON makegood.execution (root) WHERE root <> id;
CREATE INDEX execution_ended    ON makegood.execution (ended_at_ms, id) WHERE ended_at_ms IS NOT NULL AND root = id;
CREATE INDEX execution_owner    ON makegood.execution (owner, crashes) WHERE owner IS NOT NULL;
CREATE INDEX execution_wake     ON makegood.execution (wake_at_ms) WHERE parked AND wake_at_ms IS NOT NULL;

CREATE TABLE makegood.search_attribute (
    execution_id text COLLATE "C" NOT NULL,
    name         text COLLATE "C" NOT NULL,
    value        text COLLATE "C" NOT NULL,  -- JSON
    text         text COLLATE "C" NOT NULL,  -- what it is found by: of a text itself, of anything else its JSON
    started_at_ms bigint NOT NULL,
    PRIMARY KEY (execution_id, name)
);

-- By a hash of the text, which has no longest length as an index's entry has; then in the order of lists.
CREATE INDEX search_attribute_text ON makegood.search_attribute (name, md5(text), started_at_ms, execution_id);

-- Writes that their senders may repeat, with what came of them.
CREATE TABLE makegood.keyed_request (
    key     text   COLLATE "C" PRIMARY KEY,
    content text   NOT NULL,
    at_ms   bigint NOT NULL,
    answer  text   NOT NULL  -- JSON
);

CREATE INDEX keyed_request_at ON makegood.keyed_request (at_ms);

CREATE TABLE makegood.journal (
    execution_id text    COLLATE "C" NOT NULL,
    position     integer NOT NULL CHECK (position >= 0),
    body         text    NOT NULL CHECK (body <> ''),
    PRIMARY KEY (execution_id, position)
);

CREATE TABLE makegood.definition (
    name          text    COLLATE "C" NOT NULL,
    version       bigint  NOT NULL CHECK (version >= 1),
    tree          text    NOT NULL,  -- JSON, keys in their own order
    canonical     bytea   NOT NULL,  -- JSON, keys sorted: what "same content" compares
    services      text[]  NOT NULL,  -- what its steps call: who does not offer them leaves its executions alone
    format_min    integer NOT NULL CHECK (format_min >= 1),
    created_at_ms bigint  NOT NULL,
    PRIMARY KEY (name, version)
);

-- Requests for executions that another worker advances. A verdict stays for an hour, for the asker to read.
CREATE TABLE makegood.request (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    execution_id text        COLLATE "C" NOT NULL,
    kind         text        NOT NULL CHECK (kind <> ''),
    body         text        NOT NULL,  -- JSON
    put_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    verdict      text,                  -- NULL while undecided, '' accepted, else why it was refused
    settled_at   timestamptz,
    CHECK ((verdict IS NULL) = (settled_at IS NULL))
);

CREATE INDEX request_waiting ON makegood.request (id) WHERE verdict IS NULL;
CREATE INDEX request_for     ON makegood.request (execution_id, id);
CREATE INDEX request_settled ON makegood.request (settled_at) WHERE verdict IS NOT NULL;
