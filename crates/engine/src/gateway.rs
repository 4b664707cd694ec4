//! The engine as a whole: what it is made of, how it starts, what it does by the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_domain::message::NewMessage;
use turnpike_domain::rates::AppZone;
use turnpike_domain::refusal::MetaRefusal;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{DAY_MS, UnixMs};
use turnpike_store::applications::{Application, ApplicationChange, ApplicationStatus, Paused};
use turnpike_store::organizations::Organization;
use turnpike_store::{Store, StoreError};
use uuid::Uuid;

use crate::clock::Clock;
use crate::directory::{App, Directory, Ways, sandbox_id};
use crate::entropy::Entropy;
use crate::graph::codes::{meaning, pauses_number};
use crate::graph::{GraphClient, GraphFailure, GraphOutcome, Link, LinkError};
use crate::keys::KeyTable;
use crate::limits::{Limits, LimitsConfig, Tick};
use crate::metrics::Metrics;
use crate::rates::RateBook;
use crate::secret::Secret;
use crate::settings::Settings;
use crate::shelter::sheltered;
use crate::templates::{SYNC_EVERY, TemplateBook};
use crate::transport::{Target, Transport};
use crate::vault::{Purpose, Vault};

/// The gateway's works. One per process, shared by every connection.
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Vault,
    pub(crate) cipher: turnpike_domain::ids::MessageCipher,
    pub(crate) keys: Arc<KeyTable>,
    pub(crate) limits: Limits,
    pub(crate) directory: Directory,
    pub(crate) rates: RateBook,
    pub(crate) templates: TemplateBook,
    pub(crate) graph: GraphClient,
    pub(crate) media: crate::media::Lanes,
    pub(crate) feeds: crate::feed::Feeds,
    /// What the engine counts.
    pub metrics: Metrics,
    pub(crate) tasks: TaskTracker,
    stopping: CancellationToken,
    epoch: Instant,
    last_fake: AtomicI64,
    pauses: Pauses,
    pub(crate) claims: crate::send::Claims,
    pub(crate) orphans: crate::send::Orphans,
    pub(crate) unwritten: crate::unwritten::Unwritten,
    /// Held from reading the store to replacing the directory: else a slower reader would put an
    /// older directory over a newer one, and a suspended application would go on sending.
    pub(crate) rebuilding: tokio::sync::Mutex<()>,
    /// Whether a reading of it failed, so that it may be older than the store.
    directory_in_doubt: AtomicBool,
    pub(crate) intake: crate::intake::State,
    pub(crate) erasures: crate::erasures::Erasures,
    /// Endpoints of all applications.
    pub endpoints: crate::endpoints::EndpointBook,
    pub(crate) delivery: crate::delivery::Deliveries,
}

/// When each paused number was last probed, so that one send in a while learns whether it is lifted.
type Pauses = parking_lot::Mutex<hashbrown::HashMap<turnpike_domain::ids::ApplicationId, Instant>>;

