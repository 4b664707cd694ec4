//! Each rule by itself, as a caller would tell it.

use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{LimitKind, Refusal};

use super::*;
use crate::limits::{CONCURRENCY_RETRY_MS, Limited, PairRate};

#[test]
fn the_eighty_first_request_of_a_second_is_refused_until_the_first_is_a_second_old() {
    let (limits, policy) = (limits(), policy(|_| {}));
    let take = |at: Tick| limits.take(KEY, &policy, at, NOON).map(drop);
    for n in 0..80 {
        assert_eq!(take(ms(n)), Ok(()));
    }
    assert_eq!(take(us(80_001)), Err(Limited { limit: LimitKind::Second, retry_after_ms: 920 }));
    assert!(take(us(999_999)).is_err());
    assert_eq!(take(us(1_000_000)), Ok(()), "a span is half open");
    assert_eq!(take(us(1_000_000)), Err(Limited { limit: LimitKind::Second, retry_after_ms: 1 }));
}

#[test]
fn a_minute_admits_its_number_wherever_it_begins() {
    let (limits, policy) = (limits(), policy(|p| p.rate_per_minute = 100));
    let take = |at: Tick| limits.take(KEY, &policy, at, NOON).map(drop);
    for n in 0..100 {
        assert_eq!(take(ms(30_000 + n * 100)), Ok(()));
    }
    assert_eq!(take(ms(59_999)), Err(Limited { limit: LimitKind::Minute, retry_after_ms: 30_001 }));
    assert_eq!(take(ms(60_000)), Err(Limited { limit: LimitKind::Minute, retry_after_ms: 30_000 }), "no fixed minute begins here");
    assert!(take(us(89_999_999)).is_err());
    assert_eq!(take(ms(90_000)), Ok(()));
    assert_eq!(take(ms(90_000)), Err(Limited { limit: LimitKind::Minute, retry_after_ms: 100 }));
}

#[test]
fn of_several_full_limits_the_longest_wait_is_named() {
    let both = policy(|p| (p.rate_per_second, p.rate_per_minute) = (2, 3));
    let limits = limits();
    let take = |at: Tick, policy: &CompiledPolicy| limits.take(KEY, policy, at, NOON).map(drop);
    for at in [0, 59_500, 59_600] {
        assert_eq!(take(ms(at), &both), Ok(()));
    }
    assert_eq!(
        take(ms(59_700), &both),
        Err(Limited { limit: LimitKind::Second, retry_after_ms: 800 }),
        "the minute frees at 60 s, the second at 60.5 s"
    );
    let day_too = policy(|p| (p.rate_per_second, p.rate_per_minute, p.daily_limit) = (2, 3, Some(0)));
    assert_eq!(take(ms(59_700), &day_too), Err(Limited { limit: LimitKind::Day, retry_after_ms: 43_200_000 }));
}

#[test]
fn a_refused_request_takes_no_slot_of_any_limit() {
    let (limits, policy) = (limits(), policy(|p| (p.rate_per_second, p.daily_limit, p.concurrency_limit) = (2, Some(5), Some(1))));
    let first = limits.take(KEY, &policy, ms(0), NOON).expect("nothing is taken yet");
    for _ in 0..50 {
        let limited = limits.take(KEY, &policy, ms(0), NOON).expect_err("one is in flight");
        assert_eq!(limited, Limited { limit: LimitKind::Concurrency, retry_after_ms: CONCURRENCY_RETRY_MS });
    }
    first.became_message();
    drop(first);
    let standing = limits.standing(KEY, &policy, ms(0), NOON);
    assert_eq!((standing.sec.remaining, standing.day.map(|day| day.remaining)), (1, Some(4)));
    assert_eq!(standing.concurrency.map(|concurrency| concurrency.remaining), Some(1));
}

#[test]
fn a_send_is_in_flight_until_its_slot_is_dropped() {
    let (limits, policy) = (limits(), policy(|p| p.concurrency_limit = Some(2)));
    let one = limits.take(KEY, &policy, ms(0), NOON).expect("free");
    let two = limits.take(KEY, &policy, ms(0), NOON).expect("free");
    assert!(limits.take(KEY, &policy, ms(120_000), NOON).is_err(), "however long it takes");
    limits.tend(ms(600_000), NOON);
    drop(one);
    let three = limits.take(KEY, &policy, ms(600_000), NOON).expect("one ended");
    assert!(limits.take(KEY, &policy, ms(600_000), NOON).is_err());
    drop((two, three));
}

