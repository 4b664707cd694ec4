//! What the envelope promises.

use serde_json::{Value, json};
use turnpike_domain::ids::MessageId;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::time::UnixMs;

use super::*;

fn of_send() -> ErrorContext {
    ErrorContext { send: Sending::AsRefused, chance: 7 }
}

fn meta(class: MetaRefusalClass) -> Refusal {
    Refusal::MetaRefused(Box::new(MetaRefusal {
        class,
        code: 131_026,
        subcode: Some(2_494_010),
        title: "Message undeliverable".to_owned(),
        details: Some("Recipient cannot be reached".to_owned()),
        fbtrace_id: Some("AbC".to_owned()),
        hint: "Check the number.".to_owned(),
        retryable: false,
        retry_after_ms: None,
        by_gateway: false,
    }))
}

/// One of each kind of refusal, so that nothing is forgotten below.
fn one_of_each() -> Vec<Refusal> {
    let message = MessageId(uuid());
    vec![
        Refusal::UnknownKey,
        Refusal::NoAuthorization,
        Refusal::NotBearer,
        Refusal::KeyStoreUnreachable,
        Refusal::KeyRecordUnreadable,
        Refusal::NotAllowed(NotAllowed::Browser),
        Refusal::Limited { limit: LimitKind::Minute, retry_after_ms: 59_001 },
        Refusal::InsufficientBalance { required: Micros(12_000), currency: usd(), available: None },
        Refusal::LedgerUnreachable,
        Refusal::NotOneObject { line: 3, column: 9, problem: "a comma is missing".to_owned() },
        Refusal::Fields(vec![FieldFault::new("to", "must have 7 to 15 digits")]),
        Refusal::NotJson,
        Refusal::BodyTooLarge { limit: 1_048_576 },
        Refusal::NotFound,
        Refusal::NoSuchMessage,
        Refusal::FileExpired,
        Refusal::MethodNotAllowed { allow: "POST" },
        Refusal::BadFraming { problem: "there are two Host headers" },
        Refusal::BodyTooSlow,
        Refusal::HeadTooLarge,
        Refusal::WindowClosed { closed_at: Some(UnixMs(1_790_000_000_000)) },
        Refusal::OptedOut,
        Refusal::InFlight,
        Refusal::KeyReused,
        meta(MetaRefusalClass::Caller),
        meta(MetaRefusalClass::Barred),
        meta(MetaRefusalClass::Limited),
        meta(MetaRefusalClass::Link),
        Refusal::NotSent { cause: NotSentCause::Connect, retry_after_ms: None },
        Refusal::OutcomeUnknown { message, cause: Some(UnknownCause::Timeout), presumed_not_sent: false },
        Refusal::OutcomeUnknown { message, cause: None, presumed_not_sent: true },
        Refusal::Overloaded { retry_after_ms: 1_500 },
        Refusal::WrongVerifyToken,
        Refusal::NoSignature,
        Refusal::WrongSignature,
        Refusal::Bug,
    ]
}

fn usd() -> Currency {
    Currency::parse("USD").expect("a currency")
}

fn uuid() -> uuid::Uuid {
    turnpike_domain::ids::uuid_v7(UnixMs(1_790_000_000_000), [7; 10])
}

fn body_of(refusal: &Refusal, context: ErrorContext) -> Value {
    serde_json::from_slice(&envelope(refusal, context)).expect("the envelope is JSON")
}

#[test]
fn every_error_of_a_send_says_whether_it_was_sent_and_may_be_repeated() {
    for refusal in one_of_each() {
        let body = body_of(&refusal, of_send());
        let unknown = matches!(refusal, Refusal::OutcomeUnknown { .. });
        assert_eq!(body["isSuccess"], json!(false), "{refusal:?}");
        assert_eq!(body["errors"]["params"]["sent"], json!(if unknown { "unknown" } else { "no" }), "{refusal:?}");
        assert!(body["errors"]["params"]["retryable"].is_boolean(), "{refusal:?}");
        assert!(!body["errors"]["description"].as_str().unwrap_or_default().is_empty(), "{refusal:?}");
    }
}

#[test]
fn status_and_group_are_those_that_the_catalogue_documents() {
    for refusal in one_of_each() {
        let body = body_of(&refusal, ErrorContext::default());
        let status = status(&refusal);
        assert!(document(code(&refusal)).http.contains(&status.as_u16()), "{refusal:?}");
        let name = status.canonical_reason().expect("a known status").to_ascii_uppercase().replace([' ', '-'], "_");
        assert_eq!(body["errors"]["group"], json!(name), "{refusal:?}");
        let anchor = body["errors"]["doc"].as_str().unwrap_or_default().to_owned();
        assert_eq!(anchor, format!("{ERRORS_PAGE}#{}", code(&refusal).to_ascii_lowercase()));
    }
}

#[test]
fn a_wait_is_advised_with_429_and_503_and_never_with_504() {
    for refusal in one_of_each() {
        let response = render(&refusal, of_send());
        let advised = response.headers().contains_key(RETRY_AFTER);
        match response.status().as_u16() {
            429 | 503 | 409 => assert!(advised, "{refusal:?}"),
            _ => assert!(!advised, "{refusal:?}"),
        }
    }
}

