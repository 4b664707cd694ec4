-- Lists of deliveries that look at nobody else's events, and backlogs that have an end.

-- Which blocks of 4,096 events hold any of an application: a list of its deliveries skips the others.
-- A row per block, not per event.
CREATE TABLE event_blocks (
  application  INTEGER NOT NULL,
  block        INTEGER NOT NULL,
  PRIMARY KEY (application, block)
) STRICT, WITHOUT ROWID;

INSERT INTO event_blocks (application, block) SELECT DISTINCT application, key / 4096 FROM events;

-- Dead letters are few among many, and what people look for.
CREATE INDEX deliveries_dead ON deliveries (key) WHERE state = 2;

-- What was given up because its owner's backlog was too long or too old, by endpoint: in all, and
-- since the owner was last told.
CREATE TABLE overflows (
  endpoint    INTEGER PRIMARY KEY,
  many        INTEGER NOT NULL,
  old         INTEGER NOT NULL,
  last_at     INTEGER NOT NULL,
  untold_many INTEGER NOT NULL,
  untold_old  INTEGER NOT NULL,
  told_at     INTEGER -- null until the first time
) STRICT;
