-- Lineage of reruns: which execution goes on in the place of which.

ALTER TABLE execution ADD COLUMN rerun_of      TEXT;  -- this one goes on in the place of that one
ALTER TABLE execution ADD COLUMN superseded_by TEXT;  -- that one goes on in the place of this one
