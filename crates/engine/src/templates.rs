//! Template definitions as Meta last gave them, and the check of a message against them. What else
//! of an account is asked for with them stands beside (`zones`).
//!
//! A definition is read at start, on demand, every six hours, and when Meta says that a template is
//! not what we think. We refuse only by a copy read within the last 30 s: an older one is refetched
//! first, at most once a second per WABA and for at most two seconds, and where Meta cannot be
//! asked, Meta decides (contract §3.2).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;
use turnpike_domain::message::TemplateUse;
use turnpike_domain::refusal::MetaRefusal;
use turnpike_domain::send::{Category, Mode};
use turnpike_domain::template::{self, TemplateDefinition, TemplateMismatch};
use turnpike_domain::time::UnixMs;
use turnpike_store::templates::{SyncedTemplates, TemplateRow};

use crate::Engine;
use crate::directory::App;
use crate::graph::{GraphFailure, Link, Trace};

/// What the check of a template can say.
pub(crate) enum TemplateVerdict {
    /// It fits, and this is its category, where Meta gave one.
    Fits(Option<Category>),
    /// Nothing certain is known; Meta decides. The category is that of a copy too old to refuse by,
    /// where there is one: the price goes by it (contract §6).
    Unknown(Option<Category>),
    /// It does not fit, by a copy that is fresh enough to say so.
    Refused(Box<MetaRefusal>),
}

/// At most one refetch of a WABA in this span (contract §3.2).
const REFETCH_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// A send waits at most this long for a refetch (contract §3.2).
const REFETCH_WAIT: Duration = Duration::from_secs(2);
/// One page of templates must come within this; a WABA has up to 6,000 of them.
pub(crate) const SYNC_DEADLINE: Duration = Duration::from_secs(30);
/// Definitions are read anew this often though nobody asks (management-api, Templates).
pub const SYNC_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Everything known of every WABA.
#[derive(Default)]
pub struct TemplateBook {
    wabas: ArcSwap<HashMap<String, Arc<Waba>>>,
    refetches: Mutex<HashMap<String, Refetch>>,
}

/// When a WABA was last asked for.
struct Refetch {
    begun: Instant,
    /// Closed once the answer is in, or will not come.
    done: Answered,
}

/// Ends when a refetch has.
type Answered = tokio::sync::watch::Receiver<()>;

/// What is to be done about a copy that is too old.
enum Turn {
    /// Ask, and drop the sender when done.
    Ask(tokio::sync::watch::Sender<()>, Answered),
    /// Somebody asks right now: wait for that answer instead of asking again.
    Wait(Answered),
    /// The answer came less than a second ago.
    Enough,
}

/// The templates of one WABA, as of one moment.
pub struct Waba {
    /// Our clock's time of it; for people.
    pub synced_at: UnixMs,
    /// The same moment in monotonic time, where this process read it; a copy from an earlier
    /// process is never fresh.
    fresh_since: Option<Instant>,
    definitions: HashMap<(String, String), TemplateDefinition>,
    /// Meta's JSON, for lists.
    pub rows: Vec<TemplateRow>,
}

/// A template's name and language, to look it up by without copying either.
#[derive(Hash)]
struct Named<'a>(&'a str, &'a str);

impl hashbrown::Equivalent<(String, String)> for Named<'_> {
    fn equivalent(&self, (name, language): &(String, String)) -> bool {
        self.0 == name && self.1 == language
    }
}

impl Waba {
    fn of_rows(synced: SyncedTemplates, fresh_since: Option<Instant>) -> Waba {
        let mut definitions = HashMap::with_capacity(synced.templates.len());
        for row in &synced.templates {
            match TemplateDefinition::parse(&row.definition) {
                Ok(definition) => {
                    definitions.insert((row.name.clone(), row.language.clone()), definition);
                }
                // An item that we cannot read is one that we do not check.
                Err(fault) => {
                    tracing::warn!(waba.id = %row.waba_id, template.name = %row.name, fault = %fault, "reading a template definition")
                }
            }
        }
        Waba { synced_at: synced.synced_at, fresh_since, definitions, rows: synced.templates }
    }

