//! Meta's own checks, as a table: what is sent, and the code and words of the answer.

use serde_json::{Value, json};
use turnpike_simulator::{Config, Simulator, TemplateSeed, demo_templates};

use crate::client::{call, start};

const WAMID: &str = "wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA";

/// What is expected of a row: taken, or refused with this code and these words.
enum Expected {
    Taken,
    Refused(i64, &'static str),
}
use Expected::{Refused, Taken};

async fn with_templates() -> Simulator {
    let mut seed_templates = demo_templates();
    let mut named =
        TemplateSeed::new("named", "en", "UTILITY", vec![json!({"type": "BODY", "text": "Dear {{first_name}}, order {{order}} is here."})]);
    named.parameter_format = "NAMED".to_owned();
    seed_templates.push(named);
    for (name, status) in [("paused", "PAUSED"), ("disabled", "DISABLED"), ("pending", "PENDING")] {
        let mut seed = TemplateSeed::new(name, "en", "UTILITY", vec![json!({"type": "BODY", "text": "Hi"})]);
        seed.status = status.to_owned();
        seed_templates.push(seed);
    }
    seed_templates.push(TemplateSeed::new(
        "many",
        "en",
        "MARKETING",
        vec![
            json!({"type": "HEADER", "format": "TEXT", "text": "For {{1}}"}),
            json!({"type": "BODY", "text": "Hi"}),
            json!({"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Yes"},
                {"type": "COPY_CODE", "example": "SAVE"},
                {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+15550100"},
            ]}),
        ],
    ));
    let card = json!({"components": [
        {"type": "HEADER", "format": "IMAGE"},
        {"type": "BODY", "text": "{{1}}"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "See", "url": "https://example.com/{{1}}"}]},
    ]});
    seed_templates.push(TemplateSeed::new(
        "cards",
        "en",
        "MARKETING",
        vec![json!({"type": "BODY", "text": "Look"}), json!({"type": "CAROUSEL", "cards": [card, card]})],
    ));
    seed_templates.push(TemplateSeed::new(
        "offer",
        "en",
        "MARKETING",
        vec![
            json!({"type": "BODY", "text": "Now"}),
            json!({"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Soon over", "has_expiration": true}}),
        ],
    ));
    seed_templates.push(TemplateSeed::new(
        "place",
        "en",
        "UTILITY",
        vec![json!({"type": "HEADER", "format": "LOCATION"}), json!({"type": "BODY", "text": "Here"})],
    ));
    start(Config { seed_templates, ..Config::default() }).await
}

async fn check(edge: &str, rows: Vec<(&str, Value, Expected)>) {
    let simulator = with_templates().await;
    for (name, payload, expected) in rows {
        let mut body = json!({"messaging_product": "whatsapp", "to": "905321234567"});
        for (member, value) in payload.as_object().expect("a row is an object") {
            body[member] = value.clone();
        }
        let target = format!("/v24.0/1001/{edge}");
        let answer = call(simulator.address(), "POST", &target, Some(&body)).await;
        match expected {
            Taken => assert_eq!(answer.status, 200, "{name}: {}", answer.json()),
            Refused(code, words) => {
                assert_eq!(answer.code(), code, "{name}: {}", answer.json());
                let text = answer.json().to_string();
                assert!(text.contains(words), "{name}: no \"{words}\" in {text}");
                let error = &answer.json()["error"];
                assert_eq!(error["type"], "OAuthException", "{name}");
                assert!(error["fbtrace_id"].as_str().is_some_and(|trace| trace.starts_with('A')), "{name}");
                assert!(error["message"].as_str().is_some_and(|m| m.starts_with(&format!("(#{code}) "))), "{name}");
            }
        }
    }
}

fn text(length: usize) -> String {
    "é".repeat(length)
}

