//! A referee over the bytes of an HTTP/1.1 connection, who sees what the HTTP library hides.
//!
//! The library forgives two equal `Content-Length` headers and drops a `Content-Length` beside a
//! `Transfer-Encoding` before anybody can see it. A proxy in front of us may read such a request
//! otherwise than we do, and what it takes for the end of one request we take for the beginning of
//! another: request smuggling. So the referee reads the heads as they come in, line by line and
//! without copying, and reports the first fault; the request is then answered REQ_006 and the
//! connection closed. It also knows how much of a body is still to come, and whether a head is
//! under way, which is what the connection's time limits go by.

/// What the referee found wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foul {
    /// `Content-Length` more than once, be it with the same number.
    TwoLengths,
    /// `Content-Length` and `Transfer-Encoding` in one head.
    LengthAndEncoding,
    /// `Transfer-Encoding` more than once.
    TwoEncodings,
    /// A `Content-Length` that is no length.
    NotALength,
}

impl Foul {
    pub(super) fn problem(self) -> &'static str {
        match self {
            Foul::TwoLengths => "there is more than one Content-Length header",
            Foul::LengthAndEncoding => "there is a Content-Length beside a Transfer-Encoding",
            Foul::TwoEncodings => "there is more than one Transfer-Encoding header",
            Foul::NotALength => "the Content-Length is not the length of a body",
        }
    }
}

/// Longest line that is followed. The library refuses a head far below this.
const LINE_MAX: usize = 64 * 1024;

/// Largest length that is taken for one; the library gives up near the end of 64 bits.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// Follows the framing of one connection.
#[derive(Debug)]
pub(super) struct Referee {
    state: State,
    /// Heads that were complete so far.
    heads: u32,
    /// The head that broke a rule, counted from 1, and the rule.
    foul: Option<(u32, Foul)>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Between two requests, or within a head.
    Head(Findings),
    /// Within a body of known length.
    Body { left: u64 },
    /// No longer followed: the connection ends with the request that is under way.
    Off,
}

#[derive(Debug, Default)]
struct Findings {
    /// Lines of this head so far; 0 is the time between two requests.
    lines: u32,
    length: Option<u64>,
    lengths: u32,
    encodings: u32,
}

impl Referee {
    /// Begins with what follows so many requests.
    pub(super) fn after(heads: u32) -> Referee {
        Referee { state: State::Head(Findings::default()), heads, foul: None, partial: Vec::new() }
    }

    /// Takes note of bytes in the order in which they came.
    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Off => return,
                State::Body { left } => {
                    let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= here as u64;
                    bytes = &bytes[here..];
                    if *left == 0 {
                        self.state = State::Head(Findings::default());
                    }
                }
                State::Head(findings) => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.partial.extend_from_slice(bytes);
                        if self.partial.len() > LINE_MAX {
                            self.state = State::Off;
                        }
                        return;
                    };
                    let last = if self.partial.is_empty() {
                        findings.read_line(&bytes[..end])
                    } else {
                        self.partial.extend_from_slice(&bytes[..end]);
                        let last = findings.read_line(&self.partial);
                        self.partial.clear();
                        last
                    };
                    bytes = &bytes[end + 1..];
                    if last {
                        self.heads = self.heads.saturating_add(1);
                        self.foul = findings.foul().map(|foul| (self.heads, foul));
                        self.state = match findings {
                            // What follows a foul is not looked at by anybody, and chunks are not
                            // counted: the connection ends behind either.
                            _ if self.foul.is_some() => State::Off,
                            Findings { encodings: 1.., .. } => State::Off,
                            Findings { length: Some(left @ 1..), .. } => State::Body { left: *left },
                            _ => State::Head(Findings::default()),
                        };
                    }
                }
            }
        }
    }

    /// The head that broke a rule, counted from 1, and the rule.
    pub(super) fn foul(&self) -> Option<(u32, Foul)> {
        self.foul
    }

    /// The head, counted from 1, whose body has begun and not ended; 0 where there is none.
    pub(super) fn within_body_of(&self) -> u32 {
        if matches!(self.state, State::Body { .. }) { self.heads } else { 0 }
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn within_head(&self) -> bool {
        matches!(&self.state, State::Head(findings) if findings.lines > 0 || !self.partial.is_empty())
    }
}

