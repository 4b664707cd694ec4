-- What Meta reported, and where it goes on to. Events are written once; a delivery changes until its
-- endpoint took it. Bodies (sealed) stand in tables by day, as contents and answers do.

-- One message, status or change. `message` and `message_at` name the message of ours that it is about,
-- `raw` the row of the POST that brought it, in the table of the same day. `identity` is null for a
-- status of a message of ours: there (message, status) tells a repeat, and it needs no look-up.
CREATE TABLE events (
  key           INTEGER PRIMARY KEY,
  organization  INTEGER NOT NULL,
  application   INTEGER NOT NULL,
  mode          INTEGER NOT NULL,
  kind          INTEGER NOT NULL,
  at            INTEGER NOT NULL, -- when it was recorded
  user          BLOB,
  message       INTEGER,
  message_at    INTEGER,
  raw           INTEGER,
  identity      BLOB,
  aliases       BLOB -- further hashes of the same user, one after the other
) STRICT;

-- Statuses of our messages: the first of each kind stands. Not money, but what money goes by;
-- `settles` is 1 where it came with our token and may move what Meta bills the operator.
CREATE TABLE message_statuses (
  message      INTEGER NOT NULL,
  status       INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  received_at  INTEGER NOT NULL,
  pricing      TEXT,    -- JSON, where the status had a price
  failure      TEXT,    -- JSON, where it failed
  settles      INTEGER NOT NULL,
  repriced     INTEGER, -- Meta's fee by the category that the price names, where it is another than was held
  PRIMARY KEY (message, status)
) STRICT, WITHOUT ROWID;

-- Spans of five minutes of admission, by application, of whose messages a status came: what tells
-- whether Meta reports about a number at all. A row per span, not per status.
CREATE TABLE heard (
  application  INTEGER NOT NULL,
  span         INTEGER NOT NULL,
  PRIMARY KEY (application, span)
) STRICT, WITHOUT ROWID;

-- Delivered, and nobody said at what price: settled as held after a while.
CREATE TABLE unpriced (
  message       INTEGER PRIMARY KEY,
  delivered_at  INTEGER NOT NULL
) STRICT;

-- Resolved as sent after the sweep for overdue holds had passed them: their 38 days begin anew.
CREATE TABLE stragglers (
  message  INTEGER PRIMARY KEY,
  since    INTEGER NOT NULL
) STRICT;

-- Known identities of events, kept as idempotency keys are (see there).
CREATE TABLE event_segments (
  segment        INTEGER PRIMARY KEY,
  first_message  INTEGER NOT NULL,
  last_message   INTEGER NOT NULL,
  newest_at      INTEGER NOT NULL,
  entries        INTEGER NOT NULL
) STRICT;

CREATE TABLE event_pages (
  page     INTEGER PRIMARY KEY,
  entries  BLOB    NOT NULL
) STRICT;

-- Signed, and unreadable or nobody's here.
CREATE TABLE quarantine (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  at               INTEGER NOT NULL,
  reason           INTEGER NOT NULL,
  meta_app_id      TEXT,
  waba_id          TEXT,
  phone_number_id  TEXT,
  field            TEXT,
  identity         BLOB    NOT NULL UNIQUE,
  body             BLOB    NOT NULL,
  replayed_at      INTEGER
) STRICT;

-- What happened and whose event is still to be made: written in the commit that made it happen.
-- An id is never used twice, since the event that tells of it is known by it.
CREATE TABLE notices (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  at            INTEGER NOT NULL,
  organization  INTEGER NOT NULL,
  kind          INTEGER NOT NULL,
  subject       INTEGER NOT NULL, -- message, endpoint or mode
  detail        TEXT    NOT NULL
) STRICT;

-- Below this much available an organization wants to hear of it, once per fall.
CREATE TABLE wallet_alerts (
  organization  INTEGER NOT NULL REFERENCES organizations (id),
  mode          INTEGER NOT NULL,
  below         INTEGER NOT NULL,
  told          INTEGER NOT NULL, -- 1 until available has risen above it again
  PRIMARY KEY (organization, mode)
) STRICT, WITHOUT ROWID;

-- Spans in which intake could not be relied on.
CREATE TABLE intake_gaps (
  since  INTEGER NOT NULL,
  until  INTEGER NOT NULL,
  PRIMARY KEY (since, until)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
  id                 INTEGER PRIMARY KEY,
  organization       INTEGER NOT NULL REFERENCES organizations (id),
  application        INTEGER NOT NULL REFERENCES applications (id),
  slot               INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 15),
  uuid               BLOB    NOT NULL UNIQUE CHECK (length(uuid) = 16),
  name               TEXT    NOT NULL,
  url                TEXT    NOT NULL,
  headers_sealed     BLOB,
  events             INTEGER NOT NULL,
  sandbox            INTEGER NOT NULL,
  ordered            INTEGER NOT NULL,
  send_bearer        INTEGER NOT NULL,
  secret_sealed      BLOB    NOT NULL,
  old_secret_sealed  BLOB,
  old_secret_until   INTEGER,
  bearer_sealed      BLOB    NOT NULL,
  is_active          INTEGER NOT NULL,
  disabled_reason    TEXT,
  failing_since      INTEGER,
  failures           INTEGER NOT NULL,
  created_at         INTEGER NOT NULL,
  updated_at         INTEGER NOT NULL,
  UNIQUE (application, name),
  UNIQUE (application, slot)
) STRICT;

-- Event × endpoint; key = event * 16 + slot.
CREATE TABLE deliveries (
  key       INTEGER PRIMARY KEY,
  endpoint  INTEGER NOT NULL,
  state     INTEGER NOT NULL,
  lane      INTEGER,          -- 0 first attempt, 1 retry; null once it no longer waits
  next_at   INTEGER,          -- null once it no longer waits
  attempts  INTEGER NOT NULL, -- since it was made or last asked for again
  tries     INTEGER NOT NULL  -- in all
) STRICT;

-- Only what waits is in it, so it stays small however many were delivered.
CREATE INDEX deliveries_waiting ON deliveries (endpoint, lane, next_at, key) WHERE lane IS NOT NULL;

CREATE TABLE delivery_attempts (
  delivery    INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  status      INTEGER,
  latency_ms  INTEGER NOT NULL,
  fault       TEXT,
  answer      TEXT    NOT NULL,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
