//! Reads JSON text into a flat tape of tokens, strictly, in one pass and without recursion.
//!
//! A scanner of our own is justified here and nowhere else. What we send is the caller's bytes with
//! two places replaced, so every value's span must be known; nobody may read another message than
//! Meta sends, so a member name that occurs twice (after unescaping) and a lone surrogate are
//! faults; and each fault has a line and a column. A deserializer gives none of these. It is also
//! the hottest code of a send: one vector is all that it allocates. Meta's webhooks are cut up by the
//! same spans, under rules that let pass what only strangers' text can hold.
//!
//! The grammar is RFC 8259 without extensions. Whether the bytes are UTF-8 is settled before, so
//! that spans may be taken as text.

use std::borrow::Cow;

/// Deepest nesting of objects and arrays; the outermost object is the first level (contract §3.1).
pub(crate) const DEPTH_MAX: usize = 32;

/// Up to this many members, comparing every pair of names beats sorting them.
const PAIRWISE_MAX: usize = 16;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    False,
    True,
    Number,
    /// A string, or a member's name, whose bytes are its text.
    Plain,
    /// A string, or a member's name, that holds escapes.
    Escaped,
    Array,
    Object,
}

/// One value or member name. A container is followed by what it holds: elements, or names each
/// followed by its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// Where it begins in the text. A string's quotes are outside its span.
    pub(crate) start: u32,
    /// Where it ends, exclusive.
    pub(crate) end: u32,
    /// The tape index behind it and everything that it holds.
    pub(crate) next: u32,
    /// What it is.
    pub(crate) kind: Kind,
}

/// Why a text is not one JSON object, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset in bytes.
    pub(crate) offset: usize,
    /// What is wrong there, as a sentence part.
    pub(crate) problem: &'static str,
}

const fn fault<T>(offset: usize, problem: &'static str) -> Result<T, Fault> {
    Err(Fault { offset, problem })
}

/// Deepest nesting where the text is Meta's: what `serde_json` would take, too.
pub(crate) const LENIENT_DEPTH_MAX: usize = 128;

/// Reads `text`, which must be one JSON object and nothing more. The first token is that object.
pub(crate) fn scan(text: &str) -> Result<Vec<Token>, Fault> {
    scan_by::<true>(text)
}

/// The same for text that is Meta's: a name may occur twice in an object, a string may hold half a
/// surrogate pair (a user's name that somebody cut), and nesting may be deeper.
pub(crate) fn scan_leniently(text: &str) -> Result<Vec<Token>, Fault> {
    scan_by::<false>(text)
}

fn scan_by<const STRICT: bool>(text: &str) -> Result<Vec<Token>, Fault> {
    if u32::try_from(text.len()).is_err() {
        return fault(0, "the body is larger than this gateway can read");
    }
    let mut scanner = Scanner::<'_, STRICT> { bytes: text.as_bytes(), text, at: 0, tape: Vec::with_capacity(text.len() / 10 + 8) };
    scanner.skip_space();
    match scanner.peek() {
        Some(b'{') => {}
        None => return fault(scanner.at, "the body is empty; one JSON object is expected"),
        Some(b'[') => return fault(scanner.at, "the body is an array; one JSON object is expected"),
        Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            return fault(scanner.at, "the body is not an object; one JSON object is expected");
        }
        Some(_) => return fault(scanner.at, "this is not JSON; one JSON object is expected"),
    }
    scanner.document()?;
    Ok(scanner.tape)
}

struct Scanner<'t, const STRICT: bool> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    tape: Vec<Token>,
}

