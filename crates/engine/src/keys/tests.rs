//! Look-ups, and what ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use turnpike_domain::api_key::{ApiKeyText, KeyKind};
use turnpike_domain::money::Micros;
use turnpike_store::Answer;
use turnpike_store::keys::{KeyEnd, KeyPolicy, KeyRotation, NewApiKey, Rotated};
use uuid::Uuid;

use super::*;

const PEPPER: [u8; 32] = [9; 32];
const NOW: UnixMs = UnixMs(1_795_348_800_000);

fn digest(number: i64) -> [u8; 32] {
    let mut random = [0; 32];
    random[..8].copy_from_slice(&number.to_le_bytes());
    ApiKeyText::generate(KeyKind::Live, random).presented().digest(&PEPPER).0
}

/// A digest as random as a real one, without making the text of a million keys.
fn quick_digest(number: i64) -> [u8; 32] {
    *blake3::keyed_hash(&PEPPER, &number.to_le_bytes()).as_bytes()
}

fn row(number: i64, digest: [u8; 32]) -> ApiKeyRow {
    ApiKeyRow {
        key: ApiKeyId(number),
        organization: OrganizationId(number / 10),
        application: ApplicationId(number / 3),
        id: Uuid::nil(),
        name: "till 4".to_owned(),
        mode: if number % 2 == 0 { Mode::Live } else { Mode::Sandbox },
        digest,
        prefix: "pk_AAAAA".to_owned(),
        last_four: "AAAA".to_owned(),
        policy: KeyPolicy::default(),
        expires_at: None,
        revoked_at: None,
        created_at: NOW,
    }
}

#[test]
fn a_key_is_found_with_what_it_may_do() {
    let table = KeyTable::new();
    let limited = ApiKeyRow { policy: KeyPolicy { rate_per_second: 5, ..KeyPolicy::default() }, ..row(31, digest(31)) };
    assert_eq!(table.apply(&limited, NOW), Applied::Usable);
    assert_eq!(table.apply(&row(40, digest(40)), NOW), Applied::Usable);
    let found = table.find(&digest(31), NOW).expect("it was put in");
    assert_eq!(
        (found.key, found.organization, found.application, found.mode),
        (ApiKeyId(31), OrganizationId(3), ApplicationId(10), Mode::Sandbox)
    );
    assert_eq!(found.policy.rate_per_second, 5);
    assert_eq!(table.find(&digest(40), NOW).expect("it was put in").policy.rate_per_second, 80);
    assert!(table.find(&digest(32), NOW).is_none());
    assert!(!table.is_unreadable(&digest(32)));
}

#[test]
fn a_revoked_key_is_unknown_at_once() {
    let table = KeyTable::new();
    table.apply(&row(1, digest(1)), NOW);
    table.apply(&row(2, digest(2)), NOW);
    let revoked = ApiKeyRow { revoked_at: Some(NOW), ..row(1, digest(1)) };
    assert_eq!(table.apply(&revoked, NOW), Applied::Ended);
    assert!(table.find(&digest(1), NOW).is_none());
    assert!(table.find(&digest(2), NOW).is_some());
    assert!(table.remove(&digest(2)));
    assert!(!table.remove(&digest(2)));
    assert!(table.is_empty());
}

#[test]
fn revocation_is_seen_by_readers_that_are_busy_with_the_table() {
    let table = KeyTable::new();
    for number in 0..2_000 {
        table.apply(&row(number, quick_digest(number)), NOW);
    }
    let revoked = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let was_revoked = revoked.load(Ordering::SeqCst);
                    let found = table.find(&quick_digest(77), NOW);
                    assert!(found.is_none() || !was_revoked, "found after the revocation was done");
                    assert!(table.find(&quick_digest(78), NOW).is_some(), "another key is found throughout");
                    if was_revoked {
                        return;
                    }
                }
            });
        }
        for number in 2_000..6_000 {
            table.apply(&row(number, quick_digest(number)), NOW);
        }
        table.apply(&ApiKeyRow { revoked_at: Some(NOW), ..row(77, quick_digest(77)) }, NOW);
        revoked.store(true, Ordering::SeqCst);
    });
}

