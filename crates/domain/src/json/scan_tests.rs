//! What the scanner promises: it accepts what an independent reader accepts, but for the rules that
//! are stricter on purpose, and its tape holds the same document.

use std::collections::HashSet;
use std::fmt;

use proptest::prelude::*;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::*;
use crate::json::{Document, Value};

/// The document that a tape holds, read through the same `Value` that the checks use.
fn document(value: Value<'_>) -> Json {
    match value.kind() {
        Kind::Null => Json::Null,
        Kind::False => false.into(),
        Kind::True => true.into(),
        Kind::Number => serde_json::from_str(value.raw()).expect("a number of the tape is a JSON number"),
        Kind::Plain | Kind::Escaped => value.text().into_owned().into(),
        Kind::Array => value.elements().map(document).collect(),
        Kind::Object => value.members().map(|(name, value)| (name.text().into_owned(), document(value))).collect(),
    }
}

/// Reads by serde_json, with our two stricter rules added: no name twice, at most 32 deep.
struct Strict(usize);

impl<'de> de::DeserializeSeed<'de> for Strict {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn inner<E: de::Error>(&self) -> Result<usize, E> {
        self.0.checked_sub(1).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(Strict(inner))? {
            elements.push(element);
        }
        Ok(elements.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut members = serde_json::Map::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom("repeated name"));
            }
            members.insert(name, map.next_value_seed(Strict(inner))?);
        }
        Ok(members.into())
    }
}

/// What the independent reader says: a document, a refusal, or nothing where it refuses a number
/// for its size, which the grammar allows.
fn oracle(text: &str) -> Option<Result<Json, ()>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = de::DeserializeSeed::deserialize(Strict(DEPTH_MAX), &mut deserializer).and_then(|json| deserializer.end().map(|()| json));
    match read {
        Ok(json @ Json::Object(_)) => Some(Ok(json)),
        Ok(_) => Some(Err(())),
        Err(error) if error.to_string().contains("out of range") => None,
        Err(_) => Some(Err(())),
    }
}

fn agrees_with_oracle(text: &str) {
    let Some(expected) = oracle(text) else { return };
    match (Document::scan(text), expected) {
        (Ok(scanned), Ok(expected)) => assert_eq!(document(scanned.root()), expected, "{text}"),
        (Err(_), Err(())) => {}
        (Ok(_), Err(())) => panic!("only we accept {text}"),
        (Err(fault), Ok(_)) => panic!("only we refuse, at {} ({}): {text}", fault.offset, fault.problem),
    }
}

/// A string literal: characters of every length, plain or escaped.
fn literal() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-z ]{1,12}",
        1 => Just("ç".to_owned()),
        1 => Just("😀".to_owned()),
        1 => Just("\u{7f}\u{80}\u{2028}".to_owned()),
        1 => prop::sample::select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0041", "\\u00E7", "\\ud83d\\ude00", "\\ud800\\udc00", "\\uD840\\uDC01", "\\udbff\\udfff", "\\u0000", "\\uFFFF"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n", "\r\n", "\t  "])
}

/// The text of a JSON value, with white space wherever it may stand. Names are numbered where they
/// must differ, and now and then are not.
fn json() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec!["0", "-0", "1", "-17", "1.5", "0.25", "1e3", "1E+2", "12e-3", "9007199254740993", "-1.0e0"]);
    let leaf =
        prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number.prop_map(str::to_owned), literal(),];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone(), space()), 0..6).prop_map(|elements| {
                let elements: Vec<String> = elements.iter().map(|(before, value, after)| format!("{before}{value}{after}")).collect();
                format!("[{}]", elements.join(","))
            }),
            prop::collection::vec((space(), literal(), space(), inner, 0u8..20), 0..6).prop_map(members),
        ]
    })
}