    fn check(&self, used: &TemplateUse) -> Result<Option<Category>, TemplateMismatch> {
        let Some(definition) = self.definitions.get(&Named(&used.name, &used.language)) else {
            if self.rows.iter().any(|row| row.name == used.name && row.language == used.language) {
                return Ok(None);
            }
            return Err(TemplateMismatch::unknown_template(&used.name, &used.language, &self.languages_of(&used.name)));
        };
        template::check(definition, used)?;
        Ok(definition.category)
    }

    fn category_of(&self, used: &TemplateUse) -> Option<Category> {
        self.definitions.get(&Named(&used.name, &used.language))?.category
    }

    fn languages_of(&self, name: &str) -> Vec<&str> {
        self.rows.iter().filter(|row| row.name == name).map(|row| row.language.as_str()).collect()
    }
}

impl TemplateBook {
    /// What is known of a WABA.
    #[must_use]
    pub fn waba(&self, id: &str) -> Option<Arc<Waba>> {
        self.wabas.load().get(id).cloned()
    }

    /// Takes what the store remembers: known, but not fresh.
    pub fn load(&self, all: Vec<SyncedTemplates>) {
        let wabas = all.into_iter().map(|synced| (synced.waba_id.clone(), Arc::new(Waba::of_rows(synced, None)))).collect();
        self.wabas.store(Arc::new(wabas));
    }

    fn put(&self, synced: SyncedTemplates) {
        let id = synced.waba_id.clone();
        let waba = Arc::new(Waba::of_rows(synced, Some(Instant::now())));
        self.wabas.rcu(|wabas| {
            let mut wabas = HashMap::clone(wabas);
            wabas.insert(id.clone(), Arc::clone(&waba));
            wabas
        });
    }

    /// Whose turn it is to ask Meta for a WABA: one at a time, however slow Meta is, and at most
    /// one a second.
    fn turn(&self, id: &str) -> Turn {
        let mut refetches = self.refetches.lock();
        if let Some(last) = refetches.get(id) {
            // A closed channel is an answer.
            if last.done.has_changed().is_ok() {
                return Turn::Wait(last.done.clone());
            }
            if last.begun.elapsed() < REFETCH_AT_MOST_EVERY {
                return Turn::Enough;
            }
        }
        let (asking, done) = tokio::sync::watch::channel(());
        refetches.insert(id.to_owned(), Refetch { begun: Instant::now(), done: done.clone() });
        Turn::Ask(asking, done)
    }
}

impl Engine {
    /// Whether a template message fits its synced definition. `may_be` says no to categories that
    /// the caller will refuse: then, too, an old copy is refetched before its word is taken.
    pub(crate) async fn template_verdict(
        self: &Arc<Self>,
        app: &Arc<App>,
        mode: Mode,
        used: &TemplateUse,
        may_be: impl Fn(Category) -> bool,
    ) -> TemplateVerdict {
        // A fake of a draft has no WABA, and a sandbox none but the simulator's.
        let Some(waba_id) = app.waba(mode) else { return TemplateVerdict::Unknown(None) };
        let known = self.templates.waba(&waba_id);
        if let Some(Ok(category)) = known.as_ref().map(|waba| waba.check(used))
            && category.is_none_or(&may_be)
        {
            return TemplateVerdict::Fits(category);
        }
        if !self.is_fresh(known.as_deref()) {
            self.refetch_templates(app, mode, &waba_id).await;
        }
        let Some(waba) = self.templates.waba(&waba_id) else { return TemplateVerdict::Unknown(None) };
        let is_fresh = self.is_fresh(Some(&waba));
        match waba.check(used) {
            Ok(category) if is_fresh || category.is_none_or(&may_be) => TemplateVerdict::Fits(category),
            Err(mismatch) if is_fresh => TemplateVerdict::Refused(Box::new(mismatch.into_refusal())),
            Ok(_) | Err(_) => TemplateVerdict::Unknown(waba.category_of(used)),
        }
    }

    fn is_fresh(&self, waba: Option<&Waba>) -> bool {
        waba.and_then(|waba| waba.fresh_since).is_some_and(|since| since.elapsed() < self.settings.template_trust)
    }

