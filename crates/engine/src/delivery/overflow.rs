//! Which backlogs are too long or too old: their oldest become dead letters (reliability §c4).
//!
//! An endpoint that is off, or answers nothing, keeps its events waiting, and all organizations share
//! one disk. So what waits has an end, in number and in age; what is given up can be sent again like
//! any dead letter, its owner is told, and nobody else's is touched.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::time::UnixMs;
use turnpike_store::StoreError;
use turnpike_store::deliveries::{BacklogBounds, GivenUp};

use crate::Engine;
use crate::shelter::or_unavailable;

/// After a start age ends nothing for so long: what waited because the gateway was down is tried first.
const TRIED_FIRST: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Begins to measure backlogs.
    pub(crate) fn run_backlogs(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let begun_at = engine.clock.now();
            let every = engine.settings.delivery.backlog_looked_at_every;
            loop {
                // It may be cut short: each of its steps is a commit of its own.
                match engine.stopping().run_until_cancelled(or_unavailable("measuring backlogs", engine.trim_backlogs(begun_at))).await {
                    Some(Err(error)) => tracing::warn!(error = %error, "measuring backlogs; it is tried again"),
                    Some(Ok(())) => {}
                    None => return,
                }
                if engine.stopping().run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
                    return;
                }
            }
        });
    }

    async fn trim_backlogs(&self, begun_at: UnixMs) -> Result<(), StoreError> {
        let settings = &self.settings.delivery;
        let now = self.clock.now();
        let age_counts = now >= begun_at.plus_ms(ms(settings.backlog_age_max.min(TRIED_FIRST)));
        let bounds = BacklogBounds {
            most: settings.backlog_max,
            due_after: if age_counts { now.plus_ms(-ms(settings.backlog_age_max)) } else { UnixMs(0) },
            told_before: now.plus_ms(-ms(settings.backlog_told_every)),
        };
        let backlogs = self.store.backlogs(None).await?;
        let (first, retries) = backlogs.iter().fold((0, 0), |(first, retries), waiting| (first + waiting.first, retries + waiting.retries));
        self.delivery.metrics.waits(first, retries);
        let mut waiting: HashMap<OrganizationId, (u64, bool)> = HashMap::new();
        for backlog in backlogs {
            let Some(endpoint) = self.endpoints.endpoint(backlog.endpoint) else { continue };
            let (count, is_old) = waiting.entry(endpoint.row.organization).or_default();
            *count += backlog.first + backlog.retries;
            *is_old |= backlog.due_since < bounds.due_after;
        }
        let mut overflowing: Vec<OrganizationId> =
            waiting.into_iter().filter(|(_, (count, is_old))| *count > bounds.most || *is_old).map(|(owner, _)| owner).collect();
        let overflows = self.store.overflows(None).await?;
        let untold = overflows.iter().filter(|overflow| overflow.untold > 0 && overflow.told_at.is_none_or(|at| at <= bounds.told_before));
        overflowing.extend(untold.map(|overflow| overflow.organization));
        overflowing.sort_unstable();
        overflowing.dedup();
        // What stands in the way of one organization leaves the others' backlogs to be trimmed.
        let mut stopped = Ok(());
        for organization in overflowing {
            let GivenUp { many, old } = match self.store.trim_backlog(organization, bounds, now).await {
                Ok(given_up) => given_up,
                Err(error) if error.is_in_the_way() => {
                    stopped = Err(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.delivery.metrics.gave_up(many, old);
            if many + old > 0 {
                tracing::warn!(
                    organization.id = organization.0,
                    deliveries.beyond_number = many,
                    deliveries.beyond_age = old,
                    "a backlog overflows: its oldest events are dead letters now"
                );
            }
            self.tell_soon();
        }
        stopped
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
