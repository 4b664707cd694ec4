//! A wallet's statement: every movement at its own time, with what was available after it.
//!
//! The journal's places follow the time of admission, and most movements with them: a hold, a top-up,
//! what a send's own answer did. These are found by halving over places. What came later, a delivery's
//! capture, a refund, a late capture, may be years from its message's place, and is found by an index
//! over time. The two are merged window by window, from the newest backwards.
//!
//! What was available after a movement is never stored: it is what is available now, less everything
//! newer, in one snapshot. A cursor carries it on only where nothing older can still come in beside it.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use turnpike_domain::ids::{MessageCipher, MessageKey};
use turnpike_domain::ledger::Leg;
use turnpike_domain::money::Micros;
use turnpike_domain::time::UnixMs;

use super::failure::{Failure, corrupt};
use crate::ledger::{StatementCursor, StatementLine, StatementPage, StatementPeriod, StatementQuery};

/// Most lines of one page, whatever is asked for.
const PAGE_MAX: u32 = 1_000;

/// Places follow the time of admission but for callers that overtake each other by this at most; and a
/// send's own answer comes within it, or it is unknown and moves nothing (contract §3.3).
const DISORDER_MS: i64 = 60_000;

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
    let book = Book { connection, cipher, query };
    let Some(available) = book.available_now()? else { return Ok(StatementPage::default()) };
    let times = book.times()?;
    let end = query.until.map_or(times.end, |until| until.0.min(times.end));
    let begin = query.from.map_or(times.begin, |from| from.0.max(times.begin));
    let after_end = || -> Result<Micros, Failure> { Ok(less(available, book.sum(end, times.end)?)) };
    let (before, mut after) = match &query.before {
        Some(StatementCursor { at, sequence, available: Some(carried) }) => ((at.0, *sequence), *carried),
        Some(StatementCursor { at, sequence, available: None }) => {
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
        available: (last.ordered < times.newest.saturating_sub(DISORDER_MS)).then_some(after),
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
    /// About when the newest one was made.
    newest: i64,
    /// Every entry is older.
    end: i64,
}

struct Book<'a> {
    connection: &'a Connection,
    cipher: &'a MessageCipher,
    query: &'a StatementQuery,
}

impl Book<'_> {
    fn available_now(&self) -> Result<Option<Micros>, Failure> {
        let mut statement =
            self.connection.prepare_cached("SELECT posted - held_base - held_meta FROM wallets WHERE organization = ?1 AND mode = ?2")?;
        let now = statement.query_row(params![self.query.organization.0, self.query.mode.number()], |row| row.get(0)).optional()?;
        Ok(now.map(Micros))
    }

    fn times(&self) -> Result<Times, Failure> {
        let (begin, newest): (i64, i64) = self.connection.query_row(
            "SELECT min(coalesce((SELECT at FROM messages ORDER BY key LIMIT 1), 9223372036854775807),
                        coalesce((SELECT at FROM wallet_movements ORDER BY place LIMIT 1), 9223372036854775807)),
                    max(coalesce((SELECT at FROM messages ORDER BY key DESC LIMIT 1), 0),
                        coalesce((SELECT at FROM wallet_movements ORDER BY place DESC LIMIT 1), 0),
                        coalesce((SELECT max(at) FROM leg_movements), 0),
                        coalesce((SELECT max(at) FROM resolutions), 0))",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let end = newest.saturating_add(2 * DISORDER_MS);
        Ok(Times { begin: begin.saturating_sub(2 * DISORDER_MS), newest, end })
    }

    /// What the wallet gained between two instants, the second not included.
    fn sum(&self, from: i64, until: i64) -> Result<i64, Failure> {
        let mut sum = 0i64;
        if from < until {
            self.each(from, until, |row| {
                sum = sum.saturating_add(moved(as_word(row, 6)?, as_word(row, 7)?, row.get(8)?));
                Ok(true)
            })?;
        }
        Ok(sum)
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
        let (first, last) = (self.first_place(from.saturating_sub(2 * DISORDER_MS))?, self.first_place(until.saturating_add(DISORDER_MS))?);
        let (organization, mode) = (self.query.organization.0, self.query.mode.number());
        let mut prompt = self.connection.prepare_cached(PROMPT)?;
        let mut rows = prompt.query(named_params! {
            ":first": first, ":last": last, ":from": from, ":until": until, ":organization": organization, ":mode": mode,
        })?;
        while let Some(row) = rows.next()? {
            if !with(row)? {
                return Ok(());
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

    /// The first place that was given out at an instant or after it, by halving; the last place where
    /// none was.
    fn first_place(&self, at: i64) -> Result<i64, Failure> {
        let (mut low, mut high): (i64, i64) = self.connection.query_row(
            "SELECT 0, max(coalesce((SELECT max(key) FROM messages), 0), coalesce((SELECT max(place) FROM wallet_movements), 0))",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let mut statement = self.connection.prepare_cached(
            "SELECT at FROM (SELECT * FROM (SELECT key AS place, at FROM messages WHERE key >= :place ORDER BY key LIMIT 1)
                             UNION ALL
                             SELECT * FROM (SELECT place, at FROM wallet_movements WHERE place >= :place ORDER BY place LIMIT 1))
             ORDER BY place LIMIT 1",
        )?;
        while low < high {
            let middle = low + (high - low) / 2;
            let found: i64 = statement.query_row(named_params! {":place": middle}, |row| row.get(0)).optional()?.unwrap_or(i64::MAX);
            if found < at { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

/// What stands in the journal about when it happened, by place. An outcome that came later than any can
/// is put beside its hold rather than lost.
const PROMPT: &str = "
  SELECT * FROM (
    SELECT sequence, at, kind, leg, message, admitted_at, debit, credit, amount, reason,
           CASE WHEN abs(at - coalesce(admitted_at, at)) > 60000 THEN admitted_at ELSE at END AS ordered
    FROM prompt_journal
    WHERE place BETWEEN :first AND :last AND organization = :organization AND mode = :mode
  ) WHERE ordered >= :from AND ordered < :until";

/// What happened to messages later, by its time.
const LATE: &str = "
  SELECT sequence, at, kind, leg, message, admitted_at, debit, credit, amount, reason, at AS ordered
  FROM late_journal
  WHERE at >= :from AND at < :until AND organization = :organization AND mode = :mode";

/// An account's name, without a copy of it.
fn as_word<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>, Failure> {
    Ok(row.get_ref(column)?.as_str_or_null().ok().flatten())
}

/// What a wallet gains by an entry.
fn moved(debit: Option<&str>, credit: Option<&str>, amount: i64) -> i64 {
    match (debit, credit) {
        (_, Some("wallet")) => amount,
        (Some("wallet"), _) => amount.saturating_neg(),
        _ => 0,
    }
}

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
