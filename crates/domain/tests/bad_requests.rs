//! Every bad request of the table gets its documented code and names exactly its faulty fields.
//!
//! The table is data, so that the same rows can be sent to a running gateway:
//! `data/bad_requests.jsonl`, one object a line with `name`, `body` (or `body_base64` where it is
//! not UTF-8, or begins with a BOM), `query`?, `code`, `paths`, and for REQ_001 `line` and `column`.
//! Its counterpart `data/good_requests.jsonl` holds requests that must pass.

use std::collections::{BTreeSet, HashSet};

use base64::Engine as _;
use bytes::Bytes;
use serde::Deserialize;
use turnpike_domain::message::{NewMessage, Recipient, parse};
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_domain::send::{MessageKind, MetaEndpoint};

/// The table of contract §3 is at least this long.
const BAD_REQUESTS_MIN: usize = 300;
const GOOD_REQUESTS_MIN: usize = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BadRequest {
    name: String,
    body: Option<String>,
    body_base64: Option<String>,
    query: Option<String>,
    code: String,
    paths: BTreeSet<String>,
    line: Option<usize>,
    column: Option<usize>,
}

impl BadRequest {
    fn bytes(&self) -> Bytes {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => Bytes::from(text.clone()),
            (None, Some(base64)) => Bytes::from(base64::engine::general_purpose::STANDARD.decode(base64).expect("base64")),
            _ => panic!("{} needs one body", self.name),
        }
    }
}

fn endpoint(query: Option<&str>) -> MetaEndpoint {
    match query {
        None => MetaEndpoint::Messages,
        Some("mmlite=true") => MetaEndpoint::MarketingMessages,
        Some(other) => panic!("the table knows no query {other}"),
    }
}

fn bad_requests() -> Vec<BadRequest> {
    rows(include_str!("data/bad_requests.jsonl"))
}

fn rows<T: for<'de> Deserialize<'de>>(table: &str) -> Vec<T> {
    table.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn every_bad_request_gets_its_code_and_exactly_its_paths() {
    let mut wrong = Vec::new();
    for row in bad_requests() {
        let refusal = parse(row.bytes(), endpoint(row.query.as_deref()));
        let (code, paths, position) = match &refusal {
            Ok(_) => ("200", BTreeSet::new(), None),
            Err(Refusal::NotOneObject { line, column, .. }) => ("REQ_001", BTreeSet::new(), Some((*line, *column))),
            Err(Refusal::Fields(faults)) => ("REQ_002", faults.iter().map(|fault| fault.path.clone()).collect(), None),
            Err(_) => ("another", BTreeSet::new(), None),
        };
        if code != row.code || paths != row.paths || position != row.line.zip(row.column) {
            wrong.push(format!(
                "{}: {} {:?} {:?} expected, {code} {paths:?} {position:?} given",
                row.name,
                row.code,
                row.paths,
                row.line.zip(row.column)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_is_long_and_no_row_repeats_another() {
    let rows = bad_requests();
    assert!(rows.len() >= BAD_REQUESTS_MIN, "{}", rows.len());
    let names: HashSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let requests: HashSet<(Bytes, Option<&str>)> = rows.iter().map(|row| (row.bytes(), row.query.as_deref())).collect();
    assert_eq!((names.len(), requests.len()), (rows.len(), rows.len()));
}

#[test]
fn no_problem_repeats_what_the_caller_wrote() {
    for row in bad_requests() {
        let Err(Refusal::Fields(faults)) = parse(row.bytes(), endpoint(row.query.as_deref())) else { continue };
        for FieldFault { path, problem } in faults {
            assert!(!problem.is_empty() && !problem.ends_with('.') && problem.len() < 300, "{}: {problem}", row.name);
            for private in ["9055", "90 5", "1349", "Deniz", "wamid", "example.net", "TR-1"] {
                assert!(!path.contains(private) && !problem.contains(private), "{}: {path}: {problem}", row.name);
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoodRequest {
    name: String,
    body: String,
    query: Option<String>,
    kind: String,
    interactive: Option<String>,
    recipient: Option<String>,
}

fn good_requests() -> Vec<(GoodRequest, NewMessage)> {
    let mut read = Vec::new();
    for row in rows::<GoodRequest>(include_str!("data/good_requests.jsonl")) {
        match parse(Bytes::from(row.body.clone()), endpoint(row.query.as_deref())) {
            Ok(message) => read.push((row, message)),
            Err(refusal) => panic!("{}: {refusal:?}", row.name),
        }
    }
    read
}

#[test]
fn every_good_request_is_read_as_what_it_is() {
    let rows = good_requests();
    assert!(rows.len() >= GOOD_REQUESTS_MIN, "{}", rows.len());
    for (row, message) in &rows {
        assert_eq!(message.kind().as_str(), row.kind, "{}", row.name);
        assert_eq!(message.interactive_type(), row.interactive.as_deref(), "{}", row.name);
        assert_eq!(message.recipient().map(Recipient::as_str), row.recipient.as_deref(), "{}", row.name);
        assert_eq!(message.template().is_some(), message.kind() == MessageKind::Template, "{}", row.name);
    }
    for kind in MessageKind::ALL {
        assert!(rows.iter().any(|(_, message)| message.kind() == *kind), "no good request is a {kind}");
    }
}

#[test]
fn every_good_request_goes_out_whole_with_two_changes() {
    for (row, message) in good_requests() {
        let mut expected: serde_json::Value = serde_json::from_str(&row.body).expect("a good request is JSON");
        let members = expected.as_object_mut().expect("an object");
        if message.kind() != MessageKind::ReadMark {
            if let Some(to) = members.get_mut("to").filter(|to| !to.is_null()) {
                *to = format!("+{}", to.as_str().expect("a string")).into();
            }
            members.insert("biz_opaque_callback_data".to_owned(), "tp1.token".into());
        }
        let sent: serde_json::Value = serde_json::from_slice(&message.outgoing("tp1.token")).expect("JSON goes out");
        assert_eq!(sent, expected, "{}", row.name);
    }
}
