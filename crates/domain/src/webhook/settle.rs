//! What a status does to a message of ours: its state and its money (contract §6).
//!
//! Statuses come in any order, twice, and before the send's own answer. So nothing is decided by
//! the one that arrives, but by all that are known with it: a price that came with `sent` settles
//! when `delivered` comes, and the other way round. What a message costs in the end follows from the
//! set of what Meta reported, whatever the order: what a phone reported stands above a failure, and
//! of several prices the one that charges, and the dearest of those. A leg that was taken stays
//! taken; a leg that was given back before Meta's charge was known is taken late, once.
//!
//! | known of the message | base leg | Meta leg |
//! | --- | --- | --- |
//! | any status, outcome open | captured | – |
//! | any status, hold released | late capture | – |
//! | delivered, read or played, chargeable | – | captured; late capture where it had been given back: by a failure, as free, as not sent, by time |
//! | … in a dearer category than was held | – | held captured, the difference late |
//! | … in a cheaper one | – | captured as far as it costs |
//! | delivered, read or played, not chargeable | – | released |
//! | delivered, read or played, no price yet | – | –; after 8 days as held |
//! | failed, and no phone reported it | – | released |

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

impl Report {
    /// Whether a repeat of a status says more of its price than `known` did: a price where there was
    /// none, one that charges where the other did not, a dearer one. So a status is worth the same in
    /// whatever order its repeats come.
    #[must_use]
    pub fn tells_more_than(&self, known: &Report, held_meta: Micros) -> bool {
        let worth = |report: &Report| {
            let chargeable = report.pricing.as_ref().map(Pricing::is_chargeable);
            (chargeable, chargeable.flatten().filter(|charges| *charges).map(|_| report.repriced.unwrap_or(held_meta)))
        };
        worth(self) > worth(known)
    }
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

/// What a message that nothing decided in time comes to: 8 days after a delivery without a price its
/// hold is captured (late, where it had been given back before the delivery was known), 38 days
/// after admission without a status it is released (contract §6).
#[must_use]
pub fn decide_overdue(meta: LegState, delivered: bool) -> Option<Move> {
    let (movement, amount, reason) = match (meta, delivered) {
        (LegState::Held(held), true) => (Movement::Capture, held, "delivered; Meta named no price within 8 days"),
        (LegState::Released(held), true) => {
            (Movement::LateCapture, held, "delivered after it had been given back; Meta named no price within 8 days")
        }
        (LegState::Held(held), false) => (Movement::Release, held, "no status for 38 days"),
        _ => return None,
    };
    Some(Move { leg: Leg::Meta, movement, amount, reason })
}

/// Whether a message was delivered and nobody has said at what price, though its Meta fee is not
/// taken: it is looked at again after 8 days ([`decide_overdue`]).
#[must_use]
pub fn waits_for_a_price(meta: LegState, known: &[Report]) -> bool {
    let settling = || known.iter().filter(|known| known.moves_operator_fee);
    let is_open = matches!(meta, LegState::Held(amount) | LegState::Released(amount) if amount > Micros::ZERO);
    is_open && settling().any(|known| is_delivery(known.status)) && settling().all(|known| chargeable(known).is_none())
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

/// What a report says of a price; `None` where it says nothing.
fn chargeable(report: &Report) -> Option<bool> {
    report.pricing.as_ref()?.is_chargeable()
}

fn is_delivery(status: StatusKind) -> bool {
    matches!(status, StatusKind::Delivered | StatusKind::Read | StatusKind::Played)
}

/// The Meta leg by everything that is known and may move it.
fn settle_meta(standing: &Standing, report: &Report, meta: LegState, moves: &mut Vec<Move>) {
    let mut push = |movement, amount, reason| moves.push(Move { leg: Leg::Meta, movement, amount, reason });
    let reports = || standing.known.iter().filter(|known| known.moves_operator_fee).chain([report]);
    let delivered = reports().any(|known| is_delivery(known.status));
    let charged = reports().filter_map(chargeable).reduce(|one, other| one || other);
    let fee = reports()
        .filter(|known| chargeable(known) == Some(true))
        .map(|known| known.repriced.unwrap_or(standing.held_meta))
        .max()
        .unwrap_or(standing.held_meta);
    match meta {
        LegState::Held(held) => match (delivered, charged) {
            (true, Some(true)) => {
                push(Movement::Capture, fee.min(held), "delivered");
                if let Some(rest) = above(fee, held) {
                    push(Movement::LateCapture, rest, "Meta named a dearer category");
                }
            }
            (true, Some(false)) => push(Movement::Release, held, "delivered free of charge"),
            (false, _) if report.status == StatusKind::Failed => push(Movement::Release, held, "Meta could not deliver it"),
            _ => {}
        },
        // Taken by an earlier status; a dearer category may still be named.
        LegState::Captured(taken) if delivered && charged == Some(true) => {
            if let Some(rest) = above(fee, taken) {
                push(Movement::LateCapture, rest, "Meta named a dearer category");
            }
        }
        // Given back while nobody knew of the delivery, or of its price: what it costs does not go by
        // which of Meta's webhooks came first.
        LegState::Released(_) if delivered && charged == Some(true) && fee > Micros::ZERO => {
            push(Movement::LateCapture, fee, "delivered after it had been given back");
        }
        _ => {}
    }
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
