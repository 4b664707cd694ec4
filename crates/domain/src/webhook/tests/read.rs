//! Payloads of every type and field of meta-cloud-api §5, read into items; and payloads that nobody
//! should send.

use super::*;
use crate::webhook::status::{Pricing, PricingType, StatusKind};
use crate::webhook::tests_payload::{NUMBER, leak, message, one, payload, value};
use crate::webhook::view::*;

fn content(kind: &str, inner: &str) -> Content<'static> {
    let item = message(kind, inner);
    assert_eq!(item.wamid.as_deref(), Some(&*format!("wamid.A{kind}=")));
    assert_eq!(item.at, Some(UnixMs(1_749_416_383_000)));
    assert_eq!(item.phone_number_id.as_deref(), Some(NUMBER));
    assert_eq!(item.waba_id.as_deref(), Some("102290129340398"));
    let user = item.user.expect("a user");
    assert_eq!((user.phone.as_deref(), user.id.as_deref()), (Some("16505551234"), Some("US.13491208655302741918")));
    let View::Message(message) = item.view else { panic!("{kind} is a message") };
    assert_eq!(message.type_name, kind);
    message.content
}

fn media(id: &str, mime_type: &str) -> Media<'static> {
    Media { id: id.to_owned().into(), mime_type: Some(mime_type.to_owned().into()), sha256: Some("6Kp/Nz=".into()), ..Media::default() }
}

