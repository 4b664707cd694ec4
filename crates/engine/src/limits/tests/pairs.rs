//! The sending number's ceiling and the pair rate, against a list and a bucket that really fills.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use turnpike_domain::refusal::LimitKind;

use super::*;
use crate::limits::{Limited, NumberSlot};

/// A bucket in microseconds of filling: 45 messages of 6 s each.
struct Bucket {
    filled_us: u64,
    at: u64,
}

const INTERVAL: u64 = 6_000_000;
const WHOLE: u64 = 45 * INTERVAL;

impl Bucket {
    fn fill(&mut self, now: u64) {
        self.filled_us = WHOLE.min(self.filled_us + (now - self.at));
        self.at = now;
    }
}

#[test]
fn number_and_pair_are_decided_as_by_counting_and_filling() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let limits = limits();
    let mut now = Tick::START.0;
    let mut sent: Vec<u64> = Vec::new();
    let mut buckets: Vec<Bucket> = (0..4).map(|_| Bucket { filled_us: WHOLE, at: now }).collect();
    let mut last: Option<(NumberSlot, usize)> = None;
    let (mut admitted, mut number, mut pair) = (0, 0, 0);
    for _ in 0..200_000 {
        let who = rng.random_range(0..4);
        let recipient = [u8::try_from(who).expect("few"); 16];
        sent.retain(|at| at + 1_000_000 > now);
        buckets[who].fill(now);
        let mut full = Vec::new();
        if sent.len() >= 20 {
            let wait = sent[sent.len() - 20] + 1_000_000 - now;
            full.push(Limited { limit: LimitKind::Number, retry_after_ms: wait.div_ceil(1_000) });
        }
        if buckets[who].filled_us < INTERVAL {
            let wait = INTERVAL - buckets[who].filled_us;
            full.push(Limited { limit: LimitKind::Pair, retry_after_ms: wait.div_ceil(1_000) });
        }
        match limits.take_number_and_pair(APP, 20, recipient, Tick(now)) {
            Ok(slot) => {
                assert!(full.is_empty(), "over-admission at {now}: {full:?}");
                sent.push(now);
                buckets[who].filled_us -= INTERVAL;
                last = Some((slot, who));
                admitted += 1;
            }
            Err(limited) => {
                let longest = full.iter().max_by_key(|limited| limited.retry_after_ms).expect("wrong refusal");
                assert_eq!(limited.retry_after_ms, longest.retry_after_ms, "at {now}");
                assert!(full.contains(&limited), "at {now}: {limited:?} {full:?}");
                match limited.limit {
                    LimitKind::Number => number += 1,
                    _ => pair += 1,
                }
            }
        }
        if rng.random_ratio(1, 20)
            && let Some((slot, who)) = last.take()
            && slot.at() == Tick(now)
        {
            slot.give_back();
            sent.pop();
            buckets[who].filled_us += INTERVAL;
        }
        now += match rng.random_range(0..200) {
            0..120 => 0,
            120..150 => rng.random_range(0..2_000),
            150..190 => rng.random_range(0..200_000),
            190..198 => full.iter().map(|limited| limited.retry_after_ms * 1_000).max().unwrap_or(1).saturating_sub(rng.random_range(0..2)),
            198 => 1_000_000,
            _ if rng.random_ratio(1, 20) => 300_000_000,
            _ => 5_999_999,
        };
    }
    println!("{admitted} admitted, {number} refused by the number, {pair} by the pair");
    assert!(admitted > 5_000 && number > 3_000 && pair > 3_000, "{admitted} {number} {pair}");
}

#[test]
fn forty_five_go_at_once_and_then_one_each_six_seconds() {
    let limits = limits();
    let take = |at: Tick| limits.take_number_and_pair(APP, 1_000, [1; 16], at).map(drop);
    for _ in 0..45 {
        assert_eq!(take(ms(0)), Ok(()));
    }
    assert_eq!(take(ms(0)), Err(Limited { limit: LimitKind::Pair, retry_after_ms: 6_000 }));
    assert_eq!(take(us(5_999_999)), Err(Limited { limit: LimitKind::Pair, retry_after_ms: 1 }));
    assert_eq!(take(ms(6_000)), Ok(()));
    assert_eq!(take(ms(6_001)), Err(Limited { limit: LimitKind::Pair, retry_after_ms: 5_999 }));
    assert_eq!(limits.take_number_and_pair(APP, 1_000, [2; 16], ms(6_001)).map(drop), Ok(()), "another recipient");
    assert_eq!(limits.take_number_and_pair(ApplicationId(4), 1_000, [1; 16], ms(6_001)).map(drop), Ok(()), "another number");
}

#[test]
fn a_full_pair_takes_nothing_of_the_number_and_a_full_number_nothing_of_the_pair() {
    let limits = limits();
    for n in 0..45 {
        limits.take_number_and_pair(APP, 1_000, [1; 16], ms(n)).expect("the bucket has 45");
    }
    for _ in 0..30 {
        let limited = limits.take_number_and_pair(APP, 20, [1; 16], ms(2_000)).expect_err("the pair is full");
        assert_eq!(limited.limit, LimitKind::Pair);
    }
    for n in 0..20 {
        limits.take_number_and_pair(APP, 20, [2; 16], ms(2_000 + n)).expect("refusals took none of the twenty");
    }
    for _ in 0..30 {
        let limited = limits.take_number_and_pair(APP, 20, [3; 16], ms(2_100)).expect_err("the number is full");
        assert_eq!(limited, Limited { limit: LimitKind::Number, retry_after_ms: 900 });
    }
    for _ in 0..45 {
        limits.take_number_and_pair(APP, 1_000, [3; 16], ms(3_000)).expect("refusals took none of the forty-five");
    }
}
