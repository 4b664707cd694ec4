//! Answers as they come, and as they should not.

use http::{HeaderValue, StatusCode};
use proptest::prelude::*;
use turnpike_domain::refusal::MetaRefusalClass;

use super::*;

fn answer(status: u16, body: &[u8]) -> GraphResponse {
    GraphResponse {
        status: StatusCode::from_u16(status).expect("a status"),
        retry_after: None,
        trace_id: None,
        content_type: None,
        body: Bytes::copy_from_slice(body),
    }
}

fn outcome(status: u16, body: &str) -> GraphOutcome {
    sent_message(&answer(status, body.as_bytes()))
}

fn unknown(cause: UnknownCause) -> GraphOutcome {
    GraphOutcome::Unknown { cause }
}

fn refused(status: u16, body: &str) -> MetaRefusal {
    match outcome(status, body) {
        GraphOutcome::Refused { refusal, http_status } => {
            assert_eq!(http_status, status);
            refusal
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_2xx_with_a_wamid_is_accepted_and_keeps_metas_bytes() {
    let body = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+1","wa_id":"1"}],"messages":[{"id":"wamid.HBgL/+=","message_status":"accepted"}],"new":1}"#;
    match outcome(200, body) {
        GraphOutcome::Accepted { wamid, body: kept } => {
            assert_eq!(wamid, "wamid.HBgL/+=");
            assert_eq!(kept, body.as_bytes());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_2xx_without_a_readable_wamid_is_unknown() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html>ok</html>",
        r#"{"success":true}"#,
        r#"{"messages":[]}"#,
        r#"{"messages":[{}]}"#,
        r#"{"messages":[{"id":""}]}"#,
        r#"{"messages":[{"id":7}]}"#,
        r#"{"messages":[{"id":null}]}"#,
        r#"{"messages":[{"id":"wamid.x y"}]}"#,
        r#"{"messages":{"id":"wamid.x"}}"#,
        r#"{"messages":[{"id":"wamid.x"}]"#,
        r#"{"messages":[{"id":"wamid.x"}]} {"#,
        r#"{"error":{"code":131009,"message":"in a 200"}}"#,
    ] {
        assert_eq!(outcome(200, body), unknown(UnknownCause::UnreadableAnswer), "{body}");
    }
    let endless = format!(r#"{{"messages":[{{"id":"{}"}}]}}"#, "w".repeat(WAMID_MAX_BYTES + 1));
    assert_eq!(outcome(200, &endless), unknown(UnknownCause::UnreadableAnswer));
}

#[test]
fn a_4xx_with_metas_error_object_is_refused_in_metas_words() {
    let refusal = refused(
        400,
        r#"{"error":{"message":"(#131009) Parameter value is not valid","type":"OAuthException","code":131009,"error_subcode":2494010,
            "error_data":{"messaging_product":"whatsapp","details":"Last name is too long"},"fbtrace_id":"AbC"}}"#,
    );
    assert_eq!(refusal.class, MetaRefusalClass::Caller);
    assert_eq!((refusal.code, refusal.subcode), (131_009, Some(2_494_010)));
    assert_eq!(refusal.title, "Parameter value is not valid");
    assert_eq!(refusal.details.as_deref(), Some("Last name is too long"));
    assert_eq!(refusal.fbtrace_id.as_deref(), Some("AbC"));
    assert_eq!((refusal.retryable, refusal.retry_after_ms, refusal.by_gateway), (false, None, false));
}

#[test]
fn the_least_that_meta_says_is_enough_to_refuse() {
    let refusal = refused(400, r#"{"error":{"code":0}}"#);
    assert_eq!((refusal.class, refusal.code), (MetaRefusalClass::Link, 0));
    assert_eq!((refusal.title.as_str(), refusal.details, refusal.fbtrace_id), ("", None, None));
}

#[test]
fn details_are_read_from_wherever_meta_puts_them() {
    for (error, details) in [
        (r#""error_data":"plain text""#, Some("plain text")),
        (r#""error_data":{"details":"in an object"},"error_user_msg":"second""#, Some("in an object")),
        (r#""error_data":{"messaging_product":"whatsapp"},"error_user_msg":"for users""#, Some("for users")),
        (r#""error_data":{"blame_field_specs":[["x"]]}"#, None),
        (r#""error_data":7"#, None),
        (r#""error_data":null"#, None),
        (r#""error_data":"""#, None),
    ] {
        let refusal = refused(400, &format!(r#"{{"error":{{"code":100,{error}}}}}"#));
        assert_eq!(refusal.details.as_deref(), details, "{error}");
    }
}

#[test]
fn a_limit_waits_as_long_as_meta_says_or_its_documents() {
    let mut limited = answer(429, br#"{"error":{"code":130429,"message":"(#130429) Rate limit hit"}}"#);
    let wait = |answer: &GraphResponse| match sent_message(answer) {
        GraphOutcome::Refused { refusal, .. } => refusal.retry_after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(&limited), Some(1_000));
    for (header, ms) in
        [("7", 7_000), (" 7 ", 7_000), ("99999999999", RETRY_AFTER_MAX_S * 1_000), ("-1", 1_000), ("Sun, 06 Nov 1994 08:49:37 GMT", 1_000)]
    {
        limited.retry_after = Some(HeaderValue::from_str(header).expect("a header"));
        assert_eq!(wait(&limited), Some(ms), "{header}");
    }
    let pair = refused(400, r#"{"error":{"code":131056}}"#);
    assert_eq!((pair.class, pair.retryable, pair.retry_after_ms), (MetaRefusalClass::Limited, true, Some(6_000)));
}

#[test]
fn a_429_goes_by_its_code_like_any_4xx() {
    assert_eq!(refused(429, r#"{"error":{"code":80007}}"#).class, MetaRefusalClass::Limited);
    assert_eq!(refused(429, r#"{"error":{"code":131009}}"#).class, MetaRefusalClass::Caller);
    assert_eq!(outcome(429, "slow down"), unknown(UnknownCause::UnreadableRefusal));
}

#[test]
fn an_unlisted_code_is_retryable_where_meta_calls_it_transient() {
    assert!(refused(400, r#"{"error":{"code":424242,"is_transient":true}}"#).retryable);
    assert!(!refused(400, r#"{"error":{"code":424242,"is_transient":false}}"#).retryable);
    assert!(!refused(400, r#"{"error":{"code":424242}}"#).retryable);
    assert!(!refused(400, r#"{"error":{"code":131009,"is_transient":true}}"#).retryable, "the table knows better");
}

#[test]
fn a_4xx_that_is_not_metas_is_no_proof() {
    for body in
        ["", "Forbidden", "<html>403</html>", "{}", r#"{"error":"denied"}"#, r#"{"error":{"message":"x"}}"#, r#"{"error":{"code":"190"}}"#]
    {
        for status in [400, 403, 404, 408, 413, 429, 499] {
            assert_eq!(outcome(status, body), unknown(UnknownCause::UnreadableRefusal), "{status} {body}");
        }
    }
}

#[test]
fn a_5xx_is_unknown_even_with_metas_error_object() {
    assert_eq!(REFUSED_THOUGH_5XX, &[] as &[i64], "an entry needs a decision, and tests of its own");
    for code in [1, 2, 3, 131_000, 131_016, 131_057, 134_102] {
        assert_eq!(outcome(500, &format!(r#"{{"error":{{"code":{code}}}}}"#)), unknown(UnknownCause::ServerError));
    }
    for status in [500, 502, 503, 504, 599] {
        assert_eq!(outcome(status, "<html>bad gateway</html>"), unknown(UnknownCause::ServerError));
    }
}

#[test]
fn a_redirect_or_an_odd_status_is_unknown() {
    for status in [301, 302, 303, 307, 308] {
        assert_eq!(outcome(status, r#"{"messages":[{"id":"wamid.x"}]}"#), unknown(UnknownCause::Redirect));
    }
    for status in [101, 600, 999] {
        assert_eq!(outcome(status, r#"{"messages":[{"id":"wamid.x"}]}"#), unknown(UnknownCause::UnreadableAnswer));
    }
}

#[test]
fn a_read_mark_is_done_only_where_meta_says_so() {
    assert_eq!(done(&answer(200, br#"{"success":true}"#)), Ok(()));
    for body in [r#"{"success":false}"#, "{}", "", r#"{"success":"true"}"#] {
        assert_eq!(done(&answer(200, body.as_bytes())), Err(GraphFailure::Unknown { cause: UnknownCause::UnreadableAnswer }), "{body}");
    }
    assert!(matches!(done(&answer(400, br#"{"error":{"code":131009}}"#)), Err(GraphFailure::Refused { http_status: 400, .. })));
}

#[test]
fn endless_words_are_cut_and_metas_trace_id_may_come_in_a_header() {
    let mut long = answer(400, format!(r#"{{"error":{{"code":1,"message":"{}"}}}}"#, "é".repeat(5_000)).as_bytes());
    long.trace_id = Some(HeaderValue::from_static("FromHeader"));
    match sent_message(&long) {
        GraphOutcome::Refused { refusal, .. } => {
            assert_eq!(refusal.title.chars().count(), WORDS_MAX_CHARS);
            assert_eq!(refusal.fbtrace_id.as_deref(), Some("FromHeader"));
        }
        other => panic!("{other:?}"),
    }
}

/// JSON that looks like Meta's, with the wrong things in the wrong places.
fn nearly_metas() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "[ -~]{0,12}".prop_map(|text| serde_json::to_string(&text).expect("a text is JSON")),
        Just(r#"{"id":"wamid.x"}"#.to_owned()),
        Just(r#"[{"id":"wamid.x"}]"#.to_owned()),
        Just(r#"{"code":131009,"message":"m"}"#.to_owned()),
        Just("[]".to_owned()),
    ];
    let name = prop_oneof![Just("error"), Just("messages"), Just("success"), Just("contacts"), Just("id"), Just("code")];
    proptest::collection::vec((name, value), 0..4).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn check(status: u16, body: &[u8]) {
    match sent_message(&answer(status, body)) {
        GraphOutcome::Accepted { wamid, .. } => {
            assert!((200..300).contains(&status), "{status} cannot be accepted");
            let value: serde_json::Value = serde_json::from_slice(body).expect("what was accepted is JSON");
            assert!(!wamid.is_empty() && value["messages"][0]["id"] == *wamid, "accepted without a wamid");
        }
        GraphOutcome::Refused { refusal, http_status } => {
            assert!((400..500).contains(&status) && http_status == status, "{status} cannot be a refusal");
            let value: serde_json::Value = serde_json::from_slice(body).expect("what was refused is JSON");
            assert_eq!(value["error"]["code"], refusal.code, "refused without Meta's code");
        }
        GraphOutcome::Unknown { .. } => {}
        GraphOutcome::NotSent { .. } => panic!("an answer proves that bytes left"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_are_never_accepted_without_a_wamid_nor_refused_without_metas_code(
        status in 100_u16..1_000, body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        check(status, &body);
    }

    #[test]
    fn nor_is_json_that_only_looks_like_metas(status in prop_oneof![Just(200_u16), Just(400), Just(500), 100_u16..1_000], body in nearly_metas()) {
        check(status, body.as_bytes());
    }

    #[test]
    fn nor_is_an_answer_that_was_cut_anywhere(cut in 0_usize..200, status in prop_oneof![Just(200_u16), Just(400)]) {
        let whole = br#"{"messaging_product":"whatsapp","contacts":[{"input":"+1","wa_id":"1"}],"messages":[{"id":"wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA"}]}"#;
        check(status, &whole[..cut.min(whole.len())]);
        if cut < whole.len() {
            let unknown = matches!(sent_message(&answer(status, &whole[..cut])), GraphOutcome::Unknown { .. });
            prop_assert!(unknown, "cut at {}", cut);
        }
    }
}
