//! A bug in the writer's own thread, and what its memory lets go.

use std::path::Path;
use std::sync::Arc;

use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageKey};
use turnpike_domain::ledger::{OutcomeKind, Resolution};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::{Category, MessageKind, MetaBilling, MetaEndpoint};
use turnpike_domain::time::DAY_MS;
use uuid::Uuid;

use super::*;
use crate::Store as _;
use crate::messages::{Evidence, Messages as _, PinnedPrice};
use crate::organizations::{Created, NewOrganization, Organizations as _};
use crate::sqlite::{Options, SqliteStore};

/// 2026-11-23T00:00:00Z.
const START: UnixMs = UnixMs(1_795_392_000_000);

fn open(folder: &Path, now: UnixMs) -> SqliteStore {
    let options = Options {
        folder: folder.to_owned(),
        erasures_copy: None,
        cipher: MessageCipher::new(&[9; 32]),
        now,
        fatal: Arc::new(|reason| panic!("the store ended: {reason}")),
        tuning: Tuning::default(),
    };
    SqliteStore::open(options).expect("opens").0
}

fn organization(name: &str) -> NewOrganization {
    NewOrganization {
        id: Uuid::from_u128(name.bytes().fold(7, |sum, byte| sum * 257 + u128::from(byte))),
        name: name.to_owned(),
        currency: Currency::USD,
        base_fee: Micros(1_000),
        factor_ppm: 1_000_000,
        fixed: Micros::ZERO,
        at: START,
    }
}

#[tokio::test]
async fn a_bug_in_a_write_is_that_writes_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), START);
    for round in 0..3 {
        let made = store.create_organization(organization(&format!("before {round}"))).await.expect("creates");
        assert!(matches!(made, Created::New(_)));
        let half = store.control(|connection| -> Result<(), Failure> {
            connection.execute("DELETE FROM wallets", [])?;
            panic!("a test asked for this bug");
        });
        let half = half.await;
        assert!(matches!(half, Err(StoreError::Undone { .. })), "{half:?}");
        store.ready().await.expect("it lives");
        let wallets: i64 =
            store.read(|snapshot| Ok(snapshot.query_row("SELECT count(*) FROM wallets", [], |row| row.get(0))?)).await.expect("reads");
        assert_eq!(wallets, 2 * (round + 1), "nothing of it stays");
        let balance = store.ask(|caller| Job::Balance(OrganizationId(1), Mode::Live, caller)).await.expect("answers");
        assert_eq!(balance, Some(Balance::default()));
    }
}

/// A message that costs nothing.
fn free(number: u8, at: UnixMs) -> Admit {
    Admit {
        organization: OrganizationId(1),
        application: ApplicationId(1),
        api_key: ApiKeyId(1),
        at,
        mode: Mode::Live,
        kind: MessageKind::Text,
        endpoint: MetaEndpoint::Messages,
        price: PinnedPrice {
            base: Micros::ZERO,
            meta: Micros::ZERO,
            meta_reported: Micros::ZERO,
            meta_billing: MetaBilling::Operator,
            market: "turkey",
            category: Category::Service,
            card: "usd-2026-10-01".into(),
            factor_ppm: 1_000_000,
            fixed: Micros::ZERO,
        },
        idempotency: None,
        fingerprint: [number; 16],
        likely_repeat_since: None,
        recipient: [number; 16],
        content: Vec::new(),
        token_salt: [3; 12],
        counts_in: None,
    }
}

async fn admitted(store: &SqliteStore, new: Admit) -> MessageKey {
    match store.admit(vec![new]).await.expect("answers").pop() {
        Some(Admission::New { key, .. }) => key,
        other => panic!("it should be admitted: {other:?}"),
    }
}

#[tokio::test]
async fn wamids_of_resolved_messages_leave_memory_once_no_status_comes_by_them_and_are_found_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path(), START);
    store.create_organization(organization("acme")).await.expect("creates");
    let message = admitted(&store, free(1, START)).await;
    let unknown = Outcome {
        organization: OrganizationId(1),
        message,
        at: START,
        kind: OutcomeKind::Unknown,
        meta_code: None,
        wamid: None,
        answer: Vec::new(),
    };
    assert_eq!(store.settle(vec![unknown]).await.expect("answers"), [Settled::Done]);
    let resolve = Resolve {
        organization: OrganizationId(1),
        message,
        at: START,
        resolution: Resolution::Accepted,
        evidence: Evidence::Operator,
        reason: "looked".to_owned(),
        wamid: Some([7; 16]),
        answer: Vec::new(),
    };
    assert_eq!(store.resolve(vec![resolve]).await.expect("answers"), [Settled::Done]);
    for (days, starts_anew, pinned) in [(0, false, 1), (44, false, 1), (44, true, 1), (46, false, 0), (46, true, 0), (44, true, 1)] {
        let now = START.plus_ms(days * DAY_MS);
        if starts_anew {
            drop(store);
            store = open(folder.path(), now);
        }
        admitted(&store, free(2, now)).await;
        assert_eq!(store.wamids.pinned(), pinned, "after {days} days");
        let found = store.messages_by_wamid(OrganizationId(1), [7; 16]).await.expect("reads");
        assert_eq!(found.iter().map(|found| found.key).collect::<Vec<_>>(), [message], "after {days} days");
    }
}