fn members(members: Vec<(&'static str, String, &'static str, String, u8)>) -> String {
    let members: Vec<String> = members
        .iter()
        .enumerate()
        .map(|(number, (before, name, after, value, chance))| {
            let name = if *chance == 0 { name.clone() } else { format!("\"{number}{}", &name[1..]) };
            format!("{before}{name}{after}:{before}{value}{after}")
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// An object as text; most are wrapped so, since only an object passes.
fn object() -> impl Strategy<Value = String> {
    (space(), json(), json(), space())
        .prop_map(|(before, one, two, after)| format!("{before}{{\"a\":{one},{before}\"b\"{after}:{two}}}{after}"))
}

const ALPHABET: &[u8] = b"{}[]\",:\\u0d8eE+-.1tn \n\x01a";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_document_is_read_as_another_reader_reads_it(text in object()) {
        agrees_with_oracle(&text);
    }

    #[test]
    fn any_value_is_accepted_or_refused_as_another_reader_does(text in json()) {
        agrees_with_oracle(&text);
    }

    #[test]
    fn a_damaged_document_is_accepted_or_refused_as_another_reader_does(
        text in object(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, prop::sample::select(ALPHABET)), 1..4),
    ) {
        let mut bytes = text.into_bytes();
        for (place, how, byte) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            agrees_with_oracle(text);
        }
    }

    #[test]
    fn the_end_of_ordinary_bytes_is_found_wherever_it_is(bytes in prop::collection::vec(prop_oneof![9 => 0x20u8..=0xff, 1 => 0u8..0x24], 0..40)) {
        let expected = bytes.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20).unwrap_or(bytes.len());
        prop_assert_eq!(ordinary_end(&bytes, 0), expected);
    }
}

#[test]
fn every_cut_of_a_document_is_refused_at_its_end() {
    let text = r#" {"a":[1,-2.5e3,true,null],"b":{"c":"d\n\ud83d\ude00"},"e":false}"#;
    for end in 0..text.len() {
        let fault = scan(&text[..end]).expect_err("a cut document");
        assert!(fault.offset <= end, "{fault:?}");
        assert!(!fault.problem.is_empty());
    }
    assert!(scan(text).is_ok());
}

#[test]
fn depth_is_limited_and_never_recursed_into() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(scan(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(scan(&nested(DEPTH_MAX + 1)).expect_err("too deep").offset, 5 + DEPTH_MAX - 1);
    assert!(scan(&"{\"a\":".repeat(200_000)).is_err());
}

#[test]
fn a_repeated_name_is_found_among_any_number() {
    for count in [2, PAIRWISE_MAX - 1, PAIRWISE_MAX, PAIRWISE_MAX + 1, 60_000] {
        let names: Vec<String> = (0..count).map(|number| format!("\"k{number}\":{{\"k0\":0}}")).collect();
        let distinct = names.join(",");
        assert!(scan(&format!("{{{distinct}}}")).is_ok(), "{count}");
        for repeated in ["\"k1\":0", "\"\\u006b1\":0"] {
            let fault = scan(&format!("{{{distinct},{repeated}}}")).expect_err("k1 stands twice");
            assert_eq!((fault.offset, fault.problem), (distinct.len() + 2, REPEATED), "{count}");
        }
    }
}

#[test]
fn the_first_repetition_is_the_one_that_is_named() {
    let few = r#"{"z":1,"a":2,"z":3,"a":4}"#;
    let many: String = (0..PAIRWISE_MAX).map(|number| format!("\"k{number}\":0,")).collect();
    let many = format!(r#"{{{many}"z":1,"a":2,"z":3,"a":4}}"#);
    for text in [few, &many] {
        assert_eq!(scan(text).expect_err("z stands twice").offset, text.rfind("\"z\"").expect("z is there"));
    }
}

#[test]
fn a_position_counts_lines_and_bytes_from_one() {
    let bytes = "a\nçb\n\nc".as_bytes();
    for (offset, expected) in [(0, (1, 1)), (1, (1, 2)), (2, (2, 1)), (4, (2, 3)), (6, (3, 1)), (7, (4, 1)), (8, (4, 2)), (99, (4, 2))] {
        assert_eq!(position(bytes, offset), expected, "{offset}");
    }
}
