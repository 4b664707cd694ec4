//! The part of a send that nobody can cancel: from the admission's commit to the outcome's.
//!
//! | what happens | the message | the money | the caller hears |
//! | --- | --- | --- | --- |
//! | the commit fails | none | none | BILL_002 |
//! | the commit took place and its answer got lost | not sent | released | BILL_002 |
//! | the commit takes longer than we may answer in | not sent | released | BILL_002, before |
//! | Meta answers with a wamid | accepted | base captured | 200 |
//! | Meta refuses | refused | released | GW_001 |
//! | no byte left | not sent | released | GW_002 |
//! | anything else | unknown | held | GW_003 |
//! | Meta answers after the caller heard GW_003 | resolved by the late answer | as the answer says | – |
//! | the outcome's commit fails | in flight until it succeeds | held until then | GW_003 |
//! | the work panics | unknown | held | GW_003 |
//! | the process dies | unknown at the next start | held | a cut connection |

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;
use turnpike_domain::ids::{Attempt, MessageId, MessageKey};
use turnpike_domain::ledger::{OutcomeKind, Resolution};
use turnpike_domain::message::NewMessage;
use turnpike_domain::refusal::{NotSentCause, Refusal, UnknownCause};
use turnpike_domain::send::{MessageKind, Mode};
use turnpike_store::ledger::{MoveWallet, WalletMovement};
use turnpike_store::messages::{Admission, Admit, CountsIn, Evidence, Outcome, Resolve};
use turnpike_store::planted::{self, Bug};

use super::checks::ReadySend;
use super::claims::Claim;
use super::identity::Identity;
use super::leash::Leash;
use super::request::{Billing, Reply, Sent, Trace};
use super::stored::{Answer, Content, restore_input};
use crate::Engine;
use crate::caller::Caller;
use crate::directory::App;
use crate::graph::GraphOutcome;
use crate::limits::{KeySlot, NumberSlot, SpendGuard};
use crate::unwritten::What;
use crate::vault::Purpose;

/// Where an owned send stands towards the caller who waits for it.
#[derive(Default)]
struct Progress {
    /// One of the constants below; moves once.
    turn: AtomicU8,
    admitted: OnceLock<MessageId>,
    /// The first answer, until the caller takes it.
    reply: Mutex<Option<Reply>>,
}

/// Nobody decided yet.
const WAITING: u8 = 0;
/// The task sends; the caller may still leave, the send will not.
const SENDING: u8 = 1;
/// The caller was told that nothing was sent; the task must not send.
const TOLD_NO: u8 = 2;

