//! Stops sending to a host that is down, so that sends end as "not sent" instead of "unknown".
//!
//! *Closed*: everything passes; the last ten seconds are counted. Once at least 20 ended in them
//! and half or more could not connect or were answered 5xx, it *opens*: nothing passes for five
//! seconds. Then three *probes* pass; if all three end well it closes, if one ends badly it opens
//! again. An end that says nothing of the host's health (a cut connection, a timeout after bytes had
//! left) counts among all ends, but not among the bad ones, and gives a probe's place back.
//! The figures are those of reliability §e.
//!
//! Pure: the time is an argument, in milliseconds of any clock that does not go back.

/// How an admitted request ended, as far as the host's health goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The host answered, and not with a 5xx.
    Good,
    /// It could not be connected to, or answered 5xx.
    Bad,
    /// Neither is known.
    Neither,
}

/// The right to send one request; given back with its verdict. Knows under which spell of the
/// breaker it was given, so that a late end does not count for a later spell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    spell: u64,
}

/// Nothing passes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Barred {
    /// When something may pass again.
    pub(super) retry_after_ms: u64,
}

/// How long it looks back, in buckets of a second each.
const WINDOW_S: usize = 10;
/// Fewer ends than these prove nothing.
const ENDS_MIN: u32 = 20;
/// How long nothing passes.
const OPEN_MS: u64 = 5_000;
/// How many must end well before everything passes again.
const PROBES: u32 = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    second: u64,
    ends: u32,
    bad: u32,
}

#[derive(Debug)]
enum State {
    Closed { buckets: [Bucket; WINDOW_S] },
    Open { until_ms: u64 },
    Probing { out: u32, good: u32, last_ms: u64 },
}

/// The breaker of one host.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    spell: u64,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { state: State::Closed { buckets: Default::default() }, spell: 0 }
    }
}

impl Breaker {
    /// Asks to send one request at `now_ms`.
    pub(super) fn admit(&mut self, now_ms: u64) -> Result<Pass, Barred> {
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { until_ms } if now_ms < *until_ms => return Err(Barred { retry_after_ms: *until_ms - now_ms }),
            State::Open { .. } => self.turn(State::Probing { out: 1, good: 0, last_ms: now_ms }),
            State::Probing { out, good, last_ms } => {
                // A probe that hangs must not keep everything out for as long as it hangs.
                let waited_ms = now_ms.saturating_sub(*last_ms);
                if *out + *good >= PROBES && waited_ms < OPEN_MS {
                    return Err(Barred { retry_after_ms: OPEN_MS - waited_ms });
                }
                *out += 1;
                *last_ms = now_ms;
            }
        }
        Ok(Pass { spell: self.spell })
    }

    /// Tells how the request of `pass` ended.
    pub(super) fn ended(&mut self, pass: Pass, verdict: Verdict, now_ms: u64) {
        if pass.spell != self.spell {
            return;
        }
        match (&mut self.state, verdict) {
            (State::Closed { buckets }, verdict) => {
                let second = now_ms / 1_000;
                let slot = usize::try_from(second).unwrap_or(0) % WINDOW_S;
                if buckets[slot].second != second {
                    buckets[slot] = Bucket { second, ..Bucket::default() };
                }
                buckets[slot].ends += 1;
                buckets[slot].bad += u32::from(verdict == Verdict::Bad);
                if verdict == Verdict::Bad && is_down(buckets, second) {
                    self.turn(State::Open { until_ms: now_ms + OPEN_MS });
                }
            }
            (State::Probing { .. }, Verdict::Bad) => self.turn(State::Open { until_ms: now_ms + OPEN_MS }),
            (State::Probing { out, good, .. }, verdict) => {
                *out = out.saturating_sub(1);
                *good += u32::from(verdict == Verdict::Good);
                if *good >= PROBES {
                    self.turn(State::Closed { buckets: Default::default() });
                }
            }
            (State::Open { .. }, _) => {}
        }
    }

    /// Whether nothing passes at `now_ms`, for people and metrics.
    pub(super) fn is_open(&self, now_ms: u64) -> bool {
        matches!(self.state, State::Open { until_ms } if now_ms < until_ms)
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.spell += 1;
    }
}

