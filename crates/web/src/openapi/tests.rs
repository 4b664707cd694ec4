use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jsonschema::Validator;
use turnpike_domain::message::parse;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::MetaEndpoint;
use turnpike_domain::webhook::EventKind;

use super::refusals::is_for_operators;
use super::*;
use crate::error::CATALOGUE;

/// Requests that the parser must take, and such that it must refuse (one JSON object a line).
const GOOD: &str = include_str!("../../../domain/tests/data/good_requests.jsonl");
const BAD: &str = include_str!("../../../domain/tests/data/bad_requests.jsonl");

/// A validator of one of the document's schemas.
fn validator(schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = openapi()["components"].clone();
    jsonschema::draft202012::new(&whole).expect("a schema")
}

fn rows(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

fn body_of(row: &Value) -> Option<Value> {
    serde_json::from_str(row["body"].as_str()?).ok()
}

fn is_taken(body: &Value) -> bool {
    let endpoint = if body.get("product_policy").is_some_and(|policy| !policy.is_null()) || body.get("message_activity_sharing").is_some() {
        MetaEndpoint::MarketingMessages
    } else {
        MetaEndpoint::Messages
    };
    parse(Bytes::from(body.to_string()), endpoint).is_ok()
}

/// Every value of a document with the way to it.
fn walk<'v>(value: &'v Value, path: &mut Vec<String>, seen: &mut impl FnMut(&[String], &'v Value)) {
    seen(path, value);
    let mut deeper = |name: String, inner: &'v Value| {
        path.push(name);
        walk(inner, path, seen);
        path.pop();
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| deeper(name.clone(), inner)),
        Value::Array(entries) => entries.iter().enumerate().for_each(|(index, inner)| deeper(index.to_string(), inner)),
        _ => {}
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

#[test]
fn the_committed_document_is_what_the_gateway_serves() {
    let committed = include_bytes!("../../../../docs/openapi.json");
    assert!(
        openapi_text() == committed[..],
        "docs/openapi.json is not what the gateway says: cargo run -p turnpike-web --example openapi-json > docs/openapi.json"
    );
}

#[test]
fn every_route_is_in_it_and_nothing_else_is() {
    let document = openapi();
    let paths = document["paths"].as_object().expect("paths");
    let told: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().expect("an item").keys().map(move |method| (method.to_uppercase(), path.clone())))
        .collect();
    let operators: BTreeSet<String> = crate::operator::routes().into_iter().map(|(_, path)| path).collect();
    let routes: BTreeSet<(String, String)> = crate::router::routes()
        .into_iter()
        .filter(|(_, path)| !operators.contains(path))
        .map(|(method, path)| (method.as_str().to_owned(), path))
        .collect();
    assert_eq!(told, routes);
    assert_eq!(document["webhooks"].as_object().map(Map::len), Some(EventKind::ALL.len()));
}

#[test]
fn every_reference_leads_somewhere_and_every_part_is_referred_to() {
    let document = openapi();
    let mut referred = BTreeSet::new();
    walk(&document, &mut Vec::new(), &mut |path, value| {
        let is_reference = path.last().is_some_and(|name| name == "$ref") || path.iter().rev().nth(1).is_some_and(|name| name == "mapping");
        if let (true, Some(reference)) = (is_reference, value.as_str()) {
            let target = reference.strip_prefix('#').expect("it is in this document");
            assert!(document.pointer(target).is_some(), "{} leads nowhere: {reference}", pointer(path));
            referred.insert(target.to_owned());
        }
    });
    for kind in ["schemas", "responses", "headers"] {
        for name in document["components"][kind].as_object().expect("components").keys() {
            assert!(referred.contains(&format!("/components/{kind}/{name}")), "nobody refers to {kind}/{name}");
        }
    }
}

#[test]
fn every_schema_is_one() {
    for (name, schema) in openapi()["components"]["schemas"].as_object().expect("schemas") {
        assert!(jsonschema::draft202012::meta::validate(schema).is_ok(), "{name}");
    }
}

#[test]
fn names_of_operations_are_their_own_and_every_example_fits() {
    let document = openapi();
    let mut names = BTreeSet::new();
    let mut examples = 0;
    walk(&document, &mut Vec::new(), &mut |path, value| {
        if let Some(name) = value.get("operationId").and_then(Value::as_str) {
            assert!(names.insert(name.to_owned()), "{name} is the name of two operations");
        }
        let Some(schema) = value.get("schema").filter(|_| value.get("examples").is_some_and(Value::is_object)) else { return };
        let validator = validator(schema);
        for (name, example) in value["examples"].as_object().expect("they are named") {
            examples += 1;
            assert!(validator.is_valid(&example["value"]), "{} {name}", pointer(path));
            assert!(is_taken(&example["value"]), "{name}");
        }
    });
    assert_eq!((names.len() > 30, examples), (true, 11));
}

