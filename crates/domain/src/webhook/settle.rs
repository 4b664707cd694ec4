//! What a status does to a message of ours: its state and its money (contract §6).
//!
//! Statuses come in any order, twice, and before the send's own answer. So nothing is decided by
//! the one that arrives, but by all that are known with it: a price that came with `sent` settles
//! when `delivered` comes, and the other way round. A leg that was settled stays as it was settled;
//! only proof of what we did not know then (that it was sent at all, a dearer category) is taken
//! late, once.
//!
//! | known of the message | base leg | Meta leg |
//! | --- | --- | --- |
//! | any status, outcome open | captured | – |
//! | any status, hold released | late capture | – |
//! | delivered, read or played, chargeable | – | captured; late capture where it had been presumed not sent or timed out |
//! | … in a dearer category than was held | – | held captured, the difference late |
//! | … in a cheaper one | – | captured as far as it costs |
//! | delivered, read or played, not chargeable | – | released |
//! | delivered, read or played, no price yet | – | – |
//! | failed | – | released |

use super::status::{Pricing, StatusKind};
use crate::ledger::{Leg, LegState, Movement, OutcomeKind, Resolution};
use crate::money::Micros;
use crate::send::{MessageState, Mode};

/// Where a message stands before a report.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Live or sandbox settle alike, each on its own wallet; a fake never moves.
    pub mode: Mode,
    /// How its send ended; `None` while it is in flight.
    pub outcome: Option<OutcomeKind>,
    /// What evidence said of an unknown outcome.
    pub resolution: Option<Resolution>,
    /// The base leg.
    pub base: LegState,
    /// Meta's leg; [`LegState::None`] where Meta bills the customer.
    pub meta: LegState,
    /// What admission held on the base leg.
    pub held_base: Micros,
    /// What admission held on Meta's leg.
    pub held_meta: Micros,
    /// Every report that is known already, in any order.
    pub known: Vec<Report>,
}

/// One status, as far as it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub status: StatusKind,
    /// Its price, where it has one.
    pub pricing: Option<Pricing>,
    /// Meta's fee by the category that the price names, by the pinned card and markup; `None` where
    /// that is what was held.
    pub repriced: Option<Micros>,
    /// False where it was signed with a customer's own app secret: then it proves that the message
    /// was sent, and never moves a Meta fee that the operator is billed (contract §8).
    pub moves_operator_fee: bool,
}

/// What follows from a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The open outcome is decided by it; recording that does to the legs what
    /// [`OutcomeKind::movement`] and [`Resolution::movement`] say.
    pub proof: Option<Proof>,
    /// What happens to the legs beyond that, in order.
    pub moves: Vec<Move>,
}

/// How an open outcome is decided by a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is in flight: its outcome is this one, and the send's own answer will find it decided.
    Outcome(OutcomeKind),
    /// It is unknown: this resolves it.
    Resolution(Resolution),
}

impl Proof {
    /// What recording the proof does to a leg.
    #[must_use]
    pub fn movement(self, leg: Leg) -> Option<Movement> {
        match self {
            Proof::Outcome(outcome) => outcome.movement(leg),
            Proof::Resolution(resolution) => resolution.movement(leg),
        }
    }
}

/// One movement of one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which leg.
    pub leg: Leg,
    /// What happens to it.
    pub movement: Movement,
    /// How much.
    pub amount: Micros,
    /// Why, in the words of statement and timeline.
    pub reason: &'static str,
}

/// What `report` does to the message. A report that is known already does nothing more.
#[must_use]
pub fn decide(standing: &Standing, report: &Report) -> Decision {
    let mut decision = Decision::default();
    if standing.mode == Mode::Fake {
        return decision;
    }
    let mut meta = standing.meta;
    decision.proof = proof(standing, report);
    if let Some(proof) = decision.proof {
        meta = after_proof(meta, proof, Leg::Meta);
    } else if matches!(standing.base, LegState::Released(_)) && proves_sending(standing, report) {
        decision.moves.push(Move {
            leg: Leg::Base,
            movement: Movement::LateCapture,
            amount: standing.held_base,
            reason: "a status proves that it was sent",
        });
    }
    if report.moves_operator_fee {
        settle_meta(standing, report, meta, &mut decision.moves);
    }
    decision
}

/// What a hold that nothing decided in time comes to: 8 days after a delivery without a price it is
/// captured, 38 days after admission without a status it is released (contract §6).
#[must_use]
pub fn decide_overdue(standing: &Standing) -> Option<Move> {
    let LegState::Held(amount) = standing.meta else { return None };
    let delivered = standing.known.iter().any(|known| known.moves_operator_fee && is_delivery(known.status));
    Some(if delivered {
        Move { leg: Leg::Meta, movement: Movement::Capture, amount, reason: "delivered; Meta never named a price" }
    } else {
        Move { leg: Leg::Meta, movement: Movement::Release, amount, reason: "no status decided it in time" }
    })
}

/// How a status decides an outcome that is open.
fn proof(standing: &Standing, report: &Report) -> Option<Proof> {
    match (standing.outcome, standing.resolution) {
        (None, _) => Some(Proof::Outcome(OutcomeKind::Accepted)),
        // A failure that cannot move the operator's fee proves no more than that it was sent.
        (Some(OutcomeKind::Unknown), None) if report.status == StatusKind::Failed && report.moves_operator_fee => {
            Some(Proof::Resolution(Resolution::Failed))
        }
        (Some(OutcomeKind::Unknown), None) => Some(Proof::Resolution(Resolution::Accepted)),
        _ => None,
    }
}

