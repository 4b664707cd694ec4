//! The windows against an oracle that keeps every admission in a list and counts.
//!
//! Arrivals come where a wrong limiter would fail: on the edges of windows, a microsecond before
//! and after them, in bursts, after silences, around midnight. Every answer must be the oracle's:
//! an admission too many is an over-admission, one too few a wrong refusal, and the wait that a
//! refusal names must be the first instant at which the oracle would admit.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use turnpike_domain::refusal::LimitKind;
use turnpike_domain::time::{DAY_MS, UtcDay};

use super::*;
use crate::limits::{CONCURRENCY_RETRY_MS, KeySlot, Limited};

/// 2026-11-22T23:58:00Z: two minutes before a day ends.
const START: UnixMs = UnixMs(NOON.0 + 12 * 3_600_000 - 120_000);

/// What happens next, and when.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The clock moves by so many microseconds.
    Wait(u64),
    /// The clock moves to where the key's next slot frees, and by so much beyond or before.
    Edge { key: usize, off_us: i64 },
    /// The clock moves to the next midnight, and by so much beyond or before.
    Midnight { off_us: i64 },
    /// A request of a key.
    Arrive { key: usize },
    /// One of the sends in flight ends.
    End { which: usize, how: End },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Sent,
    Refused,
    Replayed,
    HungUp,
}

/// What the oracle knows of a key.
#[derive(Default)]
struct Remembered {
    admitted: Vec<u64>,
    in_flight: u32,
    of_day: std::collections::HashMap<UtcDay, u32>,
}

struct InFlight {
    key: usize,
    slot: KeySlot,
    at: u64,
    day: UtcDay,
}

struct Story {
    limits: Limits,
    policies: Vec<CompiledPolicy>,
    keys: Vec<Remembered>,
    in_flight: Vec<InFlight>,
    now: u64,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    admitted: u64,
    second: u64,
    minute: u64,
    day: u64,
    concurrency: u64,
}

impl Story {
    fn new(policies: Vec<CompiledPolicy>) -> Story {
        let keys = policies.iter().map(|_| Remembered::default()).collect();
        Story { limits: limits(), policies, keys, in_flight: Vec::new(), now: Tick::START.0, tally: Tally::default() }
    }

    fn wall(&self) -> UnixMs {
        wall(START, Tick(self.now))
    }

    fn tell(&mut self, step: Step) {
        match step {
            Step::Wait(us) => self.now += us,
            Step::Edge { key, off_us } => {
                let edge = self.windows_free_in(key).into_iter().map(|(_, wait)| wait).max().unwrap_or(0);
                self.now = self.now.max((self.now + edge).saturating_add_signed(off_us));
            }
            Step::Midnight { off_us } => {
                let wait_ms = (self.wall().day().next().start().0 - self.wall().0).cast_unsigned();
                // The story's process started on a whole millisecond, so this is the exact instant.
                let midnight = (self.now / 1_000 + wait_ms) * 1_000;
                self.now = self.now.max(midnight.saturating_add_signed(off_us));
            }
            Step::Arrive { key } => self.arrive(key),
            Step::End { which, how } => self.end(which, how),
        }
    }

    fn arrive(&mut self, key: usize) {
        let (at, wall) = (self.now, self.wall());
        let expected = self.expected(key);
        let id = ApiKeyId(i64::try_from(key).expect("few keys"));
        match self.limits.take(id, &self.policies[key], Tick(at), wall) {
            Ok(slot) => {
                assert!(expected.is_empty(), "over-admission at {at}: the oracle says {expected:?}");
                let remembered = &mut self.keys[key];
                remembered.admitted.push(at);
                remembered.in_flight += 1;
                *remembered.of_day.entry(wall.day()).or_default() += 1;
                self.in_flight.push(InFlight { key, slot, at, day: wall.day() });
                self.tally.admitted += 1;
            }
            Err(limited) => {
                assert!(!expected.is_empty(), "wrong refusal at {at}: {limited:?}");
                let longest = expected.iter().map(|limited| limited.retry_after_ms).max();
                assert_eq!(Some(limited.retry_after_ms), longest, "wait at {at}: {limited:?} {expected:?}");
                assert!(expected.contains(&limited), "name at {at}: {limited:?} {expected:?}");
                match limited.limit {
                    LimitKind::Second => self.tally.second += 1,
                    LimitKind::Minute => self.tally.minute += 1,
                    LimitKind::Day => self.tally.day += 1,
                    LimitKind::Concurrency => self.tally.concurrency += 1,
                    other => panic!("{other:?} is not taken at step 4"),
                }
            }
        }
    }

