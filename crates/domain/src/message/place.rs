//! Where in the body we are reading, and the faults found so far.
//!
//! Every check reads a field through its [`Place`], so that a fault names the field by its whole
//! path without a path being built for the fields that are right. Checks go on after a fault: the
//! caller learns of all of them at once (contract §3.1). No fault repeats what the caller wrote;
//! bodies are personal data.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::json::Kind;
use crate::json::Value;
use crate::refusal::FieldFault;

/// Past this many faults no more are listed: a body of 1 MiB could hold a hundred thousand, and
/// nobody reads past the first hundred.
pub(super) const FAULTS_MAX: usize = 100;

/// The faults found so far, in the order of reading.
#[derive(Default)]
pub(super) struct Faults(Vec<FieldFault>);

impl Faults {
    pub(super) fn add(&mut self, path: &Path<'_>, problem: impl Into<String>) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(FieldFault::new(path.to_string(), problem));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<FieldFault> {
        self.0
    }
}

/// A path from the root of the body, kept as a chain on the stack.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Member(Path::Root, name) => f.write_str(name),
            Path::Member(parent, name) => write!(f, "{parent}.{name}"),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Whether a field must be there. `null` counts as absent: whether it may stand there is for Meta
/// to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}
pub(super) use Need::{Optional, Required};

/// An object of the body and its path.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    object: Value<'p>,
    path: Path<'p>,
}

impl<'p> Place<'p> {
    /// The body itself.
    pub(super) fn root(object: Value<'p>) -> Place<'p> {
        Place { object, path: Path::Root }
    }

    pub(super) fn value(&self) -> Value<'p> {
        self.object
    }

    /// Notes a fault of the field `name`.
    pub(super) fn fault(&self, name: &str, problem: impl Into<String>, faults: &mut Faults) {
        faults.add(&Path::Member(&self.path, name), problem);
    }

    /// Notes a fault of this object as a whole.
    pub(super) fn fault_here(&self, problem: impl Into<String>, faults: &mut Faults) {
        faults.add(&self.path, problem);
    }

    /// The field, unless it is absent or null.
    pub(super) fn field(&self, name: &str) -> Option<Value<'p>> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    fn needed(&self, name: &str, need: Need, faults: &mut Faults) -> Option<Value<'p>> {
        let field = self.field(name);
        if field.is_none() && need == Required {
            self.fault(name, "is required", faults);
        }
        field
    }

