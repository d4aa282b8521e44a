-- What purging looks for: roots by their end, and children by their root.

CREATE INDEX execution_ended  ON execution (ended_at_ms) WHERE ended_at_ms IS NOT NULL AND root = id;
CREATE INDEX execution_family ON execution (root) WHERE root <> id;
