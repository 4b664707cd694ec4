//! Money: integers of one millionth of a currency's unit, decimal strings at the edge (contract §6).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in millionths of the wallet's currency. `1_000_000` is one dollar in a USD wallet.
///
/// Arithmetic is checked: a sum past the range is an error for the caller to handle, never a wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

/// Micros in one unit of a currency.
pub const MICROS_PER_UNIT: i64 = 1_000_000;

impl Micros {
    /// Nothing.
    pub const ZERO: Micros = Micros(0);

    /// The sum, or `None` past the range of 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Micros) -> Option<Micros> {
        self.0.checked_add(other.0).map(Micros)
    }

    /// The difference, or `None` past the range of 64 bits.
    #[must_use]
    pub fn checked_sub(self, other: Micros) -> Option<Micros> {
        self.0.checked_sub(other.0).map(Micros)
    }

    /// Whether the amount is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for Micros {
    /// At least two decimals, at most six: `12.34`, `0.001`, `-0.5` is `-0.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let units = magnitude / MICROS_PER_UNIT.unsigned_abs();
        let mut fraction = magnitude % MICROS_PER_UNIT.unsigned_abs();
        let mut digits = 6;
        while digits > 2 && fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        write!(f, "{sign}{units}.{fraction:0digits$}")
    }
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with an optional point.
    #[error("must be a decimal number such as 12.34")]
    Shape,
    /// More than six decimals: it would have to be rounded, and money is not.
    #[error("must not have more than 6 decimals")]
    TooFine,
    /// More than 64 bits of millionths.
    #[error("is too large")]
    TooLarge,
}

impl FromStr for Micros {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (units, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if units.is_empty() || !all_digits(units) || !all_digits(fraction) || (digits.contains('.') && fraction.is_empty()) {
            return Err(AmountError::Shape);
        }
        if fraction.len() > 6 {
            return Err(AmountError::TooFine);
        }
        let units: i64 = units.parse().map_err(|_| AmountError::TooLarge)?;
        let fraction: i64 = format!("{fraction:0<6}").parse().map_err(|_| AmountError::Shape)?;
        let magnitude = units.checked_mul(MICROS_PER_UNIT).and_then(|micros| micros.checked_add(fraction)).ok_or(AmountError::TooLarge)?;
        Ok(Micros(if negative { -magnitude } else { magnitude }))
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An ISO 4217 currency: three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The currency of the cards that ship with the gateway.
    pub const USD: Currency = Currency(*b"USD");

    /// Three capital letters, or `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Currency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three capital letters of ASCII: nothing else makes a currency")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Currency::parse(&text).ok_or_else(|| serde::de::Error::custom("must be three capital letters such as USD"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_with_two_to_six_decimals() {
        for (micros, text) in
            [(0, "0.00"), (12_340_000, "12.34"), (1_000, "0.001"), (-500_000, "-0.50"), (1, "0.000001"), (i64::MAX, "9223372036854.775807")]
        {
            assert_eq!(Micros(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Micros(micros)));
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for (text, error) in [
            ("", AmountError::Shape),
            (".5", AmountError::Shape),
            ("5.", AmountError::Shape),
            ("1e3", AmountError::Shape),
            ("+1", AmountError::Shape),
            ("--1", AmountError::Shape),
            ("0.0000001", AmountError::TooFine),
            ("9223372036855", AmountError::TooLarge),
        ] {
            assert_eq!(text.parse::<Micros>(), Err(error), "{text}");
        }
    }
}
