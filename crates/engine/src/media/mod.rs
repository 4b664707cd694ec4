//! Media for customers by their API key: a received file down, a file of theirs up, one deleted.
//!
//! Meta keeps the files; the gateway stands between, so that Meta's token never leaves. A download is
//! a stream from Meta to the customer, as fast as the slower of the two; an upload lies on disk until
//! it is known to be one that WhatsApp takes ([`kinds`], [`Spool`]). Neither is ever whole in memory,
//! and how many are under way at once is bounded.
//!
//! Whose a file is, Meta decides: every question about it bears the number id of the key's
//! application, and a file of another number is answered like one that does not exist.

mod download;
pub mod kinds;
mod lanes;
mod spool;
mod transfer;
mod upload;

use turnpike_domain::refusal::{NotSentCause, Refusal};

use crate::Engine;
use crate::caller::Caller;
use crate::graph::{GraphFailure, Link, Trace};
use crate::keys::Scopes;

pub use download::{Download, FileStream};
pub use lanes::Lanes;
pub use spool::Spool;
pub use transfer::{Incoming, Outgoing, StreamError, Transfer, Transferred};
pub use upload::{NewFile, Upload, full_disk, no_file};

impl Engine {
    /// Deletes a file at Meta. Needs the scope `send`.
    ///
    /// # Errors
    /// AUTH_006, RATE_001, REQ_005 where the number has no such file, GW_001, GW_002.
    pub async fn delete_media(&self, caller: &Caller, id: &str, trace: &Trace) -> Result<(), Refusal> {
        let link = self.way_of_media(caller, Scopes::SEND)?;
        let deleted =
            if is_media_id(id) { self.graph.delete_media(&link, id, trace).await.map_err(refused) } else { Err(Refusal::NotFound) };
        self.media.count(lanes::Call::Delete, deleted.as_ref().err());
        deleted
    }

    /// What every call about media begins with: scope, application, the windows of look-ups, a way to
    /// Meta or to the built-in simulator.
    fn way_of_media(&self, caller: &Caller, scope: Scopes) -> Result<std::sync::Arc<Link>, Refusal> {
        caller.needs(scope)?;
        caller.app.may_send(caller.mode()).map_err(Refusal::NotAllowed)?;
        self.limits.take_lookup(caller.key.key, &caller.key.policy, self.tick())?;
        let no_way = Refusal::NotSent { cause: NotSentCause::NumberPaused, retry_after_ms: None };
        caller.app.link(caller.mode()).cloned().ok_or(no_way)
    }
}

/// Longest id that is asked for: Meta's have about sixteen digits.
const ID_MAX: usize = 64;

/// Whether this can be an id of Meta's. Anything else is answered like an unknown one, unasked.
fn is_media_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Meta's words for "there is no such object, or it is not yours".
const NO_SUCH_OBJECT: (i64, i64) = (100, 33);

/// After this the same question may well be answered.
const ASK_AGAIN_MS: u64 = 1_000;

/// What the caller hears of Meta's no. A question that Meta gave no usable answer to may be repeated
/// without harm, so it is one to try again (as with read marks).
fn refused(failure: GraphFailure) -> Refusal {
    match failure {
        GraphFailure::Refused { refusal, .. } if (refusal.code, refusal.subcode) == (NO_SUCH_OBJECT.0, Some(NO_SUCH_OBJECT.1)) => {
            Refusal::NotFound
        }
        GraphFailure::Refused { refusal, .. } => Refusal::MetaRefused(refusal),
        GraphFailure::NotSent { cause, retry_after_ms } => Refusal::NotSent { cause, retry_after_ms },
        GraphFailure::Unknown { .. } => Refusal::NotSent { cause: NotSentCause::ConnectionClosed, retry_after_ms: Some(ASK_AGAIN_MS) },
    }
}
