//! One request and what comes of it, apart from how it looks on the wire.
//!
//! The server hands in a head and then a body; [`World`] keeps the record, asks
//! script and magic recipients for a [`Behaviour`], lets the Graph answer, and
//! hands back both. The server then carries the behaviour out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::allowance::Allowance;
use crate::chance::Chance;
use crate::clock::{self, SimulatedClock};
use crate::config::Config;
use crate::control;
use crate::faults::{Behaviour, Stage, magic};
use crate::forgetting::Names;
use crate::graph;
use crate::graph::auth::Door;
use crate::graph::form;
use crate::graph::limits::Limits;
use crate::graph::request::{Body, GraphRequest, split_path};
use crate::graph::subscriptions;
use crate::graph::templates::Templates;
use crate::graph::uploads::{self, Uploads};
use crate::media::{DOWNLOAD_PATH, Media};
use crate::memory::{Line, Memory};
use crate::numbers::Numbers;
use crate::phones::{Events, Phones};
use crate::plan::{Plans, Timing};
use crate::record::{self, RecordError, Recorder};
use crate::script::{Facts, Script, Strike};
use crate::sent::SentMessages;
use crate::server::StartError;
use crate::users::Users;
use crate::wabas::Wabas;
use crate::webhooks::{BATCH_MAX, Made, Posting, Webhooks};

/// How long an answer waits at most for a status that is to overtake it.
const OVERTAKING_MAX: Duration = Duration::from_secs(10);

/// A request's head as both versions of HTTP give it.
pub(crate) struct Head {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    /// What follows `?`, as it came.
    pub(crate) query: String,
    /// In order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of this (lower-case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether this is about the simulator itself and not a Graph call.
    pub(crate) fn is_control(&self) -> bool {
        self.path == "/_sim" || self.path.starts_with("/_sim/")
    }

    /// What rules may ask about before the body was read.
    fn facts(&self) -> Facts<'_> {
        Facts {
            method: &self.method,
            path: &self.path,
            object_id: split_path(&self.path).map(|(_, object_id, _, _)| object_id),
            ..Facts::default()
        }
    }
}

/// An answer, ready to be framed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Without `Content-Length`, which is the framing's business.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The message id in it, where there is one.
    pub(crate) wamid: Option<String>,
    /// What it waits for before it goes out.
    pub(crate) held: Vec<oneshot::Receiver<()>>,
}

/// What to send, and how.
pub(crate) struct Planned {
    pub(crate) answer: Answer,
    pub(crate) behaviour: Behaviour,
}

/// All state behind the sockets.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) record: Recorder,
    pub(crate) script: Script,
    pub(crate) door: Door,
    pub(crate) templates: Templates,
    pub(crate) phones: Phones,
    pub(crate) limits: Option<Limits>,
    pub(crate) events: Option<Arc<dyn Events>>,
    /// The time on Meta's side.
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) plans: Plans,
    pub(crate) timing: Timing,
    pub(crate) users: Users,
    pub(crate) numbers: Numbers,
    pub(crate) wabas: Wabas,
    pub(crate) sent: SentMessages,
    pub(crate) media: Media,
    pub(crate) uploads: Uploads,
    pub(crate) allowance: Allowance,
    memory: Memory,
    /// The app's secret, where it was said apart from a subscription.
    pub(crate) app_secret: Option<String>,
    pub(crate) omit_callback_data_on_failed: bool,
    /// Where we are reached, for links to ourselves in webhooks.
    pub(crate) base_url: String,
    /// `http` or `https`, for links to ourselves.
    pub(crate) scheme: &'static str,
    latency: Duration,
    /// The id that each number gave last, for [`Behaviour::RepeatWamid`].
    last_wamids: Mutex<HashMap<String, String>>,
}

/// What a power cut may cost of what is remembered.
const MEMORY_SYNCED_EVERY: Duration = Duration::from_secs(1);

