//! A request to an endpoint as its bytes: put together once, written at once.

use std::fmt;

use turnpike_domain::webhook::EndpointUrl;

/// What comes behind a head's beginning: ids, signatures and the rest of an event's own headers.
const ROOM_BYTES: usize = 512;

/// A POST to an endpoint's URL, or the beginning of one.
#[derive(Clone)]
pub struct Outgoing(Vec<u8>);

impl Outgoing {
    /// The beginning: what to post to, and on which host.
    #[must_use]
    pub fn to(url: &EndpointUrl) -> Outgoing {
        let target = url.path_and_query();
        // A target that the URL's parser takes and that cannot be written would be a bug of ours; it
        // then goes to the root, where the receiver's answer shows it.
        let target = if target.bytes().all(|byte| byte.is_ascii_graphic()) { target } else { "/" };
        let mut text = Vec::with_capacity(ROOM_BYTES);
        for part in ["POST ", target, " HTTP/1.1\r\nHost: ", url.authority(), "\r\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        Outgoing(text)
    }

    /// The same beginning once more, with room for a body of so many bytes.
    #[must_use]
    pub fn begun_anew(&self, body_bytes: usize) -> Outgoing {
        let mut text = Vec::with_capacity(self.0.len() + ROOM_BYTES + body_bytes);
        text.extend_from_slice(&self.0);
        Outgoing(text)
    }

    /// Adds a header. A value that cannot stand in a head is left out with its name.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        if value.iter().any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7f) {
            return;
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.0.extend_from_slice(part);
        }
    }

    /// Ends the head and adds the body: nothing comes behind it.
    #[must_use]
    pub fn with_body(mut self, body: &[u8]) -> Outgoing {
        self.header("Content-Length", itoa::Buffer::new().format(body.len()).as_bytes());
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(body);
        self
    }

    /// As it is written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds the endpoint's bearer.
        write!(f, "Outgoing({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use turnpike_domain::webhook::UrlRules;

    use super::*;

    #[test]
    fn a_request_is_one_piece_and_a_value_that_would_end_its_line_is_left_out() {
        let url = EndpointUrl::parse("https://hooks.example.com/in?a=b%20c", &UrlRules::default()).expect("a URL");
        let mut outgoing = Outgoing::to(&url).begun_anew(2);
        outgoing.header("x-good", b"yes");
        outgoing.header("x-bad", b"no\r\nx-worse: yes");
        assert_eq!(
            String::from_utf8_lossy(outgoing.with_body(b"{}").as_bytes()),
            "POST /in?a=b%20c HTTP/1.1\r\nHost: hooks.example.com\r\nx-good: yes\r\nContent-Length: 2\r\n\r\n{}"
        );
    }
}