    fn end(&mut self, which: usize, how: End) {
        if self.in_flight.is_empty() {
            return;
        }
        let InFlight { key, slot, at, day } = self.in_flight.swap_remove(which % self.in_flight.len());
        let remembered = &mut self.keys[key];
        remembered.in_flight -= 1;
        let mut uncount = || *remembered.of_day.get_mut(&day).expect("it was counted") -= 1;
        match how {
            End::Sent => slot.became_message(),
            End::HungUp => uncount(),
            End::Refused => {
                slot.not_a_message();
                uncount();
            }
            End::Replayed => {
                slot.give_back_window();
                uncount();
                // After more than a minute it is forgotten already.
                if let Some(index) = remembered.admitted.iter().position(|other| *other == at) {
                    remembered.admitted.remove(index);
                }
            }
        }
    }

    /// All that stands in a request's way.
    fn expected(&mut self, key: usize) -> Vec<Limited> {
        let now = self.now;
        self.keys[key].admitted.retain(|at| at + 60_000_000 > now);
        let mut full: Vec<_> = self
            .windows_free_in(key)
            .into_iter()
            .filter(|(_, wait)| *wait > 0)
            .map(|(limit, wait)| Limited { limit, retry_after_ms: wait.div_ceil(1_000) })
            .collect();
        let (policy, remembered, wall) = (&self.policies[key], &self.keys[key], self.wall());
        let of_day = remembered.of_day.get(&wall.day()).copied().unwrap_or(0);
        if policy.daily_limit.is_some_and(|limit| of_day >= limit) {
            let left = DAY_MS - wall.0.rem_euclid(DAY_MS);
            full.push(Limited { limit: LimitKind::Day, retry_after_ms: left.cast_unsigned() });
        }
        if policy.concurrency_limit.is_some_and(|limit| remembered.in_flight >= limit) {
            full.push(Limited { limit: LimitKind::Concurrency, retry_after_ms: CONCURRENCY_RETRY_MS });
        }
        full
    }

    /// How long until each window would admit one, by counting anew at each instant at which one
    /// leaves, in order.
    fn windows_free_in(&self, key: usize) -> [(LimitKind, u64); 2] {
        let (policy, admitted, now) = (&self.policies[key], &self.keys[key].admitted, self.now);
        let free_in = |limit: u32, span: u64| {
            let room_at = |instant: u64| admitted.iter().filter(|at| *at + span > instant).count() < limit as usize;
            let leaves = admitted.iter().map(|at| at + span).filter(|instant| *instant > now);
            std::iter::once(now).chain(leaves).find(|instant| room_at(*instant)).expect("there is room when all have left") - now
        };
        [(LimitKind::Second, free_in(policy.rate_per_second, 1_000_000)), (LimitKind::Minute, free_in(policy.rate_per_minute, 60_000_000))]
    }
}

fn tight(per_second: u32, per_minute: u32, daily: Option<u32>, concurrency: Option<u32>) -> CompiledPolicy {
    policy(|p| {
        (p.rate_per_second, p.rate_per_minute) = (per_second, per_minute);
        (p.daily_limit, p.concurrency_limit) = (daily, concurrency);
    })
}

/// Steps that love edges.
fn next_step(rng: &mut ChaCha8Rng, keys: usize) -> Step {
    let key = rng.random_range(0..keys);
    let off_us = [-1_001, -1_000, -999, -1, 0, 0, 0, 1, 999, 1_000][rng.random_range(0..10)];
    match rng.random_range(0..100) {
        0..62 => Step::Arrive { key },
        62..77 => {
            let how = [End::Sent, End::Sent, End::Sent, End::Sent, End::Refused, End::Replayed, End::HungUp][rng.random_range(0..7)];
            Step::End { which: rng.random_range(0..64), how }
        }
        77..90 => Step::Edge { key, off_us },
        90..94 => Step::Wait([1, 999, 999_999, 1_000_000, 1_000_001][rng.random_range(0..5)]),
        94..99 => Step::Wait(rng.random_range(0..400_000)),
        _ if rng.random_ratio(1, 400) => Step::Midnight { off_us },
        _ => Step::Wait([59_999_999, 60_000_000, 60_000_001, 75_000_001][rng.random_range(0..4)]),
    }
}

