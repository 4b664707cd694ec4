//! What goes out to Meta: the caller's JSON with two changes, whatever it looks like.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

const TOKEN: &str = "tp1.AbCdEf-_0123456789";

/// What Meta must read, by an independent reader.
fn expected(body: &[u8], message: &NewMessage) -> Option<Json> {
    let mut document: Json = serde_json::from_slice(body).ok()?;
    let members = document.as_object_mut()?;
    if message.kind() != MessageKind::ReadMark {
        if let Some(Recipient::Phone(number)) = message.recipient() {
            members.insert("to".to_owned(), format!("+{}", number.as_str()).into());
        }
        members.insert(CALLBACK_MEMBER.to_owned(), TOKEN.into());
    }
    Some(document)
}

fn check(body: &str, out: &str) {
    let message = read_text(body).unwrap_or_else(|refusal| panic!("{refusal:?}: {body}"));
    let sent = String::from_utf8(message.outgoing(TOKEN)).expect("UTF-8 goes out");
    assert_eq!(sent, out.replace("TOKEN", TOKEN));
    assert_eq!(serde_json::from_str::<Json>(&sent).ok(), expected(body.as_bytes(), &message));
    assert_eq!(&message.body()[..], body.as_bytes());
}

#[test]
fn a_text_goes_out_as_it_came_but_for_recipient_and_token() {
    check(
        "{ \"messaging_product\": \"whatsapp\", \"to\" : \"905551112233\",\n \"type\":\"text\", \"text\":{\"body\":\"Merhaba \\u00e7\", \"x\":1.50} }\n",
        "{ \"messaging_product\": \"whatsapp\", \"to\" : \"+905551112233\",\n \"type\":\"text\", \"text\":{\"body\":\"Merhaba \\u00e7\", \"x\":1.50},\"biz_opaque_callback_data\":\"TOKEN\" }\n",
    );
}

#[test]
fn the_callers_callback_data_is_replaced_where_it_stands() {
    check(
        r#"{"to":"905551112233","biz_opaque_callback_data": "a\"}" ,"messaging_product":"whatsapp","type":"text","text":{"body":"x"}}"#,
        r#"{"to":"+905551112233","biz_opaque_callback_data": "TOKEN" ,"messaging_product":"whatsapp","type":"text","text":{"body":"x"}}"#,
    );
    check(
        r#"{"biz_opaque_callback_data":null,"messaging_product":"whatsapp","type":"text","text":{"body":"x"},"to":"905551112233"}"#,
        r#"{"biz_opaque_callback_data":"TOKEN","messaging_product":"whatsapp","type":"text","text":{"body":"x"},"to":"+905551112233"}"#,
    );
}

#[test]
fn names_written_with_escapes_are_found_all_the_same() {
    check(
        r#"{"biz_opaque_callback_dat\u0061":"","\u0074o":"\u0039\u003055511122\u00333","messaging_product":"whatsapp","type":"text","text":{"body":"x"}}"#,
        r#"{"biz_opaque_callback_dat\u0061":"TOKEN","\u0074o":"+905551112233","messaging_product":"whatsapp","type":"text","text":{"body":"x"}}"#,
    );
}

#[test]
fn fields_of_the_same_name_further_in_are_left_alone() {
    check(
        r#"{"later":{"to":"1","biz_opaque_callback_data":"mine"},"messaging_product":"whatsapp","to":"905551112233","type":"text","text":{"body":"x"},"end":[{}]}"#,
        r#"{"later":{"to":"1","biz_opaque_callback_data":"mine"},"messaging_product":"whatsapp","to":"+905551112233","type":"text","text":{"body":"x"},"end":[{}],"biz_opaque_callback_data":"TOKEN"}"#,
    );
}

#[test]
fn a_user_id_goes_out_as_it_came() {
    check(
        r#"{"messaging_product":"whatsapp","recipient":"US.ENT.1181","to":null,"type":"text","text":{"body":"x"}}"#,
        r#"{"messaging_product":"whatsapp","recipient":"US.ENT.1181","to":null,"type":"text","text":{"body":"x"},"biz_opaque_callback_data":"TOKEN"}"#,
    );
}