/// What an engine is made of.
pub struct Parts {
    /// Numbers and addresses.
    pub settings: Settings,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// The database.
    pub store: Arc<dyn Store>,
    /// Secrets' keeper.
    pub vault: Vault,
    /// The way to Meta.
    pub transport: Arc<dyn Transport>,
}

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not answer, or holds what cannot be read.
    #[error("reading the store at start")]
    Store(#[from] StoreError),
    /// The way to endpoints cannot be set up.
    #[error("setting up the way to endpoints")]
    Deliveries(#[from] crate::net::NetError),
    /// An address in the settings cannot be used.
    #[error("the address {url} {problem}")]
    Address {
        /// Which.
        url: String,
        /// What is wrong with it, as a sentence part.
        problem: String,
    },
}

impl Engine {
    /// Reads what is remembered and rebuilds the windows. [`Engine::run`] begins what runs by the
    /// clock; a command that works on the folder itself leaves it out.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(parts: Parts) -> Result<Arc<Engine>, StartError> {
        let Parts { settings, clock, entropy, store, vault, transport } = parts;
        check_addresses(&settings)?;
        let rates = RateBook::new(&store.imported_cards().await?);
        let keys = Arc::new(KeyTable::new());
        let loaded = keys.load(&*store, clock.now()).await?;
        for (key, fault) in &loaded.unreadable {
            tracing::error!(key.id = %key, fault = %fault, "an API key's stored policy cannot be read; the key answers AUTH_005");
        }
        let metrics = Metrics::default();
        let guard = crate::net::guard::Guard::of(&settings.delivery);
        let delivery = crate::delivery::Deliveries::new(&settings.delivery, guard, &metrics)?;
        let engine = Arc::new(Engine {
            endpoints: crate::endpoints::EndpointBook::default(),
            delivery,
            intake: crate::intake::State::new(&settings, &metrics),
            erasures: crate::erasures::Erasures::default(),
            cipher: vault.message_cipher(),
            graph: GraphClient::new(transport),
            limits: Limits::new(LimitsConfig::default()),
            directory: Directory::default(),
            templates: TemplateBook::default(),
            media: crate::media::Lanes::default(),
            feeds: crate::feed::Feeds::default(),
            metrics,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            epoch: Instant::now(),
            last_fake: AtomicI64::new(0),
            pauses: Pauses::default(),
            claims: crate::send::Claims::default(),
            orphans: crate::send::Orphans::default(),
            unwritten: crate::unwritten::Unwritten::default(),
            rebuilding: tokio::sync::Mutex::new(()),
            directory_in_doubt: AtomicBool::new(false),
            settings,
            clock,
            entropy,
            store,
            vault,
            keys,
            rates,
        });
        engine.metrics.register(|registry| {
            engine.media.register(registry);
            engine.feeds.register(registry);
            engine.unwritten.register(registry);
        });
        engine.templates.load(engine.store.templates().await?);
        engine.reload_directory().await?;
        engine.apply_owed_erasures().await?;
        engine.reload_endpoints().await?;
        engine.restore_limits().await?;
        Ok(engine)
    }

    /// Stops what runs by the clock and waits until every owned send has ended, at most `patience`.
    /// What is still under way then is found unknown at the next start. Returns how many were left.
    pub async fn stop(&self, patience: std::time::Duration) -> usize {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                sends = self.tasks.len(),
                "sends were still under way when the time to stop was over; the next start finds them"
            );
        }
        let left = self.tasks.len();
        if let Err(error) = self.store.close().await {
            tracing::error!(error = %error, "closing the store");
        }
        left
    }

    /// The tracker on which everything of the process is spawned that draining must wait for.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The database, for the operator's routes.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The wall clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Chance.
    #[must_use]
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// Organizations and applications.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The templates of a WABA, as last read.
    #[must_use]
    pub fn waba_templates(&self, waba_id: &str) -> Option<Arc<crate::templates::Waba>> {
        self.templates.waba(waba_id)
    }

    /// All rate cards.
    #[must_use]
    pub fn rate_cards(&self) -> turnpike_domain::rates::Cards {
        self.rates.cards()
    }

    /// Asks Meta for an application's number: whether token, permission and number are sound.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub async fn look_at_number(&self, app: &App, deadline: std::time::Duration) -> Result<String, (String, String)> {
        if let Some(paused) = &app.row.paused {
            return Err((format!("paused since {}: {} ({})", paused.since.to_rfc3339(), paused.title, paused.code), paused.hint.clone()));
        }
        let Some(link) = &app.live else {
            return match app.row.status {
                ApplicationStatus::Draft => Ok("a draft: sandbox keys work, live ones do not yet".to_owned()),
                ApplicationStatus::Suspended => Ok("suspended by an operator".to_owned()),
                ApplicationStatus::Activated => {
                    Err(("its token cannot be used".to_owned(), "Set the token again with: turnpike app connect".to_owned()))
                }
            };
        };
        match self.graph.number(link, Some(deadline), &crate::graph::Trace::default()).await {
            Ok(number) => Ok(format!(
                "Meta knows the number {}, quality {}",
                number.display_phone_number.as_deref().unwrap_or("(not shown)"),
                number.quality_rating.as_deref().unwrap_or("unknown")
            )),
            Err(GraphFailure::Refused { refusal, .. }) => Err((format!("Meta says: {} ({})", refusal.title, refusal.code), refusal.hint)),
            Err(failure) => Err((failure.to_string(), "Check the network between this machine and Meta.".to_owned())),
        }
    }

    /// Monotonic time since the engine began, for windows.
    pub(crate) fn tick(&self) -> Tick {
        Tick::since_start(self.epoch.elapsed())
    }

    /// Whether the gateway was told to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The hash that a wamid is found by.
    pub(crate) fn wamid_hash(&self, wamid: &str) -> turnpike_store::messages::Hash16 {
        self.vault.wamid().hash(&[wamid.as_bytes()])
    }

    /// A fresh UUID v7.
    pub(crate) fn uuid(&self, now: UnixMs) -> Uuid {
        let mut random = [0u8; 10];
        self.entropy.fill(&mut random);
        turnpike_domain::ids::uuid_v7(now, random)
    }

    /// `wamid.FAKE_<unix time in ns>`, never the same twice in this process (contract §3.3).
    pub(crate) fn fake_wamid(&self) -> String {
        let now = self.clock.unix_nanos();
        let mut last = self.last_fake.load(Ordering::Relaxed);
        loop {
            let next = now.max(last + 1);
            match self.last_fake.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return format!("wamid.FAKE_{next}"),
                Err(newer) => last = newer,
            }
        }
    }

    /// Builds the directory anew from the store: after every write to an organization or application.
    ///
    /// # Errors
    /// The store's; the directory stays as it was, and is read anew within seconds.
    pub(crate) async fn reload_directory(&self) -> Result<(), StoreError> {
        let _alone = self.rebuilding.lock().await;
        self.directory_in_doubt.store(true, Ordering::Release);
        let organizations: Vec<Arc<Organization>> = self.store.organizations().await?.into_iter().map(Arc::new).collect();
        let by_key: hashbrown::HashMap<_, _> =
            organizations.iter().map(|organization| (organization.key, Arc::clone(organization))).collect();
        let rows = self.store.applications().await?;
        let mut applications = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(organization) = by_key.get(&row.organization) else { continue };
            let zone = AppZone::of(row.timezone.as_deref(), row.meta_timezone_id.as_deref());
            let Some(schedule) = self.rates.schedule(organization.currency, &zone.zone) else {
                tracing::error!(organization.id = %organization.id, currency = %organization.currency, "no rate card has this currency; its applications cannot send");
                continue;
            };
            let ways = Ways { live: self.live_link(&row), sandbox: self.sandbox_link(&row) };
            applications.push(App::new(row, Arc::clone(organization), ways, zone, schedule));
        }
        self.directory.replace(organizations, applications);
        self.directory_in_doubt.store(false, Ordering::Release);
        Ok(())
    }

    /// Reads the directory again where a reading failed after a write: an application that was
    /// suspended would else go on sending until the next change.
    async fn catch_up_with_directory(&self) -> Result<(), StoreError> {
        if self.directory_in_doubt.load(Ordering::Acquire) { self.reload_directory().await } else { Ok(()) }
    }

    fn live_link(&self, row: &Application) -> Option<Arc<Link>> {
        if row.status != ApplicationStatus::Activated {
            return None;
        }
        let (number, sealed) = (row.phone_number_id.as_deref()?, row.token_sealed.as_deref()?);
        let token = match self.vault.open(Purpose::Token, row.organization, row.id.as_bytes(), sealed) {
            Ok(token) => Secret::new(String::from_utf8(token).ok()?),
            Err(_) => {
                tracing::error!(application.id = %row.app_id, "its token cannot be opened with this master key; set the token again");
                return None;
            }
        };
        let app_secret = match &row.meta_app_id {
            Some(id) => self.settings.meta_apps.iter().find(|app| app.id == *id),
            None => self.settings.meta_apps.first(),
        };
        let app_secret = app_secret.and_then(|app| app.secrets.first()).map(Secret::expose);
        let target = Target::parse(&self.settings.graph_url).ok()?;
        usable(row, Link::new(Arc::new(target), &self.settings.graph_version, number, token.expose(), app_secret))
    }

    fn sandbox_link(&self, row: &Application) -> Option<Arc<Link>> {
        let upstream = self.settings.sandbox.as_ref()?;
        let target = Target::parse(&upstream.url).ok()?;
        usable(row, Link::new(Arc::new(target), &self.settings.graph_version, &sandbox_id(&row.app_id), upstream.secret.expose(), None))
    }

    /// Rebuilds windows, pairs and days from what is stored.
    async fn restore_limits(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let recent = self.store.recent_sends(now.plus_ms(-self.limits.remembers_ms())).await?;
        self.limits.restore(&recent, now, self.tick());
        self.limits.restore_day(&self.store.day_usage(now.day()).await?, now);
        Ok(())
    }

    /// Begins what runs by the clock: templates and time zones are synced now and every six hours,
    /// what is past its retention is forgotten.
    pub fn run(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut next_sync = Instant::now();
            loop {
                if Instant::now() >= next_sync {
                    // Meta may be slow for minutes; a stop does not wait for it.
                    if engine.stopping.run_until_cancelled(sheltered("syncing templates", engine.sync_all_templates())).await.is_none() {
                        return;
                    }
                    next_sync = Instant::now() + SYNC_EVERY;
                }
                let due = async {
                    tokio::time::sleep(HOUSEKEEPING_EVERY).await;
                    sheltered("keeping house", engine.keep_house()).await;
                };
                if engine.stopping.run_until_cancelled(due).await.is_none() {
                    return;
                }
            }
        });
        // Beside the other, which may wait for Meta or the disk.
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            while engine.stopping.run_until_cancelled(tokio::time::sleep(TEND_EVERY)).await.is_some() {
                sheltered("tending what is in memory", engine.tend()).await;
            }
        });
        self.run_sweeper();
        self.run_erasures();
        self.run_notices();
        self.run_deliveries();
    }

    /// Lets idle windows go, and reads anew what the store may hold otherwise than memory does.
    async fn tend(&self) {
        self.limits.tend(self.tick(), self.clock.now());
        self.catch_up_with_keys().await;
        if let Err(error) = self.catch_up_with_directory().await {
            tracing::warn!(error = %error, "reading the applications anew; it is tried again");
        }
        if let Err(error) = self.catch_up_with_endpoints().await {
            tracing::warn!(error = %error, "reading the endpoints anew; it is tried again");
        }
    }

    /// Hears of keys that the store made though its answer got lost.
    async fn catch_up_with_keys(&self) {
        match self.keys.catch_up(&*self.store, self.clock.now()).await {
            Ok(None) => {}
            Ok(Some(loaded)) => tracing::info!(keys = loaded.usable, "read the keys anew"),
            Err(error) => tracing::warn!(error = %error, "reading the keys anew; until then unknown ones are answered AUTH_004"),
        }
    }

    /// What is due now and then: expired keys, forgotten days. It may be cut short: forgetting goes
    /// by slices, each a commit of its own.
    async fn keep_house(&self) {
        let now = self.clock.now();
        self.keys.forget_expired(now);
        let days = |count: i64| UnixMs(now.0 - count * DAY_MS).day();
        if let Err(error) = self.store.forget_before(days(CONTENT_DAYS), days(ANSWER_DAYS)).await {
            tracing::warn!(error = %error, "forgetting what is past its retention");
        }
    }

    /// What an answer of Meta teaches beyond its message: a barred number, a changed template.
    pub(crate) fn learn(self: &Arc<Self>, app: &Arc<App>, mode: Mode, message: &NewMessage, outcome: &GraphOutcome) {
        if mode != Mode::Live {
            return;
        }
        match outcome {
            GraphOutcome::Refused { refusal, .. } if pauses_number(refusal.code) => self.pause(app, refusal),
            GraphOutcome::Refused { refusal, .. } if matches!(refusal.code, 132_000 | 132_001) && message.template().is_some() => {
                if let Some(waba_id) = app.waba(Mode::Live) {
                    // Not waited for: the next send of the template is compared with what comes.
                    let _ = self.refetch(app, Mode::Live, &waba_id);
                }
            }
            GraphOutcome::Accepted { .. } if app.row.paused.is_some() => self.lift(app),
            _ => {}
        }
    }

    fn pause(self: &Arc<Self>, app: &App, refusal: &MetaRefusal) {
        let already = self
            .directory
            .application(app.row.key)
            .is_some_and(|app| app.row.paused.as_ref().is_some_and(|paused| paused.code == refusal.code));
        if already {
            return;
        }
        let since = self.clock.now();
        let paused = Paused { code: refusal.code, title: refusal.title.clone(), hint: refusal.hint.clone(), since };
        tracing::error!(application.id = %app.row.app_id, meta.code = refusal.code, meta.title = %refusal.title, "Meta barred this number; it is paused. {}", refusal.hint);
        self.pauses.lock().insert(app.row.key, Instant::now());
        self.change_in_background(app, ApplicationChange { paused: Some(Some(paused)), ..Default::default() });
    }

    fn lift(self: &Arc<Self>, app: &App) {
        tracing::info!(application.id = %app.row.app_id, "Meta accepts messages of this number again; its pause is lifted");
        self.pauses.lock().remove(&app.row.key);
        self.change_in_background(app, ApplicationChange { paused: Some(None), ..Default::default() });
    }

    fn change_in_background(self: &Arc<Self>, app: &App, change: ApplicationChange) {
        let (engine, organization, key) = (Arc::clone(self), app.row.organization, app.row.key);
        self.tasks.spawn(async move {
            let changed = engine.store.update_application(organization, key, change, engine.clock.now()).await;
            match changed {
                Ok(_) => {
                    if let Err(error) = engine.reload_directory().await {
                        tracing::error!(error = %error, "reading the applications anew");
                    }
                }
                Err(error) => tracing::error!(error = %error, "remembering an application's pause"),
            }
        });
    }

    /// Whether it is a message's turn to learn if Meta lifted the bar of this paused number; takes
    /// the turn.
    pub(crate) fn may_probe(&self, app: &App) -> bool {
        let mut pauses = self.pauses.lock();
        let now = Instant::now();
        let waits = pauses.get(&app.row.key).is_some_and(|probed| now.duration_since(*probed) < self.settings.pause_probe_every);
        if !waits {
            pauses.insert(app.row.key, now);
        }
        !waits
    }

    /// The refusal that a paused number answers with; `None` where it is not paused.
    pub(crate) fn paused(&self, app: &App) -> Option<MetaRefusal> {
        let paused = app.row.paused.as_ref()?;
        let meaning = meaning(paused.code, None);
        Some(MetaRefusal {
            class: meaning.class,
            code: paused.code,
            subcode: None,
            title: paused.title.clone(),
            details: Some(format!("Meta barred this number; it is paused since {} and nothing was sent", paused.since.to_rfc3339())),
            fbtrace_id: None,
            hint: paused.hint.clone(),
            retryable: meaning.retryable.unwrap_or(false),
            retry_after_ms: Some(u64::try_from(self.settings.pause_probe_every.as_millis()).unwrap_or(u64::MAX)),
            by_gateway: true,
        })
    }
}

/// Idle windows are let go in small steps, so that none holds up a request.
const TEND_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// Nothing in it is urgent.
const HOUSEKEEPING_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
/// Bodies are kept this long (contract §10).
const CONTENT_DAYS: i64 = 30;
/// Statuses and answers are kept this long (contract §10).
const ANSWER_DAYS: i64 = 90;

/// A link that can be used; why another cannot is the operator's to read.
fn usable(row: &Application, link: Result<Link, LinkError>) -> Option<Arc<Link>> {
    link.map(Arc::new)
        .map_err(|fault| tracing::error!(application.id = %row.app_id, fault = %fault, "this application has no way to Meta"))
        .ok()
}

fn check_addresses(settings: &Settings) -> Result<(), StartError> {
    let sandbox = settings.sandbox.as_ref().map(|sandbox| sandbox.url.as_str());
    for url in std::iter::once(settings.graph_url.as_str()).chain(sandbox) {
        Target::parse(url).map_err(|problem| StartError::Address { url: url.to_owned(), problem: problem.to_string() })?;
    }
    Ok(())
}