#[test]
fn the_wait_of_a_503_lies_between_one_and_five_seconds_and_differs() {
    let waits: std::collections::BTreeSet<_> =
        (0..1000).map(|chance| retry_after_ms(&Refusal::LedgerUnreachable, ErrorContext { chance, ..of_send() })).collect();
    assert!(waits.iter().all(|wait| wait.is_some_and(|ms| (1_000..=5_000).contains(&ms))));
    assert!(waits.len() > 500);
}

#[test]
fn what_sends_nothing_is_told_of_its_own_windows() {
    let refusal = Refusal::Limited { limit: LimitKind::Second, retry_after_ms: 300 };
    let said = |context| body_of(&refusal, context)["errors"]["description"].clone();
    assert_eq!(said(of_send()), "The API key has used up its requests of this second.");
    assert_eq!(said(ErrorContext::default()), "The API key has used up its look-ups of this second.");
}

#[test]
fn params_say_what_the_contract_lists() {
    let expect = |refusal: Refusal, params: Value| assert_eq!(body_of(&refusal, of_send())["errors"]["params"], params);
    expect(
        Refusal::Limited { limit: LimitKind::Minute, retry_after_ms: 59_001 },
        json!({"sent": "no", "retryable": true, "limit_type": "min", "retry_after": "60s", "retry_after_ms": 59_001}),
    );
    expect(
        Refusal::InsufficientBalance { required: Micros(12_000), currency: usd(), available: Some(Micros(1_000)) },
        json!({"sent": "no", "retryable": false, "required": "0.012", "currency": "USD", "available": "0.001"}),
    );
    expect(
        meta(MetaRefusalClass::Limited),
        json!({"sent": "no", "retryable": false, "retry_after": "5s", "retry_after_ms": 5000, "code": 131_026, "subcode": 2_494_010,
            "title": "Message undeliverable", "details": "Recipient cannot be reached", "fbtrace_id": "AbC", "hint": "Check the number."}),
    );
    expect(
        Refusal::OutcomeUnknown { message: MessageId(uuid()), cause: None, presumed_not_sent: true },
        json!({"sent": "unknown", "retryable": false, "message_id": uuid().to_string(), "outcome": "presumed_not_sent"}),
    );
    expect(Refusal::NotAllowed(NotAllowed::Browser), json!({"sent": "no", "retryable": false, "reason": "browser"}));
    expect(
        Refusal::Fields(vec![FieldFault::new("to", "must have 7 to 15 digits")]),
        json!({"sent": "no", "retryable": false, "fields": [{"path": "to", "problem": "must have 7 to 15 digits"}]}),
    );
}

#[test]
fn an_error_without_parameters_has_no_params() {
    assert!(body_of(&Refusal::UnknownKey, ErrorContext::default())["errors"].get("params").is_none());
}

#[test]
fn members_come_in_the_order_of_the_contract() {
    let text = String::from_utf8(envelope(&Refusal::UnknownKey, of_send()).to_vec()).expect("JSON is UTF-8");
    assert!(text.starts_with(r#"{"isSuccess":false,"errors":{"code":"AUTH_001","group":"UNAUTHORIZED","description":""#), "{text}");
}

#[test]
fn the_sentence_for_a_missing_balance_is_the_founding_one() {
    let body = body_of(&Refusal::InsufficientBalance { required: Micros(1), currency: usd(), available: None }, of_send());
    assert_eq!(body["errors"]["description"], json!("Insufficient balance. Please top up your account to continue sending messages."));
}

#[test]
fn challenges_and_allowed_methods_are_named() {
    assert_eq!(render(&Refusal::NotBearer, of_send()).headers()[WWW_AUTHENTICATE], "Bearer");
    assert_eq!(render(&Refusal::MethodNotAllowed { allow: "GET, POST" }, of_send()).headers()[ALLOW], "GET, POST");
    let unknown = Refusal::OutcomeUnknown { message: MessageId(uuid()), cause: None, presumed_not_sent: false };
    assert_eq!(render(&unknown, of_send()).headers()[X_MESSAGE_ID], uuid().to_string().as_str());
}

#[test]
fn the_catalogue_has_every_code_once_and_in_whole_sentences() {
    let mut seen = std::collections::BTreeSet::new();
    for document in CATALOGUE {
        assert!(seen.insert(document.code), "{} twice", document.code);
        for text in [document.description, document.what_happened, document.what_to_do] {
            assert!(text.ends_with('.'), "{}: {text}", document.code);
        }
    }
    for refusal in one_of_each() {
        assert!(seen.contains(code(&refusal)));
    }
}

#[test]
fn the_page_is_made_from_the_catalogue() {
    let page = include_str!("../../../../docs/errors.md");
    assert!(
        page == errors_markdown(),
        "docs/errors.md is not what the catalogue says: cargo run -p turnpike-web --example errors-md > docs/errors.md"
    );
}