    /// A field that must be a string, of any length. Gives the string itself, not its text, since
    /// most are only measured.
    pub(super) fn any_string(&self, name: &str, need: Need, faults: &mut Faults) -> Option<Value<'p>> {
        let value = self.needed(name, need, faults)?;
        if !value.is_string() {
            self.fault(name, wrong_kind("a string", value), faults);
            return None;
        }
        Some(value)
    }

    /// A string whose number of Unicode scalar values lies within `chars`.
    pub(super) fn string(&self, name: &str, need: Need, chars: RangeInclusive<usize>, faults: &mut Faults) -> Option<Value<'p>> {
        let value = self.any_string(name, need, faults)?;
        match length_problem(value, &chars) {
            Some(problem) => {
                self.fault(name, problem, faults);
                None
            }
            None => Some(value),
        }
    }

    /// A string that is not empty; its longest length is Meta's to know.
    pub(super) fn filled(&self, name: &str, need: Need, faults: &mut Faults) -> Option<Value<'p>> {
        self.string(name, need, 1..=usize::MAX, faults)
    }

    /// A string that is one of `words`.
    pub(super) fn word(&self, name: &str, need: Need, words: &[&str], faults: &mut Faults) -> Option<Cow<'p, str>> {
        let text = self.any_string(name, need, faults)?.text();
        if !words.contains(&&*text) {
            self.fault(name, one_of(words), faults);
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self, name: &str, need: Need, faults: &mut Faults) {
        if let Some(value) = self.needed(name, need, faults)
            && !matches!(value.kind(), Kind::True | Kind::False)
        {
            self.fault(name, wrong_kind("true or false", value), faults);
        }
    }

    /// A whole number within `range`, written as a JSON number.
    pub(super) fn integer(&self, name: &str, need: Need, range: RangeInclusive<i64>, faults: &mut Faults) -> Option<i64> {
        let value = self.needed(name, need, faults)?;
        self.check_integer(name, value, value.integer(), &range, faults)
    }

    /// The same, but a string of digits will do, where Meta takes either.
    pub(super) fn integer_or_digits(&self, name: &str, need: Need, range: RangeInclusive<i64>, faults: &mut Faults) -> Option<i64> {
        let value = self.needed(name, need, faults)?;
        let number = if value.is_string() { value.text().parse().ok() } else { value.integer() };
        self.check_integer(name, value, number, &range, faults)
    }

    fn check_integer(
        &self,
        name: &str,
        value: Value<'p>,
        number: Option<i64>,
        range: &RangeInclusive<i64>,
        faults: &mut Faults,
    ) -> Option<i64> {
        if number.is_some_and(|number| range.contains(&number)) {
            return number;
        }
        let mut problem = match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "must be a whole number".to_owned(),
            (start, i64::MAX) => format!("must be a whole number from {start}"),
            (start, end) => format!("must be a whole number from {start} to {end}"),
        };
        if number.is_none() && value.kind() != Kind::Number {
            let _ = write!(problem, " ({} given)", value.described());
        }
        self.fault(name, problem, faults);
        None
    }

    /// A field that must be an object.
    pub(super) fn object<'q>(&'q self, name: &'q str, need: Need, faults: &mut Faults) -> Option<Place<'q>> {
        let value = self.needed(name, need, faults)?;
        if value.kind() != Kind::Object {
            self.fault(name, wrong_kind("an object", value), faults);
            return None;
        }
        Some(Place { object: value, path: Path::Member(&self.path, name) })
    }

    /// A field that must be an array of objects, with that many entries. Entries that are no
    /// objects are noted; the others are given. A list of wrong length is given all the same, so
    /// that the faults inside it are named too.
    pub(super) fn list<'q>(&'q self, name: &'q str, need: Need, lengths: RangeInclusive<usize>, faults: &mut Faults) -> Option<List<'q>> {
        let value = self.needed(name, need, faults)?;
        let path = Path::Member(&self.path, name);
        if value.kind() != Kind::Array {
            faults.add(&path, wrong_kind("an array", value));
            return None;
        }
        let list = List { array: value, path, sound: true };
        let given = list.len();
        if !lengths.contains(&given) {
            let entries = |count| if count == 1 { "entry" } else { "entries" };
            let problem = match (*lengths.start(), *lengths.end()) {
                (1, usize::MAX) => "must not be empty".to_owned(),
                (0, end) => format!("must have at most {end} {} ({given} given)", entries(end)),
                (start, end) if start == end => format!("must have exactly {end} {} ({given} given)", entries(end)),
                (start, end) => format!("must have {start} to {end} entries ({given} given)"),
            };
            faults.add(&path, problem);
            return Some(List { sound: false, ..list });
        }
        Some(list)
    }
}

/// An array of objects and its path.
#[derive(Clone, Copy)]
pub(super) struct List<'p> {
    array: Value<'p>,
    path: Path<'p>,
    /// Whether it has as many entries as it may. Comparing entries with each other is worth its
    /// time only then.
    pub(super) sound: bool,
}

impl<'p> List<'p> {
    pub(super) fn len(&self) -> usize {
        self.array.elements().count()
    }

    pub(super) fn path(&self) -> &Path<'p> {
        &self.path
    }

    /// Its entries that are objects; a fault for every other.
    pub(super) fn objects<'q>(&'q self, faults: &mut Faults) -> Vec<Place<'q>> {
        let mut places = Vec::with_capacity(self.len());
        for (index, object) in self.array.elements().enumerate() {
            let path = Path::Element(&self.path, index);
            if object.kind() == Kind::Object {
                places.push(Place { object, path });
            } else {
                faults.add(&path, wrong_kind("an object", object));
            }
        }
        places
    }
}

fn wrong_kind(expected: &str, given: Value<'_>) -> String {
    format!("must be {expected} ({} given)", given.described())
}

/// `must be one of a, b, c`, or `must be a`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [one] => format!("must be {one}"),
        _ => format!("must be one of {}", words.join(", ")),
    }
}

/// What is wrong with a string's length in Unicode scalar values, if anything.
fn length_problem(value: Value<'_>, chars: &RangeInclusive<usize>) -> Option<String> {
    let (min, max) = (*chars.start(), *chars.end());
    let raw = value.raw();
    if raw.is_empty() {
        return (min > 0).then(|| "must not be empty".to_owned());
    }
    // Bytes and escapes only ever outnumber the characters: nearly every string ends here.
    if raw.len() <= max && min <= 1 {
        return None;
    }
    let given = char_count(value);
    if chars.contains(&given) {
        return None;
    }
    Some(match (min, max) {
        (0 | 1, max) => format!("must be at most {max} characters ({given} given)"),
        (min, max) if min == max => format!("must be exactly {max} characters ({given} given)"),
        (min, max) => format!("must be {min} to {max} characters ({given} given)"),
    })
}

/// A string's length in Unicode scalar values, after unescaping.
pub(super) fn char_count(value: Value<'_>) -> usize {
    if value.kind() == Kind::Plain { value.raw().chars().count() } else { value.text().chars().count() }
}
