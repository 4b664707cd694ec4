//! A store with somebody in it: what the tests of this folder begin with.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageCipher, MessageId, MessageKey, OrganizationId};
use turnpike_domain::ledger::OutcomeKind;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::{Category, MessageKind, MetaBilling, MetaEndpoint, Mode};
use turnpike_domain::time::UnixMs;
use turnpike_store::Store;
use turnpike_store::applications::{Application, NewApplication};
use turnpike_store::keys::{ApiKeyRow, KeyPolicy, NewApiKey};
use turnpike_store::ledger::{MoveWallet, WalletMoved, WalletMovement};
use turnpike_store::messages::{Admission, Admit, Outcome, PinnedPrice};
use turnpike_store::organizations::{Created, NewOrganization, Organization};
use turnpike_store::sqlite::{DATABASE_FILE, Options, SqliteStore, Tuning};
use uuid::Uuid;

/// When every story happens.
pub(crate) const NOW: UnixMs = UnixMs(1_795_392_000_000);

/// A store in a folder of its own, and the folder.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    folder: tempfile::TempDir,
}

impl Opened {
    pub(crate) fn new() -> Opened {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Opened { store: open(folder.path()), folder }
    }

    /// Ends the store and opens its folder again, as a restart does.
    pub(crate) async fn again(self) -> Opened {
        let Opened { store, folder } = self;
        store.close().await.expect("closed");
        drop(store);
        Opened { store: open(folder.path()), folder }
    }

    /// Changes the database behind the store's back.
    pub(crate) fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.folder.path().join(DATABASE_FILE)).expect("opened");
        connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;").expect("set");
        connection.execute_batch(sql).expect("tampered with");
    }
}

/// Opens the store in `folder`.
pub(crate) fn open(folder: &Path) -> Arc<dyn Store> {
    let (store, _recovery) = SqliteStore::open(Options {
        folder: folder.to_owned(),
        erasures_copy: None,
        cipher: MessageCipher::new(&[7; 32]),
        now: NOW,
        fatal: Arc::new(|reason| panic!("the store died: {reason}")),
        tuning: Tuning::default(),
    })
    .expect("opened");
    Arc::new(store)
}

/// A UUID that a name always gets.
pub(crate) fn id(name: &str) -> Uuid {
    Uuid::from_bytes(hash16(name))
}

/// 16 bytes that a name always gets.
pub(crate) fn hash16(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]);
    bytes
}

pub(crate) fn new_organization(name: &str) -> NewOrganization {
    NewOrganization {
        id: id(name),
        name: name.to_owned(),
        currency: Currency::USD,
        base_fee: Micros(1_000),
        factor_ppm: 1_100_000,
        fixed: Micros(-5),
        at: NOW,
    }
}

pub(crate) fn new_application(owner: &Organization, app_id: &str) -> NewApplication {
    NewApplication { organization: owner.key, id: id(app_id), app_id: app_id.to_owned(), display_name: format!("The {app_id}"), at: NOW }
}

pub(crate) fn new_key(owner: &Application, name: &str) -> NewApiKey {
    NewApiKey {
        organization: owner.organization,
        application: owner.key,
        id: id(name),
        name: name.to_owned(),
        mode: Mode::Live,
        digest: *blake3::hash(name.as_bytes()).as_bytes(),
        prefix: "pk_4fT9a".to_owned(),
        last_four: "x9Qz".to_owned(),
        policy: KeyPolicy::default(),
        expires_at: None,
        at: NOW,
    }
}

pub(crate) fn made<T>(created: Created<T>) -> T {
    match created {
        Created::New(new) => new,
        Created::Taken(what) => panic!("{what} is taken"),
    }
}

pub(crate) async fn organization(store: &dyn Store, name: &str) -> Organization {
    made(store.create_organization(new_organization(name)).await.expect("answered"))
}

pub(crate) async fn application(store: &dyn Store, owner: &Organization, app_id: &str) -> Application {
    made(store.create_application(new_application(owner, app_id)).await.expect("answered"))
}

/// Puts a thousand dollars into the live wallet.
pub(crate) async fn fund(store: &dyn Store, organization: OrganizationId) {
    let top_up = MoveWallet {
        id: id(&format!("top-up of {organization}")),
        organization,
        mode: Mode::Live,
        movement: WalletMovement::TopUp,
        amount: Micros(1_000_000_000),
        reason: "prepaid".to_owned(),
        actor: "test".to_owned(),
        at: NOW,
    };
    let moved = store.move_wallet(top_up).await.expect("answered");
    assert!(matches!(moved, WalletMoved::Done(_)), "{moved:?}");
}

/// The chunks in which keys are loaded.
pub(crate) async fn loaded(store: &dyn Store, now: UnixMs) -> Vec<Vec<ApiKeyRow>> {
    let chunks = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&chunks);
    store.load_keys(now, Box::new(move |chunk| into.lock().push(chunk))).await.expect("loaded");
    std::mem::take(&mut *chunks.lock())
}

/// A text with two kilobytes of content; `name` decides its Idempotency-Key and request.
pub(crate) fn send(organization: OrganizationId, name: &str) -> Admit {
    Admit {
        organization,
        application: ApplicationId(1),
        api_key: ApiKeyId(1),
        at: NOW,
        mode: Mode::Live,
        kind: MessageKind::Text,
        endpoint: MetaEndpoint::Messages,
        price: PinnedPrice {
            base: Micros(1_000),
            meta: Micros(5_000),
            meta_reported: Micros(5_000),
            meta_billing: MetaBilling::Operator,
            market: "TR",
            category: Category::Service,
            card: Arc::from("usd-2026-10-01"),
            factor_ppm: 1_000_000,
            fixed: Micros(0),
        },
        idempotency: Some(hash16(name)),
        fingerprint: hash16(name),
        likely_repeat_since: None,
        recipient: [3; 16],
        content: vec![b'x'; 2_000],
        token_salt: [5; 12],
        counts_in: None,
    }
}

/// Admits a batch that must be new.
pub(crate) async fn admitted(store: &dyn Store, batch: Vec<Admit>) -> Vec<(MessageKey, MessageId)> {
    let admissions = store.admit(batch).await.expect("admitted");
    let new = |admission| match admission {
        Admission::New { key, id } => (key, id),
        other => panic!("{other:?}"),
    };
    admissions.into_iter().map(new).collect()
}

/// How Meta took `message`.
pub(crate) fn outcome(organization: OrganizationId, message: MessageKey, kind: OutcomeKind) -> Outcome {
    Outcome {
        organization,
        message,
        at: NOW,
        kind,
        meta_code: None,
        wamid: (kind == OutcomeKind::Accepted).then(|| hash16(&message.to_string())),
        answer: b"answer".to_vec(),
    }
}
