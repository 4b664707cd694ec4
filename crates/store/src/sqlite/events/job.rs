//! What the writer is asked to do for events.

use turnpike_domain::ids::OrganizationId;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;

use super::erase::Erasure;
use super::forget::Before;
use super::notices;
use crate::events::{Intake, Recorded};
use crate::sqlite::SqliteStore;
use crate::sqlite::failure::Failure;
use crate::sqlite::memory::WalletKey;
use crate::sqlite::messages::Forgotten;
use crate::sqlite::reply::{Caller, Withheld};
use crate::sqlite::writer::{Job, Writer};
use crate::{Answer, StoreError};

/// A job of the writer's.
pub(in crate::sqlite) enum EventsJob {
    /// See [`crate::events::Events::record`].
    Record(Box<Intake>, Caller<Vec<Recorded>>),
    /// See [`crate::ledger::Ledger::set_wallet_alert`].
    SetAlert(WalletKey, Option<Micros>, Caller<bool>),
    /// One slice of [`crate::events::Events::forget_events_before`].
    Forget(Before, Caller<Forgotten>),
    /// One slice of [`crate::events::Events::erase_user`].
    Erase(Box<Erasure>, Caller<u64>),
}

impl EventsJob {
    /// How many events or commands it carries.
    pub(in crate::sqlite) fn weight(&self) -> usize {
        match self {
            EventsJob::Record(intake, _) => intake.events.len().max(1),
            EventsJob::SetAlert(..) | EventsJob::Forget(..) | EventsJob::Erase(..) => 1,
        }
    }

    /// Tells the caller that nothing was done.
    pub(in crate::sqlite) fn refuse(self, error: StoreError) {
        match self {
            EventsJob::Record(_, caller) => caller.refuse(error),
            EventsJob::SetAlert(_, _, caller) => caller.refuse(error),
            EventsJob::Forget(_, caller) => caller.refuse(error),
            EventsJob::Erase(_, caller) => caller.refuse(error),
        }
    }
}

impl Writer<'_> {
    /// Does it, in the open commit.
    pub(in crate::sqlite) fn run_events(&mut self, job: EventsJob) -> Result<Withheld, Failure> {
        Ok(match job {
            EventsJob::Record(intake, caller) => caller.withheld(self.record(*intake))?,
            EventsJob::SetAlert(wallet, below, caller) => caller.withheld(self.set_alert(wallet, below))?,
            EventsJob::Forget(before, caller) => caller.withheld(self.forget_events_slice(before))?,
            EventsJob::Erase(erasure, caller) => caller.withheld(self.erase_slice(&erasure))?,
        })
    }
}

/// Below what available an organization wants to be told.
pub(in crate::sqlite) fn set_wallet_alert(
    store: &SqliteStore,
    organization: OrganizationId,
    mode: Mode,
    below: Option<Micros>,
) -> Answer<'_, bool> {
    Box::pin(async move {
        // A fake has no wallet.
        if mode == Mode::Fake {
            return Ok(false);
        }
        store.ask(|caller| Job::Events(EventsJob::SetAlert((organization, mode), below, caller))).await
    })
}

/// See [`crate::ledger::Ledger::wallet_alert`].
pub(in crate::sqlite) fn wallet_alert(store: &SqliteStore, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Micros>> {
    Box::pin(store.read(move |snapshot| notices::alert(snapshot, (organization, mode))))
}
