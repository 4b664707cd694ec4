//! Lists as commands show them: one page, so many rows, or all there are.
//!
//! A gateway answers lists in pages. Here they become one list: rows are printed as their page arrives,
//! so that a long one begins at once and is never held whole. With `--json` the same rows are one
//! document, `{"data": […], "nextCursor": …}`, whatever number of pages it took, also where a later
//! page could not be had: its cursor then stands in the document, and the command fails.

use clap::Args as ClapArgs;
use serde_json::Value;

use super::context::{Context, rows};
use crate::cli::Remote;
use crate::client::{Answer, Ask};
use crate::failure::Failure;
use crate::output::{Cell, Layout, Side, Table};

/// Rows where nobody says how many.
const DEFAULT_LIMIT: u64 = 50;

/// Rows that a gateway puts into a page at most.
const PAGE_MAX: u64 = 500;

/// How much of a list is wanted.
#[derive(Debug, ClapArgs)]
pub(super) struct Pages {
    /// So many at most [default: 50]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// All there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on where a shorter list ended
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,
}

/// How the rows of a list look.
pub(super) struct Listing<'a, const N: usize> {
    /// Heading and side of each column.
    pub(super) headings: [(&'static str, Side); N],
    /// A row's cells.
    pub(super) row: &'a dyn Fn(&Value) -> [Cell; N],
    /// What is said where there is none.
    pub(super) none: &'a str,
    /// What may be done then.
    pub(super) hint: Option<&'a str>,
}

impl<const N: usize> Listing<'_, N> {
    /// Shows a list that is had whole.
    pub(super) fn show(&self, context: &Context, found: &[Value]) {
        if found.is_empty() {
            return self.say_none(context);
        }
        context.out.table(&self.table(found));
    }

    fn say_none(&self, context: &Context) {
        context.out.line(self.none);
        if let Some(hint) = self.hint {
            context.out.hint(hint);
        }
    }

    fn table(&self, found: &[Value]) -> Table {
        let mut table = Table::new(self.headings);
        found.iter().for_each(|row| table.row((self.row)(row)));
        table
    }
}

impl Context {
    /// Shows a list that is answered whole. Its rows come back where a person reads them.
    pub(super) fn list<const N: usize>(&self, remote: &Remote, ask: Ask, listing: &Listing<'_, N>) -> Result<Option<Vec<Value>>, Failure> {
        let Some(answer) = self.ask(remote, ask)? else { return Ok(None) };
        listing.show(self, rows(&answer.data));
        Ok(Some(rows(&answer.data).to_vec()))
    }

    /// Shows a list that is answered in pages; `ask` is asked once a page.
    pub(super) fn pages<const N: usize>(
        &self,
        remote: &Remote,
        pages: &Pages,
        ask: impl Fn() -> Ask,
        listing: &Listing<'_, N>,
    ) -> Result<(), Failure> {
        self.framed_pages(remote, pages, ask, listing, |_| None)
    }

    /// The same with a line before the rows and one after them, made of the first page's `period`.
    pub(super) fn framed_pages<const N: usize>(
        &self,
        remote: &Remote,
        pages: &Pages,
        ask: impl Fn() -> Ask,
        listing: &Listing<'_, N>,
        frame: fn(&Value) -> Option<[String; 2]>,
    ) -> Result<(), Failure> {
        let gateway = self.gateway(remote)?;
        let mut shown = Shown { context: self, listing, frame, rows: 0, layout: None, period: Value::Null };
        let end =
            walk(pages, |limit, before| gateway.ask(ask().with("limit", Some(limit)).with("before", before)), |answer| shown.page(answer));
        shown.end(pages, end)
    }
}

/// Where a walk ended: the cursor of what comes next, and the failure, if one ended it.
struct End {
    next: Option<String>,
    failure: Option<Failure>,
}

/// Asks for page after page until there are enough, or no more.
fn walk(pages: &Pages, mut ask: impl FnMut(u64, Option<&str>) -> Result<Answer, Failure>, mut show: impl FnMut(&Answer)) -> End {
    let mut missing = if pages.all { u64::MAX } else { pages.limit.unwrap_or(DEFAULT_LIMIT) };
    let mut next = pages.before.clone();
    loop {
        let answer = match ask(missing.min(PAGE_MAX), next.as_deref()) {
            Ok(answer) => answer,
            Err(failure) => return End { next, failure: Some(failure) },
        };
        show(&answer);
        missing = missing.saturating_sub(u64::try_from(rows(&answer.data).len()).unwrap_or(u64::MAX));
        next = answer.next;
        if missing == 0 || next.is_none() {
            return End { next, failure: None };
        }
    }
}