impl World {
    /// The world as an earlier process left it, where the record is in a file. Must be made within
    /// a tokio runtime.
    pub(crate) fn new(config: &Config, base_url: String) -> Result<World, StartError> {
        let record = Recorder::open(&config.record, config.record_newest).map_err(StartError::Record)?;
        let (memory, past) = Memory::open(&config.record).map_err(StartError::Record)?;
        let issued = record.count() as u64;
        let users = Users::default();
        let refused = |problem: String| StartError::Config(format!("what is remembered cannot be: {problem}"));
        past.users.into_iter().try_for_each(|user| users.define(user).map(|_| ())).map_err(refused)?;
        for (n, user) in config.users.iter().enumerate() {
            users.define(user.clone()).map_err(|problem| StartError::Config(format!("users[{n}].{problem}")))?;
        }
        let plans = Plans::default();
        plans.add(config.plans.clone()).map_err(|problem| StartError::Config(format!("plans: {problem}")))?;
        let clock = Arc::new(SimulatedClock::new(config.speed));
        let posting = Posting { batch_max: config.batch_max.clamp(1, BATCH_MAX), timeout: config.webhook_timeout };
        let chance = Chance::new(config.seed, issued).map_err(StartError::Entropy)?;
        let media = Media::new(&chance.key("media"));
        let webhooks = Arc::new(Webhooks::new(Arc::clone(&clock), posting));
        for (n, pem) in config.webhook_roots_pem.iter().enumerate() {
            webhooks.trust.add(pem).map_err(|problem| StartError::Config(format!("webhook_roots_pem[{n}]: {problem}")))?;
        }
        for known in past.subscriptions {
            let subscribed = webhooks.add(known.subscription, Made::OverHttp).map_err(refused)?;
            if known.verified {
                subscribed.is_verified();
            } else {
                webhooks.shake_hands_eventually(subscribed, chance.digits());
            }
        }
        let numbers = Numbers::new(&config.waba_id, &config.numbers);
        past.numbers.into_iter().try_for_each(|number| numbers.define(number)).map_err(refused)?;
        let wabas = Wabas::new();
        past.wabas.into_iter().try_for_each(|waba| wabas.define(waba)).map_err(refused)?;
        for (n, waba) in config.wabas.iter().enumerate() {
            wabas.define(waba.clone()).map_err(|problem| StartError::Config(format!("wabas[{n}].{problem}")))?;
        }
        let phones = Phones::new(config.unscripted_window);
        past.wrote.into_iter().for_each(|((number, user), at)| phones.wrote(&number, &user, at));
        past.marketing.into_iter().for_each(|((number, user), wants)| phones.wants_marketing(&number, &user, wants));
        let sent = SentMessages::default();
        past.sent.into_iter().for_each(|message| sent.keep(Arc::new(message)));
        Ok(World {
            chance,
            record,
            script: Script::default(),
            door: Door::new(config.tokens.clone(), config.app_secret.as_deref(), config.sandbox_secret.clone()),
            templates: Templates::new(config.seed_templates.clone()),
            phones,
            limits: config.rate_limits.then(Limits::default),
            events: config.events.clone(),
            webhooks,
            clock,
            plans,
            timing: config.timing,
            users,
            numbers,
            wabas,
            sent,
            media,
            uploads: Uploads::default(),
            allowance: Allowance::new(config.free_service_messages),
            memory,
            app_secret: config.app_secret.clone(),
            omit_callback_data_on_failed: config.omit_callback_data_on_failed,
            base_url,
            scheme: if config.tls.is_some() { "https" } else { "http" },
            latency: config.latency,
            last_wamids: Mutex::new(HashMap::new()),
        })
    }

    /// Puts what is remembered on the disk once a second, for as long as the simulator runs. A sync
    /// that fails is not repeated before something more is written: a power cut may then cost more than
    /// the last second.
    ///
    /// Between two syncs, and while the disk is busy, it holds nothing of the world: who starts the
    /// next simulator on the same folder needs the record's lock at once.
    pub(crate) async fn sync_memory(world: Weak<World>) {
        loop {
            tokio::time::sleep(MEMORY_SYNCED_EVERY).await;
            let Some(unsynced) = world.upgrade().map(|world| world.memory.unsynced()) else { return };
            if let Ok(Some(file)) = unsynced {
                let _ = tokio::task::spawn_blocking(move || file.sync_data()).await;
            }
        }
    }

    /// Remembers something beyond a restart. What cannot be written is only forgotten then: the
    /// record is on the same disk, and refuses what it cannot keep.
    pub(crate) fn remember(&self, line: impl FnOnce() -> Line) {
        let _ = self.memory.keep(line);
    }

    /// Remembers who is subscribed now.
    pub(crate) fn remember_subscriptions(&self) {
        self.remember(|| Line::Subscriptions(self.webhooks.remembered()));
    }

    /// Forgets a user in what is remembered beyond a restart.
    pub(crate) fn forget_remembered(&self, names: &Names) -> Result<usize, RecordError> {
        self.memory.forget(names)
    }

    /// A user wrote to a number, which opens the window.
    pub(crate) fn wrote(&self, number: &str, user: &str, at: Timestamp) {
        self.phones.wrote(number, user, at);
        self.remember(|| Line::Wrote { number: number.to_owned(), user: user.to_owned(), at });
    }

    /// What strikes a connection at [`Stage::Accept`] or [`Stage::FirstByte`].
    pub(crate) fn strike_connection(&self, stage: Stage) -> Option<Behaviour> {
        self.script.strike_at(stage, &Facts::default(), &self.chance).map(|strike| strike.behaviour)
    }

    /// What strikes a request whose head was read. Control calls are spared.
    pub(crate) fn strike_head(&self, head: &Head) -> Option<Behaviour> {
        if head.is_control() {
            return None;
        }
        self.script.strike_at(Stage::Head, &head.facts(), &self.chance).map(|strike| strike.behaviour)
    }