impl<const STRICT: bool> Scanner<'_, STRICT> {
    /// Everything from the first `{` to the end of the text.
    fn document(&mut self) -> Result<(), Fault> {
        let deepest = if STRICT { DEPTH_MAX } else { LENIENT_DEPTH_MAX };
        let mut open = [0usize; LENIENT_DEPTH_MAX];
        let mut depth = 0;
        'value: loop {
            // A value begins here.
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(byte @ (b'{' | b'[')) => {
                    if depth == deepest {
                        return fault(self.at, if STRICT { TOO_DEEP } else { TOO_DEEP_FOR_ANYBODY });
                    }
                    open[depth] = self.tape.len();
                    depth += 1;
                    self.push(if byte == b'{' { Kind::Object } else { Kind::Array }, self.at);
                    self.at += 1;
                    self.skip_space();
                    match (byte, self.peek()) {
                        (b'{', Some(b'}')) | (b'[', Some(b']')) => {}
                        (b'{', _) => {
                            self.name()?;
                            continue 'value;
                        }
                        _ => continue 'value,
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true", Kind::True)?,
                Some(b'f') => self.word(b"false", Kind::False)?,
                Some(b'n') => self.word(b"null", Kind::Null)?,
                Some(_) => return fault(self.at, "a value is expected"),
                None => return fault(self.at, "the body ends where a value is expected"),
            }
            // A value has ended, or an empty container is about to: what holds it decides.
            loop {
                self.skip_space();
                let Some(container) = depth.checked_sub(1).map(|level| open[level]) else {
                    return if self.at == self.bytes.len() {
                        Ok(())
                    } else {
                        fault(self.at, "something follows the JSON object; one object is expected")
                    };
                };
                let in_object = self.tape[container].kind == Kind::Object;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.skip_space();
                        if in_object {
                            self.name()?;
                        }
                        continue 'value;
                    }
                    Some(b'}') if in_object && STRICT => self.distinct_names(container)?,
                    Some(b'}') if in_object => {}
                    Some(b']') if !in_object => {}
                    None => return fault(self.at, "the body ends inside an object or array"),
                    Some(_) if in_object => return fault(self.at, "`,` or `}` is expected"),
                    Some(_) => return fault(self.at, "`,` or `]` is expected"),
                }
                self.at += 1;
                depth -= 1;
                let (end, next) = (index(self.at), index(self.tape.len()));
                let closed = &mut self.tape[container];
                (closed.end, closed.next) = (end, next);
            }
        }
    }

    /// A member's name and its colon, up to where the value begins.
    fn name(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string()?,
            None => return fault(self.at, "the body ends where a member name is expected"),
            Some(_) => return fault(self.at, "a member name in double quotes is expected"),
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            return fault(self.at, "`:` is expected behind a member name");
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::Plain;
        loop {
            self.at = ordinary_end(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                Some(_) => return fault(self.at, "a control character in a string must be escaped"),
                None => return fault(self.at, "the body ends inside a string"),
            }
        }
        self.push(kind, start);
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        match self.bytes.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let Some(unit) = hex4(self.bytes, start + 2) else {
                    return fault(start, "`\\u` must be followed by four hexadecimal digits");
                };
                self.at += 6;
                match unit {
                    _ if !STRICT => {}
                    0xD800..=0xDBFF => {
                        let low = if self.bytes[self.at..].starts_with(b"\\u") { hex4(self.bytes, self.at + 2) } else { None };
                        if !matches!(low, Some(0xDC00..=0xDFFF)) {
                            return fault(start, "a lone surrogate is not a character");
                        }
                        self.at += 6;
                    }
                    0xDC00..=0xDFFF => return fault(start, "a lone surrogate is not a character"),
                    _ => {}
                }
            }
            Some(_) => return fault(start, "this escape is unknown to JSON"),
            None => return fault(start, "the body ends inside a string"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.peek(), Some(b'0'..=b'9')) {
                    return fault(start, "a number must not begin with 0");
                }
            }
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return fault(self.at, "a digit is expected"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(Kind::Number, start);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return fault(self.at, "a digit is expected");
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word) {
            return fault(self.at, "a value is expected");
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start);
        Ok(())
    }

    /// Adds a token that ends here and holds nothing; a container is completed when it closes.
    fn push(&mut self, kind: Kind, start: usize) {
        self.tape.push(Token { start: index(start), end: index(self.at), next: index(self.tape.len() + 1), kind });
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Refuses an object, complete but for its `}`, in which a name occurs twice.
    fn distinct_names(&self, object: usize) -> Result<(), Fault> {
        let mut names = [0usize; PAIRWISE_MAX];
        let mut count = 0;
        let mut at = object + 1;
        while at < self.tape.len() {
            let name = self.tape[at];
            if count == PAIRWISE_MAX || name.kind == Kind::Escaped {
                return self.distinct_names_sorted(object);
            }
            let text = self.slice(name);
            if names[..count].iter().any(|&earlier| self.slice(self.tape[earlier]) == text) {
                return fault(name.start as usize - 1, REPEATED);
            }
            names[count] = at;
            count += 1;
            at = self.tape[at + 1].next as usize;
        }
        Ok(())
    }

    /// The same for many names or escaped ones, in n log n: a body may hold a hundred thousand.
    fn distinct_names_sorted(&self, object: usize) -> Result<(), Fault> {
        let mut names: Vec<(Cow<'_, str>, u32)> = Vec::new();
        let mut at = object + 1;
        while at < self.tape.len() {
            let name = self.tape[at];
            let raw = &self.text[name.start as usize..name.end as usize];
            names.push((if name.kind == Kind::Escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }, name.start));
            at = self.tape[at + 1].next as usize;
        }
        names.sort_unstable();
        let repeated = names.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).min();
        repeated.map_or(Ok(()), |start| fault(start as usize - 1, REPEATED))
    }

    fn slice(&self, token: Token) -> &[u8] {
        &self.bytes[token.start as usize..token.end as usize]
    }
}

