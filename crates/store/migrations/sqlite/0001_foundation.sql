-- The first schema: who sends, what was sent, and the money of it.
--
-- Hot tables (messages, outcomes, contents and answers by day) are narrow, go by a monotonic
-- integer key and have no secondary index: a message costs the same whether it is the first or the
-- hundred-millionth. They carry no foreign keys either, because each would be a look-up per insert;
-- the writer knows the parents, and `ledger verify` looks for orphans.

CREATE TABLE organizations (
  id          INTEGER PRIMARY KEY,
  uuid        BLOB    NOT NULL UNIQUE CHECK (length(uuid) = 16),
  name        TEXT    NOT NULL UNIQUE,
  currency    TEXT    NOT NULL CHECK (length(currency) = 3),
  base_fee    INTEGER NOT NULL CHECK (base_fee >= 0),
  factor_ppm  INTEGER NOT NULL CHECK (factor_ppm >= 0),
  fixed       INTEGER NOT NULL,
  created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE applications (
  id                  INTEGER PRIMARY KEY,
  organization        INTEGER NOT NULL REFERENCES organizations (id),
  uuid                BLOB    NOT NULL UNIQUE CHECK (length(uuid) = 16),
  app_id              TEXT    NOT NULL UNIQUE,
  display_name        TEXT    NOT NULL,
  status              INTEGER NOT NULL,
  phone_number_id     TEXT    UNIQUE,
  waba_id             TEXT,
  phone_number        TEXT,
  token_sealed        BLOB,
  meta_app_id         TEXT,
  connection_type     INTEGER NOT NULL,
  timezone            TEXT    NOT NULL,
  meta_billing        INTEGER NOT NULL,
  number_per_second   INTEGER,
  enforce_window      INTEGER NOT NULL,
  body_retention_days INTEGER NOT NULL,
  paused              TEXT,    -- JSON of the reason; null while it may send
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL
) STRICT;

CREATE INDEX applications_of_organization ON applications (organization);

CREATE TABLE api_keys (
  id            INTEGER PRIMARY KEY,
  organization  INTEGER NOT NULL REFERENCES organizations (id),
  application   INTEGER NOT NULL REFERENCES applications (id),
  uuid          BLOB    NOT NULL UNIQUE CHECK (length(uuid) = 16),
  name          TEXT    NOT NULL,
  mode          INTEGER NOT NULL CHECK (mode IN (0, 1)),
  digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
  prefix        TEXT    NOT NULL,
  last_four     TEXT    NOT NULL,
  policy        TEXT    NOT NULL, -- JSON of what the key may do
  expires_at    INTEGER,
  revoked_at    INTEGER,
  created_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX api_keys_of_application ON api_keys (application);

CREATE TABLE template_syncs (
  waba_id    TEXT    NOT NULL PRIMARY KEY,
  synced_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE templates (
  waba_id     TEXT NOT NULL REFERENCES template_syncs (waba_id),
  name        TEXT NOT NULL,
  language    TEXT NOT NULL,
  definition  TEXT NOT NULL,
  PRIMARY KEY (waba_id, name, language)
) STRICT;

-- A later import for the same currency and day wins over an earlier one, so nothing is unique but the id.
CREATE TABLE rate_cards (
  sequence     INTEGER PRIMARY KEY,
  id           TEXT    NOT NULL UNIQUE,
  currency     TEXT    NOT NULL CHECK (length(currency) = 3),
  effective    TEXT    NOT NULL,
  csv          TEXT    NOT NULL,
  imported_at  INTEGER NOT NULL
) STRICT;

-- Where each wallet stands: one row per organization and mode (0 live, 1 sandbox), updated once per
-- commit, so that a start reads it and does not add up the journal. `ledger verify` does add it up.
CREATE TABLE wallets (
  organization  INTEGER NOT NULL REFERENCES organizations (id),
  mode          INTEGER NOT NULL CHECK (mode IN (0, 1)),
  posted        INTEGER NOT NULL,
  held_base     INTEGER NOT NULL CHECK (held_base >= 0),
  held_meta     INTEGER NOT NULL CHECK (held_meta >= 0),
  PRIMARY KEY (organization, mode)
) STRICT, WITHOUT ROWID;

-- Money beside messages. `place` comes from the same counter as a message's key, so that wallet
-- movements and messages share one order, that of the journal.
CREATE TABLE wallet_movements (
  place         INTEGER PRIMARY KEY,
  id            BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  organization  INTEGER NOT NULL,
  mode          INTEGER NOT NULL,
  movement      INTEGER NOT NULL,
  amount        INTEGER NOT NULL,
  reason        TEXT    NOT NULL,
  actor         TEXT    NOT NULL,
  at            INTEGER NOT NULL
) STRICT;

-- What a message was priced by. Few distinct ones exist, so a message names one by number.
CREATE TABLE pinned_prices (
  id             INTEGER PRIMARY KEY,
  market         TEXT    NOT NULL,
  category       INTEGER NOT NULL,
  card           TEXT    NOT NULL,
  meta_billing   INTEGER NOT NULL,
  base           INTEGER NOT NULL CHECK (base >= 0),
  meta           INTEGER NOT NULL CHECK (meta >= 0),
  meta_reported  INTEGER NOT NULL,
  factor_ppm     INTEGER NOT NULL,
  fixed          INTEGER NOT NULL,
  UNIQUE (market, category, card, meta_billing, base, meta, meta_reported, factor_ppm, fixed)
) STRICT;

-- An admission with its two holds. Nothing here tells who received it or what it said.
CREATE TABLE messages (
  key           INTEGER PRIMARY KEY,
  organization  INTEGER NOT NULL,
  application   INTEGER NOT NULL,
  api_key       INTEGER NOT NULL,
  at            INTEGER NOT NULL,
  mode          INTEGER NOT NULL,
  kind          INTEGER NOT NULL,
  endpoint      INTEGER NOT NULL,
  price         INTEGER NOT NULL,
  base          INTEGER NOT NULL,
  meta          INTEGER NOT NULL,
  fingerprint   BLOB    NOT NULL,
  idempotency   BLOB,
  salt          BLOB    NOT NULL
) STRICT;

-- How a send's own answer ended, with what it did to the holds.
CREATE TABLE outcomes (
  message        INTEGER PRIMARY KEY,
  at             INTEGER NOT NULL,
  kind           INTEGER NOT NULL,
  meta_code      INTEGER,
  wamid          BLOB,
  base_captured  INTEGER NOT NULL,
  base_released  INTEGER NOT NULL,
  meta_released  INTEGER NOT NULL
) STRICT;

-- How an unknown outcome was resolved, with what that did to the holds.
CREATE TABLE resolutions (
  message        INTEGER PRIMARY KEY,
  at             INTEGER NOT NULL,
  resolution     INTEGER NOT NULL,
  evidence       INTEGER NOT NULL,
  reason         TEXT    NOT NULL,
  wamid          BLOB,
  base_captured  INTEGER NOT NULL,
  base_released  INTEGER NOT NULL,
  meta_released  INTEGER NOT NULL
) STRICT;

-- Later movements of one leg; `returned` is the rest of a hold that was captured in part.
CREATE TABLE leg_movements (
  message   INTEGER NOT NULL,
  leg       INTEGER NOT NULL,
  movement  INTEGER NOT NULL,
  amount    INTEGER NOT NULL,
  returned  INTEGER NOT NULL,
  reason    TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (message, leg, movement)
) STRICT, WITHOUT ROWID;

-- Which unknown outcomes are still unresolved: an index, not a fact.
CREATE TABLE open_unknowns (
  message  INTEGER PRIMARY KEY
) STRICT;

-- What keys with a daily limit used; by day first, so that a day is one range.
CREATE TABLE usage (
  day       INTEGER NOT NULL,
  api_key   INTEGER NOT NULL,
  messages  INTEGER NOT NULL,
  spend     INTEGER NOT NULL,
  PRIMARY KEY (day, api_key)
) STRICT, WITHOUT ROWID;

-- Numbers that let a start begin near the end: `settled` = every message up to here has an outcome.
CREATE TABLE marks (
  name   TEXT    NOT NULL PRIMARY KEY,
  value  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Idempotency keys and wamids are looked up by hash, which is random; a B-tree over them would be
-- written all over. So they are kept in segments of many entries, each cut into 256 pages by the
-- first byte of the hash: page number = segment * 256 + byte. Segments are written once, in order.
CREATE TABLE idempotency_segments (
  segment        INTEGER PRIMARY KEY,
  first_message  INTEGER NOT NULL,
  last_message   INTEGER NOT NULL,
  newest_at      INTEGER NOT NULL,
  entries        INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_pages (
  page     INTEGER PRIMARY KEY,
  entries  BLOB    NOT NULL
) STRICT;

CREATE TABLE wamid_segments (
  segment        INTEGER PRIMARY KEY,
  first_message  INTEGER NOT NULL,
  last_message   INTEGER NOT NULL,
  newest_at      INTEGER NOT NULL,
  entries        INTEGER NOT NULL
) STRICT;

CREATE TABLE wamid_pages (
  page     INTEGER PRIMARY KEY,
  entries  BLOB    NOT NULL
) STRICT;

-- Money is written once. The program never updates or deletes these rows, and here nobody can
-- (short of dropping the trigger, which leaves a trace in the schema and is for an auditor to find).
CREATE TRIGGER messages_are_not_updated BEFORE UPDATE ON messages
BEGIN SELECT RAISE(ABORT, 'messages are append-only'); END;
CREATE TRIGGER messages_are_not_deleted BEFORE DELETE ON messages
BEGIN SELECT RAISE(ABORT, 'messages are append-only'); END;
CREATE TRIGGER outcomes_are_not_updated BEFORE UPDATE ON outcomes
BEGIN SELECT RAISE(ABORT, 'outcomes are append-only'); END;
CREATE TRIGGER outcomes_are_not_deleted BEFORE DELETE ON outcomes
BEGIN SELECT RAISE(ABORT, 'outcomes are append-only'); END;
CREATE TRIGGER resolutions_are_not_updated BEFORE UPDATE ON resolutions
BEGIN SELECT RAISE(ABORT, 'resolutions are append-only'); END;
CREATE TRIGGER resolutions_are_not_deleted BEFORE DELETE ON resolutions
BEGIN SELECT RAISE(ABORT, 'resolutions are append-only'); END;
CREATE TRIGGER leg_movements_are_not_updated BEFORE UPDATE ON leg_movements
BEGIN SELECT RAISE(ABORT, 'leg_movements are append-only'); END;
CREATE TRIGGER leg_movements_are_not_deleted BEFORE DELETE ON leg_movements
BEGIN SELECT RAISE(ABORT, 'leg_movements are append-only'); END;
CREATE TRIGGER wallet_movements_are_not_updated BEFORE UPDATE ON wallet_movements
BEGIN SELECT RAISE(ABORT, 'wallet_movements are append-only'); END;
CREATE TRIGGER wallet_movements_are_not_deleted BEFORE DELETE ON wallet_movements
BEGIN SELECT RAISE(ABORT, 'wallet_movements are append-only'); END;
CREATE TRIGGER pinned_prices_are_not_updated BEFORE UPDATE ON pinned_prices
BEGIN SELECT RAISE(ABORT, 'pinned_prices are append-only'); END;
CREATE TRIGGER pinned_prices_are_not_deleted BEFORE DELETE ON pinned_prices
BEGIN SELECT RAISE(ABORT, 'pinned_prices are append-only'); END;

-- Every movement as one balanced entry: `amount` leaves the debited account and reaches the
-- credited one. The wallet account is what is available. `place` (a message's key, or a wallet
-- movement's place) is what ranges go by; `sequence` = place * 16 + step is unique.
-- An outcome or movement without its message shows with no organization, a number that means
-- nothing with no account: both are what `ledger verify` looks for.
CREATE VIEW journal (sequence, place, organization, mode, message, admitted_at, leg, kind, debit, credit, amount, at, reason) AS
  SELECT key * 16, key, organization, mode, key, at, 1, 'hold', 'wallet', 'held_base', base, at, NULL
  FROM messages WHERE base <> 0
UNION ALL
  SELECT key * 16 + 1, key, organization, mode, key, at, 2, 'hold', 'wallet', 'held_meta', meta, at, NULL
  FROM messages WHERE meta <> 0
UNION ALL
  SELECT o.message * 16 + 2, o.message, m.organization, m.mode, o.message, m.at, 1, 'capture', 'held_base', 'base_revenue', o.base_captured, o.at, NULL
  FROM outcomes o LEFT JOIN messages m ON m.key = o.message WHERE o.base_captured <> 0
UNION ALL
  SELECT o.message * 16 + 3, o.message, m.organization, m.mode, o.message, m.at, 1, 'release', 'held_base', 'wallet', o.base_released, o.at, NULL
  FROM outcomes o LEFT JOIN messages m ON m.key = o.message WHERE o.base_released <> 0
UNION ALL
  SELECT o.message * 16 + 4, o.message, m.organization, m.mode, o.message, m.at, 2, 'release', 'held_meta', 'wallet', o.meta_released, o.at, NULL
  FROM outcomes o LEFT JOIN messages m ON m.key = o.message WHERE o.meta_released <> 0
UNION ALL
  SELECT r.message * 16 + 5, r.message, m.organization, m.mode, r.message, m.at, 1, 'capture', 'held_base', 'base_revenue', r.base_captured, r.at, r.reason
  FROM resolutions r LEFT JOIN messages m ON m.key = r.message WHERE r.base_captured <> 0
UNION ALL
  SELECT r.message * 16 + 6, r.message, m.organization, m.mode, r.message, m.at, 1, 'release', 'held_base', 'wallet', r.base_released, r.at, r.reason
  FROM resolutions r LEFT JOIN messages m ON m.key = r.message WHERE r.base_released <> 0
UNION ALL
  SELECT r.message * 16 + 7, r.message, m.organization, m.mode, r.message, m.at, 2, 'release', 'held_meta', 'wallet', r.meta_released, r.at, r.reason
  FROM resolutions r LEFT JOIN messages m ON m.key = r.message WHERE r.meta_released <> 0
UNION ALL
  SELECT l.message * 16 + 4 + l.leg * 4 + CASE l.movement WHEN 2 THEN 0 WHEN 3 THEN 1 WHEN 4 THEN 2 ELSE 3 END,
         l.message, m.organization, m.mode, l.message, m.at, l.leg,
         CASE l.movement WHEN 2 THEN 'capture' WHEN 3 THEN 'release' WHEN 4 THEN 'late_capture' WHEN 5 THEN 'refund' END,
         CASE WHEN l.movement IN (2, 3) THEN CASE l.leg WHEN 1 THEN 'held_base' WHEN 2 THEN 'held_meta' END
              WHEN l.movement = 4 THEN 'wallet'
              WHEN l.movement = 5 THEN CASE l.leg WHEN 1 THEN 'base_revenue' WHEN 2 THEN 'meta_revenue' END END,
         CASE WHEN l.movement IN (2, 4) THEN CASE l.leg WHEN 1 THEN 'base_revenue' WHEN 2 THEN 'meta_revenue' END
              WHEN l.movement IN (3, 5) THEN 'wallet' END,
         l.amount, l.at, l.reason
  FROM leg_movements l LEFT JOIN messages m ON m.key = l.message WHERE l.amount <> 0
UNION ALL
  SELECT l.message * 16 + 5 + l.leg * 4, l.message, m.organization, m.mode, l.message, m.at, l.leg, 'release',
         CASE l.leg WHEN 1 THEN 'held_base' WHEN 2 THEN 'held_meta' END, 'wallet', l.returned, l.at, l.reason
  FROM leg_movements l LEFT JOIN messages m ON m.key = l.message WHERE l.returned <> 0
UNION ALL
  SELECT w.place * 16, w.place, w.organization, w.mode, NULL, NULL, NULL,
         CASE w.movement WHEN 1 THEN 'top_up' WHEN 2 THEN 'adjust' END,
         CASE WHEN w.movement = 1 THEN 'cash' WHEN w.movement = 2 AND w.amount >= 0 THEN 'adjustments' WHEN w.movement = 2 THEN 'wallet' END,
         CASE WHEN w.movement = 2 AND w.amount < 0 THEN 'adjustments' WHEN w.movement IN (1, 2) THEN 'wallet' END,
         CASE WHEN w.movement = 2 THEN abs(w.amount) ELSE w.amount END, w.at, w.reason
  FROM wallet_movements w WHERE w.amount <> 0;