    /// Records a whole request and decides its answer. When this returns, the
    /// request is durable.
    pub(crate) async fn answer(&self, head: &Head, body: &[u8]) -> Planned {
        if head.is_control() {
            return Planned { answer: control::answer(self, head, body).await, behaviour: Behaviour::Answer };
        }
        let at = clock::rfc3339(clock::now());
        let parsed = if uploads::takes_a_file(&head.path) {
            Body::of_file(body)
        } else {
            Body::parse(head.header("content-type").unwrap_or_default(), body)
        };
        // Of a file the record keeps its measures.
        let file = parsed.file.as_ref().filter(|file| !file.is_empty()).map(|file| form::measures(file));
        let summary = parsed.form.as_ref().map(|parts| form::summary(parts)).or(file).map(|summary| summary.to_string());
        let recorded = summary.as_ref().map_or(body, String::as_bytes);
        let line = record::line(&at, &head.method, &head.path, &head.query, &head.headers, recorded);
        if self.record.append(line).await.is_err() {
            // A witness that cannot write must not say that it took a message.
            return Planned { answer: graph::broken(self), behaviour: Behaviour::Answer };
        }
        let strike = self.strike_body(head, body, &parsed);
        let wait = self.latency + Duration::from_millis(strike.delay_ms);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let behaviour = strike.behaviour;
        let accept = strike.accept.unwrap_or_else(|| behaviour.accepts_by_default());
        let mut request = GraphRequest::new(head, &parsed);
        if let Some(request) = &mut request {
            request.handshake_problem = subscriptions::handshake(self, request).await;
        }
        let previous = match (&behaviour, &request) {
            (Behaviour::RepeatWamid, Some(request)) => self.last_wamid(request.object_id),
            _ => None,
        };
        let answer = match &behaviour {
            Behaviour::GraphError { .. } | Behaviour::Reply { .. } => {
                let held = if accept { graph::answer(self, request.as_ref(), graph::Taking::Takes).held } else { Vec::new() };
                Answer { held, ..graph::scripted(self, request.as_ref(), &behaviour) }
            }
            _ if head.path == DOWNLOAD_PATH && head.method == "GET" => graph::media::download(self, head, &parsed),
            _ => {
                let taking = if accept { graph::Taking::Takes } else { graph::Taking::OnlyAnswers };
                graph::answer(self, request.as_ref(), taking)
            }
        };
        let mut answer = with_wamid(answer, previous);
        for overtaking in answer.held.drain(..) {
            // An error says that nobody is left who would tell; neither way is there more to wait for.
            let _ = tokio::time::timeout(OVERTAKING_MAX, overtaking).await;
        }
        match behaviour {
            Behaviour::CutJson => answer.body.truncate(answer.body.len() / 2),
            Behaviour::Flood { mib } => {
                let flooded = usize::try_from(mib).unwrap_or(0).saturating_mul(1024 * 1024);
                answer.body.resize(answer.body.len() + flooded, b' ');
            }
            _ => {}
        }
        Planned { answer, behaviour }
    }

    fn strike_body(&self, head: &Head, bytes: &[u8], body: &Body) -> Strike {
        let members = body.object();
        let text = |name: &str| members.and_then(|members| members.get(name)?.as_str());
        let to = text("to").or_else(|| text("recipient"));
        let facts = Facts { to, kind: text("type"), body: bytes, ..head.facts() };
        if let Some(strike) = self.script.strike_at(Stage::Body, &facts, &self.chance) {
            return strike;
        }
        let magic = match to {
            Some(to) if head.method == "POST" => {
                let digits: String = to.chars().filter(char::is_ascii_digit).collect();
                magic::behaviour_for(&digits)
            }
            _ => None,
        };
        Strike { behaviour: magic.unwrap_or(Behaviour::Answer), delay_ms: 0, accept: None }
    }

    /// Remembers the id that a number gave.
    pub(crate) fn gave_wamid(&self, phone_number_id: &str, wamid: &str) {
        let mut last = self.last_wamids.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(phone_number_id) {
            Some(known) => wamid.clone_into(known),
            None => {
                last.insert(phone_number_id.to_owned(), wamid.to_owned());
            }
        }
    }

    fn last_wamid(&self, phone_number_id: &str) -> Option<String> {
        self.last_wamids.lock().unwrap_or_else(PoisonError::into_inner).get(phone_number_id).cloned()
    }
}

impl Answer {
    /// The length that a head promises where it is wrong by so many bytes; never below nothing.
    pub(crate) fn length_wrong_by(&self, by: i32) -> i64 {
        i64::try_from(self.body.len()).unwrap_or(i64::MAX).saturating_add(i64::from(by)).max(0)
    }
}

impl Planned {
    /// What a caller of this method gets to see: HEAD is answered without a body.
    pub(crate) fn seen_by(mut self, method: &str) -> Planned {
        if method == "HEAD" {
            self.answer.body.clear();
        }
        self
    }
}

/// The answer with another message id in it.
fn with_wamid(mut answer: Answer, wamid: Option<String>) -> Answer {
    if let (Some(mine), Some(other)) = (&answer.wamid, wamid)
        && let Ok(text) = String::from_utf8(std::mem::take(&mut answer.body))
    {
        answer.body = text.replace(mine.as_str(), &other).into_bytes();
        answer.wamid = Some(other);
    }
    answer
}
