//! The promises of reading and checking templates.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::message::{ButtonKind, ButtonUse, CardUse, ComponentKind, ComponentUse, ParameterKind, ParameterUse, TemplateUse};

/// A definition of these components, approved.
fn template(components: Value) -> TemplateDefinition {
    definition(json!({"components": components}))
}

/// A definition with these members besides name, language and status.
fn definition(more: Value) -> TemplateDefinition {
    let mut item =
        json!({"id": "594425479261596", "name": "order_status", "language": "en_US", "status": "APPROVED", "category": "UTILITY"});
    for (name, value) in more.as_object().expect("an object") {
        item[name] = value.clone();
    }
    TemplateDefinition::parse(&item.to_string()).expect("a definition")
}

fn used(components: Vec<ComponentUse>) -> TemplateUse {
    TemplateUse { name: "order_status".to_owned(), language: "en_US".to_owned(), components }
}

fn component(kind: ComponentKind, parameters: Vec<ParameterUse>) -> ComponentUse {
    ComponentUse { parameters, ..ComponentUse::new(kind) }
}

fn button(index: u8, kind: ButtonKind, parameters: Vec<ParameterUse>) -> ComponentUse {
    ComponentUse { button: Some(ButtonUse { kind, index }), ..component(ComponentKind::Button, parameters) }
}

fn carousel(cards: Vec<Vec<ComponentUse>>) -> ComponentUse {
    let cards = cards.into_iter().zip(0u8..).map(|(components, index)| CardUse { index, components }).collect();
    ComponentUse { cards, ..ComponentUse::new(ComponentKind::Carousel) }
}

fn parameter(kind: ParameterKind) -> ParameterUse {
    ParameterUse { kind, name: None, text_chars: (kind == ParameterKind::Text).then_some(5) }
}

fn texts(count: usize) -> Vec<ParameterUse> {
    vec![ParameterUse::text(5); count]
}

fn named(names: &[&str]) -> Vec<ParameterUse> {
    names.iter().map(|name| ParameterUse { name: Some((*name).to_owned()), ..ParameterUse::text(5) }).collect()
}

fn body(parameters: Vec<ParameterUse>) -> ComponentUse {
    component(ComponentKind::Body, parameters)
}

fn header(parameters: Vec<ParameterUse>) -> ComponentUse {
    component(ComponentKind::Header, parameters)
}

/// Code and details of the mismatch that must be found.
#[track_caller]
fn mismatch(definition: &TemplateDefinition, components: Vec<ComponentUse>) -> (i64, String) {
    let found = check(definition, &used(components)).expect_err("a mismatch");
    (found.code, found.details)
}

#[track_caller]
fn fits(definition: &TemplateDefinition, components: Vec<ComponentUse>) {
    assert_eq!(check(definition, &used(components)), Ok(()));
}

fn three_variables() -> TemplateDefinition {
    template(json!([{"type": "BODY", "text": "Order {{1}} is {{2}}, expected {{3}}."}]))
}

#[test]
fn metas_read_form_is_read() {
    let read = definition(json!({
        "category": "marketing", "parameter_format": "POSITIONAL", "quality_score": {"score": "GREEN", "date": 1},
        "components": [
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://scontent.example/x"]}},
            {"type": "BODY", "text": "Hi {{1}}, use {{2}} today, {{1}}.", "example": {"body_text": [["Ann", "X"]]}},
            {"type": "FOOTER", "text": "Reply {{STOP}} to end"},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "No thanks"},
                {"type": "URL", "text": "Shop", "url": "https://shop.example/{{1}}", "example": ["https://shop.example/a"]},
                {"type": "URL", "text": "About", "url": "https://shop.example/about"},
                {"type": "HOLOGRAM", "text": "Look"},
            ]},
        ],
    }));
    assert_eq!(read.category, Some(Category::Marketing));
    assert_eq!(read.status, TemplateStatus::Approved);
    assert_eq!(read.quality.as_deref(), Some("GREEN"));
    assert_eq!(read.parts.header, Some(HeaderNeed::Image));
    assert_eq!(read.parts.body, Variables::Positional(2));
    assert_eq!(read.parts.buttons, [ButtonNeed::QuickReply, ButtonNeed::UrlWithVariable, ButtonNeed::StaticUrl, ButtonNeed::Unknown]);
}