#[test]
fn every_code_that_a_caller_can_meet_is_an_answer_of_some_route() {
    let document = openapi();
    let mut told = BTreeSet::new();
    for item in document["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("an item").values() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let words = response["description"].as_str().expect("every response says what it is");
                for code in words.split('`').skip(1).step_by(2).filter(|code| code.contains('_') && !code.contains("is_")) {
                    let known = CATALOGUE.iter().find(|document| document.code == code).expect("a code of the catalogue");
                    assert!(known.http.contains(&status.parse().expect("a status")), "{code} is not answered with {status}");
                    told.insert(code.to_owned());
                }
            }
        }
    }
    let known: BTreeSet<String> = CATALOGUE.iter().filter(|known| !is_for_operators(known)).map(|known| known.code.to_owned()).collect();
    assert_eq!(told, known);
}

#[test]
fn the_schema_takes_every_request_that_the_parser_takes() {
    let validator = validator(&schema::named("SendRequest"));
    let rows = rows(GOOD);
    assert!(rows.len() >= 100);
    for row in &rows {
        let body = body_of(row).expect("a good request is JSON");
        let problems: Vec<String> = validator.iter_errors(&body).map(|problem| format!("{}: {problem}", problem.instance_path())).collect();
        assert!(problems.is_empty(), "{}: {problems:?}", row["name"]);
    }
}

/// What no schema can say, or not in words that its readers understand: what differs between two entries,
/// sums over lists, bounds that another member or the query decides, the calendar, the inside of a host.
const BEYOND_SCHEMAS: [&str; 20] = [
    "category with a list",
    "ttl_seconds without category",
    "authentication ttl_seconds too long",
    "authentication to a BSUID",
    "Direct Send text of 1025 characters",
    "mixed without category",
    "image.link with only a port",
    "image.link with a host in braces",
    "image.link with an empty host behind a user",
    "birthday that never was",
    "birthday with month 13",
    "four buttons",
    "a button id twice",
    "a button title twice",
    "a button title twice, once escaped",
    "list with eleven rows in two sections",
    "product list with 31 products",
    "product_policy without mmlite",
    "activity sharing without mmlite",
    "read mark that carries a whole text",
];

#[test]
fn the_schema_refuses_what_a_schema_can_refuse() {
    let validator = validator(&schema::named("SendRequest"));
    let mut missed = Vec::new();
    let mut refused = 0;
    for row in rows(BAD).iter().filter(|row| row["code"] == "REQ_002" && row.get("query").is_none()) {
        let Some(body) = body_of(row) else { continue };
        if validator.is_valid(&body) {
            missed.push(row["name"].as_str().unwrap_or_default().to_owned());
        } else {
            refused += 1;
        }
    }
    assert_eq!(missed, BEYOND_SCHEMAS);
    assert!(refused > 500, "{refused}");
}

/// Every text of every good request is tried in every length at which some bound lies, below and above.
/// The schema and the parser must be of one mind.
#[test]
fn every_bound_of_a_text_is_the_parsers_bound() {
    let document = openapi();
    let mut bounds = BTreeSet::from([0, 1]);
    walk(&document, &mut Vec::new(), &mut |path, value| {
        if let (Some("maxLength"), Some(bound)) =
            (path.last().map(String::as_str), value.as_u64().and_then(|bound| usize::try_from(bound).ok()))
        {
            bounds.extend([bound, bound + 1]);
        }
    });
    let validator = validator(&schema::named("SendRequest"));
    let mut differing: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut tried = 0;
    for row in rows(GOOD) {
        let body = body_of(&row).expect("a good request is JSON");
        let mut texts = Vec::new();
        walk(&body, &mut Vec::new(), &mut |path, value| texts.extend(value.is_string().then(|| pointer(path))));
        for place in texts {
            let mut changed = body.clone();
            for length in &bounds {
                *changed.pointer_mut(&place).expect("it is there") = Value::String("x".repeat(*length));
                tried += 1;
                // What a Direct Send shortens is beyond a schema.
                let is_shorter = body.get("category").is_some_and(Value::is_string) && place == "/text/body" && *length > 1024;
                if validator.is_valid(&changed) != is_taken(&changed) && !is_shorter {
                    differing.entry(format!("{} {place}", row["name"])).or_default().push(*length);
                }
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn a_refusal_of_every_code_fits() {
    let validator = validator(&schema::named("Failure"));
    let refusal = Refusal::Fields(vec![turnpike_domain::refusal::FieldFault::new("to", "is required")]);
    let body: Value = serde_json::from_slice(&crate::error::envelope(&refusal, crate::error::ErrorContext::default())).expect("JSON");
    assert!(validator.is_valid(&body), "{body}");
    assert!(!validator.is_valid(&serde_json::json!({"isSuccess": true})));
}
