-- When a user last said whether marketing is wanted, by Meta's time: what was said earlier and is
-- heard of later changes nothing.

ALTER TABLE users ADD COLUMN preferred_at INTEGER;

UPDATE users SET preferred_at = opted_out_at;
