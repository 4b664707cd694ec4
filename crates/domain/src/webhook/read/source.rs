//! The payload's text, and how values of it are borrowed.

use std::ops::Range;

use crate::json::scan::unescape;
use crate::json::{Kind, Value};
use crate::time::UnixMs;
use crate::webhook::item::{Edit, Edited};
use crate::webhook::view::{MetaError, Text};

/// The last member of that name that is not null, if `object` is an object that has it.
pub(super) fn get<'d>(object: Value<'d>, name: &str) -> Option<Value<'d>> {
    object.members().filter(|(member, _)| member.spells(name)).last().map(|(_, value)| value).filter(|value| !value.is_null())
}

/// The text from which everything is borrowed. Values know their spans; the text outlives the tape.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    text: &'t str,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str) -> Source<'t> {
        Source { text }
    }

    /// A value as it stands, quotes included.
    pub(super) fn raw(self, value: Value<'_>) -> &'t str {
        &self.text[value.span()]
    }

    /// A string's text, or a number as it is written: Meta writes some ids as either.
    pub(super) fn text(self, value: Value<'_>) -> Option<Text<'t>> {
        let Range { start, end } = value.span();
        match value.kind() {
            Kind::Plain => Some(Text::Borrowed(&self.text[start + 1..end - 1])),
            Kind::Escaped => Some(Text::Owned(unescape(&self.text[start + 1..end - 1]))),
            Kind::Number => Some(Text::Borrowed(&self.text[start..end])),
            _ => None,
        }
    }

    /// The text of a member, if it is there and has one.
    pub(super) fn member(self, object: Value<'_>, name: &str) -> Option<Text<'t>> {
        get(object, name).and_then(|value| self.text(value))
    }

    /// The text of a member; empty where there is none.
    pub(super) fn member_or_empty(self, object: Value<'_>, name: &str) -> Text<'t> {
        self.member(object, name).unwrap_or_default()
    }

    /// A whole number, also one that is written as a string.
    pub(super) fn integer(self, object: Value<'_>, name: &str) -> Option<i64> {
        self.member(object, name)?.parse().ok()
    }

    /// An instant in seconds (Meta's habit) or milliseconds, as a number or a string.
    pub(super) fn instant(self, value: Value<'_>) -> Option<UnixMs> {
        let number: i64 = self.text(value)?.parse().ok()?;
        // Seconds stay below this until the year 5138, milliseconds are above it since 1973.
        Some(UnixMs(if number.unsigned_abs() < 100_000_000_000 { number * 1_000 } else { number }))
    }

    /// `timestamp` of an item.
    pub(super) fn timestamp(self, object: Value<'_>) -> Option<UnixMs> {
        get(object, "timestamp").and_then(|at| self.instant(at))
    }

    /// The members of an object as they stand, name and value, without those that `leaves_out`.
    pub(super) fn members(self, object: Value<'_>, leaves_out: impl Fn(&str) -> bool) -> Vec<&'t str> {
        object
            .members()
            .filter(|(name, _)| !self.text(*name).is_some_and(|name| leaves_out(&name)))
            .map(|(name, value)| &self.text[name.span().start..value.span().end])
            .collect()
    }

    /// The errors of an array.
    pub(super) fn errors(self, object: Value<'_>) -> Vec<MetaError<'t>> {
        let Some(errors) = get(object, "errors") else { return Vec::new() };
        errors
            .elements()
            .map(|error| MetaError {
                code: self.integer(error, "code").unwrap_or(0),
                title: self.member(error, "title").or_else(|| self.member(error, "message")).unwrap_or_default(),
                details: get(error, "error_data").and_then(|data| self.member(data, "details")),
            })
            .collect()
    }

    /// Notes every string member of `object` named `name` as a place that deliveries change;
    /// `own_start` is where the item's bytes begin.
    pub(super) fn mark(self, object: Value<'_>, name: &str, own_start: usize, what: &Edited<'t>, edits: &mut Vec<Edit<'t>>) {
        let is_marked = |(member, value): &(Value<'_>, Value<'_>)| member.spells(name) && value.is_string();
        let mut members = object.members().peekable();
        // Where the members before ended, and whether one of them stays when the marked ones go.
        let (mut end_before, mut stays_before) = (None, false);
        while let Some(member) = members.next() {
            let (start, value) = (member.0.span().start, member.1.span());
            if is_marked(&member) {
                let removed = match (end_before, members.peek()) {
                    (Some(end_before), _) if stays_before => end_before..value.end,
                    (_, Some((next, _))) => start..next.span().start,
                    _ => start..value.end,
                };
                let within = |range: Range<usize>| range.start - own_start..range.end - own_start;
                edits.push(Edit { value: within(value.clone()), member: within(removed), what: what.clone() });
            } else {
                stays_before = true;
            }
            end_before = Some(value.end);
        }
    }
}