#[tokio::test]
async fn what_every_message_has() {
    let body = json!({"body": "Hi"});
    check(
        "messages",
        vec![
            ("plain", json!({"type": "text", "text": body}), Taken),
            ("type left out", json!({"text": body}), Taken),
            ("with plus and separators", json!({"to": "+1 (650) 555-1234", "text": body}), Taken),
            ("no product", json!({"messaging_product": null, "text": body}), Refused(100, "messaging_product")),
            ("another product", json!({"messaging_product": "sms", "text": body}), Refused(100, "WHATSAPP")),
            ("no recipient", json!({"to": null, "text": body}), Refused(100, "The parameter to is required.")),
            ("letters", json!({"to": "user", "text": body}), Refused(131_009, "Param to")),
            ("too many digits", json!({"to": "1234567890123456", "text": body}), Refused(131_009, "Param to")),
            ("itself", json!({"to": "15550101001", "text": body}), Refused(131_021, "same")),
            ("unknown type", json!({"type": "fax"}), Refused(100, "got \\\"fax\\\"")),
            ("type of another kind", json!({"type": 7}), Refused(100, "Param type must be one of")),
            ("payload of another type", json!({"type": "image", "text": body}), Refused(100, "parameter image is required")),
            ("payload not an object", json!({"type": "text", "text": "Hi"}), Refused(100, "must be a JSON object")),
            ("a group", json!({"recipient_type": "group", "text": body}), Refused(131_041, "group")),
            ("a strange recipient type", json!({"recipient_type": "x", "text": body}), Refused(100, "recipient_type")),
            ("callback data", json!({"biz_opaque_callback_data": text(512), "text": body}), Taken),
            ("long callback data", json!({"biz_opaque_callback_data": text(513), "text": body}), Refused(100, "512")),
            ("a reply", json!({"context": {"message_id": WAMID}, "text": body}), Taken),
            ("no reply", json!({"context": null, "text": body}), Taken),
            ("a reply to nothing", json!({"context": {}, "text": body}), Refused(100, "context['message_id']")),
            ("a reply to junk", json!({"context": {"message_id": "x"}, "text": body}), Refused(131_009, "context")),
            ("an unknown member", json!({"newest_thing": 1, "text": body}), Taken),
            ("direct send", json!({"category": "utility", "ttl_seconds": 30, "text": body}), Taken),
            ("direct marketing", json!({"category": "marketing", "text": body}), Refused(100, "category")),
            ("short life", json!({"category": "utility", "ttl_seconds": 29, "text": body}), Refused(100, "ttl_seconds")),
            ("life without category", json!({"ttl_seconds": 60, "text": body}), Refused(100, "ttl_seconds")),
            (
                "direct send of an image",
                json!({"category": "utility", "type": "image", "image": {"id": "1"}}),
                Refused(100, "not supported"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn plain_types_and_their_limits() {
    let contact = |name: Value| json!({"type": "contacts", "contacts": [{"name": name}]});
    let media = |kind: &str, payload: Value| json!({"type": kind, kind: payload});
    let link = "https://example.com/a";
    check(
        "messages",
        vec![
            ("longest text", json!({"type": "text", "text": {"body": text(4_096), "preview_url": true}}), Taken),
            ("too long text", json!({"type": "text", "text": {"body": text(4_097)}}), Refused(100, "text['body']")),
            ("empty text", json!({"type": "text", "text": {"body": ""}}), Refused(100, "text['body'] is required")),
            ("odd preview", json!({"type": "text", "text": {"body": "x", "preview_url": 1}}), Refused(100, "preview_url")),
            ("image by link", media("image", json!({"link": link, "caption": text(1_024)})), Taken),
            ("image by id", media("image", json!({"id": "1234"})), Taken),
            ("image by nothing", media("image", json!({})), Refused(100, "link or an id")),
            ("image by a path", media("image", json!({"link": "/etc/passwd"})), Refused(100, "not a valid URI")),
            ("image by ftp", media("image", json!({"link": "ftp://example.com/a"})), Refused(100, "not a valid URI")),
            ("image by a word", media("image", json!({"id": "abc"})), Refused(100, "media id")),
            ("long caption", media("image", json!({"id": "1", "caption": text(1_025)})), Refused(100, "caption")),
            ("video", media("video", json!({"link": link})), Taken),
            ("audio", media("audio", json!({"link": link, "voice": true})), Taken),
            ("sticker", media("sticker", json!({"id": "9"})), Taken),
            ("document", media("document", json!({"link": link, "filename": "a.pdf", "caption": "b"})), Taken),
            ("a file name that is none", media("document", json!({"link": link, "filename": 1})), Refused(100, "filename")),
            ("location", media("location", json!({"latitude": 41.0, "longitude": "29.0", "name": "x"})), Taken),
            ("half a location", media("location", json!({"latitude": 41.0})), Refused(100, "location['longitude']")),
            ("off the earth", media("location", json!({"latitude": 91, "longitude": 0})), Refused(100, "between -90")),
            ("reaction", media("reaction", json!({"message_id": WAMID, "emoji": "👍"})), Taken),
            ("reaction taken back", media("reaction", json!({"message_id": WAMID, "emoji": ""})), Taken),
            ("reaction without emoji", media("reaction", json!({"message_id": WAMID})), Refused(100, "emoji")),
            ("reaction of words", media("reaction", json!({"message_id": WAMID, "emoji": "ok"})), Refused(131_009, "emoji")),
            ("reaction to junk", media("reaction", json!({"message_id": "1", "emoji": "👍"})), Refused(131_009, "message id")),
            ("contact", contact(json!({"formatted_name": "Ada L", "first_name": "Ada"})), Taken),
            ("contact without name", contact(json!({"first_name": "Ada"})), Refused(100, "contacts[0]['name']['formatted_name']")),
            ("contact half named", contact(json!({"formatted_name": "Ada L"})), Refused(100, "at least one of")),
            ("no contacts", json!({"type": "contacts", "contacts": []}), Refused(100, "contacts must have")),
            (
                "a birthday that is none",
                json!({"type": "contacts", "contacts": [
                    {"name": {"formatted_name": "A", "first_name": "A"}, "birthday": "2020-02-30"}]}),
                Refused(100, "birthday"),
            ),
        ],
    )
    .await;
}

fn interactive(kind: &str, action: &Value) -> Value {
    json!({"type": "interactive", "interactive": {"type": kind, "body": {"text": "Choose"}, "action": action}})
}

fn reply(id: &str, title: &str) -> Value {
    json!({"type": "reply", "reply": {"id": id, "title": title}})
}

fn rows(count: usize, from: usize) -> Value {
    (from..from + count).map(|n| json!({"id": n.to_string(), "title": format!("Row {n}")})).collect()
}

#[tokio::test]
async fn buttons_and_lists() {
    let three = json!([reply("a", "A"), reply("b", "B"), reply("c", "C")]);
    let four = json!([reply("a", "A"), reply("b", "B"), reply("c", "C"), reply("d", "D")]);
    let button = |buttons: Value| interactive("button", &json!({"buttons": buttons}));
    let list = |sections: Value| interactive("list", &json!({"button": "Open", "sections": sections}));
    let mut with_header = button(three.clone());
    with_header["interactive"]["header"] = json!({"type": "image", "image": {"link": "https://example.com/a"}});
    with_header["interactive"]["footer"] = json!({"text": text(60)});
    let mut captioned = with_header.clone();
    captioned["interactive"]["header"]["image"]["caption"] = "no".into();
    let mut long_footer = with_header.clone();
    long_footer["interactive"]["footer"]["text"] = text(61).into();
    let mut long_body = button(three.clone());
    long_body["interactive"]["body"]["text"] = text(1_025).into();
    let mut no_body = button(three.clone());
    no_body["interactive"]["body"] = Value::Null;
    let mut image_list = list(json!([{"rows": rows(1, 0)}]));
    image_list["interactive"]["header"] = json!({"type": "image", "image": {"id": "1"}});
    check(
        "messages",
        vec![
            ("three buttons", button(three), Taken),
            ("four buttons", button(four), Refused(131_009, "1 to 3")),
            ("no buttons", button(json!([])), Refused(131_009, "1 to 3")),
            ("header and footer", with_header, Taken),
            ("header with caption", captioned, Refused(131_009, "caption")),
            ("long footer", long_footer, Refused(131_009, "interactive['footer']['text']")),
            ("long body", long_body, Refused(131_009, "interactive['body']['text']")),
            ("no body", no_body, Refused(131_008, "interactive['body']")),
            ("long title", button(json!([reply("a", &text(21))])), Refused(131_009, "Button title length invalid")),
            ("same id", button(json!([reply("a", "A"), reply("a", "B")])), Refused(131_009, "unique")),
            ("same title", button(json!([reply("a", "A"), reply("b", "A")])), Refused(131_009, "unique")),
            ("outer space", button(json!([reply(" a", "A")])), Refused(131_009, "space")),
            ("ten rows", list(json!([{"rows": rows(10, 0)}])), Taken),
            (
                "eleven rows",
                list(json!([{"title": "a", "rows": rows(6, 0)}, {"title": "b", "rows": rows(5, 6)}])),
                Refused(131_009, "Total row count"),
            ),
            ("untitled sections", list(json!([{"rows": rows(1, 0)}, {"rows": rows(1, 1)}])), Refused(131_008, "title")),
            ("same row", list(json!([{"rows": [{"id": "1", "title": "a"}, {"id": "1", "title": "b"}]}])), Refused(131_009, "unique")),
            ("long row", list(json!([{"rows": [{"id": "1", "title": text(25)}]}])), Refused(131_009, "rows'][0]['title']")),
            ("list with image", image_list, Refused(131_009, "header")),
            ("unknown kind", interactive("dial", &json!({})), Refused(131_009, "got \\\"dial\\\"")),
            (
                "no action",
                json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "x"}}}),
                Refused(131_008, "action"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn further_interactive_kinds() {
    let cta =
        |display: &str, url: &str| interactive("cta_url", &json!({"name": "cta_url", "parameters": {"display_text": display, "url": url}}));
    let flow = |more: Value| {
        let mut parameters = json!({"flow_message_version": "3", "flow_id": "1", "flow_cta": "Go"});
        for (name, value) in more.as_object().expect("members") {
            parameters[name] = value.clone();
        }
        interactive("flow", &json!({"name": "flow", "parameters": parameters}))
    };
    let products = |count: usize| {
        let items: Value = (0..count).map(|n| json!({"product_retailer_id": n.to_string()})).collect();
        let mut message = interactive("product_list", &json!({"catalog_id": "1", "sections": [{"title": "a", "product_items": items}]}));
        message["interactive"]["header"] = json!({"type": "text", "text": "Ours"});
        message
    };
    let mut headless = products(1);
    headless["interactive"]["header"] = Value::Null;
    let card = |n: usize| {
        json!({"card_index": n, "type": "cta_url",
            "header": {"type": "image", "image": {"link": "https://example.com/a"}}, "body": {"text": "x"},
            "action": {"name": "cta_url", "parameters": {"display_text": "Go", "url": "https://example.com"}}})
    };
    check(
        "messages",
        vec![
            ("cta", cta("Go", "https://example.com"), Taken),
            ("long cta", cta(&text(21), "https://example.com"), Refused(131_009, "display_text")),
            ("cta to nowhere", cta("Go", "nowhere"), Refused(131_009, "URI")),
            ("flow", flow(json!({"mode": "draft", "flow_action": "navigate"})), Taken),
            ("flow of version 2", flow(json!({"flow_message_version": "2"})), Refused(131_009, "flow_message_version")),
            ("flow with empty data", flow(json!({"flow_action_payload": {"screen": "A", "data": {}}})), Refused(131_009, "empty object")),
            ("product", interactive("product", &json!({"catalog_id": "1", "product_retailer_id": "2"})), Taken),
            ("products", products(30), Taken),
            ("too many products", products(31), Refused(131_009, "product_items")),
            ("products without header", headless, Refused(131_008, "header")),
            ("catalog", interactive("catalog_message", &json!({"name": "catalog_message"})), Taken),
            ("place please", interactive("location_request_message", &json!({"name": "send_location"})), Taken),
            ("place please, misnamed", interactive("location_request_message", &json!({"name": "send"})), Refused(131_009, "name")),
            ("address", interactive("address_message", &json!({"name": "address_message", "parameters": {"country": "IN"}})), Taken),
            (
                "address elsewhere",
                interactive("address_message", &json!({"name": "address_message", "parameters": {"country": "DE"}})),
                Refused(131_009, "country"),
            ),
            ("call", interactive("voice_call", &json!({"name": "voice_call", "parameters": {"ttl_minutes": 43_200}})), Taken),
            (
                "long call",
                interactive("voice_call", &json!({"name": "voice_call", "parameters": {"ttl_minutes": 43_201}})),
                Refused(131_009, "ttl_minutes"),
            ),
            ("may we call", interactive("call_permission_request", &json!({"name": "call_permission_request"})), Taken),
            ("your number", interactive("contact_request", &json!({"name": "request_contact_info"})), Taken),
            ("cards", interactive("carousel", &json!({"cards": [card(0), card(1)]})), Taken),
            ("one card", interactive("carousel", &json!({"cards": [card(0)]})), Refused(131_009, "2 to 10")),
            ("the same card", interactive("carousel", &json!({"cards": [card(0), card(0)]})), Refused(131_009, "card_index")),
        ],
    )
    .await;
}

fn template(name: &str, language: &str, components: &Value) -> Value {
    json!({"type": "template", "template": {"name": name, "language": {"code": language}, "components": components}})
}

fn texts(texts: &[&str]) -> Value {
    texts.iter().map(|text| json!({"type": "text", "text": text})).collect()
}

fn button_with(sub_type: &str, index: u64, parameters: Value) -> Value {
    json!({"type": "button", "sub_type": sub_type, "index": index.to_string(), "parameters": parameters})
}

#[tokio::test]
async fn templates_against_their_definition() {
    let shipping = |values: &[&str]| template("shipping_update", "en_US", &json!([{"type": "body", "parameters": texts(values)}]));
    let image = json!({"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/a"}}]});
    let promo = |components: Value| template("promo_announcement", "en_US", &components);
    let promo_body = json!({"type": "body", "parameters": texts(&["Ada", "20%"])});
    let suffix = button_with("url", 0, texts(&["spring"]));
    let otp = |code: &str| {
        template(
            "otp_verification",
            "en_US",
            &json!([
            {"type": "body", "parameters": texts(&[code])}, button_with("url", 0, texts(&[code]))]),
        )
    };
    let named = |parameters: Value| template("named", "en", &json!([{"type": "body", "parameters": parameters}]));
    let money = json!([{"type": "currency", "currency": {"fallback_value": "$1", "code": "USD", "amount_1000": 1000}},
        {"type": "date_time", "date_time": {"fallback_value": "today"}}, {"type": "text", "text": "x"}]);
    check(
        "messages",
        vec![
            ("without variables", template("order_confirmation", "en_US", &json!([])), Taken),
            ("no components at all", json!({"type": "template", "template": {"name": "order_confirmation", "language": {"code": "en_US"}}}), Taken),
            ("unknown name", template("nobody", "en_US", &json!([])), Refused(132_001, "template name (nobody) does not exist in en_US")),
            ("other language", template("order_confirmation", "tr", &json!([])), Refused(132_001, "does not exist in tr")),
            ("no language", json!({"type": "template", "template": {"name": "a"}}), Refused(100, "template['language'] is required")),
            ("paused", template("paused", "en", &json!([])), Refused(132_015, "paused")),
            ("disabled", template("disabled", "en", &json!([])), Refused(132_016, "disabled")),
            ("pending", template("pending", "en", &json!([])), Refused(132_001, "not approved")),
            ("three variables", shipping(&["a", "b", "c"]), Taken),
            ("one too few", shipping(&["a", "b"]), Refused(132_000, "body: number of localizable_params (2) does not match the expected number of params (3)")),
            ("one too many", shipping(&["a", "b", "c", "d"]), Refused(132_000, "(4)")),
            ("variables where none are", template("order_confirmation", "en_US", &json!([{"type": "body", "parameters": texts(&["a"])}])), Refused(132_000, "(0)")),
            ("money and dates", template("shipping_update", "en_US", &json!([{"type": "body", "parameters": money}])), Taken),
            ("an image in the body", template("shipping_update", "en_US", &json!([{"type": "body", "parameters": [
                {"type": "image", "image": {"id": "1"}}, {"type": "text", "text": "b"}, {"type": "text", "text": "c"}]}])), Refused(132_012, "expected TEXT, received IMAGE")),
            ("an empty variable", shipping(&["", "b", "c"]), Refused(131_008, "missing text value")),
            ("a line feed", shipping(&["a\nb", "b", "c"]), Refused(132_018, "new-line")),
            ("five spaces", shipping(&["a     b", "b", "c"]), Refused(132_018, "consecutive spaces")),
            ("long text in a lone body", shipping(&[&text(20_000), "b", "c"]), Taken),
            ("too long for a lone body", shipping(&[&text(33_000), "b", "c"]), Refused(132_005, "body")),
            ("whole promotion", promo(json!([image, promo_body, suffix])), Taken),
            ("long text beside a header", promo(json!([image, {"type": "body", "parameters": texts(&[&text(1_024), "b"])}, suffix])), Refused(132_005, "body")),
            ("no header", promo(json!([promo_body, suffix])), Refused(132_012, "header: Format mismatch, expected IMAGE, received UNKNOWN")),
            ("text header", promo(json!([{"type": "header", "parameters": texts(&["x"])}, promo_body, suffix])), Refused(132_012, "received TEXT")),
            ("no suffix", promo(json!([image, promo_body])), Refused(131_008, "Button at index 0 of type URL requires a parameter")),
            ("quick reply for a link", promo(json!([image, promo_body, button_with("quick_reply", 0, json!([{"type": "payload", "payload": "x"}]))])), Refused(132_018, "is of type URL")),
            ("a button too many", promo(json!([image, promo_body, suffix, button_with("url", 1, texts(&["x"]))])), Refused(100, "out of bounds")),
            ("body twice", promo(json!([image, promo_body, promo_body, suffix])), Refused(100, "given once")),
            ("unknown component", promo(json!([{"type": "tail"}])), Refused(100, "template['components'][0]['type']")),
            ("one-time code", otp("847291"), Taken),
            ("long one-time code", otp("1234567890123456"), Refused(100, "at most 15")),
            ("named", named(json!([{"type": "text", "parameter_name": "order", "text": "1"}, {"type": "text", "parameter_name": "first_name", "text": "A"}])), Taken),
            ("named without names", named(texts(&["a", "b"])), Refused(100, "Parameter name is missing or empty")),
            ("named wrongly", named(json!([{"type": "text", "parameter_name": "order", "text": "1"}, {"type": "text", "parameter_name": "order", "text": "A"}])), Refused(100, "named order")),
        ],
    )
    .await;
}

#[tokio::test]
async fn rich_templates() {
    let head = json!({"type": "header", "parameters": texts(&["Ada"])});
    let coupon = button_with("copy_code", 1, json!([{"type": "coupon_code", "coupon_code": "SAVE20"}]));
    let many = |components: Value| template("many", "en", &components);
    let card = |n: u64| {
        json!({"card_index": n, "components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]},
            {"type": "body", "parameters": texts(&["x"])}, button_with("url", 0, texts(&["y"]))]})
    };
    let cards = |cards: Value| template("cards", "en", &json!([{"type": "carousel", "cards": cards}]));
    let bare_card = json!({"card_index": 1, "components": []});
    let offer = |parameters: Value| template("offer", "en", &json!([{"type": "limited_time_offer", "parameters": parameters}]));
    let place = |parameters: Value| template("place", "en", &json!([{"type": "header", "parameters": parameters}]));
    check(
        "messages",
        vec![
            ("header and coupon", many(json!([head, coupon])), Taken),
            (
                "and a payload",
                many(json!([head, coupon, button_with("quick_reply", 0, json!([{"type": "payload", "payload": "x"}]))])),
                Taken,
            ),
            ("no coupon", many(json!([head])), Refused(131_008, "Button at index 1")),
            ("no header text", many(json!([coupon])), Refused(132_000, "header")),
            ("long header", many(json!([{"type": "header", "parameters": texts(&[&text(57)])}, coupon])), Refused(132_005, "header")),
            (
                "parameter for a phone button",
                many(json!([head, coupon, button_with("url", 2, texts(&["x"]))])),
                Refused(132_018, "PHONE_NUMBER"),
            ),
            ("two cards", cards(json!([card(0), card(1)])), Taken),
            ("one card of two", cards(json!([card(0)])), Refused(132_000, "carousel")),
            ("one card twice", cards(json!([card(0), card(0)])), Refused(100, "card_index")),
            ("a bare card", cards(json!([card(0), bare_card])), Refused(132_012, "expected IMAGE")),
            ("offer", offer(json!([{"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 1}}])), Taken),
            ("offer without end", offer(json!([])), Refused(131_008, "expiration_time_ms")),
            ("place", place(json!([{"type": "location", "location": {"latitude": 1, "longitude": 2}}])), Taken),
            ("place as text", place(texts(&["here"])), Refused(132_012, "expected LOCATION")),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_marketing_edge_takes_marketing_templates_only() {
    let news = template("weekly_newsletter", "en_US", &json!([{"type": "body", "parameters": texts(&["Ada"])}]));
    let mut strict = news.clone();
    strict["product_policy"] = "STRICT".into();
    strict["message_activity_sharing"] = true.into();
    let mut odd = news.clone();
    odd["product_policy"] = "MAYBE".into();
    check(
        "marketing_messages",
        vec![
            ("newsletter", news, Taken),
            ("strict", strict, Taken),
            ("odd policy", odd, Refused(131_009, "product_policy")),
            ("text", json!({"type": "text", "text": {"body": "x"}}), Refused(100, "Message must be a template message.")),
            ("utility", template("order_confirmation", "en_US", &json!([])), Refused(134_100, "MARKETING")),
        ],
    )
    .await;
    let simulator = with_templates().await;
    let mut body = template("order_confirmation", "en_US", &json!([]));
    body["messaging_product"] = "whatsapp".into();
    body["to"] = "905321234567".into();
    let older = call(simulator.address(), "POST", "/v22.0/1001/marketing_messages", Some(&body)).await;
    assert_eq!(older.code(), 131_055, "before v23 the code was another");
}

#[tokio::test]
async fn marks_are_taken_and_checked() {
    let mark = |members: Value| {
        let mut mark = json!({"status": "read", "message_id": WAMID});
        for (name, value) in members.as_object().expect("members") {
            mark[name] = value.clone();
        }
        mark
    };
    check(
        "messages",
        vec![
            ("read", mark(json!({})), Taken),
            ("typing", mark(json!({"typing_indicator": {"type": "text"}})), Taken),
            ("another status", mark(json!({"status": "unread"})), Refused(100, "status")),
            ("of nothing", mark(json!({"message_id": null})), Refused(100, "message_id")),
            ("of junk", mark(json!({"message_id": "x"})), Refused(131_009, "message id")),
            ("odd typing", mark(json!({"typing_indicator": {"type": "dance"}})), Refused(100, "typing_indicator")),
        ],
    )
    .await;
    let simulator = with_templates().await;
    let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": WAMID});
    let answer = call(simulator.address(), "POST", "/v24.0/1001/messages", Some(&body)).await;
    assert_eq!(answer.json(), json!({"success": true}));
}

#[tokio::test]
async fn a_template_answer_bears_its_status_and_a_hidden_user_its_id() {
    let simulator = with_templates().await;
    let mut body = template("order_confirmation", "en_US", &json!([]));
    body["messaging_product"] = "whatsapp".into();
    body["recipient"] = "US.13491208655302741918".into();
    let answer = call(simulator.address(), "POST", "/v24.0/1001/messages", Some(&body)).await;
    let json = answer.json();
    assert_eq!(json["messages"][0]["message_status"], "accepted");
    assert_eq!(json["contacts"], json!([{"input": "US.13491208655302741918", "user_id": "US.13491208655302741918"}]));
    body["recipient"] = "13491208655302741918".into();
    let refused = call(simulator.address(), "POST", "/v24.0/1001/messages", Some(&body)).await;
    assert_eq!(refused.code(), 131_009);
    let mut code = template(
        "otp_verification",
        "en_US",
        &json!([
        {"type": "body", "parameters": texts(&["1"])}, button_with("url", 0, texts(&["1"]))]),
    );
    code["messaging_product"] = "whatsapp".into();
    code["recipient"] = "US.13491208655302741918".into();
    let refused = call(simulator.address(), "POST", "/v24.0/1001/messages", Some(&code)).await;
    assert_eq!(refused.code(), 131_062, "codes need a phone number");
}
