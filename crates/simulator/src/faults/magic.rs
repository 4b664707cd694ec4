//! Recipients whose number says what shall happen to a message.
//!
//! They need no script, so a test in any language, or a person with curl, gets a
//! fault by its `to` alone. All begin with `1555010`, a range in which no real
//! number lives, and have the exact lengths below; every other number is an
//! ordinary user.
//!
//! | recipient | what happens |
//! | --- | --- |
//! | `1555010` `1` `CCCCCC` | refused with Meta's error code `CCCCCC` (padded with zeros) |
//! | `1555010` `2` `MMMMM` | answered after `MMMMM` milliseconds |
//! | `1555010` `3` `NN` | the named behaviour of number `NN` |
//! | `1555010` `4` `CCCCCC` | taken, and reported `failed` with the code `CCCCCC` later |
//! | `1555010` `5` `NN` | taken, with the statuses of the plan `NN` ([`crate::plan`]) |
//! | `1555010` `6` `MMMMMM` | taken, with all statuses `MMMMMM` milliseconds later than usual |
//!
//! The first three strike the answer, the last three the webhooks behind it.
//! Behaviours that strike before the body was read cannot be asked for by a
//! recipient, since nobody has read it; they need a script rule.

use super::{Behaviour, Stage, named};
use crate::plan;

/// What all magic recipients begin with.
pub const PREFIX: &str = "1555010";

/// The behaviour that the recipient (digits only) asks for, if any.
pub fn behaviour_for(digits: &str) -> Option<Behaviour> {
    let rest = digits.strip_prefix(PREFIX)?;
    match (rest.as_bytes().first()?, rest.get(1..)?) {
        (b'1', code) if code.len() == 6 => {
            Some(Behaviour::GraphError { code: code.parse().ok()?, status: None, subcode: None, details: None })
        }
        (b'2', ms) if ms.len() == 5 => Some(Behaviour::Delay { at: Stage::Body, ms: ms.parse().ok()? }),
        (b'3', number) if number.len() == 2 => {
            let number: u8 = number.parse().ok()?;
            named::all()
                .iter()
                .find(|named| named.number == number && named.behaviour.decided_at() == Stage::Body)
                .map(|named| named.behaviour.clone())
        }
        _ => None,
    }
}

/// What comes after a send that is answered as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// `failed` with this code, and nothing else.
    Fails(u32),
    /// The plan of this name.
    Plan(&'static str),
    /// The usual statuses, so many milliseconds later.
    DelayedBy(u64),
}

/// What the recipient (digits only) asks for after the answer, if anything.
pub fn later_for(digits: &str) -> Option<Later> {
    let rest = digits.strip_prefix(PREFIX)?;
    match (rest.as_bytes().first()?, rest.get(1..)?) {
        (b'4', code) if code.len() == 6 => code.parse().ok().map(Later::Fails),
        (b'5', number) if number.len() == 2 => plan::name_of(number.parse().ok()?).map(Later::Plan),
        (b'6', ms) if ms.len() == 6 => ms.parse().ok().map(Later::DelayedBy),
        _ => None,
    }
}

/// The recipient whose messages are taken and fail later with Meta's `code`.
pub fn recipient_for_failure(code: u32) -> String {
    format!("{PREFIX}4{code:06}")
}

/// The recipient whose messages have the plan of this number.
pub fn recipient_for_plan(number: u8) -> String {
    format!("{PREFIX}5{number:02}")
}

/// The recipient that asks for Meta's error `code`.
pub fn recipient_for_code(code: u32) -> String {
    format!("{PREFIX}1{code:06}")
}

/// The recipient that asks for a named behaviour; `None` where only a script can.
pub fn recipient_for_name(name: &str) -> Option<String> {
    named::all()
        .iter()
        .find(|named| named.name == name && named.behaviour.decided_at() == Stage::Body)
        .map(|named| format!("{PREFIX}3{:02}", named.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_reads_back_what_it_writes() {
        assert_eq!(
            behaviour_for(&recipient_for_code(130_429)),
            Some(Behaviour::GraphError { code: 130_429, status: None, subcode: None, details: None })
        );
        assert_eq!(behaviour_for("1555010201500"), Some(Behaviour::Delay { at: Stage::Body, ms: 1_500 }));
        for named in named::all() {
            match recipient_for_name(named.name) {
                Some(recipient) => assert_eq!(behaviour_for(&recipient), Some(named.behaviour.clone())),
                None => assert!(named.behaviour.decided_at() < Stage::Body, "{}", named.name),
            }
        }
    }

    #[test]
    fn what_comes_later_leaves_the_answer_alone() {
        assert_eq!(later_for(&recipient_for_failure(131_026)), Some(Later::Fails(131_026)));
        assert_eq!(later_for(&recipient_for_plan(5)), Some(Later::Plan("reversed")));
        assert_eq!(later_for("15550106001500"), Some(Later::DelayedBy(1_500)));
        assert_eq!(later_for("1555010599"), None);
        for digits in ["15550104131026", "1555010505", "15550106001500"] {
            assert_eq!(behaviour_for(digits), None, "{digits}");
        }
    }

    #[test]
    fn ordinary_numbers_stay_ordinary() {
        for digits in ["15550100", "15550100123", "155501013", "905321234567", "1555010", "1555010399", "", "15550103é"] {
            assert_eq!(behaviour_for(digits), None, "{digits}");
        }
    }
}
