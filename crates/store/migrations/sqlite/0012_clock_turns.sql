-- What an unknown message's resolution told of its wamid is looked up here, once it is let go from memory.
CREATE INDEX resolutions_by_wamid ON resolutions (wamid) WHERE wamid IS NOT NULL;

-- Places at which the clock had been set back: from each on, until the next, places follow the time of
-- what stands there (but for callers that overtake each other), so that a span of time is a range of
-- places in each of these stretches. A clock that only goes forward, by however much, makes none.
CREATE TABLE clock_turns (
  place  INTEGER PRIMARY KEY
) STRICT;

-- Those of the journal so far: wherever a place is older than the one before it by more than callers
-- overtake each other. One too many costs a look, one too few would hide what stands behind it.
INSERT OR IGNORE INTO clock_turns (place)
  SELECT m.key FROM messages m
  WHERE m.at < (SELECT b.at FROM messages b WHERE b.key < m.key ORDER BY b.key DESC LIMIT 1) - 5000;
INSERT OR IGNORE INTO clock_turns (place)
  SELECT w.place FROM wallet_movements w
  WHERE w.at < (SELECT b.at FROM wallet_movements b WHERE b.place < w.place ORDER BY b.place DESC LIMIT 1) - 5000
     OR w.at < (SELECT b.at FROM messages b WHERE b.key < w.place ORDER BY b.key DESC LIMIT 1) - 5000;
INSERT OR IGNORE INTO clock_turns (place)
  SELECT w.place + 1 FROM wallet_movements w
  WHERE (SELECT n.at FROM messages n WHERE n.key > w.place ORDER BY n.key LIMIT 1) < w.at - 5000;