    /// Asks Meta, unless somebody just did; waits for the answer at most two seconds.
    async fn refetch_templates(self: &Arc<Self>, app: &Arc<App>, mode: Mode, waba_id: &str) {
        let Some(mut answered) = self.refetch(app, mode, waba_id) else { return };
        // Too slow, or it failed: Meta decides.
        let _ = tokio::time::timeout(REFETCH_WAIT, answered.changed()).await;
    }

    /// Begins to ask Meta, or joins who does; `None` where there is nothing to wait for.
    pub(crate) fn refetch(self: &Arc<Self>, app: &App, mode: Mode, waba_id: &str) -> Option<Answered> {
        let link = self.template_link(app, mode).ok()?;
        let (asking, answered) = match self.templates.turn(waba_id) {
            Turn::Ask(asking, answered) => (asking, answered),
            Turn::Wait(answered) => return Some(answered),
            Turn::Enough => return None,
        };
        let (engine, waba_id) = (Arc::clone(self), waba_id.to_owned());
        // In a task of its own: a caller who hangs up must not throw away what others wait for.
        self.tasks.spawn(async move {
            let _asking = asking;
            if let Some(Err(failure)) = engine.stopping().run_until_cancelled(engine.sync_waba(&link, &waba_id)).await {
                tracing::warn!(waba.id = %waba_id, failure = %failure, "syncing templates");
            }
        });
        Some(answered)
    }

    fn template_link(&self, app: &App, mode: Mode) -> Result<Arc<Link>, NoWay> {
        let mode = if mode == Mode::Fake { Mode::Live } else { mode };
        app.link(mode).cloned().ok_or(NoWay)
    }

    async fn sync_waba(&self, link: &Link, waba_id: &str) -> Result<usize, GraphFailure> {
        let items = self.graph.message_templates(link, waba_id, Some(SYNC_DEADLINE), &Trace::default()).await?;
        let templates: Vec<TemplateRow> = items.iter().filter_map(|item| row_of(waba_id, item.get())).collect();
        let synced = SyncedTemplates { waba_id: waba_id.to_owned(), synced_at: self.clock.now(), templates };
        let count = synced.templates.len();
        self.templates.put(synced.clone());
        if let Err(error) = self.store.replace_templates(synced).await {
            tracing::warn!(error = %error, "remembering templates; they are read again at the next start");
        }
        Ok(count)
    }

    /// Reads an application's templates from Meta now, and its account's time zone with them; of
    /// the zone a failure is logged only.
    ///
    /// # Errors
    /// In words: why they could not be read.
    pub async fn sync_templates(self: &Arc<Self>, app: &App, mode: Mode) -> Result<usize, String> {
        let waba_id = app.waba(mode).ok_or("the application has no WhatsApp Business Account yet; connect it first")?;
        let link = self.template_link(app, mode).map_err(|NoWay| "the application has no usable token; set one first".to_owned())?;
        let zone = async {
            // The simulator's accounts are nobody's: play money goes by the zone of the real one.
            if mode == Mode::Live {
                self.sync_zone(&link, &waba_id).await;
            }
        };
        let (templates, ()) = tokio::join!(self.sync_waba(&link, &waba_id), zone);
        templates.map_err(|failure| failure.to_string())
    }

    /// Reads every application's templates, a WABA once; failures are logged and leave what is known.
    pub(crate) async fn sync_all_templates(self: &Arc<Self>) {
        let mut done: Vec<String> = Vec::new();
        for app in self.directory.snapshot().applications.values() {
            for mode in [Mode::Live, Mode::Sandbox] {
                let (Some(waba_id), Ok(_)) = (app.waba(mode), self.template_link(app, mode)) else { continue };
                if done.contains(&waba_id) {
                    continue;
                }
                if let Err(failure) = self.sync_templates(app, mode).await {
                    tracing::warn!(waba.id = %waba_id, failure = %failure, "syncing templates; the last known ones stay");
                }
                done.push(waba_id);
            }
        }
    }
}

/// No token opens the way to this WABA.
struct NoWay;

fn row_of(waba_id: &str, json: &str) -> Option<TemplateRow> {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
        language: String,
    }
    let named: Named = serde_json::from_str(json).ok()?;
    Some(TemplateRow { waba_id: waba_id.to_owned(), name: named.name, language: named.language, definition: json.to_owned() })
}