impl Findings {
    /// Reads one line without its line feed; true where it ends the head.
    fn read_line(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            // Empty lines before a request line are to be overlooked (RFC 9112 §2.2).
            return self.lines > 0;
        }
        self.lines = self.lines.saturating_add(1);
        match line[0] {
            b'c' | b'C' => {
                if let Some(value) = value_of(line, b"content-length") {
                    self.lengths += 1;
                    let digits = value.iter().all(u8::is_ascii_digit);
                    self.length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
                }
            }
            b't' | b'T' if value_of(line, b"transfer-encoding").is_some() => self.encodings += 1,
            _ => {}
        }
        false
    }

    fn foul(&self) -> Option<Foul> {
        if self.encodings > 0 && self.lengths > 0 {
            Some(Foul::LengthAndEncoding)
        } else if self.lengths > 1 {
            Some(Foul::TwoLengths)
        } else if self.encodings > 1 {
            Some(Foul::TwoEncodings)
        } else if self.lengths == 1 && self.length.is_none_or(|length| length > LENGTH_MAX) {
            Some(Foul::NotALength)
        } else {
            None
        }
    }
}

/// The value of a header line, where its name is `name` (given in lower case).
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the bytes to a referee, in one piece and byte by byte: both must end alike.
    fn check(bytes: &[u8], expect: impl Fn(&Referee)) {
        let mut whole = Referee::after(0);
        whole.see(bytes);
        expect(&whole);
        let mut dripping = Referee::after(0);
        for byte in bytes {
            dripping.see(std::slice::from_ref(byte));
        }
        expect(&dripping);
    }

    #[test]
    fn requests_in_a_row_are_told_apart_by_their_lengths() {
        check(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\n\nGET / HTTP/1.1\nHost: b\n\n", |referee| {
            assert_eq!(referee.heads, 2);
            assert_eq!(referee.foul, None);
            assert_eq!((referee.within_head(), referee.within_body_of()), (false, 0));
        });
    }

    #[test]
    fn what_is_still_to_come_is_known() {
        check(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", |referee| {
            assert_eq!((referee.within_head(), referee.within_body_of()), (false, 1));
        });
        check(b"\r\nPOST / HTT", |referee| assert!(referee.within_head()));
        check(b"\r\n", |referee| assert!(!referee.within_head()));
        check(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", |referee| {
            assert!(matches!(referee.state, State::Off), "chunks are not counted");
        });
    }

    #[test]
    fn fouls_are_laid_to_the_request_that_did_them() {
        check(b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc", |referee| {
            assert_eq!(referee.foul(), Some((2, Foul::TwoLengths)));
        });
        check(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", |referee| {
            assert_eq!(referee.foul(), Some((1, Foul::LengthAndEncoding)));
        });
        check(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", |referee| {
            assert_eq!(referee.foul(), Some((1, Foul::TwoEncodings)));
        });
    }

    #[test]
    fn a_length_that_is_none_is_a_foul() {
        for value in ["+3", "-3", "3, 3", "", "three", "0x3", "18446744073709551615", "99999999999999999999"] {
            check(format!("POST / HTTP/1.1\r\nContent-Length: {value}\r\n\r\n").as_bytes(), |referee| {
                assert_eq!(referee.foul(), Some((1, Foul::NotALength)), "{value}");
            });
        }
    }

    #[test]
    fn a_name_that_only_begins_alike_is_another_header() {
        check(b"POST / HTTP/1.1\r\nContent-Lengths: 9\r\nContent-Length-Hint: 3\r\nContent-Length: 0\r\n\r\n", |referee| {
            assert_eq!(referee.foul, None);
            assert_eq!((referee.within_head(), referee.within_body_of()), (false, 0));
        });
    }
}