#[test]
fn an_expired_key_is_unknown_from_its_instant() {
    let table = KeyTable::new();
    let ends = NOW.plus_ms(1_000);
    table.apply(&ApiKeyRow { expires_at: Some(ends), ..row(1, digest(1)) }, NOW);
    assert!(table.find(&digest(1), ends.plus_ms(-1)).is_some());
    assert!(table.find(&digest(1), ends).is_none());
    assert_eq!(table.forget_expired(ends.plus_ms(-1)), 0);
    assert_eq!(table.forget_expired(ends), 1);
    assert!(table.is_empty());
    let late = ApiKeyRow { expires_at: Some(ends), ..row(1, digest(1)) };
    assert_eq!(table.apply(&late, ends), Applied::Ended, "one that has expired already is not taken in");
}

#[test]
fn rotation_leaves_both_keys_usable_until_the_overlap_ends() {
    let table = KeyTable::new();
    table.apply(&row(1, digest(1)), NOW);
    let overlap_ends = NOW.plus_ms(24 * 3_600_000);
    table.apply(&row(2, digest(2)), NOW);
    table.apply(&ApiKeyRow { expires_at: Some(overlap_ends), ..row(1, digest(1)) }, NOW);
    assert_eq!(table.len(), 2, "the old key is changed, not doubled");
    for at in [NOW, overlap_ends.plus_ms(-1)] {
        assert!(table.find(&digest(1), at).is_some() && table.find(&digest(2), at).is_some());
    }
    assert!(table.find(&digest(1), overlap_ends).is_none());
    assert!(table.find(&digest(2), overlap_ends).is_some());
}

#[test]
fn a_changed_policy_holds_for_the_next_request_and_the_old_one_is_forgotten() {
    let table = KeyTable::new();
    for rate in 1..=1_000 {
        let policy = KeyPolicy { rate_per_second: rate, daily_spend: Some(Micros(5)), ..KeyPolicy::default() };
        table.apply(&ApiKeyRow { policy, ..row(1, digest(1)) }, NOW);
        assert_eq!(table.find(&digest(1), NOW).expect("it stays").policy.rate_per_second, rate);
    }
    assert_eq!(table.policies.distinct(), 1);
    table.apply(&row(2, digest(2)), NOW);
    table.apply(&row(3, digest(3)), NOW);
    assert_eq!(table.policies.distinct(), 2, "equal policies are kept once");
    for number in 1..=3 {
        table.remove(&digest(number));
    }
    assert_eq!(table.policies.distinct(), 0);
}

#[test]
fn a_record_that_cannot_be_read_is_told_from_an_unknown_key() {
    let table = KeyTable::new();
    let broken = KeyPolicy { scopes: vec!["evrything".to_owned()], ..KeyPolicy::default() };
    let Applied::Unreadable(why) = table.apply(&ApiKeyRow { policy: broken, ..row(1, digest(1)) }, NOW) else {
        panic!("a scope that does not exist must not pass")
    };
    assert!(why.starts_with("scopes[0] "), "{why}");
    assert!(matches!(table.apply(&ApiKeyRow { mode: Mode::Fake, ..row(2, digest(2)) }, NOW), Applied::Unreadable(_)));
    assert!(matches!(table.apply(&ApiKeyRow { key: ApiKeyId(-1), ..row(3, digest(3)) }, NOW), Applied::Unreadable(_)));
    for number in 1..=3 {
        assert!(table.find(&digest(number), NOW).is_none());
        assert!(table.is_unreadable(&digest(number)));
    }
    assert_eq!(table.forget_expired(UnixMs(i64::MAX)), 0, "what cannot be read stays to be seen");
    assert_eq!(table.policies.distinct(), 0);
    assert_eq!(table.apply(&row(1, digest(1)), NOW), Applied::Usable, "mended");
    assert!(table.find(&digest(1), NOW).is_some() && !table.is_unreadable(&digest(1)));
}

#[test]
fn the_far_ends_of_ids_and_times_are_kept_exactly() {
    let table = KeyTable::new();
    let largest = (1i64 << 47) - 1;
    let far = ApiKeyRow {
        key: ApiKeyId(largest),
        organization: OrganizationId(largest),
        application: ApplicationId(largest),
        mode: Mode::Sandbox,
        expires_at: Some(UnixMs(i64::MAX)),
        ..row(1, digest(1))
    };
    assert_eq!(table.apply(&far, NOW), Applied::Usable);
    let found = table.find(&digest(1), UnixMs(i64::MAX)).expect("an end past all time is none");
    assert_eq!((found.key.0, found.organization.0, found.application.0, found.mode), (largest, largest, largest, Mode::Sandbox));
    let too_far = ApiKeyRow { key: ApiKeyId(largest + 1), ..row(2, digest(2)) };
    assert!(matches!(table.apply(&too_far, NOW), Applied::Unreadable(_)));
}

