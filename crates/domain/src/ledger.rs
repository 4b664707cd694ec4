//! The two legs of a message's money, and what each event does to them (contract §6).
//!
//! A leg is held once and resolved once: captured or released. After that only two corrections
//! exist, each at most once: a late capture, of what was released or of what a capture fell short of
//! once Meta named a dearer category; and a refund of all that was taken.
//! The store keeps the facts and enforces "once" by primary key; this module says what follows
//! from what, so that the store, the statement and the tests' model agree.

use serde::{Deserialize, Serialize};

use crate::money::Micros;

/// One of the two prices of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Leg {
    /// Our own fee.
    Base = 1,
    /// Meta's fee.
    Meta = 2,
}

impl Leg {
    /// Both, in order.
    pub const ALL: [Leg; 2] = [Leg::Base, Leg::Meta];

    /// The word of API, database and statement.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Leg::Base => "base",
            Leg::Meta => "meta",
        }
    }
}

/// What can happen to a leg. The number is what the database keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Movement {
    /// Reserved at admission.
    Hold = 1,
    /// Taken; at most what was held.
    Capture = 2,
    /// Given back.
    Release = 3,
    /// Taken after it had been given back, on proof of the send; or taken on top of a capture, for a
    /// dearer category. Its amount is what is taken now. The only movement that may push available
    /// below zero.
    LateCapture = 4,
    /// A captured leg returned by an operator, with a reason.
    Refund = 5,
}

impl Movement {
    /// The word of API, database and statement.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Movement::Hold => "hold",
            Movement::Capture => "capture",
            Movement::Release => "release",
            Movement::LateCapture => "late_capture",
            Movement::Refund => "refund",
        }
    }
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "amount")]
pub enum LegState {
    /// Nothing was ever held: a fake message, or a leg without a price.
    None,
    /// Reserved.
    Held(Micros),
    /// Taken: this much (the rest of the hold, if any, went back).
    Captured(Micros),
    /// Given back whole.
    Released(Micros),
    /// Taken late: after a release, or in part after a capture; this much in all.
    LateCaptured(Micros),
    /// Taken, then returned.
    Refunded(Micros),
}

/// Why a movement cannot follow. A value, not an error: repeated evidence is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMoved {
    /// The leg is already there, or past it: nothing to do.
    Already(LegState),
    /// The leg never was where this movement begins.
    Impossible(LegState),
    /// More than was held.
    ExceedsHold {
        /// What was held.
        held: Micros,
    },
}

impl LegState {
    /// The state after `movement` of `amount`.
    ///
    /// # Errors
    /// [`NotMoved`], where the leg has already been resolved or the amount exceeds the hold.
    pub fn apply(self, movement: Movement, amount: Micros) -> Result<LegState, NotMoved> {
        match (self, movement) {
            (LegState::None, Movement::Hold) => Ok(LegState::Held(amount)),
            (LegState::Held(held), Movement::Capture) if amount <= held && !amount.is_negative() => Ok(LegState::Captured(amount)),
            (LegState::Held(held), Movement::Capture) => Err(NotMoved::ExceedsHold { held }),
            (LegState::Held(held), Movement::Release) => Ok(LegState::Released(held)),
            (LegState::Released(_), Movement::LateCapture) => Ok(LegState::LateCaptured(amount)),
            // The difference to a dearer category that Meta names after the capture (contract §6).
            (LegState::Captured(captured), Movement::LateCapture) if amount > Micros::ZERO => {
                captured.checked_add(amount).map(LegState::LateCaptured).ok_or(NotMoved::Already(self))
            }
            // Meta named a dearer category than was held: the difference comes on top.
            (LegState::Captured(captured), Movement::LateCapture) => {
                captured.checked_add(amount).map(LegState::LateCaptured).ok_or(NotMoved::Impossible(self))
            }
            (LegState::Captured(captured) | LegState::LateCaptured(captured), Movement::Refund) => Ok(LegState::Refunded(captured)),
            (LegState::None, _) => Err(NotMoved::Impossible(self)),
            (LegState::Held(_), Movement::Hold | Movement::LateCapture | Movement::Refund) => Err(NotMoved::Impossible(self)),
            (state, _) => Err(NotMoved::Already(state)),
        }
    }

    /// What the leg still reserves.
    #[must_use]
    pub fn held(self) -> Micros {
        if let LegState::Held(amount) = self { amount } else { Micros::ZERO }
    }

    /// What the leg took in the end.
    #[must_use]
    pub fn taken(self) -> Micros {
        match self {
            LegState::Captured(amount) | LegState::LateCaptured(amount) => amount,
            _ => Micros::ZERO,
        }
    }
}

/// A wallet as the store decides by it: `available = posted − held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// Topped up, adjusted, captured and refunded: what the wallet owns.
    pub posted: Micros,
    /// Reserved base fees.
    pub held_base: Micros,
    /// Reserved Meta fees.
    pub held_meta: Micros,
}

impl Balance {
    /// What a new message may cost at most.
    #[must_use]
    pub fn available(self) -> Micros {
        Micros(self.posted.0.saturating_sub(self.held_base.0).saturating_sub(self.held_meta.0))
    }

    /// Both holds together.
    #[must_use]
    pub fn held(self) -> Micros {
        Micros(self.held_base.0.saturating_add(self.held_meta.0))
    }
}

