//! The few words in which this room's schemas are written (JSON Schema 2020-12, as OpenAPI 3.1 takes it).

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// A schema of the document's components, by its name.
pub(super) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Any string.
pub(super) fn string() -> Value {
    json!({"type": "string"})
}

/// A string that is not empty.
pub(super) fn filled() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// A string of so many characters (Unicode scalar values).
pub(super) fn text(chars: RangeInclusive<usize>) -> Value {
    json!({"type": "string", "minLength": chars.start(), "maxLength": chars.end()})
}

/// One of these words.
pub(super) fn word(words: &[&str]) -> Value {
    match words {
        [only] => json!({"type": "string", "const": only}),
        _ => json!({"type": "string", "enum": words}),
    }
}

/// One of a closed set of words.
pub(super) fn words<T: Copy>(all: &[T], spelled: fn(T) -> &'static str) -> Value {
    word(&all.iter().map(|one| spelled(*one)).collect::<Vec<_>>())
}

/// One of these words, in lower or in upper case.
pub(super) fn word_in_any_case(words: &[&str]) -> Value {
    let capitals = words.iter().map(|word| word.to_ascii_uppercase());
    let both: Vec<String> = words.iter().map(|word| (*word).to_owned()).chain(capitals).collect();
    json!({"type": "string", "enum": both})
}

/// True or false.
pub(super) fn flag() -> Value {
    json!({"type": "boolean"})
}

/// A whole number within bounds.
pub(super) fn integer(range: RangeInclusive<i64>) -> Value {
    json!({"type": "integer", "minimum": range.start(), "maximum": range.end()})
}

/// A whole number of no certain size.
pub(super) fn any_integer() -> Value {
    json!({"type": "integer"})
}

/// A decimal string such as `"12.34"`.
pub(super) fn amount() -> Value {
    json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,6})?$", "examples": ["0.001"]})
}

/// A point in time, RFC 3339 in UTC.
pub(super) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// An absolute http or https URL.
pub(super) fn web_url() -> Value {
    json!({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://[^\\s/?#][^\\s]*$", "examples": ["https://shop.example.com/a.jpg"]})
}

/// So many of the same.
pub(super) fn list(of: Value, entries: RangeInclusive<usize>) -> Value {
    let mut schema = json!({"type": "array", "items": of, "minItems": entries.start()});
    if *entries.end() < usize::MAX {
        schema["maxItems"] = json!(entries.end());
    }
    schema
}

/// The schema, or `null`.
pub(super) fn or_null(schema: Value) -> Value {
    let mut schema = schema;
    let Some(object) = schema.as_object_mut() else { return schema };
    if object.contains_key("$ref") || object.contains_key("oneOf") || object.contains_key("allOf") {
        return json!({"anyOf": [schema, {"type": "null"}]});
    }
    if let Some(only) = object.remove("const") {
        object.insert("enum".to_owned(), json!([only]));
    }
    if let Some(words) = object.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    if let Some(kind) = object.get("type").cloned() {
        object.insert("type".to_owned(), json!([kind, "null"]));
    }
    schema
}

/// The schema, with words for its reader.
pub(super) fn said(schema: Value, words: &str) -> Value {
    let mut schema = schema;
    schema["description"] = json!(words);
    schema
}

/// An object whose members are named one by one. Others may stand beside them: what we do not know is
/// passed on to Meta, and our own answers only grow (contract §1, §3.1).
#[derive(Default)]
pub(super) struct Object {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    rest: Map<String, Value>,
}

/// An object without members yet.
pub(super) fn object() -> Object {
    Object::default()
}

impl Object {
    /// A member that is always there.
    pub(super) fn with(mut self, name: &'static str, schema: Value) -> Object {
        self.required.push(name);
        self.seldom(name, schema)
    }

    /// A member of an answer that is not always there.
    pub(super) fn seldom(mut self, name: &'static str, schema: Value) -> Object {
        self.properties.insert(name.to_owned(), schema);
        self
    }

    /// A member of a request that may be left out, or be `null`, which is the same.
    pub(super) fn may(self, name: &'static str, schema: Value) -> Object {
        self.seldom(name, or_null(schema))
    }

    /// Another keyword beside the members.
    pub(super) fn and(mut self, keyword: &'static str, value: Value) -> Object {
        self.rest.insert(keyword.to_owned(), value);
        self
    }

    /// Words for the reader.
    pub(super) fn about(self, words: &str) -> Object {
        self.and("description", json!(words))
    }

    /// The schema.
    pub(super) fn schema(self) -> Value {
        let mut schema = json!({"type": "object", "properties": self.properties});
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        for (keyword, value) in self.rest {
            schema[keyword] = value;
        }
        schema
    }
}

/// Exactly one of these members is given, and not `null`.
pub(super) fn either(names: &[&str]) -> Value {
    let given = |name: &&str| json!({"required": [name], "properties": {*name: {"not": {"type": "null"}}}});
    Value::Array(names.iter().map(given).collect())
}
