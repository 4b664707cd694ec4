//! A whole engine on a database of its own, with a scripted Meta on one side and a store that fails
//! on request on the other.
//!
//! Every test ends with [`House::finish`]: nothing is under way any more, the ledger's invariants
//! are proved, and no attempt was posted twice. A house that is dropped without it fails its test.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use turnpike_domain::ledger::{Balance, Resolution};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::rates::Markup;
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_domain::send::{MessageState, Mode};
use turnpike_domain::time::UnixMs;
use turnpike_engine::caller::Caller;
use turnpike_engine::clock::{Clock as _, TestClock};
use turnpike_engine::control::applications::Connect;
use turnpike_engine::control::keys::{MadeKey, NewKey};
use turnpike_engine::control::messages::ResolveOrder;
use turnpike_engine::control::money::WalletOrder;
use turnpike_engine::directory::App;
use turnpike_engine::entropy::SeededEntropy;
use turnpike_engine::secret::Secret;
use turnpike_engine::send::view::MessageView;
use turnpike_engine::send::{Reply, SendFlags, SendRequest, Sent, Trace};
use turnpike_engine::settings::{SandboxUpstream, Settings};
use turnpike_engine::transport::Transport;
use turnpike_engine::vault::{MasterKey, Vault};
use turnpike_engine::{Engine, Parts};
use turnpike_store::Store;
use turnpike_store::faults::FaultyStore;
use turnpike_store::keys::KeyPolicy;
use turnpike_store::ledger::WalletMovement;
use turnpike_store::messages::{MessageFilter, MessageRecord};
use turnpike_store::organizations::Organization;
use turnpike_store::sqlite::{Options, SqliteStore, Tuning};

use crate::meta::Meta;

/// 2026-11-23T12:00:00Z: the card of 2026-10-01 is in force.
pub(crate) const NOON: UnixMs = UnixMs(1_795_392_000_000 + 12 * 3_600_000);
/// A Turkish number.
pub(crate) const TO: &str = "905551112233";
/// A service message to Turkey: 0.001 base + 0.0009 for Meta.
pub(crate) const BASE: Micros = Micros(1_000);
pub(crate) const META: Micros = Micros(900);
pub(crate) const COST: Micros = Micros(1_900);
/// What the first organization has at the start.
pub(crate) const TEN: Micros = Micros(10_000_000);

/// An engine's parts while it lives.
struct Life {
    engine: Arc<Engine>,
    faults: Arc<FaultyStore>,
    recovered_unknown: u64,
    runtime: Runtime,
}

pub(crate) struct House {
    life: Option<Life>,
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<TestClock>,
    entropy: Arc<SeededEntropy>,
    pub(crate) meta: Arc<Meta>,
    settings: Settings,
    threads: usize,
    pub(crate) key: String,
    finished: bool,
}

/// What a test may set before the house stands.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) threads: usize,
}

impl Default for Plan {
    /// Deadlines that a busy machine does not run into by accident.
    fn default() -> Plan {
        let settings = Settings {
            sandbox: Some(SandboxUpstream { url: "http://127.0.0.1:9".to_owned(), secret: Secret::new("sbx_test".to_owned()) }),
            ..Settings::default()
        };
        Plan { settings, threads: 0 }
    }
}

impl House {
    /// One organization with $10, one connected application, one live key.
    pub(crate) fn new() -> House {
        House::planned(|_| ())
    }

    pub(crate) fn planned(change: impl FnOnce(&mut Plan)) -> House {
        let mut plan = Plan::default();
        change(&mut plan);
        let mut house = House {
            life: None,
            folder: tempfile::tempdir().expect("a folder"),
            clock: Arc::new(TestClock::at(NOON)),
            entropy: Arc::new(SeededEntropy::new(7)),
            meta: Arc::new(Meta::default()),
            settings: plan.settings,
            threads: plan.threads,
            key: String::new(),
            finished: false,
        };
        house.begin();
        house.run(async {
            let organization = house.organization("acme").await;
            house.top_up(&organization, Mode::Live, TEN).await;
            house.application(&organization, "acme-main", "1001", "2001").await;
        });
        let key = house.run(house.make_key("acme-main", Mode::Live, KeyPolicy::default()));
        house.key = key.text.expose().to_owned();
        house
    }

