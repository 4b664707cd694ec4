//! What a restart remembers, from stored messages alone.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::LimitKind;
use turnpike_domain::send::Mode;
use turnpike_store::messages::{DayUsage, RecentSend};

use super::*;
use crate::limits::Limited;

fn stored(at: UnixMs) -> RecentSend {
    RecentSend { api_key: KEY, application: APP, at, mode: Mode::Live, recipient: [1; 16], reached_meta: true }
}

#[test]
fn a_restart_forgets_no_window() {
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    for round in 0..300 {
        let policy = policy(|p| (p.rate_per_second, p.rate_per_minute) = (rng.random_range(1..8), rng.random_range(1..60)));
        // An instant is microseconds since noon; the first process ran, then the second starts.
        let before = limits();
        let (mut now, mut admitted) = (0, Vec::new());
        for _ in 0..300 {
            if before.take(KEY, &policy, us(now), NOON).is_ok() {
                admitted.push(now);
            }
            now += rng.random_range(0..900_000);
        }
        let restarted = now;
        let rows: Vec<_> = admitted.iter().map(|at| stored(wall(NOON, us(*at)))).collect();
        let after = limits();
        after.restore(&rows, wall(NOON, us(restarted)), us(0));

        let mut late = 0;
        for _ in 0..300 {
            // Where the first process would have admitted, had it lived, so does the second, but for
            // the millisecond to which stored times are cut.
            let standing = before.standing(KEY, &policy, us(now), NOON);
            let may = standing.sec.remaining > 0 && standing.min.remaining > 0;
            let does = after.take(KEY, &policy, us(now - restarted), NOON).is_ok();
            assert!(may || !does, "round {round}: over-admission at {now}");
            if may && !does {
                late += 1;
            }
            if does {
                drop(before.take(KEY, &policy, us(now), NOON).expect("there is room"));
                admitted.push(now);
            }
            now += rng.random_range(0..900_000);
        }
        assert!(late <= 2, "round {round}: {late} refused though there was room");
        for (limit, span) in [(policy.rate_per_second, 1_000_000), (policy.rate_per_minute, 60_000_000)] {
            for window in admitted.windows(limit as usize + 1) {
                assert!(window[limit as usize] - window[0] >= span, "round {round}");
            }
        }
    }
}

#[test]
fn a_restart_forgets_neither_ceiling_nor_pair() {
    let limits = limits();
    let rows: Vec<_> = (0..45).rev().map(|n| stored(NOON.plus_ms(-n * 200))).collect();
    // A stored time may be up to a millisecond later than it reads, so the clock reads one more.
    limits.restore(&rows, NOON.plus_ms(1), us(0));
    let of_number = limits.take_number_and_pair(APP, 3, [2; 16], us(0)).expect_err("three in the last 400 ms");
    assert_eq!(of_number, Limited { limit: LimitKind::Number, retry_after_ms: 600 });
    limits.take_number_and_pair(APP, 6, [2; 16], us(0)).expect("five in the last 800 ms, and one a second ago");
    // 44 intervals of 200 ms are 8.8 s: one of 6 s came back, and 2.8 s of the next.
    limits.take_number_and_pair(APP, 80, [1; 16], us(0)).expect("one came back");
    let of_pair = limits.take_number_and_pair(APP, 80, [1; 16], us(0)).expect_err("the bucket is empty");
    assert_eq!(of_pair, Limited { limit: LimitKind::Pair, retry_after_ms: 3_200 });
}

#[test]
fn what_meta_never_saw_counts_for_the_key_alone() {
    let limits = limits();
    let rows: Vec<_> = (0..45)
        .flat_map(|n| {
            let row = stored(NOON.plus_ms(-450 + n * 10));
            [RecentSend { mode: Mode::Sandbox, ..row }, RecentSend { mode: Mode::Fake, ..row }, RecentSend { reached_meta: false, ..row }]
        })
        .collect();
    limits.restore(&rows, NOON, us(0));
    limits.take_number_and_pair(APP, 1, [1; 16], us(0)).expect("neither ceiling nor pair is touched");
    let wide = policy(|p| (p.rate_per_second, p.rate_per_minute) = (200, 200));
    assert_eq!(limits.standing(KEY, &wide, us(0), NOON).sec.remaining, 200 - 135);
}

#[test]
fn what_is_stored_out_of_order_or_from_a_clock_ahead_is_counted_once_each() {
    let limits = limits();
    let policy = policy(|p| (p.rate_per_second, p.rate_per_minute) = (10, 10));
    limits.restore(&[stored(NOON.plus_ms(5_000)), stored(NOON.plus_ms(-59_000)), stored(NOON), stored(NOON.plus_ms(-60_001))], NOON, us(0));
    let standing = limits.standing(KEY, &policy, us(0), NOON);
    assert_eq!((standing.sec.remaining, standing.min.remaining), (8, 7));
    assert_eq!(limits.standing(KEY, &policy, us(1_000_000), NOON).sec.remaining, 10);
}

#[test]
fn a_restart_forgets_nothing_of_the_day() {
    let limits = limits();
    let usage = |day, messages, spend| DayUsage { api_key: KEY, day, messages, spend: Micros(spend) };
    limits.restore_day(&[usage(NOON.day(), 7, 900)], NOON);
    limits.restore_day(&[usage(NOON.plus_ms(-43_200_001).day(), 90, 9_000)], NOON);
    let policy = policy(|p| (p.daily_limit, p.daily_spend) = (Some(8), Some(Micros(1_000))));
    assert!(limits.reserve_spend(KEY, NOON, Micros(101), Micros(1_000)).is_err());
    limits.reserve_spend(KEY, NOON, Micros(100), Micros(1_000)).expect("what is left").spent();
    limits.take(KEY, &policy, us(0), NOON).expect("the eighth").became_message();
    assert_eq!(limits.take(KEY, &policy, us(0), NOON).map(drop), Err(Limited { limit: LimitKind::Day, retry_after_ms: 43_200_000 }));
}