fn is_down(buckets: &[Bucket; WINDOW_S], second: u64) -> bool {
    let recent = buckets.iter().filter(|bucket| second.saturating_sub(bucket.second) < WINDOW_S as u64);
    let (ends, bad) = recent.fold((0, 0), |(ends, bad), bucket| (ends + bucket.ends, bad + bucket.bad));
    ends >= ENDS_MIN && bad * 2 >= ends
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_000_000;

    fn end(breaker: &mut Breaker, verdict: Verdict, times: u32, now_ms: u64) {
        for _ in 0..times {
            let pass = breaker.admit(now_ms).expect("it is closed");
            breaker.ended(pass, verdict, now_ms);
        }
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        end(&mut breaker, Verdict::Bad, 20, T0);
        assert!(breaker.is_open(T0));
        breaker
    }

    #[test]
    fn half_of_twenty_bad_ends_open_it_for_five_seconds() {
        let mut breaker = Breaker::default();
        end(&mut breaker, Verdict::Good, 10, T0);
        end(&mut breaker, Verdict::Bad, 9, T0 + 9_000);
        assert!(breaker.admit(T0 + 9_000).is_ok(), "19 ends prove nothing");
        end(&mut breaker, Verdict::Bad, 1, T0 + 9_000);
        assert_eq!(breaker.admit(T0 + 9_000), Err(Barred { retry_after_ms: 5_000 }));
        assert_eq!(breaker.admit(T0 + 13_999), Err(Barred { retry_after_ms: 1 }));
        assert!(breaker.admit(T0 + 14_000).is_ok());
    }

    #[test]
    fn less_than_half_do_not_open_it() {
        let mut breaker = Breaker::default();
        end(&mut breaker, Verdict::Good, 51, T0);
        end(&mut breaker, Verdict::Bad, 49, T0);
        assert!(breaker.admit(T0).is_ok());
    }

    #[test]
    fn ends_that_prove_nothing_do_not_open_it() {
        let mut breaker = Breaker::default();
        end(&mut breaker, Verdict::Neither, 200, T0);
        end(&mut breaker, Verdict::Bad, 20, T0);
        assert!(breaker.admit(T0).is_ok());
    }

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let mut breaker = Breaker::default();
        end(&mut breaker, Verdict::Bad, 19, T0);
        end(&mut breaker, Verdict::Bad, 19, T0 + 10_000);
        assert!(breaker.admit(T0 + 10_000).is_ok());
    }

    #[test]
    fn three_good_probes_close_it() {
        let mut breaker = opened();
        let now = T0 + OPEN_MS;
        let probes: Vec<Pass> = (0..3).map(|_| breaker.admit(now).expect("three may probe")).collect();
        assert_eq!(breaker.admit(now), Err(Barred { retry_after_ms: OPEN_MS }));
        for probe in probes {
            breaker.ended(probe, Verdict::Good, now);
        }
        end(&mut breaker, Verdict::Good, 100, now);
    }

    #[test]
    fn a_bad_probe_opens_it_again() {
        let mut breaker = opened();
        let now = T0 + OPEN_MS;
        let (first, second) = (breaker.admit(now).expect("a probe"), breaker.admit(now).expect("a probe"));
        breaker.ended(first, Verdict::Good, now);
        breaker.ended(second, Verdict::Bad, now + 100);
        assert_eq!(breaker.admit(now + 100), Err(Barred { retry_after_ms: OPEN_MS }));
    }

    #[test]
    fn a_probe_that_proves_nothing_gives_its_place_back() {
        let mut breaker = opened();
        let now = T0 + OPEN_MS;
        let probes: Vec<Pass> = (0..3).map(|_| breaker.admit(now).expect("three may probe")).collect();
        breaker.ended(probes[0], Verdict::Neither, now);
        assert!(breaker.admit(now).is_ok());
        assert!(breaker.admit(now).is_err());
    }

    #[test]
    fn probes_that_hang_let_another_pass_in_time() {
        let mut breaker = opened();
        let now = T0 + OPEN_MS;
        for _ in 0..3 {
            breaker.admit(now).expect("three may probe");
        }
        assert_eq!(breaker.admit(now + 4_999), Err(Barred { retry_after_ms: 1 }));
        assert!(breaker.admit(now + 5_000).is_ok());
    }

    #[test]
    fn an_end_from_before_it_opened_counts_for_nothing_after() {
        let mut breaker = Breaker::default();
        let early: Vec<Pass> = (0..5).map(|_| breaker.admit(T0).expect("it is closed")).collect();
        end(&mut breaker, Verdict::Bad, 20, T0);
        let now = T0 + OPEN_MS;
        let probe = breaker.admit(now).expect("a probe");
        for pass in early {
            breaker.ended(pass, Verdict::Bad, now);
        }
        breaker.ended(probe, Verdict::Good, now);
        assert!(breaker.admit(now).is_ok(), "the early ends are not probes");
    }
}
