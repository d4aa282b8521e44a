-- Requests that may be repeated, search attributes in the order of lists, counts of executions by state.

CREATE TABLE keyed_request (
    key     TEXT    NOT NULL PRIMARY KEY,
    content TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL,
    answer  TEXT    NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX keyed_request_at ON keyed_request (at_ms);

-- `text` is what a value is found by: of a text itself, of anything else its JSON.
ALTER TABLE search_attribute ADD COLUMN text TEXT NOT NULL DEFAULT '';
ALTER TABLE search_attribute ADD COLUMN started_at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE search_attribute SET
    text = iif(json_type(value) = 'text', json_extract(value, '$'), value),
    started_at_ms = (SELECT started_at_ms FROM execution WHERE id = search_attribute.execution_id);
DROP INDEX search_attribute_value;
CREATE INDEX search_attribute_text ON search_attribute (name, text, started_at_ms, execution_id);

CREATE INDEX execution_state ON execution (workflow, status);