#[test]
fn a_million_keys_take_at_most_64_bytes_each_and_are_found_as_fast_as_one() {
    let table = KeyTable::new();
    let mut most = 0.0f64;
    for number in 0..1_000_000 {
        let mut key = row(number, quick_digest(number));
        // A tenth of them is being rotated, and their policies differ.
        key.expires_at = (number % 10 == 0).then(|| NOW.plus_ms(3_600_000));
        key.policy.rate_per_second = u32::try_from(number % 7 + 1).expect("small");
        table.apply(&key, NOW);
        if number % 50_000 == 49_999 {
            let keys = u32::try_from(table.len()).expect("a million");
            most = most.max(f64::from(u32::try_from(table.allocated_bytes()).expect("below 4 GiB")) / f64::from(keys));
        }
    }
    println!(
        "{:.1} B a key among a million, at most {most:.1} on the way",
        f64::from(u32::try_from(table.allocated_bytes()).expect("below 4 GiB")) / 1e6
    );
    assert!(most <= 64.0 && table.allocated_bytes() <= 64_000_000, "{most} {}", table.allocated_bytes());
    assert_eq!(table.policies.distinct(), 7);

    let stride = 611_953;
    let digests: Vec<_> = (0..200_000).map(|n| quick_digest(n * stride % 1_000_000)).collect();
    let began = tokio::time::Instant::now();
    let found = digests.iter().filter(|digest| table.find(digest, NOW).is_some()).count();
    let known_ns = began.elapsed().as_nanos() / 200_000;
    assert_eq!(found, 200_000);
    let strangers: Vec<_> = (0..200_000).map(|n| quick_digest(-1 - n)).collect();
    let began = tokio::time::Instant::now();
    let found = strangers.iter().filter(|digest| table.find(digest, NOW).is_some()).count();
    let unknown_ns = began.elapsed().as_nanos() / 200_000;
    assert_eq!(found, 0);
    println!("{known_ns} ns to find one of a million, {unknown_ns} ns to miss");

    for number in (0..1_000_000).step_by(2) {
        assert!(table.remove(&quick_digest(number)), "{number}");
    }
    for number in 0..100_000 {
        assert_eq!(table.find(&quick_digest(number), NOW).map(|found| found.key), (number % 2 == 1).then_some(ApiKeyId(number)));
    }
}

/// A store that streams rows in chunks, and keeps nothing.
struct Rows(Vec<ApiKeyRow>);

impl Keys for Rows {
    fn create_keys(&self, _: Vec<NewApiKey>) -> Answer<'_, Vec<ApiKeyRow>> {
        unreachable!("loading makes no keys")
    }

    fn load_keys(&self, _: UnixMs, mut each: Box<dyn FnMut(Vec<ApiKeyRow>) + Send>) -> Answer<'_, ()> {
        for chunk in self.0.chunks(3) {
            each(chunk.to_vec());
        }
        Box::pin(async { Ok(()) })
    }

    fn keys_of(&self, _: OrganizationId, _: ApplicationId) -> Answer<'_, Vec<ApiKeyRow>> {
        unreachable!("loading lists no application's keys")
    }

    fn rotate_key(&self, _: KeyRotation) -> Answer<'_, Rotated> {
        panic!("nobody rotates here")
    }

    fn end_key(&self, _: OrganizationId, _: Uuid, _: KeyEnd) -> Answer<'_, Option<ApiKeyRow>> {
        unreachable!("loading ends no keys")
    }
}

#[tokio::test]
async fn loading_takes_all_chunks_and_names_what_it_cannot_read() {
    let mut rows: Vec<_> = (0..10).map(|number| row(number, digest(number))).collect();
    rows[4].policy.rate_per_minute = 0;
    rows[7].revoked_at = Some(NOW);
    let table = Arc::new(KeyTable::new());
    let loaded = table.load(&Rows(rows), NOW).await.expect("the rows are there");
    assert_eq!(loaded.usable, 8);
    assert_eq!(loaded.unreadable.len(), 1);
    assert_eq!(loaded.unreadable[0].0, ApiKeyId(4));
    assert!(loaded.unreadable[0].1.contains("ratePerMinute"), "{}", loaded.unreadable[0].1);
    assert_eq!(table.len(), 9);
}