#[test]
fn a_million_arrivals_at_the_edges_of_windows_are_decided_as_by_counting() {
    let policies = vec![
        tight(1, 60, None, None),
        tight(3, 7, None, Some(2)),
        tight(5, 30, Some(400), Some(4)),
        tight(10, 12, Some(2_000), None),
        tight(9, 5, None, Some(3)),
        tight(2, 40, Some(60), None),
    ];
    let mut total = Tally::default();
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut story = Story::new(policies.clone());
        let mut arrivals = 0;
        while arrivals < 160_000 {
            let step = next_step(&mut rng, policies.len());
            arrivals += u32::from(matches!(step, Step::Arrive { .. }));
            story.tell(step);
        }
        total.admitted += story.tally.admitted;
        total.second += story.tally.second;
        total.minute += story.tally.minute;
        total.day += story.tally.day;
        total.concurrency += story.tally.concurrency;
    }
    println!("{total:?}");
    assert_eq!(total.admitted + total.second + total.minute + total.day + total.concurrency, 1_280_000);
    for (name, count) in
        [("admitted", total.admitted), ("sec", total.second), ("min", total.minute), ("day", total.day), ("concurrency", total.concurrency)]
    {
        assert!(count > 10_000, "the story must meet every limit often: {name} {count}");
    }
}

#[test]
fn the_default_windows_are_decided_as_by_counting() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut story = Story::new(vec![tight(80, 4_800, None, None)]);
    for burst in 0..2_500 {
        for _ in 0..rng.random_range(1..100) {
            story.tell(Step::Arrive { key: 0 });
            story.tell(Step::End { which: 0, how: End::Sent });
            story.tell(Step::Wait(rng.random_range(0..40)));
        }
        story.tell(match burst % 5 {
            0 => Step::Edge { key: 0, off_us: 0 },
            1 => Step::Edge { key: 0, off_us: -1 },
            2 => Step::Wait(rng.random_range(0..1_000_000)),
            _ => Step::Wait(999_000),
        });
    }
    println!("{:?}", story.tally);
    assert!(story.tally.admitted > 50_000 && story.tally.second > 10_000);
}

#[test]
fn a_retry_at_the_named_instant_succeeds_and_no_earlier_one_does() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for round in 0..2_000 {
        let policy = tight(rng.random_range(1..6), rng.random_range(1..20), None, None);
        let limits = limits();
        let take = |at: u64| limits.take(KEY, &policy, us(at), NOON).map(drop);
        let mut now = 0;
        let limited = loop {
            match take(now) {
                Ok(()) => now += rng.random_range(0..300_000),
                Err(limited) => break limited,
            }
        };
        let named_us = limited.retry_after_ms * 1_000;
        assert!(take(now + named_us - 1_000).is_err(), "round {round}: a millisecond earlier");
        let freed = (0..1_000).rev().map(|earlier| now + named_us - earlier).find(|at| take(*at).is_ok());
        let freed = freed.expect("it must succeed at the named instant");
        assert_eq!((freed - now).div_ceil(1_000), limited.retry_after_ms, "round {round}");
    }
}

fn any_step(keys: usize) -> impl Strategy<Value = Step> {
    let off_us = prop_oneof![Just(-1i64), Just(0), Just(1), -2_000..2_000i64];
    prop_oneof![
        6 => (0..keys).prop_map(|key| Step::Arrive { key }),
        2 => (0..keys, off_us).prop_map(|(key, off_us)| Step::Edge { key, off_us }),
        1 => (0..2_000_000u64).prop_map(Step::Wait),
        1 => Just(Step::Midnight { off_us: 0 }),
        2 => (0..8usize, prop_oneof![Just(End::Sent), Just(End::Refused), Just(End::Replayed), Just(End::HungUp)])
            .prop_map(|(which, how)| Step::End { which, how }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_story_is_decided_as_by_counting(
        limits in prop::collection::vec((1..6u32, 1..9u32, prop::option::of(0..9u32), prop::option::of(1..4u32)), 1..3),
        steps in prop::collection::vec(any_step(2), 1..200),
    ) {
        let policies: Vec<_> = limits.into_iter().map(|(second, minute, day, concurrency)| tight(second, minute, day, concurrency)).collect();
        let keys = policies.len();
        let mut story = Story::new(policies);
        for step in steps {
            story.tell(match step {
                Step::Arrive { key } => Step::Arrive { key: key % keys },
                Step::Edge { key, off_us } => Step::Edge { key: key % keys, off_us },
                other => other,
            });
        }
    }
}