fn after_proof(leg_state: LegState, proof: Proof, leg: Leg) -> LegState {
    let held = leg_state.held();
    proof.movement(leg).and_then(|movement| leg_state.apply(movement, held).ok()).unwrap_or(leg_state)
}

/// Whether a status proves a send whose hold was given back. After Meta's own refusal a failure says
/// nothing new.
fn proves_sending(standing: &Standing, report: &Report) -> bool {
    report.status != StatusKind::Failed || !was_refused(standing.outcome, standing.resolution)
}

fn was_refused(outcome: Option<OutcomeKind>, resolution: Option<Resolution>) -> bool {
    matches!(outcome, Some(OutcomeKind::Refused | OutcomeKind::RefusedRetryable)) || resolution == Some(Resolution::Refused)
}

fn is_delivery(status: StatusKind) -> bool {
    matches!(status, StatusKind::Delivered | StatusKind::Read | StatusKind::Played)
}

/// The Meta leg by everything that is known and may move it.
fn settle_meta(standing: &Standing, report: &Report, meta: LegState, moves: &mut Vec<Move>) {
    let mut push = |movement, amount, reason| moves.push(Move { leg: Leg::Meta, movement, amount, reason });
    let reports = || standing.known.iter().filter(|known| known.moves_operator_fee).chain([report]);
    let delivered = reports().any(|known| is_delivery(known.status));
    let chargeable = reports().filter_map(|known| known.pricing.as_ref()?.is_chargeable()).reduce(|one, other| one || other);
    let fee = reports()
        .filter(|known| known.pricing.as_ref().and_then(Pricing::is_chargeable) == Some(true))
        .map(|known| known.repriced.unwrap_or(standing.held_meta))
        .max()
        .unwrap_or(standing.held_meta);
    match meta {
        LegState::Held(held) => match (report.status, delivered, chargeable) {
            (StatusKind::Failed, _, _) => push(Movement::Release, held, "Meta could not deliver it"),
            (_, true, Some(true)) => {
                push(Movement::Capture, fee.min(held), "delivered");
                if let Some(rest) = above(fee, held) {
                    push(Movement::LateCapture, rest, "Meta named a dearer category");
                }
            }
            (_, true, Some(false)) => push(Movement::Release, held, "delivered free of charge"),
            _ => {}
        },
        // Taken by an earlier status; a dearer category may still be named.
        LegState::Captured(taken) if delivered && chargeable == Some(true) => {
            if let Some(rest) = above(fee, taken) {
                push(Movement::LateCapture, rest, "Meta named a dearer category");
            }
        }
        // Given back because nobody knew of a delivery. What a status gave back stays given back.
        LegState::Released(_) if delivered && chargeable == Some(true) && !settled_by_status(standing) => {
            push(Movement::LateCapture, fee, "delivered after it had been given back");
        }
        _ => {}
    }
}

/// Whether a known status had decided the Meta leg: a failure, or a delivery whose price was known.
fn settled_by_status(standing: &Standing) -> bool {
    let known = || standing.known.iter().filter(|known| known.moves_operator_fee);
    let failed = known().any(|known| known.status == StatusKind::Failed);
    let delivered = known().any(|known| is_delivery(known.status));
    let priced = known().any(|known| known.pricing.as_ref().and_then(Pricing::is_chargeable).is_some());
    failed || (delivered && priced)
}

fn above(fee: Micros, taken: Micros) -> Option<Micros> {
    fee.checked_sub(taken).filter(|rest| *rest > Micros::ZERO)
}

/// Where a message stands by its send and every status that is known, in whatever order they came.
///
/// What a phone reported stands above a failure: a message that was delivered was delivered. Below
/// that a failure stands beside the line.
#[must_use]
pub fn state(outcome: Option<OutcomeKind>, resolution: Option<Resolution>, statuses: impl IntoIterator<Item = StatusKind>) -> MessageState {
    let mut furthest = None;
    let mut failed = false;
    for status in statuses {
        let reached = match status {
            StatusKind::Sent => MessageState::Sent,
            StatusKind::Delivered => MessageState::Delivered,
            StatusKind::Read => MessageState::Read,
            StatusKind::Played => MessageState::Played,
            StatusKind::Failed => {
                failed = true;
                continue;
            }
        };
        furthest = furthest.max(Some(reached));
    }
    match furthest {
        Some(reached) if reached >= MessageState::Delivered => return reached,
        _ if failed && (furthest.is_some() || !was_refused(outcome, resolution)) => return MessageState::Failed,
        Some(reached) => return reached,
        None => {}
    }
    match (outcome, resolution) {
        (None, _) => MessageState::Admitted,
        (Some(OutcomeKind::Accepted), _) | (_, Some(Resolution::Accepted)) => MessageState::Accepted,
        (_, Some(Resolution::Failed)) => MessageState::Failed,
        (Some(OutcomeKind::Unknown), None) => MessageState::Unknown,
        (_, Some(Resolution::PresumedNotSent)) => MessageState::PresumedNotSent,
        _ => MessageState::Refused,
    }
}

#[cfg(test)]
#[path = "tests/settle.rs"]
mod tests;
