-- A delivery that its endpoint took at the first try keeps that attempt in its own row: one row to write
-- for nearly every delivery instead of two. All four are null where the first attempt stands in
-- `delivery_attempts` like every later one, or where there was none.
ALTER TABLE deliveries ADD COLUMN first_at INTEGER;
ALTER TABLE deliveries ADD COLUMN first_status INTEGER;
ALTER TABLE deliveries ADD COLUMN first_latency_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN first_answer TEXT;
