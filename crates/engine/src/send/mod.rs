//! The way of a send: from a caller's bytes to Meta's answer, with the money exact.
//!
//! The order is contract §3.2's, and a refused request never reaches a later step: caller →
//! idempotency → the key's windows → fields → template and policy → the number's ceiling and the
//! pair → price and the one durable commit → Meta → the outcome's commit → the answer.
//!
//! Up to the commit everything runs in the caller's own future and costs nothing to drop. From the
//! commit on the work (`owned`) is on a `leash` that nobody can cut: not the caller who hangs up, not
//! the deadline, not SIGTERM.

mod checks;
mod claims;
mod identity;
mod leash;
mod orphans;
mod owned;
mod policy;
mod recall;
pub mod request;
pub mod stored;
mod telling;
pub mod view;

use std::sync::Arc;

use turnpike_domain::refusal::{NotAllowed, Refusal};
use turnpike_domain::send::{MessageKind, Mode};

pub(crate) use claims::Claims;
pub(crate) use orphans::Orphans;
pub use request::{Billing, Checked, Reply, SendFlags, SendRequest, Sent, Trace};

use crate::Engine;
use crate::caller::Caller;
use crate::keys::Scopes;
use checks::{Errand, Ready};
use identity::Identity;
use owned::{Asked, Taken};

impl Engine {
    /// Sends one message, or says why not. The answer follows the commit that it reports.
    pub async fn send(self: &Arc<Self>, caller: &Caller, request: SendRequest) -> Reply {
        let begun = tokio::time::Instant::now();
        let mode = effective_mode(caller, &request);
        let reply = match self.begin(caller, request, mode, begun + self.settings.reply_within).await {
            Ok(reply) => reply,
            Err(refusal) => {
                self.metrics.refused(&refusal);
                Reply::refused(refusal, mode)
            }
        };
        self.metrics.send_seconds.observe(begun.elapsed().as_secs_f64());
        reply
    }

    /// Steps 1 to 8 without the commit (contract §3.3, `/check`): nothing is held, stored or sent.
    ///
    /// # Errors
    /// What the send would be refused with.
    pub async fn check(self: &Arc<Self>, caller: &Caller, request: SendRequest) -> Result<Checked, Refusal> {
        let mode = effective_mode(caller, &request);
        caller.needs(Scopes::SEND)?;
        may_go(caller, mode)?;
        let _slot = self.take_slot(caller)?;
        match self.make_ready(caller, &request, mode).await? {
            Ready::Mark(_) => Err(Refusal::Fields(vec![turnpike_domain::refusal::FieldFault::new(
                "status",
                "makes this a read mark, which has no price and cannot be checked; send it instead",
            )])),
            Ready::Send(ready) => {
                let _spend = self.reserve_spend(caller, &ready)?;
                if let Some(number) = self.take_number_and_pair(caller, &ready, mode, Errand::Check)? {
                    number.give_back();
                }
                self.is_covered(caller, &ready, mode).await?;
                Ok(Checked {
                    valid: true,
                    kind: ready.message.kind(),
                    billing: ready.billing(&caller.app),
                    template: (ready.message.kind() == MessageKind::Template).then_some(ready.template_check),
                })
            }
        }
    }

    async fn begin(
        self: &Arc<Self>,
        caller: &Caller,
        request: SendRequest,
        mode: Mode,
        answer_by: tokio::time::Instant,
    ) -> Result<Reply, Refusal> {
        caller.needs(Scopes::SEND)?;
        may_go(caller, mode)?;
        let identity = Identity::of(self, caller, &request)?;
        let claim = self.claim(caller, &identity)?;
        if let Some(reply) = self.recall(caller, &identity).await? {
            return Ok(reply);
        }
        let slot = self.take_slot(caller)?;
        // Its windows stay taken whatever follows; its place in the day comes back by itself unless
        // a message is born.
        match self.make_ready(caller, &request, mode).await? {
            Ready::Mark(message) => self.mark(caller, message, mode, request.trace, slot).await,
            Ready::Send(ready) => {
                // The spend first: it comes back by itself, which a place in the number's second does not.
                let spend = self.reserve_spend(caller, &ready)?;
                let number = self.take_number_and_pair(caller, &ready, mode, Errand::Send)?;
                let asked = Asked { mode, trace: request.trace, answer_by };
                Ok(self.send_owned(caller, *ready, identity, asked, Taken { slot, number, spend, claim }).await)
            }
        }
    }
}

/// Whether the application may send. A fake goes nowhere, so it needs no simulator (contract §3.3).
fn may_go(caller: &Caller, mode: Mode) -> Result<(), Refusal> {
    match caller.app.may_send(caller.mode()) {
        Err(NotAllowed::SandboxOff) if mode == Mode::Fake => Ok(()),
        said => said.map_err(Refusal::NotAllowed),
    }
}

/// `is_fake` wins over a sandbox key (contract §3.3).
fn effective_mode(caller: &Caller, request: &SendRequest) -> Mode {
    match &request.flags {
        Ok(flags) if flags.is_fake => Mode::Fake,
        _ => caller.mode(),
    }
}