/// How a send ended, as far as its own answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OutcomeKind {
    /// Meta answered with a wamid: base captured, Meta fee stays held until a status decides it.
    Accepted = 1,
    /// Meta refused, and the same request would be refused again: both legs released.
    Refused = 2,
    /// Meta refused, and may accept later (a limit, our link): both legs released.
    RefusedRetryable = 3,
    /// No byte reached Meta: both legs released.
    NotSent = 4,
    /// Nobody knows: both legs stay held.
    Unknown = 5,
}

impl OutcomeKind {
    /// What the outcome does to `leg`; `None` leaves it held.
    #[must_use]
    pub fn movement(self, leg: Leg) -> Option<Movement> {
        match (self, leg) {
            (OutcomeKind::Accepted, Leg::Base) => Some(Movement::Capture),
            (OutcomeKind::Accepted, Leg::Meta) | (OutcomeKind::Unknown, _) => None,
            (OutcomeKind::Refused | OutcomeKind::RefusedRetryable | OutcomeKind::NotSent, _) => Some(Movement::Release),
        }
    }

    /// Whether the answer is kept under its Idempotency-Key (contract §3.5).
    #[must_use]
    pub fn keeps_the_key(self) -> bool {
        matches!(self, OutcomeKind::Accepted | OutcomeKind::Refused | OutcomeKind::Unknown)
    }

    /// The outcome for the database's number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<OutcomeKind> {
        [OutcomeKind::Accepted, OutcomeKind::Refused, OutcomeKind::RefusedRetryable, OutcomeKind::NotSent, OutcomeKind::Unknown]
            .into_iter()
            .find(|kind| *kind as i64 == number)
    }
}

/// What evidence finally said about an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Resolution {
    /// It was sent: base captured, Meta fee held until a status decides it.
    Accepted = 1,
    /// Meta had accepted it and failed to deliver: base captured, Meta fee released.
    Failed = 2,
    /// Meta refused it (a late answer): both released.
    Refused = 3,
    /// It is presumed not sent: both released.
    PresumedNotSent = 4,
}

impl Resolution {
    /// What the resolution does to `leg`; `None` leaves it held.
    #[must_use]
    pub fn movement(self, leg: Leg) -> Option<Movement> {
        match (self, leg) {
            (Resolution::Accepted | Resolution::Failed, Leg::Base) => Some(Movement::Capture),
            (Resolution::Accepted, Leg::Meta) => None,
            (Resolution::Failed, Leg::Meta) | (Resolution::Refused | Resolution::PresumedNotSent, _) => Some(Movement::Release),
        }
    }

    /// The resolution for the database's number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Resolution> {
        [Resolution::Accepted, Resolution::Failed, Resolution::Refused, Resolution::PresumedNotSent]
            .into_iter()
            .find(|kind| *kind as i64 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Micros = Micros(10);

    #[test]
    fn a_hold_is_resolved_once() {
        let captured = LegState::Held(TEN).apply(Movement::Capture, Micros(7)).expect("capture within the hold");
        assert_eq!(captured, LegState::Captured(Micros(7)));
        assert_eq!(captured.apply(Movement::Release, TEN), Err(NotMoved::Already(captured)));
        assert_eq!(captured.apply(Movement::Capture, TEN), Err(NotMoved::Already(captured)));
        assert_eq!(captured.apply(Movement::Refund, TEN), Ok(LegState::Refunded(Micros(7))));
    }

    #[test]
    fn a_capture_never_exceeds_its_hold() {
        assert_eq!(LegState::Held(TEN).apply(Movement::Capture, Micros(11)), Err(NotMoved::ExceedsHold { held: TEN }));
    }

    #[test]
    fn a_late_capture_takes_the_rest_of_a_dearer_category_once() {
        let captured = LegState::Held(TEN).apply(Movement::Capture, TEN).expect("capture of a hold");
        let late = captured.apply(Movement::LateCapture, Micros(5)).expect("the difference");
        assert_eq!((late, late.taken()), (LegState::LateCaptured(Micros(15)), Micros(15)));
        assert_eq!(late.apply(Movement::LateCapture, Micros(5)), Err(NotMoved::Already(late)));
        assert_eq!(late.apply(Movement::Refund, TEN), Ok(LegState::Refunded(Micros(15))));
        for nothing in [Micros::ZERO, Micros(-1)] {
            assert_eq!(captured.apply(Movement::LateCapture, nothing), Err(NotMoved::Already(captured)));
        }
        assert_eq!(captured.apply(Movement::LateCapture, Micros(i64::MAX)), Err(NotMoved::Already(captured)));
    }

    #[test]
    fn a_late_capture_never_takes_a_hold() {
        let released = LegState::Held(TEN).apply(Movement::Release, TEN).expect("release of a hold");
        assert_eq!(released.apply(Movement::LateCapture, TEN), Ok(LegState::LateCaptured(TEN)));
        assert_eq!(LegState::Held(TEN).apply(Movement::LateCapture, TEN), Err(NotMoved::Impossible(LegState::Held(TEN))));
    }

    #[test]
    fn an_unknown_outcome_moves_nothing_and_keeps_its_key() {
        for leg in Leg::ALL {
            assert_eq!(OutcomeKind::Unknown.movement(leg), None);
        }
        assert!(OutcomeKind::Unknown.keeps_the_key());
        assert!(!OutcomeKind::RefusedRetryable.keeps_the_key());
    }
}