#[test]
fn a_message_that_never_was_uses_its_windows_but_not_its_day() {
    let (limits, policy) = (limits(), policy(|p| p.daily_limit = Some(1)));
    let left = || {
        let standing = limits.standing(KEY, &policy, ms(0), NOON);
        (standing.sec.remaining, standing.day.expect("limited").remaining)
    };
    let refused = limits.take(KEY, &policy, ms(0), NOON).expect("free");
    assert_eq!(left(), (79, 0), "reserved");
    assert_eq!(limits.take(KEY, &policy, ms(0), NOON).map(drop), Err(Limited { limit: LimitKind::Day, retry_after_ms: 43_200_000 }));
    refused.not_a_message();
    assert_eq!(left(), (79, 1));
    drop(refused);
    assert_eq!(left(), (79, 1), "given back once");

    drop(limits.take(KEY, &policy, ms(0), NOON).expect("free"));
    assert_eq!(left(), (78, 1), "a caller who hung up used nothing of his day");

    let sent = limits.take(KEY, &policy, ms(0), NOON).expect("free");
    sent.became_message();
    sent.not_a_message();
    drop(sent);
    assert_eq!(left(), (77, 0), "what was admitted is used");
}

#[test]
fn a_replay_takes_nothing() {
    let (limits, policy) = (limits(), policy(|p| p.daily_limit = Some(9)));
    let before = limits.standing(KEY, &policy, ms(500), NOON);
    let kept = limits.take(KEY, &policy, ms(400), NOON).expect("free");
    let replay = limits.take(KEY, &policy, ms(500), NOON).expect("free");
    replay.give_back_window();
    replay.give_back_window();
    kept.give_back_window();
    drop((replay, kept));
    assert_eq!(limits.standing(KEY, &policy, ms(500), NOON), before);
}

#[test]
fn look_ups_have_ten_times_the_windows_for_themselves() {
    let (limits, policy) = (limits(), policy(|p| (p.rate_per_second, p.rate_per_minute) = (2, 4)));
    for _ in 0..20 {
        assert_eq!(limits.take_lookup(KEY, &policy, ms(0)), Ok(()));
    }
    assert_eq!(limits.take_lookup(KEY, &policy, ms(1)), Err(Limited { limit: LimitKind::Second, retry_after_ms: 999 }));
    for _ in 0..20 {
        assert_eq!(limits.take_lookup(KEY, &policy, ms(1_000)), Ok(()));
    }
    assert_eq!(limits.take_lookup(KEY, &policy, ms(2_000)), Err(Limited { limit: LimitKind::Minute, retry_after_ms: 58_000 }));
    assert_eq!(limits.standing(KEY, &policy, ms(2_000), NOON).sec.remaining, 2, "sends are not touched");
}

#[test]
fn keys_do_not_share_their_windows() {
    let (limits, policy) = (limits(), policy(|p| p.rate_per_second = 1));
    for key in 0..1_000 {
        assert!(limits.take(ApiKeyId(key), &policy, ms(0), NOON).is_ok());
        assert!(limits.take(ApiKeyId(key), &policy, ms(0), NOON).is_err());
    }
}

#[test]
fn what_remains_and_when_more_frees_is_told_exactly() {
    let (limits, policy) = (limits(), policy(|p| (p.rate_per_second, p.rate_per_minute) = (2, 3)));
    let at = |at: u64| limits.standing(KEY, &policy, ms(at), NOON);
    assert_eq!((at(0).sec.limit, at(0).sec.remaining, at(0).sec.reset_ms), (2, 2, 0));
    for at in [0, 600] {
        drop(limits.take(KEY, &policy, ms(at), NOON).expect("free"));
    }
    assert_eq!((at(700).sec.remaining, at(700).sec.reset_ms), (0, 300));
    assert_eq!((at(700).min.remaining, at(700).min.reset_ms), (1, 59_300));
    let lowered = super::policy(|p| (p.rate_per_second, p.rate_per_minute) = (1, 1));
    assert_eq!(limits.standing(KEY, &lowered, ms(700), NOON).sec.reset_ms, 900, "both must leave before there is room for one");
    assert_eq!((at(1_000).sec.remaining, at(1_000).sec.reset_ms), (1, 600));
    assert_eq!((at(1_600).sec.remaining, at(1_600).sec.reset_ms), (2, 0));
    assert_eq!((at(60_000).min.remaining, at(60_000).min.reset_ms), (2, 600));
}

#[test]
fn a_lowered_limit_counts_what_was_admitted_before() {
    let (limits, wide) = (limits(), policy(|_| {}));
    for at in [0, 100, 200] {
        drop(limits.take(KEY, &wide, ms(at), NOON).expect("free"));
    }
    let narrow = policy(|p| p.rate_per_second = 2);
    assert_eq!(limits.take(KEY, &narrow, ms(300), NOON).map(drop), Err(Limited { limit: LimitKind::Second, retry_after_ms: 800 }));
    assert!(limits.take(KEY, &narrow, ms(1_100), NOON).is_ok());
}

#[test]
fn a_straggler_with_an_old_reading_of_the_clock_is_decided_at_the_latest_decision() {
    let (limits, policy) = (limits(), policy(|p| p.rate_per_second = 1));
    drop(limits.take(KEY, &policy, ms(0), NOON).expect("free"));
    assert_eq!(limits.standing(KEY, &policy, ms(1_500), NOON).sec.remaining, 1);
    let straggler = limits.take(KEY, &policy, ms(500), NOON).expect("it is 1.5 s by now");
    assert_eq!(straggler.at(), ms(1_500));
    assert_eq!(limits.take(KEY, &policy, ms(2_400), NOON).map(drop), Err(Limited { limit: LimitKind::Second, retry_after_ms: 100 }));
}

