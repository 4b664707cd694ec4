//! Who a message goes to: a phone number, or a user without a visible one.
//!
//! Both are parsed once, here; behind this file nobody doubts their shape. A number is kept inline,
//! because every send makes one. Neither prints itself in `Debug`: numbers stay out of logs
//! (contract §10).

use std::fmt;

/// The addressee of a message (contract §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// `to`: a phone number.
    Phone(PhoneNumber),
    /// `recipient`: a business-scoped user id.
    User(Bsuid),
}

impl Recipient {
    /// What the caller wrote: digits without `+`, or the BSUID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Recipient::Phone(number) => number.as_str(),
            Recipient::User(id) => id.as_str(),
        }
    }
}

/// Fewest digits of a phone number, country code included.
pub const PHONE_DIGITS_MIN: usize = 7;
/// Most digits of a phone number (E.164).
pub const PHONE_DIGITS_MAX: usize = 15;

/// A phone number with its country code: 7–15 digits, the first 1–9, without `+`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber {
    // Unused places stay zero, so that the derived comparisons compare texts.
    digits: [u8; PHONE_DIGITS_MAX],
    len: u8,
}

impl PhoneNumber {
    /// The number that `text` spells, or `None` where it is anything else than 7–15 digits that do
    /// not begin with 0.
    #[must_use]
    pub fn parse(text: &str) -> Option<PhoneNumber> {
        let bytes = text.as_bytes();
        if !(PHONE_DIGITS_MIN..=PHONE_DIGITS_MAX).contains(&bytes.len()) || bytes[0] == b'0' || !bytes.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut digits = [0; PHONE_DIGITS_MAX];
        digits[..bytes.len()].copy_from_slice(bytes);
        Some(PhoneNumber { digits, len: u8::try_from(bytes.len()).ok()? })
    }

    /// The digits, without `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.len)]).expect("only ASCII digits are ever stored")
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({} digits)", self.len)
    }
}

/// Most characters of a BSUID behind its prefix (meta-cloud-api §5.8).
pub const BSUID_TAIL_MAX: usize = 128;

/// A business-scoped user id: two capital letters, a dot, up to 128 alphanumerics
/// (`US.13491208655302741918`), or a parent id (`US.ENT.1181…`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bsuid(Box<str>);

impl Bsuid {
    /// The id that `text` spells, or `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Bsuid> {
        let (country, rest) = text.split_once('.')?;
        let tail = rest.strip_prefix("ENT.").unwrap_or(rest);
        let sound = country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && (1..=BSUID_TAIL_MAX).contains(&tail.len())
            && tail.bytes().all(|byte| byte.is_ascii_alphanumeric());
        sound.then(|| Bsuid(text.into()))
    }

    /// The id as the caller wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its country, two capital letters.
    #[must_use]
    pub fn country(&self) -> &str {
        &self.0[..2]
    }

    /// Whether it is a parent id (`US.ENT.…`), shared by the numbers of one enterprise.
    #[must_use]
    pub fn is_parent(&self) -> bool {
        self.0[3..].starts_with("ENT.")
    }
}

impl fmt::Debug for Bsuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bsuid({}, {} characters)", self.country(), self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_seven_to_fifteen_digits_and_begins_with_one_to_nine() {
        for good in ["1234567", "905321234567", "123456789012345", "9000000"] {
            assert_eq!(PhoneNumber::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "123456", "1234567890123456", "0532123456", "+905321234567", "90 5321234567", "90-532123456", "٩٠٥٣٢١٢٣", "12345a7"]
        {
            assert_eq!(PhoneNumber::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_user_id_is_a_country_and_an_opaque_tail() {
        let parent = Bsuid::parse("US.ENT.1181ab").expect("a parent id");
        assert!(parent.is_parent());
        let long = format!("TR.{}", "7".repeat(BSUID_TAIL_MAX));
        for good in ["US.13491208655302741918", "TR.a", &long] {
            let id = Bsuid::parse(good).expect(good);
            assert_eq!((id.as_str(), id.country(), id.is_parent()), (good, &good[..2], false));
        }
        let too_long = format!("{long}7");
        for bad in ["", "US", "US.", "us.123", "USA.123", "U.123", "US.12-3", "US.ENT.", "US.12.3", "US.ÄÖ", "ÜS.1", &too_long] {
            assert_eq!(Bsuid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_recipient_does_not_print_itself_into_logs() {
        let printed = format!("{:?} {:?}", PhoneNumber::parse("905321234567"), Bsuid::parse("US.13491208655302741918"));
        assert!(!printed.contains("905") && !printed.contains("1349"), "{printed}");
    }
}
