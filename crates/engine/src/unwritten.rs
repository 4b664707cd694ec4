//! What the store will not take at any try: a broken row or a bug of ours stands in its way.
//!
//! Such a write is not dropped (nobody tells us twice what Meta answered), and it holds up nobody:
//!
//! - of a batch whose commit was undone each is asked for alone ([`one_by_one`]), so that the one that
//!   fails is the one that is to blame (`docs/decisions/0019`);
//! - each try undoes a commit, so the waits between two tries double, up to [`WAIT_MAX`];
//! - it is counted while it lasts, for `/metrics` and `turnpike doctor`, and said once in the log.

use std::hash::Hash;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use turnpike_domain::ids::MessageKey;
use turnpike_store::{Answer, StoreError};

use crate::Engine;

/// The first wait before the store is asked again; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// A store that does not answer is asked at least so often: it is nobody's own trouble.
const WAIT_SILENT_MAX: Duration = Duration::from_secs(8);
/// What something stands in the way of is asked for at least so often: whoever mends the row sees it
/// written within minutes, and until then a commit is undone at each try.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// What was asked for alone and refused is left out for longer from the start, about half a minute.
const ASIDE_FIRST: u32 = 5;
/// What was not asked for again so long after its turn is gone: somebody else wrote it, or it is past.
const GONE_AFTER: Duration = Duration::from_secs(600);
/// Refused so often in a row it is to blame itself, and said to be: the first time it may have shared
/// a commit with another that was.
const REFUSED_ALONE: u32 = 2;

/// So many of a batch refused in a row are no broken rows but a bug that meets all of it: each undoes a
/// commit, for which sends wait.
const REFUSED_IN_A_ROW: usize = 8;

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// How a send's own answer ended.
    Outcome,
    /// How an unknown one ended.
    Resolution,
    /// The event of a notice.
    Notice,
}

impl What {
    const ALL: [What; 3] = [What::Outcome, What::Resolution, What::Notice];

    fn as_str(self) -> &'static str {
        match self {
            What::Outcome => "outcome",
            What::Resolution => "resolution",
            What::Notice => "notice",
        }
    }
}

/// `what="outcome"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

type Count = Gauge<i64, AtomicI64>;

/// How much there is of it.
#[derive(Default)]
pub(crate) struct Unwritten {
    counts: Family<WhatLabel, Count>,
}

impl Unwritten {
    pub(crate) fn register(&self, registry: &mut Registry) {
        for what in What::ALL {
            self.count(what);
        }
        let help = "What the store refuses at every try, since a broken row or a bug stands in its way; it is tried again";
        registry.register("unwritten", help, self.counts.clone());
    }

    fn count(&self, what: What) -> Count {
        self.counts.get_or_create(&WhatLabel { what: what.as_str() }).clone()
    }
}

/// Counts one for as long as it lives.
struct Counted(Count);

impl Counted {
    fn begin(count: Count) -> Counted {
        count.inc();
        Counted(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Engine {
    /// How many writes the store refuses at every try. They are kept and tried again.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        What::ALL.iter().map(|what| u64::try_from(self.unwritten.count(*what).get()).unwrap_or(0)).sum()
    }

    /// Asks the store until it takes what is known of a message; `None` where the gateway stopped before.
    pub(crate) async fn insist<'s, T>(&self, what: What, message: MessageKey, ask: impl Fn() -> Answer<'s, T>) -> Option<T> {
        let (mut refused, mut silent) = (0, 0);
        let mut counted = None;
        loop {
            let error = match ask().await {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            let (what_name, message) = (what.as_str(), message.0);
            let wait = if error.is_in_the_way() {
                refused += 1;
                if refused == REFUSED_ALONE {
                    counted = Some(Counted::begin(self.unwritten.count(what)));
                    tracing::error!(
                        error = %error, message.key = message, what = what_name,
                        "PAGE: what is known of a message cannot be written; its money stays where it is, and it is tried again every few minutes; see turnpike ledger verify"
                    );
                } else if refused < REFUSED_ALONE {
                    tracing::error!(error = %error, message.key = message, what = what_name, "what is known of a message was not written; it is tried again");
                } else {
                    tracing::debug!(error = %error, message.key = message, what = what_name, "still not written; it is tried again");
                }
                wait_after(refused, WAIT_MAX)
            } else {
                silent += 1;
                tracing::error!(error = %error, message.key = message, what = what_name, "the store does not take what is known of a message; it is tried again");
                wait_after(silent, WAIT_SILENT_MAX)
            };
            if self.stopping().run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                drop(counted);
                return None;
            }
        }
    }
}

/// How long to wait after so many failures in a row.
fn wait_after(failures: u32, most: Duration) -> Duration {
    WAIT_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(most)
}

/// What the store says to each of a batch, in order: where something stood in the way of the whole
/// commit, each is asked for alone, and only what meets it alone has an error of its own. After
/// [`REFUSED_IN_A_ROW`] of these in a row the rest is not asked for, and has no answer.
///
/// # Errors
/// The store's silence; what was written until then is written.
pub(crate) async fn one_by_one<'s, T: Clone, A>(
    batch: Vec<T>,
    ask: impl Fn(Vec<T>) -> Answer<'s, Vec<A>>,
) -> Result<Vec<Result<A, StoreError>>, StoreError> {
    match ask(batch.clone()).await {
        Ok(answers) => return Ok(answers.into_iter().map(Ok).collect()),
        Err(error) if error.is_in_the_way() => {}
        Err(error) => return Err(error),
    }
    let mut all = Vec::with_capacity(batch.len());
    let mut refused = 0;
    for one in batch {
        match ask(vec![one]).await {
            Ok(answers) => {
                refused = 0;
                all.extend(answers.into_iter().map(Ok));
            }
            Err(error) if error.is_in_the_way() => {
                refused += 1;
                all.push(Err(error));
            }
            Err(error) => return Err(error),
        }
        if refused == REFUSED_IN_A_ROW {
            break;
        }
    }
    Ok(all)
}