#[test]
fn a_day_ends_at_midnight_utc() {
    let (limits, policy) = (limits(), policy(|p| p.daily_limit = Some(1)));
    let late = NOON.plus_ms(12 * 3_600_000 - 1_500);
    let slot = limits.take(KEY, &policy, ms(0), late).expect("free");
    slot.became_message();
    assert_eq!(limits.take(KEY, &policy, ms(0), late).map(drop), Err(Limited { limit: LimitKind::Day, retry_after_ms: 1_500 }));
    assert!(limits.take(KEY, &policy, ms(1_499), late.plus_ms(1_499)).is_err());
    let next = limits.take(KEY, &policy, ms(1_500), late.plus_ms(1_500)).expect("a new day");
    drop(slot);
    assert!(limits.take(KEY, &policy, ms(1_500), late.plus_ms(1_500)).is_err(), "what yesterday gives back is not today's");
    drop(next);
}

#[test]
fn a_clock_that_steps_back_over_midnight_does_not_empty_the_day() {
    let (limits, policy) = (limits(), policy(|p| p.daily_limit = Some(1)));
    let midnight = NOON.plus_ms(12 * 3_600_000);
    limits.take(KEY, &policy, ms(0), midnight).expect("free").became_message();
    let back = midnight.plus_ms(-5);
    assert_eq!(
        limits.take(KEY, &policy, ms(1), back).map(drop),
        Err(Limited { limit: LimitKind::Day, retry_after_ms: 86_400_005 }),
        "the wait is to the end of the day that is counted"
    );
    assert!(limits.take(KEY, &policy, ms(7), midnight).is_err());
    let years_back = midnight.plus_ms(-1_000 * 86_400_000);
    assert!(limits.take(KEY, &policy, ms(8), years_back).is_ok(), "a clock that was far ahead is believed once it is mended");
}

#[test]
fn spend_is_reserved_used_and_given_back() {
    let limits = limits();
    let reserve = |amount| limits.reserve_spend(KEY, NOON, Micros(amount), Micros(10_000));
    let first = reserve(6_000).expect("within the limit");
    assert_eq!(reserve(4_001).map(drop), Err(Limited { limit: LimitKind::Spend, retry_after_ms: 43_200_000 }));
    let second = reserve(4_000).expect("exactly the limit");
    drop(first);
    second.spent();
    assert!(reserve(6_001).is_err());
    reserve(6_000).expect("what was not admitted came back").spent();
    assert!(reserve(1).is_err());
    assert!(reserve(0).is_ok(), "what costs nothing is never too dear");
    assert!(limits.reserve_spend(KEY, NOON, Micros(i64::MAX), Micros(i64::MAX)).is_err(), "a sum past the range is too much");
    let spend = limits.standing(KEY, &policy(|p| p.daily_spend = Some(Micros(10_000))), ms(0), NOON).spend.expect("limited");
    assert_eq!((spend.remaining, spend.reset_ms), (Micros::ZERO, 43_200_000));
    assert!(limits.reserve_spend(KEY, NOON.plus_ms(43_200_000), Micros(10_000), Micros(10_000)).is_ok(), "a new day");
}

#[test]
fn an_address_may_be_wrong_twenty_times_a_second() {
    let limits = limits();
    let wrong = |address: &str, at| limits.take_wrong_key(address.parse().expect("an address"), at);
    for _ in 0..20 {
        assert_eq!(wrong("192.0.2.1", ms(0)), Ok(()));
    }
    let refused = Err(Limited { limit: LimitKind::Address, retry_after_ms: 600 });
    assert_eq!(wrong("192.0.2.1", ms(400)), refused);
    assert_eq!(wrong("::ffff:192.0.2.1", ms(400)), refused, "the same address over another socket");
    assert_eq!(wrong("192.0.2.2", ms(400)), Ok(()));
    assert_eq!(wrong("192.0.2.1", ms(1_000)), Ok(()));
}

#[test]
fn an_ipv6_network_of_64_bits_is_one_address() {
    let limits = limits();
    for host in 0..20u16 {
        assert_eq!(limits.take_wrong_key(format!("2001:db8:0:1::{host:x}").parse().expect("an address"), ms(0)), Ok(()));
    }
    assert!(limits.take_wrong_key("2001:db8:0:1:ffff::".parse().expect("an address"), ms(0)).is_err());
    assert!(limits.take_wrong_key("2001:db8:0:2::".parse().expect("an address"), ms(0)).is_ok());
}

#[test]
fn a_full_limit_becomes_its_refusal() {
    let limited = Limited { limit: LimitKind::Pair, retry_after_ms: 6_000 };
    assert_eq!(Refusal::from(limited), Refusal::Limited { limit: LimitKind::Pair, retry_after_ms: 6_000 });
}

#[test]
fn the_pair_rate_is_the_documented_one() {
    let rate = PairRate::default();
    assert_eq!((rate.burst, rate.interval_us), (45, 6_000_000));
    assert_eq!(limits().remembers_ms(), 270_000);
}
