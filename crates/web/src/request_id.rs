//! What names a request from end to end: our `X-Request-Id` and the caller's W3C `traceparent`.
//!
//! A caller's own id is kept where it is sane, so that one word finds a request in both logs
//! (contract §2). Ours is made of the instant at which the process began, chance and a counter: it
//! needs neither a clock nor a lock for each request.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use turnpike_domain::time::UnixMs;

/// Longest id of a caller's own that we repeat: enough for two UUIDs and a name.
pub const REQUEST_ID_MAX: usize = 128;

/// Crockford's alphabet in lower case: no letter that is mistaken for a digit when read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of the part that every id of one process shares: 40 bits of time, 30 of chance.
const PREFIX: usize = 14;

/// Characters of an id made by us: the prefix and 60 bits of counter.
const LENGTH: usize = PREFIX + 12;

/// The id of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Source);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Callers(HeaderValue),
    Made([u8; LENGTH]),
}

impl RequestId {
    /// The caller's own id: `None` unless it is 1–128 visible ASCII characters.
    #[must_use]
    pub fn of_caller(value: &HeaderValue) -> Option<RequestId> {
        let bytes = value.as_bytes();
        let sane = !bytes.is_empty() && bytes.len() <= REQUEST_ID_MAX && bytes.iter().all(u8::is_ascii_graphic);
        sane.then(|| RequestId(Source::Callers(value.clone())))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Source::Callers(value) => value.to_str().expect("only visible ASCII was let in"),
            Source::Made(made) => std::str::from_utf8(made).expect("the alphabet is ASCII"),
        }
    }

    /// The id as the value of `X-Request-Id`.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        match &self.0 {
            Source::Callers(value) => value.clone(),
            Source::Made(made) => HeaderValue::from_bytes(made).expect("the alphabet is ASCII"),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes request ids: unique in this process, and as good as unique among all of them.
#[derive(Debug)]
pub struct RequestIds {
    prefix: [u8; PREFIX],
    next: AtomicU64,
}

impl RequestIds {
    /// Ids of a process that began at `started`; `random` keeps two processes of one instant apart.
    #[must_use]
    pub fn new(started: UnixMs, random: u32) -> RequestIds {
        let mut prefix = [0; PREFIX];
        spell(started.0.unsigned_abs(), &mut prefix[..8]);
        spell(u64::from(random), &mut prefix[8..]);
        RequestIds { prefix, next: AtomicU64::new(0) }
    }

    /// The next id, and a number that is as good as chance where being guessed does no harm
    /// (jitter of `Retry-After`).
    pub fn make(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut made = [0; LENGTH];
        made[..PREFIX].copy_from_slice(&self.prefix);
        spell(count, &mut made[PREFIX..]);
        RequestId(Source::Made(made))
    }
}

/// Writes the low bits of `value` in base 32, most significant first, filling `out`.
fn spell(mut value: u64, out: &mut [u8]) {
    for place in out.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
}

/// A sane W3C `traceparent` (Trace Context level 1), as the caller wrote it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceParent([u8; TraceParent::LENGTH]);

impl TraceParent {
    /// `00-` + 32 hex + `-` + 16 hex + `-` + 2 hex.
    const LENGTH: usize = 55;

    /// Reads a header's value: `None` where the trace context standard says to ignore it, which
    /// is where a part is missing, not lower-case hexadecimal, or all zero. Of a later version
    /// only the part that version 00 knows is kept.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<TraceParent> {
        let known: &[u8; TraceParent::LENGTH] = value.first_chunk()?;
        let hex = |range: std::ops::Range<usize>| known[range].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let zero = |range: std::ops::Range<usize>| known[range].iter().all(|b| *b == b'0');
        let dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
        if !(dashes && hex(0..2) && hex(3..35) && hex(36..52) && hex(53..55)) || zero(3..35) || zero(36..52) {
            return None;
        }
        match &known[..2] {
            b"ff" => None,
            b"00" if value.len() != TraceParent::LENGTH => None,
            _ if value.len() > TraceParent::LENGTH && value[TraceParent::LENGTH] != b'-' => None,
            _ => {
                let mut kept = *known;
                kept[..2].copy_from_slice(b"00");
                Some(TraceParent(kept))
            }
        }
    }

    /// The whole value, as it is passed on.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only hexadecimal digits and dashes were let in")
    }

    /// The 32 hexadecimal digits of the trace id.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.as_str()[3..35]
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_of_the_caller_is_kept_and_any_other_is_not() {
        let kept = |text: &'static [u8]| RequestId::of_caller(&HeaderValue::from_bytes(text).expect("a header value"));
        assert_eq!(kept(b"order-17/retry").map(|id| id.as_str().to_owned()).as_deref(), Some("order-17/retry"));
        assert!(kept(b"").is_none());
        assert!(kept(b"two words").is_none());
        assert!(kept("caf\u{e9}".as_bytes().to_vec().leak()).is_none());
        assert!(kept(vec![b'a'; 128].leak()).is_some());
        assert!(kept(vec![b'a'; 129].leak()).is_none());
    }

    #[test]
    fn ids_of_one_process_differ_and_are_sane_themselves() {
        let ids = RequestIds::new(UnixMs(1_790_000_000_000), 77);
        let (first, second) = (ids.make(), ids.make());
        assert_ne!(first, second);
        assert_eq!(first.as_str().len(), 26);
        assert!(RequestId::of_caller(&first.to_header()).is_some());
        assert_ne!(RequestIds::new(UnixMs(1_790_000_000_000), 78).make(), first);
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_says() {
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(good).map(|t| t.trace_id().to_owned()).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let later = b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(TraceParent::parse(later).map(|t| t.as_str()[..2].to_owned()).as_deref(), Some("00"));
        for bad in [
            &b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"[..],
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            b"",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