#[test]
fn a_read_mark_goes_out_unchanged() {
    let body = " {\"messaging_product\":\"whatsapp\",\"status\":\"read\",\"message_id\":\"wamid.X\"} ";
    check(body, body);
}

#[test]
fn a_token_that_needs_escapes_gets_them() {
    let message =
        read_text(r#"{"messaging_product":"whatsapp","to":"905551112233","type":"text","text":{"body":"x"}}"#).expect("a sound text");
    let sent: Json = serde_json::from_slice(&message.outgoing("a\"\\\n")).expect("JSON goes out");
    assert_eq!(sent[CALLBACK_MEMBER], "a\"\\\n");
}

/// The bodies of the table of good requests.
fn good_bodies() -> Vec<String> {
    include_str!("../../../tests/data/good_requests.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("a row is JSON")["body"].as_str().expect("a row has a body").to_owned())
        .filter(|body| body.len() < 4000)
        .collect()
}

/// Whatever passes goes out whole; nothing panics.
fn survives(body: Vec<u8>) {
    for endpoint in [MetaEndpoint::Messages, MetaEndpoint::MarketingMessages] {
        match parse(Bytes::from(body.clone()), endpoint) {
            Ok(message) => {
                let sent = message.outgoing(TOKEN);
                // A number beyond what the independent reader holds is still JSON.
                if let Some(expected) = expected(&body, &message) {
                    assert_eq!(serde_json::from_slice::<Json>(&sent).expect("JSON goes out"), expected);
                }
            }
            Err(Refusal::NotOneObject { line, column, problem }) => assert!(line >= 1 && column >= 1 && !problem.is_empty()),
            Err(Refusal::Fields(faults)) => assert!(!faults.is_empty() && faults.len() <= place::FAULTS_MAX),
            Err(other) => panic!("reading a body cannot end in {other:?}"),
        }
    }
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u",
    "\\ud83d",
    "null",
    "true",
    "0",
    "-1",
    "1e9",
    " ",
    "\n",
    "\u{feff}",
    "ü",
    "😀",
    "\0",
    "to",
    "type",
    "text",
    "\"to\":",
    "\"type\":\"template\",",
    "\"status\":\"read\",",
    "\"recipient\":\"US.1\",",
    "\"category\":\"utility\",",
    "\"biz_opaque_callback_data\":\"mine\",",
    "\"biz_opaque_callback_data\":null,",
    "{},",
    "[{}],",
    "\"\":{},",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_mangled_message_never_panics_and_what_passes_goes_out_whole(
        which in any::<prop::sample::Index>(),
        mangling in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, prop::sample::select(PIECES), any::<u8>()), 0..5),
    ) {
        let bodies = good_bodies();
        let mut body = bodies[which.index(bodies.len())].clone().into_bytes();
        for (place, how, piece, byte) in mangling {
            let at = place.index(body.len() + 1);
            match how {
                0 => drop(body.splice(at..at, piece.bytes())),
                1 => body.truncate(at),
                2 => drop(body.drain(at..(at + usize::from(byte % 16)).min(body.len()))),
                _ if at < body.len() => body[at] = byte,
                _ => {}
            }
        }
        survives(body);
    }

    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(body);
    }

    #[test]
    fn members_may_stand_in_any_order_with_any_white_space(
        order in Just(vec![
            r#""messaging_product":"whatsapp""#, r#""t\u006f": "905551112233""#, r#""type":"text""#, r#""text" : {"body":"x","to":"7"}"#,
            r#""biz_opaque_callback_data" :"mine""#, r#""later":[{"to":"1"},{}]"#,
        ]).prop_shuffle(),
        spaces in prop::collection::vec(prop::sample::select(vec!["", " ", "\n\t", "\r\n "]), 14),
        with_callback: bool,
    ) {
        let mut body = format!("{}{{", spaces[12]);
        let members: Vec<&&str> = order.iter().filter(|member| with_callback || !member.contains("callback")).collect();
        for (number, member) in members.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            body.push_str(&format!("{comma}{}{member}{}", spaces[2 * number], spaces[2 * number + 1]));
        }
        body.push_str(&format!("}}{}", spaces[13]));
        let message = read_text(&body).expect("a sound text");
        prop_assert_eq!(message.callback_data(), with_callback.then_some("mine"));
        survives(body.into_bytes());
    }
}
