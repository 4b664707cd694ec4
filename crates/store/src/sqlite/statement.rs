//! A wallet's statement: every movement at its own time, with what was available after it.
//!
//! The journal's places follow the time of admission, and most movements with them: a hold, a top-up,
//! what a send's own answer did. These are found by halving over places. Where the clock was set back
//! places and times part, and a span of time is several ranges of places: the writer notes the place of
//! each such turn, and between two of them places follow the time again, however far it jumps forward.
//! What came later, a delivery's capture, a refund, a late capture, may be years from its message's
//! place, and is found by an index over time. The two are merged window by window, from the newest
//! backwards.
//!
//! What was available after a movement is never stored: it is what is available now, less everything
//! newer, in one snapshot. A cursor carries it on only where nothing older can still come in beside it,
//! and only until the clock is set back again.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use turnpike_domain::ids::{MessageCipher, MessageKey};
use turnpike_domain::ledger::Leg;
use turnpike_domain::money::Micros;
use turnpike_domain::time::UnixMs;

use super::failure::{Failure, corrupt};
use crate::ledger::{Carried, StatementCursor, StatementLine, StatementPage, StatementPeriod, StatementQuery};

/// Most lines of one page, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

/// Between two turns of the clock places follow the time of admission but for callers that overtake
/// each other by this at most; and a send's own answer comes within it, or it is unknown and moves
/// nothing (contract §3.3).
pub(super) const DISORDER_MS: i64 = 60_000;

/// The span that is looked at first; it grows while it holds too little, so that a busy wallet reads
/// little and a quiet one few spans.
const FIRST_SPAN_MS: i64 = 1_000;

/// How much longer each next span is.
const SPAN_GROWTH: i64 = 4;

/// Lines of one span that are held at most: where a quiet time gives way to a busy one, a span that had
/// grown long is cut down and begun again.
const SPAN_LINES_MAX: usize = 20_000;

/// What remains of such a span.
const SPAN_CUT: i64 = 16;

/// A page of a wallet's statement, newest movement first.
pub(super) fn page(connection: &Connection, cipher: &MessageCipher, query: &StatementQuery) -> Result<StatementPage, Failure> {
    let book = Book { connection, cipher, query, stretches: &[] };
    let Some(available) = book.available_now()? else { return Ok(StatementPage::default()) };
    let times = book.times()?;
    let book = Book { stretches: &times.stretches, ..book };
    let end = query.until.map_or(times.end, |until| until.0.min(times.end));
    let begin = query.from.map_or(times.begin, |from| from.0.max(times.begin));
    let after_end = || -> Result<Micros, Failure> { Ok(less(available, book.sum(end, times.end)?)) };
    let (before, mut after) = match &query.before {
        Some(StatementCursor { at, sequence, carried: Some(Carried { available, turn }) }) if *turn == times.turn => {
            ((at.0, *sequence), *available)
        }
        Some(StatementCursor { at, sequence, .. }) => {
            let newer = book.sum(at.0.saturating_add(1), times.end)?;
            let beside = book.lines(at.0, at.0.saturating_add(1), usize::MAX)?.unwrap_or_default();
            let beside: i64 = beside.iter().filter(|line| line.sequence >= *sequence).map(StatementLine::moved).sum();
            ((at.0, *sequence), less(less(available, newer), beside))
        }
        None => ((i64::MAX, i64::MAX), after_end()?),
    };
    let period = match (&query.before, query.from.is_some() || query.until.is_some()) {
        (None, true) => Some(StatementPeriod { opening: less(after, book.sum(begin, end)?), closing: after }),
        _ => None,
    };

    let wanted = usize::try_from(query.limit.min(PAGE_MAX)).unwrap_or(0);
    let (mut lines, mut is_cut) = (Vec::new(), false);
    let (mut high, mut span) = (end.min(before.0.saturating_add(1)), FIRST_SPAN_MS);
    while high > begin && !is_cut {
        let low = high.saturating_sub(span).max(begin);
        let most = if span > 1 { SPAN_LINES_MAX } else { usize::MAX };
        let Some(mut found) = book.lines(low, high, most)? else {
            span = (span / SPAN_CUT).max(1);
            continue;
        };
        found.retain(|line| (line.ordered, line.sequence) < before);
        found.sort_unstable_by_key(|line| std::cmp::Reverse((line.ordered, line.sequence)));
        for mut line in found {
            is_cut = lines.len() >= wanted;
            if is_cut {
                break;
            }
            line.available = after;
            after = less(after, line.moved());
            lines.push(line);
        }
        (high, span) = (low, span.saturating_mul(SPAN_GROWTH));
    }
    let next = lines.last().filter(|_| is_cut).map(|last| StatementCursor {
        at: UnixMs(last.ordered),
        sequence: last.sequence,
        carried: (last.ordered < times.now.saturating_sub(DISORDER_MS)).then_some(Carried { available: after, turn: times.turn }),
    });
    Ok(StatementPage { lines, next, period })
}