/// What was refused alone, each until its next try: others are not to be undone with it meanwhile.
///
/// In memory alone: a new process tries all of it once more. It holds as much as there are broken rows.
pub(crate) struct SetAside<K> {
    waiting: Mutex<HashMap<K, Waits>>,
}

struct Waits {
    failures: u32,
    until: Instant,
    counted: Counted,
}

impl<K> Default for SetAside<K> {
    fn default() -> SetAside<K> {
        SetAside { waiting: Mutex::default() }
    }
}

impl<K: Hash + Eq + Copy> SetAside<K> {
    /// Whether it is not its turn yet.
    pub(crate) fn holds(&self, key: &K) -> bool {
        self.waiting.lock().get(key).is_some_and(|waits| Instant::now() < waits.until)
    }

    /// Forgets those that are gone; returns how many are left, whosever turn it is.
    pub(crate) fn forget_gone(&self) -> usize {
        let mut waiting = self.waiting.lock();
        let now = Instant::now();
        waiting.retain(|_, waits| now < waits.until + GONE_AFTER);
        waiting.len()
    }

    /// The store refused it, alone. Returns whether that is new.
    pub(crate) fn refused(&self, key: K, unwritten: &Unwritten, what: What) -> bool {
        let mut waiting = self.waiting.lock();
        let failures = waiting.get(&key).map_or(1, |waits| waits.failures.saturating_add(1));
        let until = Instant::now() + wait_after(failures.saturating_add(ASIDE_FIRST), WAIT_MAX);
        let before = waiting.remove(&key);
        let is_new = before.is_none();
        let counted = before.map_or_else(|| Counted::begin(unwritten.count(what)), |waits| waits.counted);
        waiting.insert(key, Waits { failures, until, counted });
        is_new
    }

    /// The store took it, or it is gone.
    pub(crate) fn taken(&self, key: &K) {
        let mut waiting = self.waiting.lock();
        if !waiting.is_empty() {
            waiting.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for the numbers up to `batch`, of which the store refuses those that are named.
    async fn asked(batch: u32, is_refused: impl Fn(u32) -> bool) -> (Vec<bool>, usize) {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let ask = |some: Vec<u32>| -> Answer<'_, Vec<u32>> {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let answer = match some.iter().any(|one| is_refused(*one)) {
                true => Err(StoreError::Undone { reason: "a broken row".to_owned() }),
                false => Ok(some),
            };
            Box::pin(async move { answer })
        };
        let answers = one_by_one((0..batch).collect(), ask).await.expect("the store answers");
        (answers.iter().map(Result::is_ok).collect(), calls.load(std::sync::atomic::Ordering::Relaxed))
    }

    #[tokio::test]
    async fn what_is_refused_alone_is_that_ones_and_a_bug_that_meets_all_is_not_asked_out() {
        assert_eq!(asked(30, |_| false).await, (vec![true; 30], 1));
        let (answers, calls) = asked(30, |one| one % 2 == 0).await;
        assert_eq!((answers.len(), answers.iter().filter(|taken| **taken).count(), calls), (30, 15, 31));
        assert_eq!(asked(30, |_| true).await, (vec![false; REFUSED_IN_A_ROW], 1 + REFUSED_IN_A_ROW));
    }

    #[test]
    fn the_waits_double_and_end_at_five_minutes_or_at_eight_seconds_where_the_store_is_silent() {
        let waits = |most| (1..=12).map(|failures| wait_after(failures, most).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits(WAIT_MAX), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(waits(WAIT_SILENT_MAX)[..5], [1, 2, 4, 8, 8]);
        assert_eq!(wait_after(u32::MAX, WAIT_MAX), WAIT_MAX);
    }
}
