//! Reads values off the tape: what a field holds, without copying it.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::{self, Kind, Token};

/// A scanned text.
pub(crate) struct Document<'t> {
    text: &'t str,
    tape: Vec<Token>,
}

impl<'t> Document<'t> {
    /// Scans `text`; see [`scan::scan`] for what is refused.
    pub(crate) fn scan(text: &'t str) -> Result<Document<'t>, scan::Fault> {
        Ok(Document { text, tape: scan::scan(text)? })
    }

    /// Scans text of Meta's; see [`scan::scan_leniently`] for what is let pass.
    pub(crate) fn scan_leniently(text: &'t str) -> Result<Document<'t>, scan::Fault> {
        Ok(Document { text, tape: scan::scan_leniently(text)? })
    }

    /// The outermost object.
    pub(crate) fn root(&self) -> Value<'_> {
        Value { document: self, at: 0 }
    }
}

/// One value of a document.
#[derive(Clone, Copy)]
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    at: usize,
}

impl<'d> Value<'d> {
    fn token(self) -> Token {
        self.document.tape[self.at]
    }

    pub(crate) fn kind(self) -> Kind {
        self.token().kind
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    pub(crate) fn is_string(self) -> bool {
        matches!(self.kind(), Kind::Plain | Kind::Escaped)
    }

    /// What it is, with its article, for a sentence.
    pub(crate) fn described(self) -> &'static str {
        match self.kind() {
            Kind::Null => "null",
            Kind::False | Kind::True => "a boolean",
            Kind::Number => "a number",
            Kind::Plain | Kind::Escaped => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }

    /// The bytes between a string's quotes; any other value whole.
    pub(crate) fn raw(self) -> &'d str {
        let token = self.token();
        &self.document.text[token.start as usize..token.end as usize]
    }

    /// A string's text, unescaped; copied only where it holds escapes. Empty for anything else.
    pub(crate) fn text(self) -> Cow<'d, str> {
        match self.kind() {
            Kind::Plain => Cow::Borrowed(self.raw()),
            Kind::Escaped => Cow::Owned(scan::unescape(self.raw())),
            _ => Cow::Borrowed(""),
        }
    }

    /// Where the value stands in the text, quotes included.
    pub(crate) fn span(self) -> Range<usize> {
        let token = self.token();
        let quote = usize::from(self.is_string());
        token.start as usize - quote..token.end as usize + quote
    }

    /// A number that is written as a whole one.
    pub(crate) fn integer(self) -> Option<i64> {
        if self.kind() == Kind::Number { self.raw().parse().ok() } else { None }
    }

    /// The member of that name, if this is an object that has it.
    pub(crate) fn get(self, name: &str) -> Option<Value<'d>> {
        self.members().find(|(member, _)| member.spells(name)).map(|(_, value)| value)
    }

    /// Names and values of an object; nothing for any other value.
    pub(crate) fn members(self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> + Clone {
        let token = self.token();
        let mut at = self.at + 1;
        let end = if token.kind == Kind::Object { token.next as usize } else { at };
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let value = Value { document: self.document, at: at + 1 };
            let name = Value { document: self.document, at };
            at = value.token().next as usize;
            Some((name, value))
        })
    }

    /// The elements of an array; nothing for any other value.
    pub(crate) fn elements(self) -> impl Iterator<Item = Value<'d>> + Clone {
        let token = self.token();
        let mut at = self.at + 1;
        let end = if token.kind == Kind::Array { token.next as usize } else { at };
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let value = Value { document: self.document, at };
            at = value.token().next as usize;
            Some(value)
        })
    }

    /// Whether this string's text is `text`. Most are told apart by their lengths alone.
    pub(crate) fn spells(self, text: &str) -> bool {
        let token = self.token();
        match token.kind {
            Kind::Plain => {
                let (start, end) = (token.start as usize, token.end as usize);
                end - start == text.len() && &self.document.text.as_bytes()[start..end] == text.as_bytes()
            }
            Kind::Escaped => scan::unescape(self.raw()) == text,
            _ => false,
        }
    }
}
