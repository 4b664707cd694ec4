//! The requests: a template message to one of a million recipients, with a key of the list and an
//! Idempotency-Key that was never used before.

use anyhow::{Context, ensure};

use super::Load;

/// Recipients, so that no pair of number and recipient is sent to too often.
const RECIPIENTS: u64 = 1_000_000;

/// The message, in two pieces around the seven last digits of its recipient. The template is the
/// one that [`crate::upstream`] defines.
pub(crate) const BODY: (&str, &str) = (
    r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"1415"#,
    r#"","type":"template","template":{"name":"parcel_on_its_way","language":{"code":"en_US"},"components":[{"type":"body","parameters":[{"type":"text","text":"Josephine Baker"},{"type":"text","text":"PKG-2026-00417732"},{"type":"currency","currency":{"fallback_value":"$48.20","code":"USD","amount_1000":48200}}]}]},"biz_opaque_callback_data":"order-417732"}"#,
);

const RECIPIENT_DIGITS: usize = 7;
const IDEMPOTENCY_DIGITS: usize = 32;

/// Writes one request after another into the same buffer.
pub(super) struct Requests {
    /// `POST … Authorization: Bearer `.
    begin: Vec<u8>,
    /// From the end of the key to the Idempotency-Key.
    middle: Vec<u8>,
    /// From the end of the Idempotency-Key to the recipient.
    end: Vec<u8>,
    keys: Vec<String>,
    run: u64,
    count: u64,
    written: Vec<u8>,
}

impl Requests {
    pub(super) fn new(load: &Load) -> anyhow::Result<Requests> {
        let text = std::fs::read_to_string(&load.keys).with_context(|| format!("reading {}", load.keys.display()))?;
        let keys: Vec<String> = text.lines().take(load.senders).map(str::to_owned).collect();
        ensure!(!keys.is_empty(), "{} holds no key", load.keys.display());
        let length = BODY.0.len() + RECIPIENT_DIGITS + BODY.1.len();
        Ok(Requests {
            begin: format!("POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer ", load.path, load.address).into_bytes(),
            middle: b"\r\nContent-Type: application/json\r\nIdempotency-Key: ".to_vec(),
            end: format!("\r\nContent-Length: {length}\r\n\r\n{}", BODY.0).into_bytes(),
            keys,
            run: load.run,
            count: 0,
            written: Vec::with_capacity(2048),
        })
    }

    /// The next request.
    pub(super) fn next(&mut self) -> &[u8] {
        self.count += 1;
        let chance = scatter(self.run.wrapping_add(self.count.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let key = &self.keys[usize::try_from(chance % self.keys.len() as u64).unwrap_or(0)];
        self.written.clear();
        self.written.extend_from_slice(&self.begin);
        self.written.extend_from_slice(key.as_bytes());
        self.written.extend_from_slice(&self.middle);
        self.written.extend_from_slice(&hexadecimal(u128::from(self.run) << 64 | u128::from(self.count)));
        self.written.extend_from_slice(&self.end);
        self.written.extend_from_slice(&decimal((chance >> 20) % RECIPIENTS));
        self.written.extend_from_slice(BODY.1.as_bytes());
        &self.written
    }
}

/// Spreads near numbers far apart: the finisher of SplitMix64, without which runs that differ by one
/// would send to the same recipients in the same order.
pub(crate) fn scatter(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn hexadecimal(mut number: u128) -> [u8; IDEMPOTENCY_DIGITS] {
    let mut digits = [b'0'; IDEMPOTENCY_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(number & 15).unwrap_or(0)];
        number >>= 4;
    }
    digits
}

fn decimal(mut number: u64) -> [u8; RECIPIENT_DIGITS] {
    let mut digits = [b'0'; RECIPIENT_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"[usize::try_from(number % 10).unwrap_or(0)];
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(keys: &[&str]) -> Requests {
        Requests {
            begin: b"A ".to_vec(),
            middle: b" I ".to_vec(),
            end: b" B ".to_vec(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            run: 7,
            count: 0,
            written: Vec::new(),
        }
    }

    #[test]
    fn no_two_requests_share_an_idempotency_key() {
        let mut requests = requests(&["k"]);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(requests.next()[6..6 + IDEMPOTENCY_DIGITS].to_vec()));
        }
    }

    #[test]
    fn recipients_and_keys_are_spread() {
        let mut requests = requests(&["a", "b", "c", "d"]);
        let mut recipients = std::collections::HashSet::new();
        let mut keys = [0u32; 4];
        for _ in 0..100_000 {
            let request = requests.next().to_vec();
            keys[usize::from(request[2] - b'a')] += 1;
            let from = 6 + IDEMPOTENCY_DIGITS + 3;
            recipients.insert(request[from..from + RECIPIENT_DIGITS].to_vec());
        }
        assert!(recipients.len() > 90_000, "{} recipients", recipients.len());
        assert!(keys.iter().all(|count| (23_000..27_000).contains(count)), "{keys:?}");
    }

    #[test]
    fn numbers_are_written_with_all_their_digits() {
        assert_eq!(&decimal(42), b"0000042");
        assert_eq!(&hexadecimal(0xABC), b"00000000000000000000000000000abc");
    }
}