    fn begin(&mut self) {
        let runtime = match self.threads {
            0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
        };
        let runtime = runtime.expect("a runtime");
        let vault = Vault::new(&MasterKey::from_bytes([5; 32]));
        let options = Options {
            folder: self.folder.path().to_owned(),
            erasures_copy: None,
            cipher: vault.message_cipher(),
            now: self.clock.now(),
            fatal: Arc::new(|reason| panic!("the store died: {reason}")),
            tuning: Tuning::default(),
        };
        let (store, recovery) = SqliteStore::open(options).expect("the store opens");
        let faults = FaultyStore::new(Arc::new(store));
        let parts = Parts {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock) as Arc<_>,
            entropy: Arc::clone(&self.entropy) as Arc<_>,
            store: Arc::clone(&faults) as Arc<dyn Store>,
            vault,
            transport: Arc::clone(&self.meta) as Arc<dyn Transport>,
        };
        let engine = runtime.block_on(Engine::start(parts)).expect("the engine starts");
        self.life = Some(Life { engine, faults, recovered_unknown: recovery.unknown, runtime });
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("the house stands")
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.life().engine
    }

    pub(crate) fn faults(&self) -> &FaultyStore {
        &self.life().faults
    }

    /// How many messages the last start found without an outcome.
    pub(crate) fn recovered_unknown(&self) -> u64 {
        self.life().recovered_unknown
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.life().runtime.block_on(future)
    }

    /// Ends the process as far as the folder can tell: tasks are gone where they stand, nothing is
    /// settled; then starts again.
    pub(crate) fn crash(&mut self) {
        self.crash_and(|_| ());
    }

    /// Ends it like [`House::crash`], does something to its folder, and starts again.
    pub(crate) fn crash_and(&mut self, meanwhile: impl FnOnce(&std::path::Path)) {
        let Life { engine, faults, runtime, .. } = self.life.take().expect("the house stands");
        drop(runtime);
        drop((engine, faults));
        meanwhile(self.folder.path());
        self.begin();
    }

    // Making things.

    pub(crate) async fn organization(&self, name: &str) -> Arc<Organization> {
        let markup = Markup { factor_ppm: 1_000_000, fixed: Micros::ZERO, base_fee: BASE };
        self.engine().create_organization(name, Currency::USD, markup).await.expect("an organization");
        self.engine().organization(Some(name)).expect("it is in the directory")
    }

    pub(crate) async fn top_up(&self, organization: &Organization, mode: Mode, amount: Micros) {
        let movement = if amount.is_negative() { WalletMovement::Adjust } else { WalletMovement::TopUp };
        let order = WalletOrder { id: None, mode, movement, amount, reason: "for a test".to_owned(), actor: "test".to_owned() };
        self.engine().move_wallet(organization, order).await.expect("money moves");
    }

    pub(crate) async fn draft(&self, organization: &Organization, app_id: &str) -> Arc<App> {
        self.engine().create_application(organization, app_id, Some(app_id)).await.expect("an application")
    }

    pub(crate) async fn application(&self, organization: &Organization, app_id: &str, number: &str, waba: &str) -> Arc<App> {
        let app = self.draft(organization, app_id).await;
        let connect = Connect {
            phone_number_id: number.to_owned(),
            waba_id: waba.to_owned(),
            token: Secret::new("EAAtoken".to_owned()),
            phone_number: None,
            meta_app_id: None,
            connection_type: None,
        };
        self.engine().connect_application(&app, connect).await.expect("it connects")
    }

    pub(crate) fn app(&self, app_id: &str) -> Arc<App> {
        let state = self.engine().directory().snapshot();
        let key = state.by_app_id.get(app_id).expect("an application of that name");
        Arc::clone(&state.applications[key])
    }

    pub(crate) async fn make_key(&self, app_id: &str, mode: Mode, policy: KeyPolicy) -> MadeKey {
        let new = NewKey { name: "test".to_owned(), mode, policy, expires_at: None, count: 1 };
        self.engine().create_keys(&self.app(app_id), new).await.expect("a key").pop().expect("one key")
    }

    /// Another key of the first application.
    pub(crate) fn another_key(&self, mode: Mode, change: impl FnOnce(&mut KeyPolicy)) -> String {
        let mut policy = KeyPolicy::default();
        change(&mut policy);
        self.run(self.make_key("acme-main", mode, policy)).text.expose().to_owned()
    }

    // Sending.

    pub(crate) fn caller_of(&self, key: &str) -> Caller {
        self.engine().authenticate(key, None).expect("the key is known")
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller_of(&self.key)
    }

    pub(crate) async fn send(&self, request: SendRequest) -> Reply {
        self.engine().send(&self.caller(), request).await
    }

    pub(crate) async fn send_by(&self, key: &str, request: SendRequest) -> Reply {
        self.engine().send(&self.caller_of(key), request).await
    }

    // Looking.

    pub(crate) async fn balance(&self) -> Balance {
        self.balance_of("acme", Mode::Live).await
    }

    pub(crate) async fn balance_of(&self, organization: &str, mode: Mode) -> Balance {
        let organization = self.engine().organization(Some(organization)).expect("an organization of that name");
        self.engine().store().balance(organization.key, mode).await.expect("the store answers").expect("a wallet")
    }

    /// All messages of the first organization, newest first.
    pub(crate) async fn messages(&self) -> Vec<MessageRecord> {
        let organization = self.engine().organization(Some("acme")).expect("the first organization");
        self.engine().store().list_messages(organization.key, None, MessageFilter::Any, None, 1_000).await.expect("the store answers")
    }

    /// The only message of the first organization, as its owner sees it.
    pub(crate) async fn only_message(&self) -> MessageView {
        let messages = self.messages().await;
        assert_eq!(messages.len(), 1, "one message is stored");
        self.engine().view(&messages[0])
    }

    pub(crate) async fn states(&self) -> Vec<MessageState> {
        self.messages().await.iter().map(turnpike_engine::send::view::state_of).collect()
    }

    pub(crate) async fn resolve(&self, resolution: Resolution, wamid: Option<&str>) {
        let record = self.messages().await.pop().expect("a message");
        let order = ResolveOrder { resolution, wamid: wamid.map(str::to_owned), reason: "asked Meta".to_owned(), actor: "test".to_owned() };
        self.engine().resolve_message(&record, order).await.expect("it is unknown");
    }

    /// Waits until no owned task is left.
    pub(crate) async fn quiet(&self) {
        let tasks = self.engine().tasks();
        tokio::time::timeout(PATIENCE, async {
            while !tasks.is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .expect("every owned task ends");
    }

    /// Waits until `holds` does.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("in time: {what}"));
    }

    /// Nothing is under way, the ledger is sound, nothing was posted twice.
    pub(crate) fn finish(mut self) {
        self.finished = true;
        self.faults().heal();
        self.run(async {
            self.quiet().await;
            let verification = self.engine().store().verify().await.expect("verifies");
            assert!(verification.clean, "{:#?}", verification.checks);
            for state in self.states().await {
                assert_ne!(state, MessageState::Admitted, "a message is still in flight");
            }
            let mut tokens: Vec<String> = self.meta.posted().iter().filter_map(|post| post.token().map(str::to_owned)).collect();
            let all = tokens.len();
            tokens.sort();
            tokens.dedup();
            assert_eq!(tokens.len(), all, "an attempt was posted twice");
            assert_eq!(self.engine().stop(PATIENCE).await, 0, "nothing is left at the stop");
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "the test did not call finish()");
    }
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

// Requests.

pub(crate) fn body(value: &Value) -> SendRequest {
    SendRequest {
        body: Bytes::from(value.to_string()),
        is_json: true,
        flags: Ok(SendFlags::default()),
        idempotency_key: Ok(None),
        allow_duplicate: false,
        trace: Trace::default(),
    }
}

pub(crate) fn text_to(to: &str, text: &str) -> SendRequest {
    body(&json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": text}}))
}

pub(crate) fn text(text: &str) -> SendRequest {
    text_to(TO, text)
}

pub(crate) fn template(name: &str, parameters: &[&str]) -> SendRequest {
    let parameters: Vec<Value> = parameters.iter().map(|text| json!({"type": "text", "text": text})).collect();
    let components = if parameters.is_empty() { json!([]) } else { json!([{"type": "body", "parameters": parameters}]) };
    body(&json!({"messaging_product": "whatsapp", "to": TO, "type": "template",
        "template": {"name": name, "language": {"code": "en_US"}, "components": components}}))
}

/// A definition as Meta lists it, with one variable per `{{n}}` of its body.
pub(crate) fn definition(name: &str, category: &str, text: &str) -> Value {
    json!({"name": name, "language": "en_US", "status": "APPROVED", "category": category, "id": "594425479261596",
        "components": [{"type": "BODY", "text": text}]})
}

/// Changes of a request, so that a test reads as a sentence.
pub(crate) trait Asking {
    fn keyed(self, key: &str) -> Self;
    fn fake(self) -> Self;
    fn mmlite(self) -> Self;
    fn though_a_duplicate(self) -> Self;
}

impl Asking for SendRequest {
    fn keyed(mut self, key: &str) -> Self {
        self.idempotency_key = Ok(Some(key.to_owned()));
        self
    }

    fn fake(mut self) -> Self {
        self.flags = self.flags.map(|flags| SendFlags { is_fake: true, ..flags });
        self
    }

    fn mmlite(mut self) -> Self {
        self.flags = self.flags.map(|flags| SendFlags { mmlite: true, ..flags });
        self
    }

    fn though_a_duplicate(mut self) -> Self {
        self.allow_duplicate = true;
        self
    }
}

// Answers.

pub(crate) fn sent(reply: Reply) -> Sent {
    match reply {
        Reply::Sent(sent) => sent,
        other => panic!("it should have been sent: {other:?}"),
    }
}

pub(crate) fn refused(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused { refusal, .. } => refusal,
        other => panic!("it should have been refused: {other:?}"),
    }
}

pub(crate) fn is_unknown(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::OutcomeUnknown { presumed_not_sent: false, .. })
}

pub(crate) fn fields(refusal: Refusal) -> Vec<FieldFault> {
    match refusal {
        Refusal::Fields(faults) => faults,
        other => panic!("fields should be named: {other:?}"),
    }
}

/// Code and whether we said it ourselves, of a GW_001.
pub(crate) fn meta_code(refusal: &Refusal) -> Option<(i64, bool)> {
    match refusal {
        Refusal::MetaRefused(refusal) => Some((refusal.code, refusal.by_gateway)),
        _ => None,
    }
}

pub(crate) fn wamid(sent: &Sent) -> String {
    turnpike_engine::send::stored::wamid_of(&sent.data).expect("an accepted answer has a wamid")
}

/// A wallet with this much posted and these holds.
pub(crate) fn wallet(posted: Micros, held_base: Micros, held_meta: Micros) -> Balance {
    Balance { posted, held_base, held_meta }
}

/// Polls a future `times` times at most and drops it then: a caller who hangs up.
pub(crate) async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = times;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
