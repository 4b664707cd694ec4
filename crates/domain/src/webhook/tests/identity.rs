//! Repeats are known, and nothing else is taken for one.

use crate::webhook::tests_payload::{leak, payload, value};
use crate::webhook::{Item, read};

fn identities(raw: &'static [u8]) -> Vec<Vec<u8>> {
    read(raw).expect("readable").iter().map(Item::identity).collect()
}

fn of(field: &str, inner: &str) -> Vec<u8> {
    let mut identities = identities(payload(field, &value(inner)));
    assert_eq!(identities.len(), 1);
    identities.remove(0)
}

#[test]
fn a_repeat_is_the_same_however_its_batch_is_cut() {
    let one = r#"{"from":"1","id":"wamid.1","timestamp":"1","type":"text","text":{"body":"a"}}"#;
    let two = r#"{"from":"2","id":"wamid.2","timestamp":"1","type":"text","text":{"body":"a"}}"#;
    let both =
        identities(payload("messages", &value(&format!(r#""contacts":[{{"wa_id":"1"}},{{"wa_id":"2"}}],"messages":[{one},{two}]"#))));
    assert_eq!(both[1], of("messages", &format!(r#""messages":[{two}]"#)));
    assert_ne!(both[0], both[1]);
}

#[test]
fn a_message_is_known_by_wamid_and_type() {
    let message = |members: &str| of("messages", &format!(r#""messages":[{{{members}}}]"#));
    let first = message(r#""from":"1","id":"w","timestamp":"1","type":"text","text":{"body":"a"}"#);
    assert_eq!(first, message(r#""id":"w","type":"text","text":{"body":"a"},"from":"1","timestamp":"9""#));
    for other in [
        r#""from":"1","id":"v","timestamp":"1","type":"text","text":{"body":"a"}"#,
        r#""from":"1","id":"w","timestamp":"1","type":"image","image":{"id":"5"}"#,
    ] {
        assert_ne!(first, message(other), "{other}");
    }
    // Two edits of one message, should they bear its id.
    let edit = |at: u8, original: &str| {
        message(&format!(r#""id":"w","timestamp":"{at}","type":"edit","edit":{{"original_message_id":"{original}","message":{{}}}}"#))
    };
    assert_eq!(edit(1, "o"), edit(1, "o"));
    assert!(edit(1, "o") != edit(2, "o") && edit(1, "o") != edit(1, "p"));
}

#[test]
fn a_status_is_known_by_wamid_and_status_and_in_a_group_by_participant() {
    let status = |members: &str| of("messages", &format!(r#""statuses":[{{{members}}}]"#));
    let sent = status(r#""id":"w","status":"sent","timestamp":"1","recipient_id":"1""#);
    assert_eq!(sent, status(r#""timestamp":"1","id":"w","status":"sent","recipient_id":"1""#));
    assert_ne!(sent, status(r#""id":"w","status":"delivered","timestamp":"1","recipient_id":"1""#));
    assert_ne!(sent, status(r#""id":"w2","status":"sent","timestamp":"1","recipient_id":"1""#));
    assert_ne!(sent, of("messages", r#""messages":[{"id":"w","type":"sent"}]"#));
    let in_group = |participant: u8| {
        status(&format!(
            r#""id":"w","status":"read","recipient_id":"G","recipient_type":"group","recipient_participant_id":"{participant}""#
        ))
    };
    assert_eq!(in_group(1), in_group(1));
    assert_ne!(in_group(1), in_group(2));
    // A word that nobody knows is a status like any other.
    assert_ne!(status(r#""id":"w","status":"x""#), status(r#""id":"w","status":"y""#));
}

#[test]
fn other_changes_are_known_by_when_and_what() {
    let template = |time: u32, value: &str| {
        let raw =
            format!(r#"{{"entry":[{{"id":"1","time":{time},"changes":[{{"field":"message_template_status_update","value":{value}}}]}}]}}"#);
        identities(leak(raw)).remove(0)
    };
    let approved = template(1, r#"{"event":"APPROVED","message_template_id":5}"#);
    assert_eq!(approved, template(1, r#"{ "message_template_id" : 5 , "event":"\u0041PPROVED"}"#), "spaced, escaped, ordered otherwise");
    assert_ne!(approved, template(2, r#"{"event":"APPROVED","message_template_id":5}"#), "the same event again");
    assert_ne!(approved, template(1, r#"{"event":"APPROVED","message_template_id":6}"#));
    assert_ne!(approved, template(1, r#"{"event":"APPROVED","message_template_id":"5"}"#));

    let wish = |wa_id: u8, at: u8| {
        of("user_preferences", &format!(r#""user_preferences":[{{"wa_id":"{wa_id}","value":"stop","timestamp":{at}}}]"#))
    };
    assert!(wish(1, 1) == wish(1, 1) && wish(1, 1) != wish(2, 1) && wish(1, 1) != wish(1, 2));

    let chunk = |order: u8, body: &str| {
        of("history", &format!(r#""history":[{{"metadata":{{"phase":0,"chunk_order":{order}}},"threads":[{{"id":"{body}"}}]}}]"#))
    };
    assert!(chunk(1, "a") == chunk(1, "a") && chunk(1, "a") != chunk(2, "a") && chunk(1, "a") != chunk(1, "b"));
    // Media of a history follow under the id of their placeholder.
    let media = |kind: &str| of("history", &format!(r#""messages":[{{"id":"w","type":"{kind}"}}]"#));
    assert_ne!(media("media_placeholder"), media("image"));
}

#[test]
fn the_same_change_of_another_number_or_account_is_another() {
    let at = |waba: u8, number: u8| {
        let raw = format!(
            r#"{{"entry":[{{"id":"{waba}","changes":[{{"field":"user_preferences","value":{{"metadata":{{"phone_number_id":"{number}"}},"user_preferences":[{{"wa_id":"1"}}]}}}}]}}]}}"#
        );
        identities(leak(raw)).remove(0)
    };
    assert!(at(1, 1) == at(1, 1) && at(1, 1) != at(2, 1) && at(1, 1) != at(1, 2));
}
