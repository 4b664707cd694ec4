-- What could not be taken in though it can be read: how often it was tried, when it is tried again,
-- and what stood in the way (in our words: nothing of what it holds).
ALTER TABLE quarantine ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN next_try_at INTEGER;
ALTER TABLE quarantine ADD COLUMN fault TEXT;

CREATE INDEX quarantine_next_try ON quarantine (next_try_at) WHERE next_try_at IS NOT NULL;
