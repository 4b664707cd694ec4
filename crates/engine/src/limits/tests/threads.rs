//! The same promises when real threads ask at once. Their clock is a counter that each reading
//! moves, so that nothing depends on how fast the machine is.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::thread;

use turnpike_domain::money::Micros;
use turnpike_domain::refusal::LimitKind;

use super::*;

const THREADS: u64 = 8;

#[test]
fn threads_together_never_exceed_a_window_nor_fall_short_of_it() {
    const PER_SECOND: usize = 50;
    const IN_MINUTE: usize = 120;
    let limits = limits();
    let policy = policy(|p| (p.rate_per_second, p.rate_per_minute) = (50, 120));
    let clock = AtomicU64::new(Tick::START.0);
    let mut admitted: Vec<(u64, u64, u64)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    // 8 × 60,000 readings of 7 µs are 3.36 s: a burst, two refills, then the minute is full.
                    for _ in 0..60_000 {
                        let before = clock.fetch_add(7, Ordering::SeqCst);
                        if let Ok(slot) = limits.take(KEY, &policy, Tick(before), NOON) {
                            mine.push((before, slot.at().0, clock.load(Ordering::SeqCst)));
                        }
                    }
                    mine
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });

    assert_eq!(admitted.len(), IN_MINUTE, "everything that the windows allow is admitted, and no more");
    admitted.sort_by_key(|(_, at, _)| *at);
    for span in admitted.windows(PER_SECOND + 1) {
        assert!(span[PER_SECOND].1 - span[0].1 >= 1_000_000, "{span:?}");
    }
    // Whatever instant the limiter wrote down: each admission happened between the caller's two
    // readings, and no 51 of those intervals may lie within one second.
    for (begin, _, _) in &admitted {
        let mut ends: Vec<u64> = admitted.iter().filter(|(before, _, _)| before >= begin).map(|(_, _, after)| *after).collect();
        ends.sort_unstable();
        assert!(ends.get(PER_SECOND).is_none_or(|end| end - begin >= 1_000_000));
    }
}

#[test]
fn threads_together_never_have_more_in_flight_than_allowed() {
    let limits = limits();
    let policy = policy(|p| (p.rate_per_second, p.rate_per_minute, p.concurrency_limit) = (100_000, 6_000_000, Some(5)));
    let (clock, flying, most, refused) = (AtomicU64::new(Tick::START.0), AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    match limits.take(KEY, &policy, Tick(clock.fetch_add(100, Ordering::SeqCst)), NOON) {
                        Ok(slot) => {
                            let now_flying = flying.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now_flying, Ordering::SeqCst);
                            thread::yield_now();
                            flying.fetch_sub(1, Ordering::SeqCst);
                            drop(slot);
                        }
                        Err(limited) => {
                            assert_eq!(limited.limit, LimitKind::Concurrency);
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 5, "{most:?}");
    println!("at most {most:?} in flight, {refused:?} refused");
    assert_eq!(limits.standing(KEY, &policy, Tick(clock.load(Ordering::SeqCst)), NOON).concurrency.expect("limited").remaining, 5);
}

#[test]
fn threads_together_never_use_more_of_the_day_than_there_is() {
    let limits = limits();
    let policy = policy(|p| {
        (p.rate_per_second, p.rate_per_minute) = (100_000, 6_000_000);
        (p.daily_limit, p.daily_spend) = (Some(3_000), Some(Micros(2_500_000)));
    });
    let (messages, spent) = (AtomicU32::new(0), AtomicI64::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (limits, policy, messages, spent) = (&limits, &policy, &messages, &spent);
            scope.spawn(move || {
                for n in 0..4_000 {
                    let Ok(slot) = limits.take(KEY, policy, ms(n), NOON) else { continue };
                    let Ok(guard) = limits.reserve_spend(KEY, NOON, Micros(1_000), Micros(2_500_000)) else { continue };
                    if (n + thread) % 3 == 0 {
                        continue;
                    }
                    slot.became_message();
                    guard.spent();
                    messages.fetch_add(1, Ordering::Relaxed);
                    spent.fetch_add(1_000, Ordering::Relaxed);
                }
            });
        }
    });
    let standing = limits.standing(KEY, &policy, ms(0), NOON);
    assert_eq!(spent.into_inner(), 2_500_000, "the whole spend, and no more");
    assert_eq!(standing.spend.expect("limited").remaining, Micros::ZERO);
    assert_eq!(standing.day.expect("limited").remaining, 3_000 - messages.into_inner(), "what was given back is there");
}

#[test]
fn threads_together_never_exceed_a_number_or_a_pair() {
    let limits = limits();
    let clock = AtomicU64::new(Tick::START.0);
    let mut admitted: Vec<(u64, u8)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (limits, clock) = (&limits, &clock);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for n in 0..40_000u64 {
                        let recipient = u8::try_from((n + thread) % 3).expect("three");
                        if let Ok(slot) = limits.take_number_and_pair(APP, 20, [recipient; 16], Tick(clock.fetch_add(20, Ordering::SeqCst)))
                        {
                            mine.push((slot.at().0, recipient));
                        }
                    }
                    mine
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });
    admitted.sort_unstable();
    for span in admitted.windows(21) {
        assert!(span[20].0 - span[0].0 >= 1_000_000, "{span:?}");
    }
    // 6.4 s: 45 of a bucket and one that the sixth second brings.
    for recipient in 0..3 {
        let sent = admitted.iter().filter(|(_, to)| *to == recipient).count();
        assert!(sent <= 46, "{sent}");
    }
    assert!(admitted.len() >= 120, "{}", admitted.len());
}
