-- What services describe of themselves, as it was read last: for when its address does not answer.

CREATE TABLE makegood.description (
    service  text   COLLATE "C" PRIMARY KEY,
    source   text   NOT NULL,
    content  text   NOT NULL,
    read_ms  bigint NOT NULL
);
