//! The seam's messages and ledger on SQLite: what goes to the writer, what goes to a reader.

use turnpike_domain::ids::{ApplicationId, MessageId, MessageKey, OrganizationId};
use turnpike_domain::ledger::Balance;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};

use super::messages::{self as stored, Forgotten, Page, Question};
use super::writer::Job;
use super::{SqliteStore, events, statement, verify, wallets};
use crate::ledger::{Ledger, LegMoved, MoveLeg, MoveWallet, StatementPage, StatementQuery, Verification, Wallet, WalletMoved};
use crate::messages::{
    Admission, Admit, DayUsage, Hash16, MessageFilter, MessageRecord, Messages, Outcome, Recalled, RecentSend, Resolve, Settled,
};
use crate::{Answer, StoreError};

impl Messages for SqliteStore {
    fn admit(&self, batch: Vec<Admit>) -> Answer<'_, Vec<Admission>> {
        Box::pin(async move {
            if batch.iter().any(|new| new.price.base.is_negative() || new.price.meta.is_negative()) {
                return Err(StoreError::unavailable("a price below zero was not admitted"));
            }
            self.ask(|caller| Job::Admit(batch, caller)).await
        })
    }

    fn settle(&self, batch: Vec<Outcome>) -> Answer<'_, Vec<Settled>> {
        Box::pin(self.ask(|caller| Job::Settle(batch, caller)))
    }

    fn resolve(&self, batch: Vec<Resolve>) -> Answer<'_, Vec<Settled>> {
        Box::pin(self.ask_each(batch, Job::Resolve, |fault| Settled::Broken { fault }))
    }

    fn may_know(&self, idempotency: &Hash16) -> bool {
        self.idempotency.may_know(idempotency)
    }

    fn recall(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        idempotency: Hash16,
        fingerprint: Option<Hash16>,
        now: UnixMs,
    ) -> Answer<'_, Recalled> {
        let question = Question { organization, application, idempotency, fingerprint, now };
        let (index, cipher) = (self.idempotency.clone(), self.cipher.clone());
        Box::pin(self.read(move |snapshot| stored::recall(snapshot, &index, &cipher, &question)))
    }

    fn message(&self, organization: OrganizationId, key: MessageKey) -> Answer<'_, Option<MessageRecord>> {
        let cipher = self.cipher.clone();
        Box::pin(self.read(move |snapshot| stored::one(snapshot, &cipher, organization, key)))
    }

    fn message_by_id(&self, organization: OrganizationId, id: MessageId) -> Answer<'_, Option<MessageRecord>> {
        Box::pin(async move {
            // The cipher hides and does not authenticate: the row's own id decides.
            let Some(key) = self.cipher.open_message_id(id) else { return Ok(None) };
            Ok(self.message(organization, key).await?.filter(|message| message.id == id))
        })
    }

    fn messages_by_wamid(&self, organization: OrganizationId, wamid: Hash16) -> Answer<'_, Vec<MessageRecord>> {
        let (index, cipher) = (self.wamids.clone(), self.cipher.clone());
        Box::pin(self.read(move |snapshot| stored::by_wamid(snapshot, &index, &cipher, organization, wamid)))
    }

    fn list_messages(
        &self,
        organization: OrganizationId,
        application: Option<ApplicationId>,
        filter: MessageFilter,
        before: Option<MessageKey>,
        limit: u32,
    ) -> Answer<'_, Vec<MessageRecord>> {
        let page = Page { organization, application, filter, before, limit };
        let cipher = self.cipher.clone();
        Box::pin(self.read(move |snapshot| stored::page(snapshot, &cipher, &page)))
    }

    fn recent_sends(&self, since: UnixMs) -> Answer<'_, Vec<RecentSend>> {
        Box::pin(self.read(move |snapshot| stored::recent(snapshot, since)))
    }

    fn day_usage(&self, day: UtcDay) -> Answer<'_, Vec<DayUsage>> {
        Box::pin(self.read(move |snapshot| stored::usage(snapshot, day)))
    }

    fn forget_before(&self, contents: UtcDay, answers: UtcDay) -> Answer<'_, u32> {
        Box::pin(async move {
            let mut tables = 0;
            loop {
                match self.ask(|caller| Job::Forget(contents, answers, caller)).await? {
                    Forgotten::Slice => {}
                    Forgotten::Table => tables += 1,
                    Forgotten::Nothing => return Ok(tables),
                }
            }
        })
    }
}

impl Ledger for SqliteStore {
    fn move_wallet(&self, movement: MoveWallet) -> Answer<'_, WalletMoved> {
        Box::pin(self.ask(|caller| Job::MoveWallet(movement, caller)))
    }

    fn move_legs(&self, batch: Vec<MoveLeg>) -> Answer<'_, Vec<LegMoved>> {
        Box::pin(self.ask_each(batch, Job::MoveLegs, |fault| LegMoved::Broken { fault }))
    }

    fn wallets(&self, organization: OrganizationId) -> Answer<'_, Vec<Wallet>> {
        Box::pin(self.read(move |snapshot| wallets::of(snapshot, organization)))
    }

    fn balance(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Balance>> {
        let mode = if mode == Mode::Fake { Mode::Live } else { mode };
        Box::pin(self.ask(move |caller| Job::Balance(organization, mode, caller)))
    }

    fn statement(&self, query: StatementQuery) -> Answer<'_, StatementPage> {
        let cipher = self.cipher.clone();
        Box::pin(self.read(move |snapshot| statement::page(snapshot, &cipher, &query)))
    }

    fn set_wallet_alert(&self, organization: OrganizationId, mode: Mode, below: Option<Micros>) -> Answer<'_, bool> {
        events::set_wallet_alert(self, organization, mode, below)
    }

    fn wallet_alert(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Micros>> {
        events::wallet_alert(self, organization, mode)
    }

    fn verify(&self) -> Answer<'_, Verification> {
        Box::pin(self.read(verify::verify))
    }
}
