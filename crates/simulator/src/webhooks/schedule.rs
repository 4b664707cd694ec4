//! What is due when, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::SimulatedClock;

/// Things that may wait at once. Past this, new ones are not taken, and counted.
const WAITING_MAX: usize = 1_000_000;

/// Things in the order of their time, and of their coming where that is the same.
pub(crate) struct Schedule<T> {
    inner: Mutex<Waiting<T>>,
    woken: Notify,
    /// Whether the taker is at work on what it took last.
    handling: AtomicBool,
}

struct Waiting<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
    refused: u64,
}

struct Entry<T> {
    at: Timestamp,
    number: u64,
    what: T,
}

impl<T> Schedule<T> {
    pub(crate) fn new() -> Schedule<T> {
        let waiting = Waiting { heap: BinaryHeap::new(), next: 0, refused: 0 };
        Schedule { inner: Mutex::new(waiting), woken: Notify::new(), handling: AtomicBool::new(false) }
    }

    /// Lets something happen at `at`; whether there was room.
    pub(crate) fn add(&self, at: Timestamp, what: T) -> bool {
        let mut waiting = self.lock();
        if waiting.heap.len() >= WAITING_MAX {
            waiting.refused += 1;
            return false;
        }
        let number = waiting.next;
        waiting.next += 1;
        let earliest = waiting.heap.peek().is_none_or(|Reverse(first)| at < first.at);
        waiting.heap.push(Reverse(Entry { at, number, what }));
        drop(waiting);
        if earliest {
            self.woken.notify_one();
        }
        true
    }

    /// The next thing once it is due, with its time. One taker at a time.
    pub(crate) async fn next(&self, clock: &SimulatedClock) -> (Timestamp, T) {
        self.handling.store(false, Ordering::SeqCst);
        loop {
            let first = {
                let mut waiting = self.lock();
                match waiting.heap.peek() {
                    Some(Reverse(first)) if first.at <= clock.now() => {
                        if let Some(Reverse(due)) = waiting.heap.pop() {
                            self.handling.store(true, Ordering::SeqCst);
                            return (due.at, due.what);
                        }
                        None
                    }
                    Some(Reverse(first)) => Some(first.at),
                    None => None,
                }
            };
            match first {
                None => self.woken.notified().await,
                Some(at) => tokio::select! {
                    () = self.woken.notified() => {}
                    () = clock.sleep_until(at) => {}
                },
            }
        }
    }

    /// Whether anything is due at `now`, or being done.
    pub(crate) fn is_busy(&self, now: Timestamp) -> bool {
        let waiting = self.lock();
        self.handling.load(Ordering::SeqCst) || waiting.heap.peek().is_some_and(|Reverse(first)| first.at <= now)
    }

    /// Takes out what shall not happen any more; how many things that were.
    pub(crate) fn forget(&self, goes: impl Fn(&T) -> bool) -> usize {
        let mut waiting = self.lock();
        let before = waiting.heap.len();
        waiting.heap.retain(|Reverse(entry)| !goes(&entry.what));
        before - waiting.heap.len()
    }

    /// How many wait, and how many found no room.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let waiting = self.lock();
        (waiting.heap.len(), waiting.refused)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Entry<T>) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Entry<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Entry<T>) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn things_come_by_their_time_and_then_by_their_order() {
        let clock = SimulatedClock::new(1.0);
        let schedule = Schedule::new();
        let start = clock.now();
        let later = start + SignedDuration::from_secs(60);
        for (at, what) in [(later, "c"), (start, "a"), (later, "d"), (start, "b")] {
            assert!(schedule.add(at, what));
        }
        assert!(schedule.is_busy(start));
        for wanted in ["a", "b", "c", "d"] {
            assert_eq!(schedule.next(&clock).await.1, wanted);
        }
        assert!(clock.now() >= later);
        assert_eq!(schedule.counts(), (0, 0));
    }
}