fn less(available: Micros, moved: i64) -> Micros {
    Micros(available.0.saturating_sub(moved))
}

/// Between which instants a journal has entries.
struct Times {
    /// No entry is older.
    begin: i64,
    /// Every entry is older.
    end: i64,
    /// What the clock showed at the last place that was given out.
    now: i64,
    /// The place of the clock's last turn; 0 where it never made one.
    turn: i64,
    stretches: Vec<Stretch>,
}

/// Places between two turns of the clock: those that were given out first and last there, and when.
struct Stretch {
    places: (i64, i64),
    first_at: i64,
    last_at: i64,
}

struct Book<'a> {
    connection: &'a Connection,
    cipher: &'a MessageCipher,
    query: &'a StatementQuery,
    stretches: &'a [Stretch],
}

impl Book<'_> {
    fn available_now(&self) -> Result<Option<Micros>, Failure> {
        let mut statement =
            self.connection.prepare_cached("SELECT posted - held_base - held_meta FROM wallets WHERE organization = ?1 AND mode = ?2")?;
        let now = statement.query_row(params![self.query.organization.0, self.query.mode.number()], |row| row.get(0)).optional()?;
        Ok(now.map(Micros))
    }

    fn times(&self) -> Result<Times, Failure> {
        let mut begins: Vec<i64> = self
            .connection
            .prepare_cached("SELECT place FROM clock_turns ORDER BY place")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let turn = begins.last().copied().unwrap_or(0);
        begins.insert(0, 0);
        let mut stretches = Vec::with_capacity(begins.len());
        for (number, begin) in begins.iter().enumerate() {
            let end = begins.get(number + 1).map_or(i64::MAX, |next| next - 1);
            // Nothing may stand between two turns: what was noted before may be cut finer than it had to.
            if let (Some((first, first_at)), Some((last, last_at))) =
                (self.place(FIRST_PLACE, *begin, end)?, self.place(LAST_PLACE, *begin, end)?)
            {
                stretches.push(Stretch { places: (first, last), first_at, last_at });
            }
        }
        let (oldest_late, newest_late): (Option<i64>, Option<i64>) = self.connection.query_row(
            "SELECT min(a, b), max(c, d)
             FROM (SELECT coalesce((SELECT min(at) FROM leg_movements), 9223372036854775807) AS a,
                          coalesce((SELECT min(at) FROM resolutions), 9223372036854775807) AS b,
                          coalesce((SELECT max(at) FROM leg_movements), -9223372036854775807) AS c,
                          coalesce((SELECT max(at) FROM resolutions), -9223372036854775807) AS d)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let begin = stretches.iter().map(|stretch| stretch.oldest()).chain(oldest_late).min().unwrap_or(0);
        let end = stretches.iter().map(|stretch| stretch.newest()).chain(newest_late).max().unwrap_or(0);
        let now = stretches.last().map_or(0, |stretch| stretch.last_at);
        Ok(Times { begin, end: end.saturating_add(1), now, turn, stretches })
    }

    /// A place of a range that something stands at, and when it was given out.
    fn place(&self, which: &str, from: i64, to: i64) -> Result<Option<(i64, i64)>, Failure> {
        let mut statement = self.connection.prepare_cached(which)?;
        Ok(statement.query_row(named_params! {":from": from, ":to": to}, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// What the wallet gained between two instants, the second not included.
    fn sum(&self, from: i64, until: i64) -> Result<i64, Failure> {
        if from >= until {
            return Ok(0);
        }
        let (organization, mode) = (self.query.organization.0, self.query.mode.number());
        let mut sum = 0i64;
        let mut prompt = self.connection.prepare_cached(PROMPT_SUM)?;
        for (first, last) in self.places(from, until)? {
            let gained: i64 = prompt.query_row(
                named_params! {
                    ":first": first, ":last": last, ":from": from, ":until": until, ":organization": organization, ":mode": mode,
                },
                |row| row.get(0),
            )?;
            sum = sum.saturating_add(gained);
        }
        let late: i64 = self
            .connection
            .prepare_cached(LATE_SUM)?
            .query_row(named_params! {":from": from, ":until": until, ":organization": organization, ":mode": mode}, |row| row.get(0))?;
        Ok(sum.saturating_add(late))
    }

    /// Every movement between two instants, the second not included, in no order; `None` where there are
    /// more than `most`.
    fn lines(&self, from: i64, until: i64, most: usize) -> Result<Option<Vec<StatementLine>>, Failure> {
        let (mut lines, mut fits) = (Vec::new(), true);
        self.each(from, until, |row| {
            fits = lines.len() < most;
            if fits {
                lines.push(line(row, self.cipher)?);
            }
            Ok(fits)
        })?;
        Ok(fits.then_some(lines))
    }

    /// Goes over every movement between two instants, as long as `with` wants more.
    fn each(&self, from: i64, until: i64, mut with: impl FnMut(&Row<'_>) -> Result<bool, Failure>) -> Result<(), Failure> {
        let (organization, mode) = (self.query.organization.0, self.query.mode.number());
        let mut prompt = self.connection.prepare_cached(PROMPT)?;
        for (first, last) in self.places(from, until)? {
            let mut rows = prompt.query(named_params! {
                ":first": first, ":last": last, ":from": from, ":until": until, ":organization": organization, ":mode": mode,
            })?;
            while let Some(row) = rows.next()? {
                if !with(row)? {
                    return Ok(());
                }
            }
        }
        let mut late = self.connection.prepare_cached(LATE)?;
        let mut rows = late.query(named_params! {":from": from, ":until": until, ":organization": organization, ":mode": mode})?;
        while let Some(row) = rows.next()? {
            if !with(row)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ranges of places outside of which nothing moved promptly between two instants, the second not
    /// included: one of each stretch that has any. What moved may have been admitted so much earlier or
    /// later as disorder goes, and to find an admission by halving errs by as much again.
    fn places(&self, from: i64, until: i64) -> Result<Vec<(i64, i64)>, Failure> {
        let mut ranges = Vec::new();
        for stretch in self.stretches.iter().filter(|stretch| stretch.oldest() < until && stretch.newest() >= from) {
            let (from, until) = (from.saturating_sub(2 * DISORDER_MS), until.saturating_add(2 * DISORDER_MS));
            ranges.push((self.first_place(stretch, from)?, self.first_place(stretch, until)?));
        }
        Ok(ranges)
    }

    /// The first place of a stretch that was given out at an instant or after it, by halving; its last
    /// place where none was.
    fn first_place(&self, stretch: &Stretch, at: i64) -> Result<i64, Failure> {
        let (mut low, mut high) = stretch.places;
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.place(FIRST_PLACE, middle, high)?.map_or(i64::MAX, |(_, at)| at);
            if found < at { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

impl Stretch {
    /// Nothing of it moved promptly before.
    fn oldest(&self) -> i64 {
        self.first_at.saturating_sub(2 * DISORDER_MS)
    }

    /// Nothing of it moved promptly after.
    fn newest(&self) -> i64 {
        self.last_at.saturating_add(2 * DISORDER_MS)
    }
}

/// The first place between two, the second included, and when it was given out.
const FIRST_PLACE: &str = "
  SELECT place, at FROM (
    SELECT * FROM (SELECT key AS place, at FROM messages WHERE key BETWEEN :from AND :to ORDER BY key LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT place, at FROM wallet_movements WHERE place BETWEEN :from AND :to ORDER BY place LIMIT 1))
  ORDER BY place LIMIT 1";

/// The last one.
const LAST_PLACE: &str = "
  SELECT place, at FROM (
    SELECT * FROM (SELECT key AS place, at FROM messages WHERE key BETWEEN :from AND :to ORDER BY key DESC LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT place, at FROM wallet_movements WHERE place BETWEEN :from AND :to ORDER BY place DESC LIMIT 1))
  ORDER BY place DESC LIMIT 1";

/// What stands in the journal about when it happened, by place. An outcome that came later than any can
/// is put beside its hold rather than lost.
const PROMPT: &str = "
  SELECT * FROM (
    SELECT sequence, at, kind, leg, message, admitted_at, debit, credit, amount, reason,
           CASE WHEN abs(at - coalesce(admitted_at, at)) > 60000 THEN admitted_at ELSE at END AS ordered
    FROM prompt_journal
    WHERE place BETWEEN :first AND :last AND organization = :organization AND mode = :mode
  ) WHERE ordered >= :from AND ordered < :until";

/// What a wallet gains by all of that: a hold takes, a release gives back, a capture takes from what is
/// held. Of its own, because a period's totals may be of a year of messages.
const PROMPT_SUM: &str = "
  SELECT (
    SELECT coalesce(sum(-base - meta), 0) FROM messages
    WHERE key BETWEEN :first AND :last AND organization = :organization AND mode = :mode AND at >= :from AND at < :until
  ) + (
    SELECT coalesce(sum(released), 0) FROM (
      SELECT o.base_released + o.meta_released AS released, CASE WHEN abs(o.at - m.at) > 60000 THEN m.at ELSE o.at END AS ordered
      FROM outcomes o CROSS JOIN messages m ON m.key = o.message
      WHERE o.message BETWEEN :first AND :last AND (o.base_released <> 0 OR o.meta_released <> 0)
        AND m.organization = :organization AND m.mode = :mode)
    WHERE ordered >= :from AND ordered < :until
  ) + (
    SELECT coalesce(sum(amount), 0) FROM wallet_movements
    WHERE place BETWEEN :first AND :last AND organization = :organization AND mode = :mode AND at >= :from AND at < :until
  )";

/// What a wallet gains by what happened later.
const LATE_SUM: &str = "
  SELECT (
    SELECT coalesce(sum(r.base_released + r.meta_released), 0) FROM resolutions r CROSS JOIN messages m ON m.key = r.message
    WHERE r.at >= :from AND r.at < :until AND m.organization = :organization AND m.mode = :mode
  ) + (
    SELECT coalesce(sum(l.returned + CASE l.movement WHEN 3 THEN l.amount WHEN 4 THEN -l.amount WHEN 5 THEN l.amount ELSE 0 END), 0)
    FROM leg_movements l CROSS JOIN messages m ON m.key = l.message
    WHERE l.at >= :from AND l.at < :until AND m.organization = :organization AND m.mode = :mode
  )";

/// What happened to messages later, by its time.
const LATE: &str = "
  SELECT sequence, at, kind, leg, message, admitted_at, debit, credit, amount, reason, at AS ordered
  FROM late_journal
  WHERE at >= :from AND at < :until AND organization = :organization AND mode = :mode";

fn line(row: &Row<'_>, cipher: &MessageCipher) -> Result<StatementLine, Failure> {
    let sequence: i64 = row.get(0)?;
    let leg: Option<i64> = row.get(3)?;
    let message = match (row.get::<_, Option<i64>>(4)?, row.get::<_, Option<i64>>(5)?) {
        (Some(key), Some(at)) => Some(cipher.message_id(UnixMs(at), MessageKey(key))),
        _ => None,
    };
    Ok(StatementLine {
        sequence,
        at: UnixMs(row.get(1)?),
        kind: row.get::<_, Option<String>>(2)?.ok_or_else(|| corrupt("journal", "kind", sequence))?,
        leg: match leg {
            None => None,
            Some(number) => {
                Some(Leg::ALL.into_iter().find(|leg| *leg as i64 == number).ok_or_else(|| corrupt("journal", "leg", sequence))?)
            }
        },
        message,
        debit: row.get::<_, Option<String>>(6)?.ok_or_else(|| corrupt("journal", "debit", sequence))?,
        credit: row.get::<_, Option<String>>(7)?.ok_or_else(|| corrupt("journal", "credit", sequence))?,
        amount: Micros(row.get(8)?),
        available: Micros::ZERO,
        reason: row.get(9)?,
        ordered: row.get(10)?,
    })
}
