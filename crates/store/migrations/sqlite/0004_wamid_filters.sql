-- What a segment of wamids certainly does not hold: most look-ups are of wamids that were never ours
-- (another system sends from the same number), and then no page need be read. Null in segments that
-- were written before; theirs is made from their pages at start.
ALTER TABLE wamid_segments ADD COLUMN filter BLOB;
