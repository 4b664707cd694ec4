//! The memory follows what is active, and stops at the named maxima.

use std::net::{IpAddr, Ipv4Addr};

use turnpike_domain::refusal::LimitKind;

use super::*;

#[test]
fn a_million_active_keys_take_at_most_256_bytes_each_and_nothing_once_they_are_idle() {
    let (limits, policy) = (limits(), policy(|_| {}));
    let began = tokio::time::Instant::now();
    for n in 0..1_000_000 {
        drop(limits.take(ApiKeyId(n), &policy, us(n.cast_unsigned()), NOON).expect("its first request"));
    }
    let first_ns = began.elapsed().as_nanos() / 1_000_000;
    let footprint = limits.footprint();
    assert_eq!(footprint.keys, 1_000_000);
    println!("{} B an active key, {first_ns} ns for a key's first request and its end", footprint.bytes / 1_000_000);
    assert!(footprint.bytes <= 256_000_000, "{footprint:?}");

    limits.tend(ms(59_000), NOON);
    assert_eq!(limits.footprint().keys, 1_000_000, "all of them are within their minute");
    limits.tend(ms(75_000), NOON);
    let footprint = limits.footprint();
    assert_eq!(footprint.keys, 0, "forgotten within a quarter of a minute after their minute");
    assert!(footprint.bytes < 2_000_000, "{footprint:?}");
}

#[test]
fn requests_alone_keep_the_memory_to_what_is_active() {
    let (limits, policy) = (limits(), policy(|_| {}));
    // 5,000 new keys a second for five minutes, and nobody tends.
    let mut most = 0;
    for n in 0..1_500_000 {
        drop(limits.take(ApiKeyId(n), &policy, us(200 * n.cast_unsigned()), NOON).expect("its first request"));
        if n % 100_000 == 0 {
            most = most.max(limits.footprint().keys);
        }
    }
    println!("at most {most} keys remembered");
    assert!((300_000..=400_000).contains(&most), "{most}: 300,000 are active, asked every 15 s");
}

#[test]
fn a_busy_key_gives_its_ring_back() {
    let (limits, policy) = (limits(), policy(|_| {}));
    for n in 0..4_800u64 {
        drop(limits.take(KEY, &policy, us(n * 12_500), NOON).expect("80 a second"));
    }
    assert!((4_800 * 8..80_000).contains(&limits.footprint().bytes), "{:?}", limits.footprint());
    for n in 0..10 {
        drop(limits.take(KEY, &policy, ms(110_000 + n * 1_000), NOON).expect("slower"));
    }
    assert!(limits.footprint().bytes < 10_000, "{:?}", limits.footprint());
}

#[test]
fn past_the_maximum_newcomers_wait_and_those_within_go_on() {
    let limits = Limits::new(LimitsConfig { active_keys_max: 2_560, ..LimitsConfig::default() });
    let policy = policy(|p| p.daily_limit = Some(5));
    let mut within = Vec::new();
    for n in 0..20_000 {
        match limits.take(ApiKeyId(n), &policy, us(0), NOON) {
            Ok(slot) => {
                slot.became_message();
                within.push(ApiKeyId(n));
            }
            Err(limited) => assert_eq!((limited.limit, limited.retry_after_ms), (LimitKind::Second, 1_000)),
        }
    }
    let footprint = limits.footprint();
    assert!((2_560..=3_400).contains(&footprint.keys) && footprint.counted_days <= 3_400, "{footprint:?}");
    for key in &within {
        assert!(limits.take(*key, &policy, us(1), NOON).is_ok());
    }
    let tomorrow = NOON.plus_ms(86_400_000);
    limits.tend(ms(86_400_000), tomorrow);
    assert_eq!((limits.footprint().keys, limits.footprint().counted_days), (0, 0));
    assert!(limits.take(ApiKeyId(19_999), &policy, ms(86_400_000), tomorrow).is_ok(), "there is room again");
}

#[test]
fn pairs_numbers_and_look_ups_are_forgotten_when_they_mean_nothing_any_more() {
    let (limits, policy) = (limits(), policy(|_| {}));
    for n in 0..100_000u64 {
        let mut recipient = [0; 16];
        recipient[..8].copy_from_slice(&n.to_le_bytes());
        limits.take_number_and_pair(ApplicationId(i64::try_from(n % 100).expect("small")), 100_000, recipient, us(n)).expect("free");
        limits.take_lookup(ApiKeyId(i64::try_from(n).expect("small")), &policy, us(n)).expect("free");
    }
    let footprint = limits.footprint();
    assert_eq!((footprint.pairs, footprint.numbers, footprint.lookups), (100_000, 100, 100_000));
    println!("{} B a pair, a look-up and a hundredth of a number together", footprint.bytes / 100_000);
    // A bucket of one message is full again after 6 s.
    limits.tend(ms(9_000), NOON);
    limits.tend(ms(11_000), NOON);
    assert_eq!((limits.footprint().pairs, limits.footprint().numbers), (0, 0));
    limits.tend(ms(80_000), NOON);
    assert_eq!(limits.footprint().lookups, 0);
    assert!(limits.footprint().bytes < 1_000_000, "{:?}", limits.footprint());
}

#[test]
fn wrong_keys_from_everywhere_fill_no_memory() {
    let limits = limits();
    for n in 0..300_000u32 {
        // Past the maximum the answer is another, and nothing is remembered.
        let _ = limits.take_wrong_key(IpAddr::V4(Ipv4Addr::from_bits(n)), us(0));
    }
    let footprint = limits.footprint();
    assert!((65_536..=90_000).contains(&footprint.addresses), "{footprint:?}");
    assert!(footprint.bytes < 20_000_000, "{footprint:?}");
    limits.tend(ms(3_000), NOON);
    assert_eq!(limits.footprint().addresses, 0);
}
