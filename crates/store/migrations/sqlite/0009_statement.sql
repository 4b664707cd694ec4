-- A statement goes by the time of each movement. Holds, what a send's own answer did to them, and wallet
-- movements stand in the journal about when they happened; what happened to a message later does not.
CREATE INDEX leg_movements_by_time ON leg_movements (at);
CREATE INDEX resolutions_by_time ON resolutions (at);

-- The journal's entries in these two sorts: together they are the journal, entry by entry. A range of
-- places is answered by the first from the tables' own order, a span of time by the second from the
-- indexes; the whole journal would look through all messages for either.
CREATE VIEW prompt_journal (sequence, place, organization, mode, message, admitted_at, leg, kind, debit, credit, amount, at, reason) AS
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
  SELECT w.place * 16, w.place, w.organization, w.mode, NULL, NULL, NULL,
         CASE w.movement WHEN 1 THEN 'top_up' WHEN 2 THEN 'adjust' END,
         CASE WHEN w.movement = 1 THEN 'cash' WHEN w.movement = 2 AND w.amount >= 0 THEN 'adjustments' WHEN w.movement = 2 THEN 'wallet' END,
         CASE WHEN w.movement = 2 AND w.amount < 0 THEN 'adjustments' WHEN w.movement IN (1, 2) THEN 'wallet' END,
         CASE WHEN w.movement = 2 THEN abs(w.amount) ELSE w.amount END, w.at, w.reason
  FROM wallet_movements w WHERE w.amount <> 0;

CREATE VIEW late_journal (sequence, place, organization, mode, message, admitted_at, leg, kind, debit, credit, amount, at, reason) AS
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
  FROM leg_movements l LEFT JOIN messages m ON m.key = l.message WHERE l.returned <> 0;
