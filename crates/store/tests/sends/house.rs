//! A store in a folder of its own, with an organization that has money, and sends to make.

use std::sync::Arc;

use tempfile::TempDir;
use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::ledger::OutcomeKind;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::{Category, MessageKind, MetaBilling, MetaEndpoint, Mode};
use turnpike_domain::time::UnixMs;
use turnpike_store::Store;
use turnpike_store::ledger::{MoveWallet, WalletMoved, WalletMovement};
use turnpike_store::messages::{Admission, Admit, Hash16, Outcome, PinnedPrice, Settled};
use turnpike_store::organizations::{Created, NewOrganization};
use turnpike_store::sqlite::{Options, Recovery, SqliteStore, Tuning};
use uuid::Uuid;

/// 2026-11-23T00:00:00Z.
pub(crate) const START: UnixMs = UnixMs(1_795_392_000_000);

/// A data folder and the store that is open in it.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<dyn Store>,
}

pub(crate) fn options(folder: &std::path::Path, now: UnixMs, tuning: Tuning) -> Options {
    Options { folder: folder.to_owned(), erasures_copy: None, cipher: MessageCipher::new(&[9; 32]), now, fatal: Arc::new(|_| ()), tuning }
}

pub(crate) fn open(folder: &std::path::Path, now: UnixMs, tuning: Tuning) -> (Arc<dyn Store>, Recovery) {
    let (store, recovery) = SqliteStore::open(options(folder, now, tuning)).expect("the store opens");
    (Arc::new(store), recovery)
}

impl House {
    pub(crate) fn new() -> House {
        House::tuned(Tuning::default())
    }

    pub(crate) fn tuned(tuning: Tuning) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = open(folder.path(), START, tuning);
        House { folder, store }
    }

    /// Ends the store as a killed process would, as far as the folder can tell, and opens it again.
    pub(crate) fn reopen(self, now: UnixMs) -> (House, Recovery) {
        self.reopen_tuned(now, Tuning::default())
    }

    pub(crate) fn reopen_tuned(self, now: UnixMs, tuning: Tuning) -> (House, Recovery) {
        let House { folder, store } = self;
        drop(store);
        let (store, recovery) = open(folder.path(), now, tuning);
        (House { folder, store }, recovery)
    }

    /// The database, for looking and for planting what the store itself would never write.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.folder.path().join(turnpike_store::sqlite::DATABASE_FILE)).expect("opens");
        connection.busy_timeout(std::time::Duration::from_secs(5)).expect("sets a timeout");
        connection
    }

    /// Panics unless `ledger verify` is clean.
    pub(crate) async fn assert_sound(&self) {
        let verification = self.store.verify().await.expect("verifies");
        assert!(verification.clean, "{:#?}", verification.checks);
    }
}

/// An organization with this much in its live wallet.
pub(crate) async fn organization(store: &dyn Store, name: &str, amount: Micros) -> OrganizationId {
    let new = NewOrganization {
        id: Uuid::from_u128(name.bytes().fold(7, |sum, byte| sum * 257 + u128::from(byte))),
        name: name.to_owned(),
        currency: Currency::USD,
        base_fee: Micros(1_000),
        factor_ppm: 1_000_000,
        fixed: Micros::ZERO,
        at: START,
    };
    let Created::New(organization) = store.create_organization(new).await.expect("creates") else { panic!("{name} is taken") };
    if amount.0 > 0 {
        top_up(store, organization.key, Mode::Live, amount).await;
    }
    organization.key
}

pub(crate) async fn top_up(store: &dyn Store, organization: OrganizationId, mode: Mode, amount: Micros) {
    let id = Uuid::from_u128(
        (u128::from(organization.0.unsigned_abs()) << 64) + u128::from(amount.0.unsigned_abs()) * 2 + u128::from(mode.number()),
    );
    let moved = store.move_wallet(movement(id, organization, mode, WalletMovement::TopUp, amount)).await.expect("moves");
    assert!(matches!(moved, WalletMoved::Done(_)), "{moved:?}");
}

pub(crate) fn movement(id: Uuid, organization: OrganizationId, mode: Mode, movement: WalletMovement, amount: Micros) -> MoveWallet {
    MoveWallet { id, organization, mode, movement, amount, reason: "for a test".to_owned(), actor: "test".to_owned(), at: START }
}

/// A text for 0.001 + 0.0034 that nobody sent before.
pub(crate) fn text(organization: OrganizationId, number: u64) -> Admit {
    Admit {
        organization,
        application: ApplicationId(1),
        api_key: ApiKeyId(1),
        at: START,
        mode: Mode::Live,
        kind: MessageKind::Text,
        endpoint: MetaEndpoint::Messages,
        price: PinnedPrice {
            base: Micros(1_000),
            meta: Micros(3_400),
            meta_reported: Micros(3_400),
            meta_billing: MetaBilling::Operator,
            market: "turkey",
            category: Category::Service,
            card: "usd-2026-10-01".into(),
            factor_ppm: 1_000_000,
            fixed: Micros::ZERO,
        },
        idempotency: None,
        fingerprint: hash("request", number),
        likely_repeat_since: None,
        recipient: hash("recipient", number),
        content: format!("sealed content {number}").into_bytes(),
        token_salt: [3; 12],
        counts_in: None,
    }
}

/// What one text costs.
pub(crate) const COST: Micros = Micros(4_400);

pub(crate) fn with_key(mut new: Admit, key: &str) -> Admit {
    new.idempotency = Some(hash(key, 0));
    new
}

pub(crate) fn hash(what: &str, number: u64) -> Hash16 {
    let digest = blake3::hash(format!("{what} {number}").as_bytes());
    digest.as_bytes()[..16].try_into().expect("16 of 32 bytes")
}

pub(crate) fn outcome(organization: OrganizationId, message: MessageKey, kind: OutcomeKind) -> Outcome {
    Outcome {
        organization,
        message,
        at: START.plus_ms(80),
        kind,
        meta_code: (kind == OutcomeKind::Refused).then_some(131_026),
        wamid: (kind == OutcomeKind::Accepted).then(|| hash("wamid", message.0.unsigned_abs())),
        answer: format!("sealed answer {kind:?}").into_bytes(),
    }
}

pub(crate) async fn admit(store: &dyn Store, new: Admit) -> Admission {
    store.admit(vec![new]).await.expect("the store answers").pop().expect("one answer for one message")
}

/// Admits what must be admitted.
pub(crate) async fn admitted(store: &dyn Store, new: Admit) -> MessageKey {
    match admit(store, new).await {
        Admission::New { key, .. } => key,
        other => panic!("not admitted: {other:?}"),
    }
}

pub(crate) async fn settle(store: &dyn Store, organization: OrganizationId, message: MessageKey, kind: OutcomeKind) -> Settled {
    store.settle(vec![outcome(organization, message, kind)]).await.expect("the store answers").pop().expect("one answer")
}
