//! What reading a message promises, beyond the tables in the crate's `tests` folder.

mod outgoing;

use super::*;
use crate::refusal::FieldFault;

pub(crate) fn read_text(body: &str) -> Result<NewMessage, Refusal> {
    parse(Bytes::copy_from_slice(body.as_bytes()), MetaEndpoint::Messages)
}

fn faults(body: &str) -> Vec<FieldFault> {
    match read_text(body) {
        Err(Refusal::Fields(faults)) => faults,
        other => panic!("field faults are expected, not {other:?}"),
    }
}

/// A template message with these components.
fn template(components: &str) -> String {
    format!(
        r#"{{"messaging_product":"whatsapp","to":"905551112233","type":"template",
            "template":{{"name":"parcel_moved","language":{{"code":"en_US"}},"components":{components}}}}}"#
    )
}

#[test]
fn a_problem_says_what_is_allowed_and_what_was_given() {
    let body = r#"{"messaging_product":"whatsapp","to":905551112233,"type":"interactive","interactive":{"type":"button",
        "body":{"text":""},"action":{"buttons":[{"type":"reply","reply":{"id":"1","title":"This title is far too long"}}]}}}"#;
    let expected = [
        ("to", "must be a string (a number given)"),
        ("interactive.body.text", "must not be empty"),
        ("interactive.action.buttons[0].reply.title", "must be at most 20 characters (26 given)"),
    ];
    assert_eq!(faults(body), expected.map(|(path, problem)| FieldFault::new(path, problem)));
}

#[test]
fn an_unknown_type_is_answered_with_the_known_ones() {
    let unknown = faults(r#"{"messaging_product":"whatsapp","to":"905551112233","type":"sms"}"#);
    assert_eq!(
        unknown[0].problem,
        "must be one of text, image, audio, video, document, sticker, location, contacts, reaction, template, interactive"
    );
    let unknown =
        faults(r#"{"messaging_product":"whatsapp","to":"905551112233","type":"interactive","interactive":{"type":"poll","action":{}}}"#);
    assert_eq!(unknown.len(), 1);
    assert!(unknown[0].problem.starts_with("must be one of button, list, cta_url, flow, product"), "{}", unknown[0].problem);
}

#[test]
fn a_template_is_read_as_the_template_check_needs_it() {
    let message = read_text(&template(
        r#"[{"type":"header","parameters":[{"type":"image","image":{"id":"1"}}]},
            {"type":"body","parameters":[{"type":"text","parameter_name":"who","text":"De\u00f1iz"},
                {"type":"currency","currency":{"fallback_value":"$5.00","code":"USD","amount_1000":"5000"}}]},
            {"type":"BUTTON","sub_type":"Quick_Reply","index":"3","parameters":[{"type":"payload","payload":"ok"}]},
            {"type":"carousel","cards":[
                {"card_index":0,"components":[{"type":"body","parameters":[{"type":"text","text":"a"}]}]},
                {"card_index":1,"components":[{"type":"button","sub_type":"url","index":0}]}]}]"#,
    ))
    .expect("a sound template");
    let body = ComponentUse {
        parameters: vec![
            ParameterUse { kind: ParameterKind::Text, name: Some("who".to_owned()), text_chars: Some(5) },
            ParameterUse { kind: ParameterKind::Currency, name: None, text_chars: Some(5) },
        ],
        ..ComponentUse::new(ComponentKind::Body)
    };
    let header = ComponentUse {
        parameters: vec![ParameterUse { kind: ParameterKind::Image, name: None, text_chars: None }],
        ..ComponentUse::new(ComponentKind::Header)
    };
    let button = ComponentUse {
        button: Some(ButtonUse { kind: ButtonKind::QuickReply, index: 3 }),
        parameters: vec![ParameterUse { kind: ParameterKind::Payload, name: None, text_chars: Some(2) }],
        ..ComponentUse::new(ComponentKind::Button)
    };
    let cards = vec![
        CardUse {
            index: 0,
            components: vec![ComponentUse { parameters: vec![ParameterUse::text(1)], ..ComponentUse::new(ComponentKind::Body) }],
        },
        CardUse {
            index: 1,
            components: vec![ComponentUse {
                button: Some(ButtonUse { kind: ButtonKind::Url, index: 0 }),
                ..ComponentUse::new(ComponentKind::Button)
            }],
        },
    ];
    let carousel = ComponentUse { cards, ..ComponentUse::new(ComponentKind::Carousel) };
    let expected =
        TemplateUse { name: "parcel_moved".to_owned(), language: "en_US".to_owned(), components: vec![header, body, button, carousel] };
    assert_eq!(message.template(), Some(&expected));
}

#[test]
fn direct_send_is_told_from_an_ordinary_message() {
    let text = |more: &str| {
        read_text(&format!(r#"{{"messaging_product":"whatsapp","to":"905551112233","type":"text","text":{{"body":"Ready."}}{more}}}"#))
            .expect("a sound text")
    };
    let parts = |message: NewMessage| (message.direct_send_category(), message.ttl_seconds());
    assert_eq!(parts(text("")), (None, None));
    assert_eq!(parts(text(r#","category":"utility""#)), (Some(Category::Utility), None));
    assert_eq!(parts(text(r#","category":"authentication","ttl_seconds":900"#)), (Some(Category::Authentication), Some(900)));
}

#[test]
fn the_callers_callback_data_is_kept_unescaped() {
    let text = |data: &str| {
        read_text(&format!(
            r#"{{"messaging_product":"whatsapp","to":"905551112233","type":"text","text":{{"body":"x"}},"biz_opaque_callback_data":{data}}}"#
        ))
        .expect("a sound text")
    };
    assert_eq!(text(r#""order \u00237\n""#).callback_data(), Some("order #7\n"));
    assert_eq!(text("\"\"").callback_data(), Some(""));
    assert_eq!(text("null").callback_data(), None);
}

#[test]
fn a_flood_of_faults_is_cut_off() {
    let buttons = vec!["{}"; 50_000].join(",");
    let body = format!(
        r#"{{"messaging_product":"whatsapp","to":"905551112233","type":"interactive","interactive":{{"type":"button","body":{{"text":"x"}},"action":{{"buttons":[{buttons}]}}}}}}"#
    );
    assert_eq!(faults(&body).len(), place::FAULTS_MAX);
}

#[test]
fn a_debug_print_tells_neither_whom_nor_what() {
    let body = r#"{"messaging_product":"whatsapp","to":"905551112233","type":"text","text":{"body":"secret"},"biz_opaque_callback_data":"secret"}"#;
    let message = read_text(body).expect("a sound text");
    let printed = format!("{message:?} {:?}", message.recipient());
    assert!(printed.contains("Text") && !printed.contains("905551112233") && !printed.contains("secret"), "{printed}");
}