impl Progress {
    fn turn_to(&self, turn: u8) -> bool {
        self.turn.compare_exchange(WAITING, turn, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A send on its way.
struct Job {
    engine: Arc<Engine>,
    app: Arc<App>,
    caller: Caller,
    message: NewMessage,
    endpoint: turnpike_domain::send::MetaEndpoint,
    billing: Billing,
    mode: Mode,
    trace: Trace,
    salt: [u8; 12],
    progress: Arc<Progress>,
    answered: bool,
    taken: Taken,
    /// The message while it is admitted and has no outcome.
    open: Option<MessageKey>,
}

/// How a send was asked for.
pub(super) struct Asked {
    pub mode: Mode,
    pub trace: Trace,
    /// The caller is answered by then, come what may.
    pub answer_by: tokio::time::Instant,
}

/// What a send took of the limits. The slot is a send in flight until it is dropped; day and spend
/// come back by themselves unless the message is admitted.
pub(super) struct Taken {
    pub slot: KeySlot,
    pub number: Option<NumberSlot>,
    pub spend: Option<SpendGuard>,
    /// Its Idempotency-Key, until the store knows it or it is free again.
    pub claim: Option<Claim>,
}

impl Taken {
    fn admitted(&mut self, mode: Mode) {
        self.slot.became_message();
        self.claim = None;
        match self.spend.take() {
            Some(spend) if mode != Mode::Fake => spend.spent(),
            // A fake costs nothing, so what it reserved goes back.
            _ => {}
        }
    }

    /// The days in which the store is to count it, so that the count is the same after a restart:
    /// midnight may come between the limits and the commit.
    fn counts_in(&self) -> Option<CountsIn> {
        let message = self.slot.day()?;
        Some(CountsIn { message, spend: self.spend.as_ref().map_or(message, SpendGuard::day) })
    }

    /// Nothing goes to Meta: its number and this pair are free again.
    fn not_for_meta(&mut self) {
        if let Some(number) = self.number.take() {
            number.give_back();
        }
    }
}

impl Engine {
    /// Carries a ready send and waits for the answer, at most as long as we may.
    pub(super) async fn send_owned(
        self: &Arc<Self>,
        caller: &Caller,
        ready: ReadySend,
        identity: Identity,
        asked: Asked,
        taken: Taken,
    ) -> Reply {
        let Asked { mode, trace, answer_by } = asked;
        let progress = Arc::new(Progress::default());
        let mut salt = [0u8; 12];
        self.entropy.fill(&mut salt);
        let admit = self.admission(caller, &ready, &identity, (mode, salt), &taken);
        let billing = ready.billing(&caller.app);
        let job = Job {
            engine: Arc::clone(self),
            app: Arc::clone(&caller.app),
            caller: caller.clone(),
            endpoint: ready.endpoint,
            message: ready.message,
            billing,
            mode,
            trace,
            salt,
            progress: Arc::clone(&progress),
            answered: false,
            taken,
            open: None,
        };
        let mut leash = Leash::new(job.carry(admit), &self.tasks);
        let answer = poll_fn(|cx| {
            let ended = leash.drive(cx);
            match progress.reply.lock().take() {
                Some(reply) => Poll::Ready(Some(reply)),
                None if ended => Poll::Ready(None),
                None => Poll::Pending,
            }
        });
        match tokio::time::timeout_at(answer_by, answer).await {
            Ok(Some(reply)) => reply,
            Err(_) if progress.turn_to(TOLD_NO) => self.told_no(Refusal::LedgerUnreachable, mode),
            // Or the work ended without an answer, because it met a bug.
            Ok(None) | Err(_) => self.unanswered(&progress, mode),
        }
    }

    fn unanswered(&self, progress: &Progress, mode: Mode) -> Reply {
        let Some(&message) = progress.admitted.get() else { return self.told_no(Refusal::Bug, mode) };
        let refusal = Refusal::OutcomeUnknown { message, cause: None, presumed_not_sent: false };
        self.metrics.refused(&refusal);
        Reply::Refused { refusal, message: Some(message), replayed: false, mode }
    }

    fn told_no(&self, refusal: Refusal, mode: Mode) -> Reply {
        self.metrics.refused(&refusal);
        Reply::refused(refusal, mode)
    }

    fn admission(&self, caller: &Caller, ready: &ReadySend, identity: &Identity, (mode, salt): (Mode, [u8; 12]), taken: &Taken) -> Admit {
        let now = self.clock.now();
        let recipient = ready.message.recipient().map_or("", |recipient| recipient.as_str());
        let keeps_body = caller.app.row.body_retention_days > 0 && !ready.is_authentication;
        let content = Content::encode(recipient, ready.message.callback_data(), keeps_body.then_some(ready.message.body().as_ref()));
        let organization = caller.app.organization.key;
        Admit {
            organization,
            application: caller.key.application,
            api_key: caller.key.key,
            at: now,
            mode,
            kind: ready.message.kind(),
            endpoint: ready.endpoint,
            price: ready.pinned.clone(),
            idempotency: identity.idempotency,
            fingerprint: identity.fingerprint,
            likely_repeat_since: (identity.idempotency.is_none() && !identity.allow_duplicate && mode != Mode::Fake)
                .then(|| now.plus_ms(-i64::try_from(self.settings.likely_repeat.as_millis()).unwrap_or(0))),
            recipient: ready.recipient_hash,
            content: self.vault.seal(Purpose::Content, organization, &salt, &content, &*self.entropy),
            token_salt: salt,
            counts_in: taken.counts_in(),
        }
    }
}

impl Job {
    async fn carry(mut self, admit: Admit) {
        let Some((key, id)) = self.admit(admit).await else { return };
        self.open = Some(key);
        self.taken.admitted(self.mode);
        // A set cell would mean that this job was admitted twice, which `carry` does not do.
        let _ = self.progress.admitted.set(id);
        self.engine.metrics.admitted(self.mode);
        if self.mode == Mode::Fake {
            return self.answer_fake(key, id).await;
        }
        if !self.progress.turn_to(SENDING) {
            self.taken.not_for_meta();
            let outcome = self.outcome(key, OutcomeKind::NotSent, None, &Answer::NotSent(NotSentCause::TooLate), None);
            return self.settle_in_the_end(outcome).await;
        }
        self.forward(key, id).await;
    }

    /// The admission's commit. `None` where there is nothing to send: the caller has its answer.
    async fn admit(&mut self, admit: Admit) -> Option<(MessageKey, MessageId)> {
        let retry = (self.mode == Mode::Sandbox).then(|| admit.clone());
        let mut admission = self.admit_once(admit).await?;
        if let (Admission::InsufficientFunds { .. }, Some(again)) = (&admission, retry) {
            // The play wallet is refilled on demand (contract §5).
            self.refill_play_wallet().await;
            admission = self.admit_once(again).await?;
        }
        if let Admission::New { key, id } = admission {
            return Some((key, id));
        }
        self.taken.not_for_meta();
        if admission.is_repeat() {
            // It takes nothing of the key's windows, like one that step 3 finds (contract §3.2).
            self.taken.slot.give_back_window();
        }
        let refusal = match admission {
            Admission::New { .. } => return None,
            Admission::Replayed { key } => {
                let reply = self.engine.reply_of_key(&self.caller, key).await;
                self.answer(reply);
                return None;
            }
            Admission::InFlight { .. } => Refusal::InFlight,
            Admission::KeyReused => Refusal::KeyReused,
            Admission::LikelyRepeat { id, .. } => {
                self.answer(Reply::Refused {
                    refusal: Refusal::OutcomeUnknown { message: id, cause: None, presumed_not_sent: false },
                    message: Some(id),
                    replayed: true,
                    mode: self.mode,
                });
                return None;
            }
            Admission::InsufficientFunds { available } => self.engine.insufficient(&self.caller, &self.billing, available),
            Admission::NoWallet => Refusal::Bug,
        };
        self.engine.metrics.refused(&refusal);
        self.answer(Reply::refused(refusal, self.mode));
        None
    }

    async fn admit_once(&mut self, admit: Admit) -> Option<Admission> {
        match self.engine.store.admit(vec![admit]).await {
            Ok(mut admissions) => admissions.pop(),
            Err(error) => {
                tracing::error!(error = %error, "admitting a message");
                self.taken.not_for_meta();
                self.engine.metrics.refused(&Refusal::LedgerUnreachable);
                self.answer(Reply::refused(Refusal::LedgerUnreachable, self.mode));
                // Perhaps it was admitted and only the answer got lost.
                self.engine.disown(self.app.organization.key, self.app.row.key, self.salt);
                None
            }
        }
    }

    async fn refill_play_wallet(&self) {
        let now = self.engine.clock.now();
        let refill = MoveWallet {
            id: self.engine.uuid(now),
            organization: self.app.organization.key,
            mode: Mode::Sandbox,
            movement: WalletMovement::TopUp,
            amount: self.engine.settings.sandbox_refill,
            reason: "play money, refilled on demand".to_owned(),
            actor: "gateway".to_owned(),
            at: now,
        };
        if let Err(error) = self.engine.store.move_wallet(refill).await {
            tracing::warn!(error = %error, "refilling a play wallet");
        }
    }

    /// To Meta and back. The outcome is committed before anybody hears of it.
    async fn forward(&mut self, key: MessageKey, id: MessageId) {
        let Some(link) = self.app.link(self.mode).cloned() else {
            self.taken.not_for_meta();
            let no_way = GraphOutcome::NotSent { cause: NotSentCause::NumberPaused, retry_after_ms: None };
            if let Err(unsettled) = self.conclude(key, id, no_way).await {
                self.settle_in_the_end(unsettled).await;
            }
            return;
        };
        let engine = Arc::clone(&self.engine);
        let attempt = Attempt { number: 1, category: self.billing.category, has_callback_data: self.message.callback_data().is_some() };
        let token = engine.cipher.attempt_token(key, attempt, &self.salt);
        let body = Bytes::from(self.message.outgoing(&token));
        let trace = self.trace.clone();
        #[cfg(feature = "planted-bugs")]
        let again = engine.graph.send_message(&link, self.endpoint, body.clone(), &trace);
        let sending = engine.graph.send_message(&link, self.endpoint, body, &trace);
        #[cfg(feature = "planted-bugs")]
        let sending = async {
            match sending.await {
                GraphOutcome::Unknown { cause: UnknownCause::ServerError } if planted::is(Bug::RetryOnServerError) => again.await,
                outcome => outcome,
            }
        };
        let mut sending = std::pin::pin!(sending);
        match tokio::time::timeout(engine.settings.answer_wait, &mut sending).await {
            Ok(outcome) => {
                if let Err(unsettled) = self.conclude(key, id, outcome).await {
                    self.settle_in_the_end(unsettled).await;
                }
            }
            Err(_) => {
                let concluded = self.conclude(key, id, GraphOutcome::Unknown { cause: UnknownCause::Timeout }).await;
                // The socket is kept: a late answer is the best evidence there is.
                let late = sending.await;
                if let Err(unsettled) = concluded {
                    self.settle_in_the_end(unsettled).await;
                }
                engine.learn(&self.app, self.mode, &self.message, &late);
                self.resolve_late(key, late).await;
            }
        }
    }

    /// Commits the outcome and answers the caller.
    ///
    /// # Errors
    /// The outcome, where the store would not take it while the caller waits.
    async fn conclude(&mut self, key: MessageKey, id: MessageId, outcome: GraphOutcome) -> Result<(), Outcome> {
        self.engine.learn(&self.app, self.mode, &self.message, &outcome);
        let retry_after_ms = match &outcome {
            GraphOutcome::NotSent { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        };
        let (kind, code, answer, wamid) = match outcome {
            GraphOutcome::Accepted { wamid, body } => {
                let recipient = self.message.recipient().map_or("", |recipient| recipient.as_str());
                (OutcomeKind::Accepted, None, Answer::Accepted(restore_input(body, recipient)), Some(wamid))
            }
            GraphOutcome::Refused { refusal, .. } => {
                let kind = if refusal.retryable { OutcomeKind::RefusedRetryable } else { OutcomeKind::Refused };
                (kind, Some(refusal.code), Answer::Refused(Box::new(refusal)), None)
            }
            GraphOutcome::NotSent { cause, .. } => (OutcomeKind::NotSent, None, Answer::NotSent(cause), None),
            GraphOutcome::Unknown { cause: UnknownCause::Timeout } if planted::is(Bug::ReleaseOnTimeout) => {
                (OutcomeKind::NotSent, None, Answer::NotSent(NotSentCause::Connect), None)
            }
            GraphOutcome::Unknown { cause } => (OutcomeKind::Unknown, None, Answer::Unknown(cause), None),
        };
        let outcome = self.outcome(key, kind, code, &answer, wamid.as_deref());
        if !self.settle(&outcome).await {
            // Meta may have it, our store does not say so yet: the money stays held, and the
            // caller hears what is true (reliability §c1, step 9).
            let reply = self.refuse(id, Refusal::OutcomeUnknown { message: id, cause: None, presumed_not_sent: false });
            self.answer(reply);
            return Err(outcome);
        }
        let reply = match answer {
            Answer::Accepted(data) => {
                Reply::Sent(Sent { message: id, data, billing: self.billing.clone(), mode: self.mode, replayed: false })
            }
            Answer::Refused(refusal) => self.refuse(id, Refusal::MetaRefused(refusal)),
            Answer::NotSent(cause) => self.refuse(id, Refusal::NotSent { cause, retry_after_ms }),
            Answer::Unknown(cause) => {
                self.refuse(id, Refusal::OutcomeUnknown { message: id, cause: Some(cause), presumed_not_sent: false })
            }
            // Only intake makes these.
            Answer::Reported(_) => self.refuse(id, Refusal::OutcomeUnknown { message: id, cause: None, presumed_not_sent: false }),
        };
        self.answer(reply);
        Ok(())
    }

    fn refuse(&self, id: MessageId, refusal: Refusal) -> Reply {
        self.engine.metrics.refused(&refusal);
        Reply::Refused { refusal, message: Some(id), replayed: false, mode: self.mode }
    }

    async fn answer_fake(&mut self, key: MessageKey, id: MessageId) {
        let wamid = self.engine.fake_wamid();
        let recipient = self.message.recipient().map_or("", |recipient| recipient.as_str());
        let data = Bytes::from(fake_answer(recipient, &wamid, self.message.kind()));
        let outcome = self.outcome(key, OutcomeKind::Accepted, None, &Answer::Accepted(data.clone()), Some(&wamid));
        if self.settle(&outcome).await {
            self.answer(Reply::Sent(Sent { message: id, data, billing: self.billing.clone(), mode: Mode::Fake, replayed: false }));
        } else {
            self.answer(Reply::refused(Refusal::LedgerUnreachable, Mode::Fake));
            self.settle_in_the_end(outcome).await;
        }
    }

    fn outcome(&self, key: MessageKey, kind: OutcomeKind, code: Option<i64>, answer: &Answer, wamid: Option<&str>) -> Outcome {
        let organization = self.app.organization.key;
        Outcome {
            organization,
            message: key,
            at: self.engine.clock.now(),
            kind,
            meta_code: code,
            wamid: wamid.map(|wamid| self.engine.wamid_hash(wamid)),
            answer: self.engine.vault.seal(Purpose::Answer, organization, &key.0.to_be_bytes(), &answer.encode(), &*self.engine.entropy),
        }
    }

    /// The outcome's commit, tried while the caller waits for it. False where it never took.
    async fn settle(&mut self, outcome: &Outcome) -> bool {
        if planted::is(Bug::OutcomeNotKept) {
            return true;
        }
        let mut wait = FIRST_SETTLE_RETRY;
        for _ in 0..SETTLE_TRIES {
            if self.settle_once(outcome).await {
                return true;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        false
    }

    /// What nobody waits for any more is tried until the store takes it or the gateway stops: what
    /// Meta said must not be forgotten while we still know it.
    async fn settle_in_the_end(&mut self, outcome: Outcome) {
        match self.engine.insist(What::Outcome, outcome.message, || self.engine.store.settle(vec![outcome.clone()])).await {
            Some(_) => self.open = None,
            None => tracing::error!("a message's outcome was not stored before the stop; the next start finds it unknown"),
        }
    }

    async fn settle_once(&mut self, outcome: &Outcome) -> bool {
        match self.engine.store.settle(vec![outcome.clone()]).await {
            Ok(_) => {
                self.open = None;
                true
            }
            Err(error) => {
                let id = self.progress.admitted.get().map(tracing::field::display);
                tracing::error!(error = %error, message.id = id, outcome = ?outcome.kind, "settling a message; its money stays held");
                false
            }
        }
    }

    async fn resolve_late(&self, key: MessageKey, late: GraphOutcome) {
        let (resolution, answer, wamid) = match late {
            GraphOutcome::Accepted { wamid, body } => {
                let recipient = self.message.recipient().map_or("", |recipient| recipient.as_str());
                (Resolution::Accepted, Answer::Accepted(restore_input(body, recipient)), Some(wamid))
            }
            GraphOutcome::Refused { refusal, .. } => (Resolution::Refused, Answer::Refused(Box::new(refusal)), None),
            GraphOutcome::NotSent { cause, .. } => (Resolution::PresumedNotSent, Answer::NotSent(cause), None),
            GraphOutcome::Unknown { .. } => return,
        };
        let organization = self.app.organization.key;
        let resolve = Resolve {
            organization,
            message: key,
            at: self.engine.clock.now(),
            resolution,
            evidence: Evidence::LateAnswer,
            reason: "Meta answered after the caller had been told that the outcome is unknown".to_owned(),
            wamid: wamid.as_deref().map(|wamid| self.engine.wamid_hash(wamid)),
            answer: self.engine.vault.seal(Purpose::Answer, organization, &key.0.to_be_bytes(), &answer.encode(), &*self.engine.entropy),
        };
        // Where the stop comes first it stays unknown, and a status or an operator decides it.
        let _ = self.engine.insist(What::Resolution, key, || self.engine.store.resolve(vec![resolve.clone()])).await;
    }

    fn answer(&mut self, reply: Reply) {
        // Whoever hears the answer may come again with the same key at once.
        self.taken.claim = None;
        // The caller may have hung up; the message went its way all the same.
        if !std::mem::replace(&mut self.answered, true) {
            *self.progress.reply.lock() = Some(reply);
        }
    }
}

impl Drop for Job {
    /// A bug between the two commits must not leave a message in flight until the next start:
    /// whether Meta has it is unknown, so that is its outcome.
    fn drop(&mut self) {
        let Some(key) = self.open.filter(|_| std::thread::panicking()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let outcome = self.outcome(key, OutcomeKind::Unknown, None, &Answer::Unknown(UnknownCause::Crash), None);
        let engine = Arc::clone(&self.engine);
        let settling = engine.tasks.track_future({
            let engine = Arc::clone(&engine);
            async move {
                // Where the stop comes first, the next start finds it unknown.
                let _ = engine.insist(What::Outcome, key, || engine.store.settle(vec![outcome.clone()])).await;
            }
        });
        runtime.spawn(settling);
    }
}

/// The first wait before an outcome's commit is tried again; it doubles.
const FIRST_SETTLE_RETRY: std::time::Duration = std::time::Duration::from_millis(20);
/// With doubling waits from 20 ms: about 2.5 s in all, far inside the caller's 25 s.
const SETTLE_TRIES: u32 = 7;

/// What `is_fake` answers: Meta's shape, the caller's own number.
fn fake_answer(recipient: &str, wamid: &str, kind: MessageKind) -> String {
    let status = if kind == MessageKind::Template { ",\"message_status\":\"accepted\"" } else { "" };
    format!(
        "{{\"messaging_product\":\"whatsapp\",\"contacts\":[{{\"input\":\"{recipient}\",\"wa_id\":\"{recipient}\"}}],\"messages\":[{{\"id\":\"{wamid}\"{status}}}]}}"
    )
}