/// What was printed so far.
struct Shown<'a, const N: usize> {
    context: &'a Context,
    listing: &'a Listing<'a, N>,
    frame: fn(&Value) -> Option<[String; 2]>,
    rows: usize,
    layout: Option<Layout>,
    /// What the first page says of all of them.
    period: Value,
}

impl<const N: usize> Shown<'_, N> {
    fn page(&mut self, answer: &Answer) {
        let (out, found) = (self.context.out, rows(&answer.data));
        if self.period.is_null() && !answer.body["period"].is_null() {
            self.period = answer.body["period"].clone();
            if let (Some([before, _]), false) = ((self.frame)(&self.period), out.json) {
                out.line(before);
            }
        }
        if out.json {
            for row in found {
                out.part(if self.rows == 0 { "{\"data\": [\n" } else { ",\n" });
                out.part(&row.to_string());
                self.rows += 1;
            }
            return;
        }
        if !found.is_empty() {
            out.table_page(&self.listing.table(found), &mut self.layout);
        }
        self.rows += found.len();
    }

    fn end(&self, pages: &Pages, end: End) -> Result<(), Failure> {
        let out = self.context.out;
        match end.failure {
            // Nothing was said yet, so the failure says it all.
            Some(failure) if self.rows == 0 => return Err(failure),
            _ if out.json => {
                let begin = if self.rows == 0 { "{\"data\": [" } else { "\n" };
                let period = if self.period.is_null() { String::new() } else { format!(", \"period\": {}", self.period) };
                out.part(&format!("{begin}], \"nextCursor\": {}{period}}}\n", serde_json::json!(end.next)));
            }
            Some(_) => {}
            None if self.rows == 0 && pages.before.is_some() => out.line("There is none before that."),
            None if self.rows == 0 => self.listing.say_none(self.context),
            None => {}
        }
        // What stands before all of them is said where all of them were shown.
        if let (Some([_, after]), None, false) = ((self.frame)(&self.period), &end.next, out.json) {
            out.line(after);
        }
        if let (Some(next), false) = (&end.next, out.json) {
            out.hint(format!("There is more: the same command with --before {next}, or with --all"));
        }
        end.failure.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pages(limit: Option<u64>, all: bool) -> Pages {
        Pages { limit, all, before: None }
    }

    /// Walks over rows `1..=total`, of which a page holds `page` at most; what was shown, and the end.
    fn walked(pages: &Pages, total: u64, page: u64, breaks_at: Option<u64>) -> (Vec<u64>, End) {
        let mut shown = Vec::new();
        let ask = |limit: u64, before: Option<&str>| {
            let first = before.map_or(1, |cursor| cursor.parse::<u64>().expect("our own cursor"));
            if breaks_at.is_some_and(|at| first >= at) {
                return Err(Failure::Unreachable("gone".to_owned()));
            }
            let last = total.min(first + limit.min(page) - 1);
            let next = (last < total).then(|| (last + 1).to_string());
            Ok(Answer { data: json!((first..=last).collect::<Vec<_>>()), next, body: Value::Null, headers: http::HeaderMap::new() })
        };
        let end = walk(pages, ask, |answer| shown.extend(rows(&answer.data).iter().filter_map(Value::as_u64)));
        (shown, end)
    }

    #[test]
    fn a_limit_beyond_a_page_follows_the_cursor_and_no_further() {
        for (limit, total) in [(1, 9), (4, 9), (5, 9), (9, 9), (12, 9), (700, 2_000), (1_000, 2_000)] {
            let (shown, end) = walked(&pages(Some(limit), false), total, 4, None);
            let enough = limit.min(total);
            assert_eq!(shown, (1..=enough).collect::<Vec<_>>(), "{limit} of {total}");
            assert_eq!(end.next, (enough < total).then(|| (enough + 1).to_string()), "{limit} of {total}");
            assert!(end.failure.is_none());
        }
        assert_eq!(walked(&pages(None, false), 80, 500, None).0.len(), 50);
    }

    #[test]
    fn all_means_to_the_end() {
        let (shown, end) = walked(&pages(None, true), 1_234, 500, None);
        assert_eq!((shown.len(), end.next), (1_234, None));
        assert_eq!(walked(&pages(None, true), 0, 500, None).0, Vec::<u64>::new());
    }

    #[test]
    fn a_page_that_cannot_be_had_leaves_the_cursor_to_go_on_from() {
        let (shown, end) = walked(&pages(None, true), 9, 4, Some(5));
        assert_eq!((shown, end.next.as_deref()), (vec![1, 2, 3, 4], Some("5")));
        assert!(matches!(end.failure, Some(Failure::Unreachable(_))));
    }
}