#[test]
fn every_type_of_message_is_read() {
    assert_eq!(content("text", r#","text":{"body":"caf\u00e9 \/ \ud83d\ude00"}"#), Content::Text { body: "café / 😀".into() });
    assert_eq!(
        content(
            "image",
            r#","image":{"caption":"c","mime_type":"image\/jpeg","sha256":"6Kp\/Nz=","id":"1","url":"https:\/\/lookaside.fbsbx.com\/1"}"#
        ),
        Content::Media(Media { caption: Some("c".into()), url: Some("https://lookaside.fbsbx.com/1".into()), ..media("1", "image/jpeg") })
    );
    assert_eq!(
        content("audio", r#","audio":{"mime_type":"audio/ogg; codecs=opus","sha256":"6Kp/Nz=","id":"2","voice":true}"#),
        Content::Media(Media { is_voice: true, ..media("2", "audio/ogg; codecs=opus") })
    );
    assert_eq!(
        content("video", r#","video":{"mime_type":"video/mp4","sha256":"6Kp/Nz=","id":"3"}"#),
        Content::Media(media("3", "video/mp4"))
    );
    assert_eq!(
        content("document", r#","document":{"filename":"a.pdf","mime_type":"application/pdf","sha256":"6Kp/Nz=","id":"4"}"#),
        Content::Media(Media { filename: Some("a.pdf".into()), ..media("4", "application/pdf") })
    );
    assert_eq!(
        content("sticker", r#","sticker":{"mime_type":"image/webp","sha256":"6Kp/Nz=","id":5,"animated":true}"#),
        Content::Media(Media { is_animated: true, ..media("5", "image/webp") })
    );
    assert_eq!(
        content("location", r#","location":{"latitude":41.03,"longitude":-28.98,"name":"n","address":"a","url":"https://x"}"#),
        Content::Location { latitude: 41.03, longitude: -28.98, name: Some("n".into()), address: Some("a".into()) }
    );
    assert_eq!(
        content(
            "contacts",
            r#","contacts":[{"name":{"formatted_name":"B"},"phones":[{"phone":"+1 650","wa_id":"1650"},{"phone":"+49"}]}]"#
        ),
        Content::Contacts(vec![SharedContact { name: Some("B".into()), phones: vec!["1650".into(), "+49".into()] }])
    );
    assert_eq!(
        content("button", r#","button":{"payload":"p","text":"t"},"context":{"from":"15550783881","id":"wamid.Q"}"#),
        Content::Button { payload: "p".into(), text: "t".into() }
    );
    assert_eq!(
        content("reaction", r#","reaction":{"message_id":"wamid.R","emoji":"\ud83d\udc4d"}"#),
        Content::Reaction { message_id: "wamid.R".into(), emoji: Some("👍".into()) }
    );
    for removed in [r#"{"message_id":"wamid.R"}"#, r#"{"message_id":"wamid.R","emoji":""}"#] {
        let reaction = content("reaction", &format!(r#","reaction":{removed}"#));
        assert_eq!(reaction, Content::Reaction { message_id: "wamid.R".into(), emoji: None });
    }
    assert_eq!(
        content(
            "order",
            r#","order":{"catalog_id":"7","text":"","product_items":[{"product_retailer_id":"r","quantity":2,"item_price":30.50,"currency":"USD"}]}"#
        ),
        Content::Order {
            catalog_id: "7".into(),
            text: None,
            items: vec![OrderItem { product_retailer_id: "r".into(), quantity: 2, item_price: "30.50".into(), currency: "USD".into() }],
        }
    );
    assert_eq!(
        content("system", r#","system":{"body":"b","type":"user_changed_number","wa_id":"12195555358"}"#),
        Content::System {
            kind: "user_changed_number".into(),
            body: "b".into(),
            now: User { phone: Some("12195555358".into()), ..User::default() },
        }
    );
    assert_eq!(
        content("system", r#","system":{"body":"b","type":"user_changed_user_id","user_id":"US.2","parent_user_id":"US.ENT.3"}"#),
        Content::System {
            kind: "user_changed_user_id".into(),
            body: "b".into(),
            now: User { phone: None, id: Some("US.2".into()), parent_id: Some("US.ENT.3".into()) },
        }
    );
    assert_eq!(content("unsupported", r#","unsupported":{"type":"poll"}"#), Content::Unsupported { kind: Some("poll".into()) });
    assert_eq!(content("unsupported", r#","errors":[{"code":131051}]"#), Content::Unsupported { kind: None });
    assert_eq!(content("request_welcome", ""), Content::RequestWelcome);
    assert_eq!(
        content("edit", r#","edit":{"original_message_id":"wamid.O","message":{"type":"text","text":{"body":"new"}}}"#),
        Content::Edit { original_message_id: "wamid.O".into(), content: Box::new(Content::Text { body: "new".into() }) }
    );
    assert_eq!(
        content("revoke", r#","revoke":{"original_message_id":"wamid.O"}"#),
        Content::Revoke { original_message_id: "wamid.O".into() }
    );
    assert_eq!(content("video_note", r#","video_note":{"id":"9"}"#), Content::Other);
    assert_eq!(content("text", r#","text":"not an object""#), Content::Other);
    assert_eq!(content("image", ""), Content::Other);
}

#[test]
fn every_answer_to_an_interactive_message_is_read_and_taps_have_names_of_their_own() {
    let check = |answer: &str, kind: EventKind, expected: Content<'static>| {
        let item = message("interactive", &format!(r#","interactive":{answer}"#));
        assert_eq!(item.kind, kind);
        let View::Message(message) = item.view else { panic!("a message") };
        assert_eq!(message.content, expected);
    };
    check(
        r#"{"type":"button_reply","button_reply":{"id":"yes","title":"Ja"}}"#,
        EventKind::ButtonReply,
        Content::ButtonReply { id: "yes".into(), title: "Ja".into() },
    );
    check(
        r#"{"type":"list_reply","list_reply":{"id":"r1","title":"T","description":"D"}}"#,
        EventKind::ListReply,
        Content::ListReply { id: "r1".into(), title: "T".into(), description: Some("D".into()) },
    );
    check(
        r#"{"type":"nfm_reply","nfm_reply":{"name":"flow","body":"Sent","response_json":"{\"flow_token\":\"x\"}"}}"#,
        EventKind::Messages,
        Content::FormReply { name: "flow".into(), body: "Sent".into(), response_json: r#"{"flow_token":"x"}"#.into() },
    );
    check(
        r#"{"type":"call_permission_reply","call_permission_reply":{"response":"accept","is_permanent":false,"expiration_timestamp":"1750000000","response_source":"user_action"}}"#,
        EventKind::Messages,
        Content::CallPermissionReply {
            response: "accept".into(),
            is_permanent: false,
            expires_at: Some(1_750_000_000),
            source: Some("user_action".into()),
        },
    );
    check(r#"{"type":"hologram_reply","hologram_reply":{}}"#, EventKind::Messages, Content::Other);
    check(r#"{"type":"button_reply"}"#, EventKind::Messages, Content::Other);
}

#[test]
fn context_referral_group_and_errors_are_read() {
    let item = message(
        "text",
        r#","text":{"body":"b"},"group_id":"G1","context":{"from":"1555","id":"wamid.C","referred_product":{"catalog_id":"c","product_retailer_id":"p"}},
           "referral":{"source_url":"https://fb.me/x","source_id":"12","source_type":"ad","ctwa_clid":"AB"},
           "errors":[{"code":131051,"title":"Unsupported","error_data":{"details":"d"}},{"code":"7","message":"m"}]"#,
    );
    let View::Message(message) = &item.view else { panic!("a message") };
    let context = message.context.as_ref().expect("a context");
    assert_eq!((context.from.as_deref(), context.id.as_deref()), (Some("1555"), Some("wamid.C")));
    assert_eq!(context.referred_product, Some(("c".into(), "p".into())));
    let referral = message.referral.as_ref().expect("a referral");
    assert_eq!((&*referral.source_type, referral.ctwa_clid.as_deref()), ("ad", Some("AB")));
    assert_eq!(message.group_id.as_deref(), Some("G1"));
    assert_eq!(message.errors[0], MetaError { code: 131_051, title: "Unsupported".into(), details: Some("d".into()) });
    assert_eq!(message.errors[1], MetaError { code: 7, title: "m".into(), details: None });

    let item = crate::webhook::tests_payload::message("text", r#","text":{"body":"b"},"context":{"frequently_forwarded":true}"#);
    let View::Message(message) = item.view else { panic!("a message") };
    assert!(message.context.is_some_and(|context| context.is_frequently_forwarded && !context.is_forwarded && context.id.is_none()));
}

#[test]
fn a_user_without_a_phone_number_is_first_class() {
    let inbound = value(
        r#""contacts":[{"profile":{"name":"A","username":"aa"},"user_id":"TR.77","parent_user_id":"TR.ENT.8"}],
           "messages":[{"from_user_id":"TR.77","id":"wamid.1","timestamp":"1","type":"text","text":{"body":"b"}}]"#,
    );
    let item = one(payload("messages", &inbound));
    let user = item.user.expect("a user");
    assert_eq!(user.key(), Some("TR.77"));
    assert_eq!(user.names().collect::<Vec<_>>(), ["TR.77", "TR.ENT.8"]);
    assert_eq!(user.phone, None);

    let status = value(r#""statuses":[{"id":"wamid.2","status":"failed","timestamp":"1","recipient_user_id":"TR.77"}]"#);
    assert_eq!(one(payload("messages", &status)).user.expect("a user").key(), Some("TR.77"));
    // A BSUID where a number is expected is still a BSUID.
    let odd = value(r#""statuses":[{"id":"wamid.2","status":"failed","timestamp":"1","recipient_id":"TR.77"}]"#);
    assert_eq!(one(payload("messages", &odd)).user.expect("a user").id.as_deref(), Some("TR.77"));
}

#[test]
fn every_status_is_read() {
    for (name, status, kind) in [
        ("sent", Some(StatusKind::Sent), EventKind::MessageStatus),
        ("delivered", Some(StatusKind::Delivered), EventKind::MessageStatus),
        ("failed", Some(StatusKind::Failed), EventKind::MessageStatus),
        ("read", Some(StatusKind::Read), EventKind::Read),
        ("played", Some(StatusKind::Played), EventKind::Read),
        ("deleted", None, EventKind::Other),
    ] {
        let own = format!(
            r#"{{"id":"wamid.S","status":"{name}","timestamp":"1750030073","recipient_id":"16505551234","recipient_user_id":"US.5",
                "biz_opaque_callback_data":"tp1.x","conversation":{{"id":"c","expiration_timestamp":"1750116480","origin":{{"type":"utility"}}}},
                "pricing":{{"billable":true,"pricing_model":"PMP","type":"regular","category":"utility"}},
                "errors":[{{"code":131049,"title":"t","error_data":{{"details":"d"}},"href":"h"}}]}}"#
        );
        let item = one(payload("messages", &value(&format!(r#""statuses":[{own}]"#))));
        assert_eq!((item.kind, item.wamid.as_deref(), item.at), (kind, Some("wamid.S"), Some(UnixMs(1_750_030_073_000))));
        assert_eq!(item.user.as_ref().map(|user| user.names().collect()), Some(vec!["16505551234", "US.5"]));
        let View::Status(read) = item.view else { panic!("a status") };
        assert_eq!((read.status, &*read.name, read.callback_data.as_deref()), (status, name, Some("tp1.x")));
        let pricing = Pricing { kind: Some(PricingType::Regular), billable: Some(true), category: Some("utility".to_owned()) };
        assert_eq!(read.pricing, Some(pricing));
        let conversation = Conversation { id: "c".into(), origin: Some("utility".into()), expires_at: Some(1_750_116_480) };
        assert_eq!(read.conversation, Some(conversation));
        assert_eq!(read.errors[0].code, 131_049);
    }
}

#[test]
fn pricing_decides_by_its_type_and_only_without_one_by_billable() {
    for (pricing, chargeable) in [
        (r#"{"billable":true,"type":"regular","category":"marketing"}"#, Some(true)),
        (r#"{"billable":true,"type":"free_customer_service"}"#, Some(false)),
        (r#"{"billable":true,"type":"free_entry_point"}"#, Some(false)),
        (r#"{"billable":true,"type":"free_on_tuesdays"}"#, Some(false)),
        (r#"{"billable":true}"#, Some(true)),
        (r#"{"billable":false}"#, Some(false)),
        (r#"{"category":"service"}"#, None),
        (r#"{"type":null,"billable":"yes"}"#, None),
    ] {
        let status = format!(r#""statuses":[{{"id":"w","status":"sent","pricing":{pricing}}}]"#);
        let View::Status(status) = one(payload("messages", &value(&status))).view else { panic!("a status") };
        assert_eq!(status.pricing.expect("a price").is_chargeable(), chargeable, "{pricing}");
    }
}

#[test]
fn a_status_in_a_group_is_about_the_participant() {
    let status = value(
        r#""statuses":[{"id":"wamid.G","status":"delivered","timestamp":"1","recipient_id":"GROUP","recipient_type":"group","recipient_participant_id":"16505551234"}]"#,
    );
    let item = one(payload("messages", &status));
    assert_eq!(item.user.expect("a user").key(), Some("16505551234"));
    let View::Status(status) = item.view else { panic!("a status") };
    assert_eq!(status.group_id.as_deref(), Some("GROUP"));
}

#[test]
fn every_other_field_is_read_and_has_its_kind() {
    let check = |field: &str, value: &str, kind: EventKind| -> View<'static> {
        let item = one(payload(field, value));
        assert_eq!((item.kind, &*item.field), (kind, field));
        assert!(!item.opens_window() && !item.is_partner, "{field}");
        item.view
    };
    let template = r#""message_template_id":594425479261596,"message_template_name":"order","message_template_language":"en_US""#;
    let of_template =
        TemplateChange { id: "594425479261596".into(), name: "order".into(), language: "en_US".into(), ..TemplateChange::default() };
    assert_eq!(
        check(
            "message_template_status_update",
            &format!(r#"{{"event":"PAUSED","reason":null,"message_template_category":"UTILITY",{template}}}"#),
            EventKind::MessageTemplateStatus
        ),
        View::Template(Box::new(TemplateChange { event: Some("PAUSED".into()), category: Some("UTILITY".into()), ..of_template.clone() }))
    );
    assert_eq!(
        check(
            "message_template_quality_update",
            &format!(r#"{{"previous_quality_score":"GREEN","new_quality_score":"YELLOW",{template}}}"#),
            EventKind::Other
        ),
        View::Template(Box::new(TemplateChange {
            previous_quality: Some("GREEN".into()),
            new_quality: Some("YELLOW".into()),
            ..of_template.clone()
        }))
    );
    assert_eq!(
        check("message_template_components_update", &format!(r#"{{"message_template_element":"b",{template}}}"#), EventKind::Other),
        View::Template(Box::new(of_template.clone()))
    );
    assert_eq!(
        check(
            "template_category_update",
            &format!(r#"{{"new_category":"MARKETING","previous_category":"UTILITY","correct_category":"MARKETING",{template}}}"#),
            EventKind::TemplateCategory
        ),
        View::Template(Box::new(TemplateChange {
            new_category: Some("MARKETING".into()),
            previous_category: Some("UTILITY".into()),
            correct_category: Some("MARKETING".into()),
            ..of_template
        }))
    );
    assert_eq!(
        check(
            "account_update",
            r#"{"event":"ACCOUNT_RESTRICTION","country":"TR","ban_info":{"waba_ban_state":"DISABLE"},"violation_info":{"violation_type":"SCAM"},
                "restriction_info":[{"restriction_type":"RESTRICTED_BIZ_INITIATED_MESSAGING","expiration":1},{"restriction_type":"B"}]}"#,
            EventKind::Account
        ),
        View::Account(AccountChange {
            event: "ACCOUNT_RESTRICTION".into(),
            ban_state: Some("DISABLE".into()),
            violation: Some("SCAM".into()),
            restrictions: vec!["RESTRICTED_BIZ_INITIATED_MESSAGING".into(), "B".into()],
            ..AccountChange::default()
        })
    );
    assert_eq!(
        check("account_review_update", r#"{"decision":"APPROVED"}"#, EventKind::Account),
        View::Account(AccountChange { event: "APPROVED".into(), ..AccountChange::default() })
    );
    let alert = r#""alert_severity":"CRITICAL","alert_status":"ACTIVE","alert_type":"OBA_REJECTED","alert_description":"d""#;
    for alerts in [format!(r#"{{"entity_type":"WABA",{alert}}}"#), format!(r#"{{"entity_type":"WABA","alert_info":{{{alert}}}}}"#)] {
        let View::Account(change) = check("account_alerts", &alerts, EventKind::Account) else { panic!("an alert") };
        assert_eq!(
            (&*change.event, change.severity.as_deref(), change.description.as_deref()),
            ("OBA_REJECTED", Some("CRITICAL"), Some("d"))
        );
    }
    for limit in ["2000", "\"TIER_2K\""] {
        let capability = format!(r#"{{"max_daily_conversations_per_business":{limit},"max_phone_numbers_per_waba":25}}"#);
        let View::Capability(change) = check("business_capability_update", &capability, EventKind::Account) else { panic!("a capability") };
        assert_eq!((change.max_daily_conversations.as_deref(), change.max_phone_numbers), (Some(limit.trim_matches('"')), Some(25)));
    }
    assert_eq!(
        check(
            "phone_number_name_update",
            r#"{"decision":"REJECTED","requested_verified_name":"N","rejection_reason":"NAME_X"}"#,
            EventKind::Account
        ),
        View::Number(NumberChange {
            event: "REJECTED".into(),
            limit: None,
            requested_name: Some("N".into()),
            rejection_reason: Some("NAME_X".into()),
        })
    );
    assert_eq!(
        check(
            "phone_number_quality_update",
            r#"{"display_phone_number":"1555","event":"THROUGHPUT_UPGRADE","current_limit":"TIER_UNLIMITED"}"#,
            EventKind::PhoneQuality
        ),
        View::Number(NumberChange { event: "THROUGHPUT_UPGRADE".into(), limit: Some("TIER_UNLIMITED".into()), ..NumberChange::default() })
    );
    assert_eq!(
        check("security", r#"{"display_phone_number":"1555","event":"PIN_CHANGED","requester":"61"}"#, EventKind::Account),
        View::Security(SecurityChange { event: "PIN_CHANGED".into(), requester: Some("61".into()) })
    );
    assert_eq!(
        check("flows", r#"{"event":"ENDPOINT_AVAILABILITY","flow_id":"6","message":"m"}"#, EventKind::Flows),
        View::Flow(FlowEvent { event: "ENDPOINT_AVAILABILITY".into(), flow_id: Some("6".into()), message: Some("m".into()) })
    );
    assert_eq!(check("tracking_events", r#"{"event":"x"}"#, EventKind::Other), View::Other);
    assert_eq!(check("user_id_update", r#"{"previous":"US.1","current":"US.2"}"#, EventKind::Other), View::Other);
    assert_eq!(check("security", "\"not an object\"", EventKind::Account), View::Other);
    assert_eq!(check("messages", &value(r#""messages":[]"#), EventKind::Other), View::Other);
    let errors = value(r#""errors":[{"code":130429,"title":"Rate limit hit"}]"#);
    let View::Errors(errors) = check("messages", &errors, EventKind::Other) else { panic!("errors") };
    assert_eq!(errors[0].code, 130_429);
}

#[test]
fn the_number_of_a_change_is_found_where_meta_writes_it() {
    let item = one(payload("security", r#"{"display_phone_number":"15550783881","event":"PIN_CHANGED"}"#));
    assert_eq!((item.phone_number_id.as_deref(), item.display_phone_number.as_deref()), (None, Some("15550783881")));
    let item = message("text", r#","text":{"body":"b"}"#);
    assert_eq!(item.display_phone_number.as_deref(), Some("15550783881"));
}

#[test]
fn an_entrys_time_dates_what_has_no_time_of_its_own() {
    let raw = leak(r#"{"object":"whatsapp_business_account","entry":[{"id":1,"time":1739321024,"changes":[{"field":"account_review_update","value":{"decision":"APPROVED"}}]}]}"#.to_owned());
    let item = one(raw);
    assert_eq!((item.at, item.waba_id.as_deref()), (Some(UnixMs(1_739_321_024_000)), Some("1")));
}

#[test]
fn partner_events_are_marked() {
    for (field, value, is_partner) in [
        ("account_update", r#"{"event":"PARTNER_ADDED","waba_info":{"waba_id":"77","owner_business_id":"8"}}"#, true),
        ("account_update", r#"{"event":"PARTNER_REMOVED"}"#, true),
        ("account_update", r#"{"event":"ACCOUNT_DELETED"}"#, false),
        ("partner_solutions", r#"{"event":"SOLUTION_CREATED"}"#, true),
        ("account_review_update", r#"{"decision":"PARTNER_ADDED"}"#, false),
    ] {
        assert_eq!(one(payload(field, value)).is_partner, is_partner, "{field} {value}");
    }
    let View::Account(change) = one(payload("account_update", r#"{"event":"PARTNER_ADDED","waba_info":{"waba_id":"77"}}"#)).view else {
        panic!("a change of an account")
    };
    assert_eq!(change.waba_id.as_deref(), Some("77"));
}

#[test]
fn wishes_of_users_are_read_one_by_one() {
    let wish = |value: &str| {
        format!(
            r#"{{"wa_id":"16505551234","user_id":"US.1","detail":"d","category":"marketing_messages","value":"{value}","timestamp":1731705721}}"#
        )
    };
    let list = ["stop", "resume", "signup", "later"].map(wish).join(",");
    let raw = payload(
        "user_preferences",
        &value(&format!(r#""contacts":[{{"profile":{{"name":"A"}},"wa_id":"16505551234"}}],"user_preferences":[{list}]"#)),
    );
    let items = read(raw).expect("readable");
    let wishes: Vec<Wish> = items
        .iter()
        .map(|item| match &item.view {
            View::UserPreference(preference) => preference.wish,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(wishes, [Wish::Stop, Wish::Resume, Wish::Resume, Wish::Other]);
    for item in &items {
        assert_eq!((item.kind, item.at), (EventKind::UserPreferences, Some(UnixMs(1_731_705_721_000))));
        assert_eq!(item.user.as_ref().and_then(User::key), Some("16505551234"));
    }
}

#[test]
fn coexistence_is_read() {
    let echoes = value(
        r#""message_echoes":[{"from":"15550783881","to":"16505551234","to_user_id":"US.1","id":"wamid.E","timestamp":"1","type":"text","text":{"body":"b"}},
           {"from":"15550783881","to":"16505551234","id":"wamid.F","timestamp":"2","type":"revoke","revoke":{"original_message_id":"wamid.E"}}]"#,
    );
    let items = read(payload("smb_message_echoes", &echoes)).expect("readable");
    assert_eq!(items.len(), 2);
    for item in &items {
        assert_eq!((item.kind, item.opens_window()), (EventKind::MessageEchoes, false));
        assert_eq!(item.user.as_ref().and_then(User::key), Some("16505551234"), "the user, not the business");
        assert!(matches!(item.view, View::Echo(_)));
    }

    let history = value(
        r#""history":[{"metadata":{"phase":0,"chunk_order":1,"progress":55},"threads":[{"id":"16505551234","messages":[{"from":"16505551234","id":"wamid.H","timestamp":"1","type":"image","image":{"id":"5","mime_type":"image/png","url":"https://m/5"},"history_context":{"status":"READ"}}]},{"id":"4930123456"}]},
           {"errors":[{"code":2593109,"message":"declined"}]}]"#,
    );
    let items = read(payload("history", &history)).expect("readable");
    let [View::History(chunk), View::History(declined)] = [&items[0].view, &items[1].view] else { panic!("two chunks") };
    assert_eq!((chunk.phase, chunk.chunk_order, chunk.progress), (Some(0), Some(1), Some(55)));
    assert_eq!(chunk.users, ["16505551234", "4930123456"]);
    assert_eq!(declined.errors[0].code, 2_593_109);
    assert!(items.iter().all(|item| item.kind == EventKind::History && !item.opens_window()));

    let later = value(r#""messages":[{"from":"16505551234","id":"wamid.H","timestamp":"1","type":"image","image":{"id":"5"}}]"#);
    let item = one(payload("history", &later));
    assert_eq!((item.kind, item.opens_window()), (EventKind::History, false));

    let contact = value(
        r#""state_sync":[{"type":"contact","contact":{"full_name":"A B","first_name":"A","phone_number":"16505551234"},"action":"add","metadata":{"timestamp":"1739321024"}}]"#,
    );
    let item = one(payload("smb_app_state_sync", &contact));
    assert_eq!(item.user.as_ref().and_then(User::key), Some("16505551234"));
    assert_eq!((item.kind, item.at), (EventKind::Other, Some(UnixMs(1_739_321_024_000))));
    assert_eq!(item.view, View::AppState(AppState { kind: "contact".into(), action: "add".into(), name: Some("A B".into()) }));
}

#[test]
fn calls_are_read_and_the_users_own_open_the_window() {
    let calls = value(
        r#""calls":[{"id":"wacid.1","from":"16505551234","to":"15550783881","event":"connect","direction":"USER_INITIATED","timestamp":"1"},
           {"id":"wacid.2","from":"15550783881","to":"16505551234","event":"connect","direction":"BUSINESS_INITIATED","timestamp":"1"}],
           "statuses":[{"id":"wacid.2","type":"call","status":"RINGING","timestamp":"1","recipient_id":"16505551234"}]"#,
    );
    let items = read(payload("calls", &calls)).expect("readable");
    assert_eq!(items.iter().map(Item::opens_window).collect::<Vec<_>>(), [true, false, false]);
    for item in &items {
        assert_eq!((item.kind, item.user.as_ref().and_then(User::key)), (EventKind::Calls, Some("16505551234")));
    }
}

#[test]
fn standby_is_read_by_what_it_holds() {
    let standby = value(
        r#""messages":[{"from":"16505551234","id":"wamid.1","timestamp":"1","type":"text","text":{"body":"b"}}],
           "statuses":[{"id":"wamid.2","status":"read","timestamp":"1","recipient_id":"16505551234"}],
           "message_echoes":[{"to":"16505551234","id":"wamid.3","timestamp":"1","type":"text","text":{"body":"b"}}]"#,
    );
    let kinds: Vec<EventKind> = read(payload("standby", &standby)).expect("readable").iter().map(|item| item.kind).collect();
    assert_eq!(kinds, [EventKind::Messages, EventKind::Read, EventKind::MessageEchoes]);
}

#[test]
fn only_what_a_user_wrote_opens_the_window() {
    let opens = |kind: &str, inner: &str| message(kind, inner).opens_window();
    assert!(opens("text", r#","text":{"body":"b"}"#) && opens("reaction", "") && opens("unsupported", "") && opens("new_type", ""));
    assert!(!opens("system", "") && !opens("request_welcome", "") && !opens("revoke", "") && !opens("edit", ""));
    assert!(!opens("text", r#","group_id":"G""#));
}

#[test]
fn a_part_that_cannot_be_read_does_not_take_the_rest_with_it() {
    let good = r#"{"id":"wamid.1","from":"16505551234","type":"text","text":{"body":"b"}}"#;
    let raw = leak(format!(
        r#"{{"object":"whatsapp_business_account","entry":[7,{{"id":"1"}},{{"id":"2","changes":[null,{{"field":"messages"}},
            {{"field":"messages","value":{}}},{{"field":"messages","value":{}}}]}}]}}"#,
        value(&format!(r#""messages":["text",{good}]"#)),
        value(r#""messages":{"id":"wamid.2"}"#),
    ));
    let items = read(raw).expect("readable");
    let problems: Vec<&str> = items
        .iter()
        .map(|item| match item.view {
            View::Unreadable(problem) => problem,
            _ => "",
        })
        .collect();
    assert_eq!(
        problems,
        [
            "an entry is not an object",
            "an entry has no array `changes`",
            "a change is not an object",
            "a change has no `value`",
            "an element of an array of items is not an object",
            "",
            "what should be an array is none",
        ]
    );
    // Each is kept as a payload that says the same when it is read again.
    for item in &items {
        let body = item.body(&crate::webhook::BodyChanges::default());
        let again = read(&body).expect("readable again");
        assert_eq!(again.len(), 1);
        assert_eq!((&again[0].view, again[0].raw()), (&item.view, item.raw()));
    }
}

#[test]
fn what_is_no_webhook_is_said_to_be_none() {
    let check = |raw: &str| read(raw.as_bytes()).expect_err(raw);
    assert!(matches!(check(""), Unreadable::NotJson { .. }));
    assert!(matches!(check("[]"), Unreadable::NotJson { .. }));
    assert!(matches!(check("{\"entry\":[}"), Unreadable::NotJson { .. }));
    assert!(matches!(check("{}"), Unreadable::NotAWebhook(_)));
    assert!(matches!(check("{\"entry\":{}}"), Unreadable::NotAWebhook(_)));
    assert_eq!(read(b"{\"entry\":[\"\xff\"]}").expect_err("not UTF-8"), Unreadable::NotUtf8 { offset: 11 });
    assert!(matches!(check(&"{\"entry\":[".repeat(200_000)), Unreadable::NotJson { .. }));
    assert!(read(br#"{"entry":[]}"#).expect("readable").is_empty());
    assert!(read(br#"{"object":"page","entry":[{"id":"1","messaging":[]}]}"#).is_ok());
}

#[test]
fn a_payload_that_would_grow_past_any_use_is_refused() {
    let items = |count: usize| payload("messages", &value(&format!(r#""messages":[{}]"#, vec!["0"; count].join(","))));
    assert_eq!(read(items(ITEMS_MAX)).expect("the most").len(), ITEMS_MAX);
    assert_eq!(read(items(ITEMS_MAX + 1)).expect_err("one more"), Unreadable::TooMuch);
    let padded = format!(r#""padding":"{}","messages":[{}]"#, "x".repeat(1 << 20), vec!["{}"; 100].join(","));
    assert_eq!(read(payload("messages", &value(&padded))).expect_err("100 MB of bodies"), Unreadable::TooMuch);
}

#[test]
fn strange_but_possible_text_is_let_pass() {
    let item = message("text", r#","text":{"body":"cut \ud83d"},"text":{"body":"last"},"id":"wamid.L""#);
    assert_eq!(item.wamid.as_deref(), Some("wamid.L"), "the last of two");
    let View::Message(message) = item.view else { panic!("a message") };
    assert_eq!(message.content, Content::Text { body: "last".into() });
    let Content::Text { body } = content("text", r#","text":{"body":"cut \ud83d and \ud83dAAde00"}"#) else { panic!("a text") };
    assert_eq!(body, "cut \u{fffd} and \u{fffd}AAde00");
}

#[test]
fn a_bug_met_while_one_item_is_read_is_that_items_alone() {
    let raw = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{
        "metadata":{"phone_number_id":"2"},"messages":[
        {"from":"1","id":"wamid.1","timestamp":"1","type":"text","text":{"body":"a"}},
        {"from":"1","id":"wamid.2","timestamp":"1","type":"text","a bug for a test":1},
        {"from":"1","id":"wamid.3","timestamp":"1","type":"text","text":{"body":"c"}}]}}]}]}"#;
    let items = read(raw).expect("it is a webhook");
    let ids: Vec<_> = items.iter().map(|item| item.wamid.as_deref()).collect();
    assert_eq!(ids, [Some("wamid.1"), None, Some("wamid.3")]);
    assert_eq!(items[1].view, View::Unreadable(BUG_MET));
    assert!(items[1].raw().contains("wamid.2"), "it is kept whole");
}
