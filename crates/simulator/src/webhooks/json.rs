//! JSON as Meta writes it into webhooks: ASCII only, everything else as `\uXXXX`
//! with lower-case hex digits, and `/` as `\/`.
//!
//! The signature is over these bytes, so a receiver that parses and serialises
//! before it verifies must fail here as it fails at Meta.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// `value` in Meta's spelling.
pub(crate) fn escaped<T: Serialize + ?Sized>(value: &T) -> String {
    let mut bytes = Vec::with_capacity(256);
    let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, Escaping));
    written.expect("what we serialise has string keys, and a Vec takes every byte");
    String::from_utf8(bytes).expect("the formatter writes ASCII only")
}

/// Escapes what serde_json leaves as it is.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, character) in fragment.char_indices() {
            if character.is_ascii() && character != '/' {
                continue;
            }
            writer.write_all(&fragment.as_bytes()[plain_from..at])?;
            plain_from = at + character.len_utf8();
            if character == '/' {
                writer.write_all(b"\\/")?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        writer.write_all(&fragment.as_bytes()[plain_from..])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_beyond_ascii_and_the_slash_is_escaped() {
        assert_eq!(escaped("é😀/ \"x\"\n\u{1}"), r#""\u00e9\ud83d\ude00\/ \"x\"\n\u0001""#);
        assert_eq!(escaped(&json!({"ş/": ["https://a.b/c", 1.5, null, true]})), r#"{"\u015f\/":["https:\/\/a.b\/c",1.5,null,true]}"#);
        assert_eq!(escaped(""), r#""""#);
    }

    #[test]
    fn what_was_escaped_reads_back_as_it_was() {
        let value = json!({"text": "Merhaba dünya 👋🏽 \u{2028} a/b\\c \u{7f}"});
        assert!(escaped(&value).is_ascii());
        let back: serde_json::Value = serde_json::from_str(&escaped(&value)).expect("it is JSON");
        assert_eq!(back, value);
    }
}