#[test]
fn a_definition_without_name_or_language_is_unreadable() {
    for (json, error) in [
        ("[]", UnreadableTemplate::NotAnObject),
        ("{", UnreadableTemplate::NotAnObject),
        ("{}", UnreadableTemplate::Missing("name")),
        (r#"{"name":"x"}"#, UnreadableTemplate::Missing("language")),
        (r#"{"name":"x","language":7}"#, UnreadableTemplate::Missing("language")),
    ] {
        assert_eq!(TemplateDefinition::parse(json), Err(error), "{json}");
    }
}

#[test]
fn a_category_that_no_template_has_is_not_known() {
    for word in ["SERVICE", "AUTHENTICATION-INTERNATIONAL", "OTP", ""] {
        assert_eq!(definition(json!({"category": word})).category, None, "{word}");
    }
}

#[test]
fn a_wrong_count_is_named_with_both_numbers() {
    assert_eq!(
        mismatch(&three_variables(), vec![body(texts(2))]),
        (132_000, "body: the template has 3 variables, 2 parameters were given".to_owned())
    );
    assert_eq!(mismatch(&three_variables(), vec![]), (132_000, "body: the template has 3 variables, no parameters were given".to_owned()));
    let none = template(json!([{"type": "BODY", "text": "Thank you."}]));
    assert_eq!(mismatch(&none, vec![body(texts(1))]), (132_000, "body: the template has no variables, 1 parameter was given".to_owned()));
    fits(&none, vec![]);
    fits(&none, vec![body(vec![])]);
    fits(&three_variables(), vec![body(texts(3))]);
}

#[test]
fn a_date_or_an_amount_fills_a_variable_and_an_image_does_not() {
    let date = vec![parameter(ParameterKind::DateTime), parameter(ParameterKind::Currency), ParameterUse::text(3)];
    fits(&three_variables(), vec![body(date)]);
    let image = vec![ParameterUse::text(3), parameter(ParameterKind::Image), ParameterUse::text(3)];
    assert_eq!(
        mismatch(&three_variables(), vec![body(image)]),
        (132_012, "body: parameter 2 is of type image, a variable needs text".to_owned())
    );
}

#[test]
fn a_header_needs_its_own_kind() {
    let image = template(json!([{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Look"}]));
    fits(&image, vec![header(vec![parameter(ParameterKind::Image)])]);
    assert_eq!(
        mismatch(&image, vec![header(vec![parameter(ParameterKind::Video)])]),
        (132_012, "header: the template needs a parameter of type image, video was given".to_owned())
    );
    assert_eq!(mismatch(&image, vec![]), (132_012, "header: the template needs one parameter of type image, none was given".to_owned()));
    assert_eq!(mismatch(&image, vec![header(vec![parameter(ParameterKind::Image); 2])]).0, 132_000);
    let text = template(json!([{"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"}, {"type": "BODY", "text": "Look"}]));
    fits(&text, vec![header(texts(1))]);
    assert_eq!(mismatch(&text, vec![]).1, "header: the template has 1 variable, no parameters were given");
    let none = template(json!([{"type": "BODY", "text": "Look"}]));
    assert_eq!(mismatch(&none, vec![header(texts(1))]), (132_000, "header: the template has no header, 1 parameter was given".to_owned()));
}

#[test]
fn named_variables_are_matched_by_name() {
    let template = definition(json!({
        "parameter_format": "NAMED",
        "components": [{"type": "BODY", "text": "Hi {{first_name}}, order {{order_id}}: {{first_name}}!"}],
    }));
    assert_eq!(template.parts.body, Variables::Named(vec!["first_name".to_owned(), "order_id".to_owned()]));
    fits(&template, vec![body(named(&["order_id", "first_name"]))]);
    assert_eq!(
        mismatch(&template, vec![body(named(&["first_name", "order"]))]),
        (
            132_012,
            "body: parameter 2 is named order, the template has no such variable; \
             body: the template's variable order_id was given no parameter"
                .to_owned()
        )
    );
    assert_eq!(mismatch(&template, vec![body(named(&["first_name"]))]).0, 132_000);
    let (code, details) = mismatch(&template, vec![body(texts(2))]);
    assert_eq!(code, 131_008);
    assert!(details.starts_with("body: parameter 1 has no parameter_name"), "{details}");
    assert_eq!(mismatch(&template, vec![body(named(&["first_name", "order_id", "order_id"]))]).0, 132_000);
}

#[test]
fn a_button_is_checked_by_its_index() {
    let template = template(json!([
        {"type": "BODY", "text": "Look"},
        {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "Yes"},
            {"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}"},
            {"type": "COPY_CODE", "example": "SAVE10"},
        ]},
    ]));
    let code = || button(2, ButtonKind::CopyCode, vec![parameter(ParameterKind::CouponCode)]);
    fits(&template, vec![button(1, ButtonKind::Url, texts(1)), code()]);
    fits(
        &template,
        vec![code(), button(1, ButtonKind::Url, texts(1)), button(0, ButtonKind::QuickReply, vec![parameter(ParameterKind::Payload)])],
    );
    assert_eq!(
        mismatch(&template, vec![code()]),
        (131_008, "button 1: the template needs a text for the variable of its URL, none was given".to_owned())
    );
    assert_eq!(
        mismatch(&template, vec![button(0, ButtonKind::Url, texts(1)), button(1, ButtonKind::Url, texts(1)), code()]),
        (132_012, "button 0: the template has a quick_reply button, url was given".to_owned())
    );
    assert_eq!(
        mismatch(&template, vec![button(1, ButtonKind::Url, texts(1)), code(), button(3, ButtonKind::Url, texts(1))]),
        (132_012, "button 3: the template has 3 buttons".to_owned())
    );
    assert_eq!(mismatch(&template, vec![button(1, ButtonKind::Url, texts(2)), code()]).0, 132_000);
    let text_for_coupon = button(2, ButtonKind::CopyCode, texts(1));
    assert_eq!(
        mismatch(&template, vec![button(1, ButtonKind::Url, texts(1)), text_for_coupon]),
        (132_012, "button 2: the template needs a parameter of type coupon_code, text was given".to_owned())
    );
}

#[test]
fn a_one_time_password_is_given_to_body_and_button() {
    // Meta answers with either form of the button, and sometimes without the preset text.
    for components in [
        json!([
            {"type": "BODY", "text": "*{{1}}* is your verification code.", "add_security_recommendation": true},
            {"type": "FOOTER", "code_expiration_minutes": 5},
            {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Copy code",
                "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}", "example": ["otp1"]}]},
        ]),
        json!([{"type": "BODY"}, {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE"}]}]),
    ] {
        let template = definition(json!({"category": "AUTHENTICATION", "components": components}));
        fits(&template, vec![body(texts(1)), button(0, ButtonKind::Url, texts(1))]);
        fits(&template, vec![body(texts(1)), button(0, ButtonKind::Url, vec![ParameterUse::text(15)])]);
        assert_eq!(
            mismatch(&template, vec![body(texts(1)), button(0, ButtonKind::Url, vec![ParameterUse::text(16)])]),
            (132_012, "button 0: a code has at most 15 characters, 16 were given".to_owned())
        );
        assert_eq!(mismatch(&template, vec![body(texts(1))]).0, 131_008);
        assert_eq!(mismatch(&template, vec![button(0, ButtonKind::Url, texts(1))]).0, 132_000);
    }
}

#[test]
fn every_card_of_a_carousel_is_checked() {
    let card = json!({"components": [
        {"type": "HEADER", "format": "IMAGE"},
        {"type": "BODY", "text": "Only {{1}}"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Buy", "url": "https://shop.example/{{1}}"}]},
    ]});
    let template = template(json!([{"type": "BODY", "text": "News for {{1}}"}, {"type": "CAROUSEL", "cards": [card, card]}]));
    let full = || vec![header(vec![parameter(ParameterKind::Image)]), body(texts(1)), button(0, ButtonKind::Url, texts(1))];
    fits(&template, vec![body(texts(1)), carousel(vec![full(), full()])]);
    let mut poor = full();
    poor.remove(2);
    assert_eq!(
        mismatch(&template, vec![body(texts(1)), carousel(vec![full(), poor])]),
        (131_008, "carousel card 1: button 0: the template needs a text for the variable of its URL, none was given".to_owned())
    );
    assert_eq!(mismatch(&template, vec![body(texts(1)), carousel(vec![full()])]), (131_008, "carousel: card 1 was not given".to_owned()));
    assert_eq!(
        mismatch(&template, vec![body(texts(1)), carousel(vec![full(), full(), full()])]),
        (132_000, "carousel: the template has 2 cards, card 2 was given".to_owned())
    );
    assert_eq!(mismatch(&three_variables(), vec![body(texts(3)), carousel(vec![full()])]).1, "carousel: the template has no carousel");
}

#[test]
fn an_offer_that_ends_needs_its_end() {
    let offer = |expires: bool| {
        template(json!([
            {"type": "BODY", "text": "Now"},
            {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Sale", "has_expiration": expires}},
        ]))
    };
    let end = || component(ComponentKind::LimitedTimeOffer, vec![parameter(ParameterKind::LimitedTimeOffer)]);
    fits(&offer(true), vec![end()]);
    fits(&offer(false), vec![]);
    assert_eq!(mismatch(&offer(true), vec![]).0, 131_008);
    assert_eq!(mismatch(&template(json!([{"type": "BODY", "text": "Now"}])), vec![end()]).0, 132_012);
}

#[test]
fn the_status_is_refused_with_metas_code() {
    for (status, code) in [
        ("APPROVED", None),
        ("approved", None),
        ("FLAGGED", None),
        ("SOMETHING_NEW", None),
        ("PAUSED", Some(132_015)),
        ("DISABLED", Some(132_016)),
        ("PENDING", Some(132_001)),
        ("REJECTED", Some(132_001)),
        ("ARCHIVED", Some(132_001)),
    ] {
        let template = definition(json!({"status": status, "components": [{"type": "BODY", "text": "Hi"}]}));
        assert_eq!(check(&template, &used(vec![])).err().map(|found| found.code), code, "{status}");
    }
}

#[test]
fn a_template_that_does_not_exist_is_named_with_its_other_languages() {
    let unknown = TemplateMismatch::unknown_template("order_status", "tr", &["en_US", "de"]);
    assert_eq!(
        (unknown.code, unknown.details.as_str()),
        (132_001, "the template order_status does not exist in tr; it exists in en_US, de")
    );
    assert_eq!(TemplateMismatch::unknown_template("nope", "tr", &[]).details, "there is no template nope");
}

#[test]
fn all_differences_are_named_and_the_first_decides_the_code() {
    let template = template(json!([
        {"type": "HEADER", "format": "IMAGE"},
        {"type": "BODY", "text": "Order {{1}}"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://shop.example/{{1}}"}]},
    ]));
    let (code, details) = mismatch(&template, vec![]);
    assert_eq!(code, 132_012);
    assert_eq!(details.split("; ").map(|part| part.split(':').next().unwrap_or("")).collect::<Vec<_>>(), ["header", "body", "button 0"]);
}

#[test]
fn a_mismatch_becomes_a_refusal_by_the_gateway() {
    let refusal = check(&three_variables(), &used(vec![])).expect_err("a mismatch").into_refusal();
    assert_eq!((refusal.code, refusal.by_gateway, refusal.retryable), (132_000, true, false));
    assert_eq!(refusal.title, "Number of parameters does not match the expected number of params");
    assert!(refusal.details.is_some_and(|details| details.starts_with("body: ")));
    let paused = definition(json!({"status": "PAUSED"}));
    assert!(check(&paused, &used(vec![])).expect_err("paused").into_refusal().retryable);
}

#[test]
fn what_we_do_not_know_is_left_to_meta() {
    let unknown = template(json!([
        {"type": "HEADER", "format": "HOLOGRAM"},
        {"type": "BODY", "text": "Hi"},
        {"type": "SPARKLES", "glitter": true},
        {"type": "BUTTONS", "buttons": [{"type": "TELEPORT"}]},
    ]));
    fits(&unknown, vec![]);
    fits(
        &unknown,
        vec![
            header(vec![parameter(ParameterKind::Product)]),
            button(0, ButtonKind::App, texts(3)),
            button(4, ButtonKind::Url, texts(1)),
            carousel(vec![vec![]]),
            component(ComponentKind::TapTargetConfiguration, vec![parameter(ParameterKind::TapTargetConfiguration)]),
        ],
    );
    // Without components the answer showed us nothing of the template.
    fits(&definition(json!({})), vec![header(texts(1)), body(texts(7)), button(3, ButtonKind::Url, texts(1))]);
    // Two bodies: which of them Meta takes is not known.
    fits(&three_variables(), vec![body(texts(3)), body(texts(1))]);
    // Variables numbered with a gap.
    let gap = template(json!([{"type": "BODY", "text": "{{1}} and {{3}}"}]));
    fits(&gap, vec![body(texts(2))]);
    fits(&gap, vec![body(texts(3))]);
}

#[test]
fn braces_around_anything_else_are_text() {
    for (text, variables) in [
        ("", Variables::None),
        ("{{", Variables::None),
        ("{{}} {{ }} {{a b}}", Variables::None),
        ("{{ 1 }}", Variables::Positional(1)),
        ("{{{1}}}", Variables::Positional(1)),
        ("{{2}} {{1}}", Variables::Positional(2)),
        ("{{name}}", Variables::Named(vec!["name".to_owned()])),
        ("{{name}} {{1}}", Variables::Unknown),
        ("{{99999999999999999999999}}", Variables::Named(vec!["99999999999999999999999".to_owned()])),
    ] {
        assert_eq!(template(json!([{"type": "BODY", "text": text}])).parts.body, variables, "{text}");
    }
    let positional = definition(json!({"parameter_format": "POSITIONAL", "components": [{"type": "BODY", "text": "{{name}}"}]}));
    assert_eq!(positional.parts.body, Variables::Unknown);
}

#[test]
fn differences_never_repeat_what_a_parameter_says() {
    // The use holds no texts, so only names could leak; those are the template's own words.
    let (_, details) = mismatch(&three_variables(), vec![body(vec![parameter(ParameterKind::Image); 60])]);
    assert!(details.len() < 1_200, "{}", details.len());
}

/// One part of a template: its definition, and what a right message gives for it.
#[derive(Clone, Debug)]
struct Story {
    definition: TemplateDefinition,
    right: Vec<ComponentUse>,
}

fn variables_story() -> impl Strategy<Value = (String, Vec<ParameterUse>, bool)> {
    (0usize..6, any::<bool>()).prop_map(|(count, by_name)| {
        let names: Vec<String> = (1..=count).map(|n| if by_name { format!("name_{n}") } else { n.to_string() }).collect();
        let text = names.iter().map(|name| format!("word {{{{{name}}}}} ")).collect::<String>() + "end";
        let parameters = names.iter().map(|name| ParameterUse { name: by_name.then(|| name.clone()), ..ParameterUse::text(4) }).collect();
        (text, parameters, by_name)
    })
}

fn header_story() -> impl Strategy<Value = Option<(&'static str, ParameterKind)>> {
    prop::option::of(prop::sample::select(vec![
        ("IMAGE", ParameterKind::Image),
        ("VIDEO", ParameterKind::Video),
        ("DOCUMENT", ParameterKind::Document),
        ("LOCATION", ParameterKind::Location),
    ]))
}

/// A button's definition, with the component that it must be given, if any.
fn button_story() -> impl Strategy<Value = (Value, Option<(ButtonKind, ParameterKind)>)> {
    prop::sample::select(vec![
        (json!({"type": "URL", "url": "https://shop.example/{{1}}"}), Some((ButtonKind::Url, ParameterKind::Text))),
        (json!({"type": "OTP", "otp_type": "ONE_TAP"}), Some((ButtonKind::Url, ParameterKind::Text))),
        (json!({"type": "COPY_CODE", "example": "SAVE"}), Some((ButtonKind::CopyCode, ParameterKind::CouponCode))),
        (json!({"type": "MPM", "text": "View items"}), Some((ButtonKind::Mpm, ParameterKind::Action))),
        (json!({"type": "URL", "url": "https://shop.example/"}), None),
        (json!({"type": "PHONE_NUMBER", "phone_number": "+1555"}), None),
        (json!({"type": "QUICK_REPLY", "text": "Yes"}), None),
    ])
}

fn parts_story() -> impl Strategy<Value = (Vec<Value>, Vec<ComponentUse>, bool)> {
    (header_story(), variables_story(), prop::collection::vec(button_story(), 0..4)).prop_map(
        |(head, (text, parameters, by_name), buttons)| {
            let (mut components, mut right) = (Vec::new(), Vec::new());
            if let Some((format, kind)) = head {
                components.push(json!({"type": "HEADER", "format": format}));
                right.push(header(vec![parameter(kind)]));
            }
            components.push(json!({"type": "BODY", "text": text}));
            if !parameters.is_empty() {
                right.push(body(parameters));
            }
            for (index, (_, need)) in buttons.iter().enumerate() {
                if let Some((kind, wanted)) = need {
                    right.push(button(u8::try_from(index).expect("few buttons"), *kind, vec![parameter(*wanted)]));
                }
            }
            if !buttons.is_empty() {
                components.push(json!({"type": "BUTTONS", "buttons": buttons.into_iter().map(|(json, _)| json).collect::<Vec<_>>()}));
            }
            (components, right, by_name)
        },
    )
}

fn story() -> impl Strategy<Value = Story> {
    (parts_story(), prop::collection::vec(parts_story(), 0..3)).prop_filter_map("one style of variables", |(whole, cards)| {
        let (mut components, mut right, by_name) = whole;
        if cards.iter().any(|(_, _, style)| *style != by_name) {
            return None;
        }
        if !cards.is_empty() {
            let definitions: Vec<Value> = cards.iter().map(|(components, _, _)| json!({"components": components})).collect();
            components.push(json!({"type": "CAROUSEL", "cards": definitions}));
            right.push(carousel(cards.into_iter().map(|(_, right, _)| right).collect()));
        }
        let format = if by_name { "NAMED" } else { "POSITIONAL" };
        Some(Story { definition: definition(json!({"parameter_format": format, "components": components})), right })
    })
}

/// Every list of parameters in a use, cards included.
fn parameter_lists(components: &mut [ComponentUse]) -> Vec<&mut Vec<ParameterUse>> {
    let mut lists = Vec::new();
    for component in components {
        let ComponentUse { parameters, cards, .. } = component;
        if !parameters.is_empty() {
            lists.push(parameters);
        }
        for card in cards {
            lists.extend(parameter_lists(&mut card.components));
        }
    }
    lists
}

proptest! {
    #[test]
    fn a_right_use_of_any_template_fits(story in story()) {
        prop_assert_eq!(check(&story.definition, &used(story.right)), Ok(()));
    }

    #[test]
    fn a_removed_parameter_is_named(story in story(), place: prop::sample::Index) {
        let mut wrong = story.right;
        let mut lists = parameter_lists(&mut wrong);
        prop_assume!(!lists.is_empty());
        let list = place.get(&(0..lists.len()).collect::<Vec<_>>()).to_owned();
        lists[list].pop();
        let found = check(&story.definition, &used(wrong)).expect_err("a parameter is missing");
        prop_assert!([131_008, 132_000, 132_012].contains(&found.code) && found.details.contains(": the template "), "{}", found);
    }

    #[test]
    fn an_added_parameter_is_named(story in story(), place: prop::sample::Index) {
        let mut wrong = story.right;
        let mut lists = parameter_lists(&mut wrong);
        prop_assume!(!lists.is_empty());
        let list = place.get(&(0..lists.len()).collect::<Vec<_>>()).to_owned();
        let again = lists[list][0].clone();
        lists[list].push(again);
        let found = check(&story.definition, &used(wrong)).expect_err("a parameter too many");
        prop_assert_eq!(found.code, 132_000);
        prop_assert!(found.details.contains("parameters were given"), "{}", found);
    }

    #[test]
    fn any_json_is_read_or_refused_and_never_panics(text in "[{}\\[\\]\":,a-zA-Z0-9 ]{0,80}", body_text: String) {
        let _ = TemplateDefinition::parse(&text);
        let read = definition(json!({"components": [{"type": "BODY", "text": body_text}, 7, null, {"type": "BUTTONS", "buttons": {}}]}));
        let _ = check(&read, &used(vec![body(texts(2))]));
    }
}
