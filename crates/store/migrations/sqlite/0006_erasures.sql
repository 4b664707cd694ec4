-- Which users were asked to be forgotten, and how far that is. The same stands in a file beside the
-- database (sqlite/erasures/journal.rs): what the file names and this table does not is owed to a
-- database that came back from a backup.

CREATE TABLE erasures (
  id            BLOB    PRIMARY KEY CHECK (length(id) = 16),
  organization  BLOB    NOT NULL CHECK (length(organization) = 16), -- its public id: a key may be given anew after a restore
  asked_at      INTEGER NOT NULL,
  sealed        BLOB    NOT NULL, -- the name that was given
  names         BLOB,             -- sealed: hashes of every name that was found; null until they are
  owed          INTEGER NOT NULL DEFAULT 0, -- 1: taken from the file, and not yet applied here
  done_at       INTEGER,
  erased        INTEGER NOT NULL DEFAULT 0,
  name_count    INTEGER NOT NULL DEFAULT 0,
  webhooks      INTEGER NOT NULL DEFAULT 0,
  unreadable    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX erasures_open ON erasures (asked_at) WHERE done_at IS NULL;
