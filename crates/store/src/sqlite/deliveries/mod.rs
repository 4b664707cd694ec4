//! Deliveries on SQLite.
//!
//! One process owns the file, so who holds a delivery is known in memory ([`claims`]): a claim costs
//! no write, and after a start everything that waits can be claimed again. Finishing is a job of the
//! writer's, many to a commit.

mod claims;
mod finish;
mod fresh;
mod list;
mod overflow;
mod replay;
mod waiting;

use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

pub(super) use self::claims::Claims;
use super::SqliteStore;
use super::events::event_key;
use super::writer::Job;
use crate::Answer;
use crate::deliveries::{
    Backlog, BacklogBounds, Deliveries, DeliveryFilter, DeliveryKey, DeliveryPage, DeliveryRecord, Due, Finish, Finished, GivenUp, Lane,
    NextDue, Overflow, Stalled,
};
use crate::endpoints::EndpointId;

/// Slots of a delivery's key ([`crate::endpoints::ENDPOINTS_MAX`]).
const SLOTS: i64 = 16;

impl Deliveries for SqliteStore {
    fn backlogs(&self, organization: Option<OrganizationId>) -> Answer<'_, Vec<Backlog>> {
        Box::pin(self.read(move |snapshot| waiting::backlogs(snapshot, organization)))
    }

    fn next_due(&self) -> Answer<'_, Vec<NextDue>> {
        Box::pin(self.read(waiting::next_due))
    }

    fn next_retry(&self, endpoint: EndpointId, after: UnixMs) -> Answer<'_, Option<UnixMs>> {
        Box::pin(self.read(move |snapshot| waiting::next_retry(snapshot, endpoint, after)))
    }

    fn stalled(&self, endpoint: EndpointId, since: UnixMs) -> Answer<'_, Vec<Stalled>> {
        Box::pin(self.read(move |snapshot| waiting::stalled(snapshot, endpoint, since)))
    }

    fn trim_backlog(&self, organization: OrganizationId, bounds: BacklogBounds, at: UnixMs) -> Answer<'_, GivenUp> {
        Box::pin(self.trim(organization, bounds, at))
    }

    fn overflows(&self, organization: Option<OrganizationId>) -> Answer<'_, Vec<Overflow>> {
        Box::pin(self.read(move |snapshot| overflow::list(snapshot, organization)))
    }

    fn claim(&self, endpoint: EndpointId, lane: Lane, now: UnixMs, lease_until: UnixMs, limit: u32) -> Answer<'_, Vec<Due>> {
        Box::pin(async move {
            if lane == Lane::First
                && let Some(found) = self.claims.recorded_since(endpoint, now, lease_until, limit)
            {
                return Ok(found);
            }
            let mut looking = self.claims.look(endpoint, lane, now);
            let (cipher, held) = (self.cipher.clone(), looking.held());
            let found = self.read(move |snapshot| claims::waiting(snapshot, &cipher, endpoint, lane, now, limit, &held)).await?;
            if !found.broken.is_empty() {
                // Dead letters are kept, shown, and replayed once their rows are mended.
                let batch = found.broken.into_iter().map(|key| claims::unreadable(endpoint, key, now)).collect();
                self.ask(|caller| Job::Finish(batch, caller)).await?;
            }
            Ok(looking.take(found.due, found.is_all, lease_until))
        })
    }

    fn finish(&self, batch: Vec<Finished>) -> Answer<'_, ()> {
        Box::pin(async move {
            let done: Vec<(EndpointId, DeliveryKey, Finish)> =
                batch.iter().map(|finished| (finished.endpoint, finished.key, finished.finish)).collect();
            self.ask(|caller| Job::Finish(batch, caller)).await?;
            // Only now: before the commit another claim would find it waiting as before.
            self.claims.release(&done);
            Ok(())
        })
    }

    fn deliveries(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        filter: DeliveryFilter,
        before: Option<DeliveryKey>,
        limit: u32,
    ) -> Answer<'_, DeliveryPage> {
        Box::pin(self.list_deliveries(list::Page { organization, application, filter }, before, limit))
    }

    fn delivery(&self, organization: OrganizationId, event: Uuid, endpoint: EndpointId) -> Answer<'_, Option<DeliveryRecord>> {
        let cipher = self.cipher.clone();
        Box::pin(self.read(move |snapshot| list::one(snapshot, &cipher, organization, event, endpoint)))
    }

    fn replay(&self, organization: OrganizationId, event: Uuid, endpoint: EndpointId, now: UnixMs) -> Answer<'_, bool> {
        Box::pin(async move {
            let Some(key) = event_key(&self.cipher, event) else { return Ok(false) };
            let cipher = self.cipher.clone();
            self.control(move |connection| replay::one(connection, &cipher, organization, (event, key), endpoint, now)).await
        })
    }

    fn replay_range(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        filter: DeliveryFilter,
        now: UnixMs,
    ) -> Answer<'_, u64> {
        Box::pin(self.replay_a_range(list::Page { organization, application, filter }, now))
    }

    fn drop_backlog(&self, organization: OrganizationId, endpoint: EndpointId) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut dropped = 0;
            let mut to = None;
            loop {
                let slice = self.control(move |connection| replay::drop_a_slice(connection, organization, endpoint, to)).await?;
                dropped += slice.dropped;
                to = Some(slice.to);
                if slice.is_last {
                    return Ok(dropped);
                }
            }
        })
    }
}