const TOO_DEEP: &str = "objects and arrays are nested more than 32 deep";
const TOO_DEEP_FOR_ANYBODY: &str = "objects and arrays are nested more than 128 deep";
const REPEATED: &str = "this member name occurs twice in one object";

/// A position as the tape keeps it.
#[expect(clippy::cast_possible_truncation, reason = "scan() refuses texts of 4 GiB, and a tape is never longer than its text")]
fn index(position: usize) -> u32 {
    position as u32
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first position from `at` on that ends a run of ordinary string bytes: a quote, a backslash,
/// a control character or the end.
///
/// Eight bytes at a time: subtracting borrows into a byte's high bit where that byte was below the
/// subtrahend. A borrow may spill into the next byte, so only the lowest mark is to be trusted, and
/// only the lowest is asked for. Bytes of 0x80 and above (UTF-8) are masked out.
fn ordinary_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("the slice is 8 long"));
        let quotes = word ^ (ONES * b'"' as u64);
        let backslashes = word ^ (ONES * b'\\' as u64);
        let marks = ((quotes.wrapping_sub(ONES) & !quotes)
            | (backslashes.wrapping_sub(ONES) & !backslashes)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |unit, &byte| Some(unit * 16 + char::from(byte).to_digit(16)?))
}

/// The text of an escaped string that the scanner has passed.
pub(crate) fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(escape) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..escape]);
        let bytes = &rest.as_bytes()[escape..];
        let (character, length) = match bytes.get(1) {
            Some(b'n') => ('\n', 2),
            Some(b't') => ('\t', 2),
            Some(b'r') => ('\r', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'u') => match (hex4(bytes, 2), hex4(bytes, 8)) {
                (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) if bytes[6..].starts_with(b"\\u") => {
                    (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                }
                (unit, _) => (unit.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            },
            // `"`, `\` and `/` stand for themselves.
            Some(&itself) => (char::from(itself), 2),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        text.push(character);
        rest = rest.get(escape + length..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

/// The 1-based line and the 1-based column in bytes of an offset.
pub(crate) fn position(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset.min(bytes.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    (memchr::memchr_iter(b'\n', before).count() + 1, before.len() - line_start + 1)
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
