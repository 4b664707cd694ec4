//! Compares a message's use of a template with the definition.

use std::fmt;

use super::{ButtonNeed, HeaderNeed, Parts, TemplateDefinition, TemplateStatus, Variables};
use crate::message::{ButtonKind, ComponentKind, ComponentUse, ParameterKind, ParameterUse, TemplateUse};
use crate::refusal::{MetaRefusal, MetaRefusalClass};

/// Why a message does not fit its template: every difference, under the code that Meta would use
/// for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateMismatch {
    /// Meta's code: 131008, 132000, 132001, 132012, 132015 or 132016.
    pub code: i64,
    /// What differs and where: `body: the template has 3 variables, 2 parameters were given`.
    pub details: String,
}

const MISSING: i64 = 131_008;
const COUNT: i64 = 132_000;
const NOT_APPROVED: i64 = 132_001;
const FORMAT: i64 = 132_012;
const PAUSED: i64 = 132_015;
const DISABLED: i64 = 132_016;

/// Longest one-time password.
const CODE_CHARS_MAX: usize = 15;

impl TemplateMismatch {
    /// For a template that the account does not have; `languages` are those in which it does have
    /// one of this name.
    #[must_use]
    pub fn unknown_template(name: &str, language: &str, languages: &[&str]) -> TemplateMismatch {
        let details = if languages.is_empty() {
            format!("there is no template {name}")
        } else {
            format!("the template {name} does not exist in {language}; it exists in {}", languages.join(", "))
        };
        TemplateMismatch { code: NOT_APPROVED, details }
    }

    /// Meta's title of the code.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self.code {
            MISSING => "Required parameter is missing",
            COUNT => "Number of parameters does not match the expected number of params",
            NOT_APPROVED => "Template name does not exist in the translation",
            PAUSED => "Template is paused",
            DISABLED => "Template is disabled",
            _ => "Parameter format does not match format in the created template",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.code {
            NOT_APPROVED => "Use the name and language of an approved template exactly as Meta has them, or wait for its approval.",
            PAUSED => "Meta paused the template for low quality. Wait until it is unpaused, or use another template.",
            DISABLED => "Meta disabled the template. Use another one.",
            _ => "Give template.components exactly the parameters that the approved template has.",
        }
    }

    /// The refusal that the caller gets (GW_001), found by us before Meta was asked.
    #[must_use]
    pub fn into_refusal(self) -> MetaRefusal {
        MetaRefusal {
            class: MetaRefusalClass::Caller,
            code: self.code,
            subcode: None,
            title: self.title().to_owned(),
            hint: self.hint().to_owned(),
            // A paused template comes back by itself; nothing else here does.
            retryable: self.code == PAUSED,
            details: Some(self.details),
            fbtrace_id: None,
            retry_after_ms: None,
            by_gateway: true,
        }
    }
}

impl fmt::Display for TemplateMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(#{}) {}: {}", self.code, self.title(), self.details)
    }
}

/// Whether a message fits the definition of the template that it uses.
///
/// `Ok` means that nothing is certainly wrong, not that Meta will take it. That name and language
/// are those of the definition is for the caller to see to, who looked it up by them.
///
/// # Errors
/// All differences at once; none of them names what the parameters say.
pub fn check(definition: &TemplateDefinition, used: &TemplateUse) -> Result<(), TemplateMismatch> {
    let (name, language) = (&definition.name, &definition.language);
    let barred = match &definition.status {
        TemplateStatus::Approved | TemplateStatus::Unclear(_) => None,
        TemplateStatus::Paused => Some((PAUSED, format!("the template {name} in {language} is paused"))),
        TemplateStatus::Disabled => Some((DISABLED, format!("the template {name} in {language} is disabled"))),
        TemplateStatus::NotApproved(status) => {
            Some((NOT_APPROVED, format!("the template {name} in {language} is not approved: its status is {status}")))
        }
    };
    if let Some((code, details)) = barred {
        return Err(TemplateMismatch { code, details });
    }
    let mut differences = Differences::default();
    differences.parts("", &definition.parts, &used.components);
    differences.into_result()
}

/// What was found so far. The first difference decides the code, the text names them all.
#[derive(Default)]
struct Differences {
    code: Option<i64>,
    details: String,
}

/// More differences than fit here would not be read.
const DETAILS_MAX: usize = 1_000;
/// Characters of a caller's parameter name that a difference repeats; real ones are shorter.
const NAME_SHOWN: usize = 64;

impl Differences {
    fn add(&mut self, code: i64, place: fmt::Arguments<'_>, what: fmt::Arguments<'_>) {
        self.code.get_or_insert(code);
        if self.details.len() > DETAILS_MAX {
            return;
        }
        let separator = if self.details.is_empty() { "" } else { "; " };
        self.details.push_str(&format!("{separator}{place}: {what}"));
    }

    fn into_result(self) -> Result<(), TemplateMismatch> {
        match self.code {
            None => Ok(()),
            Some(code) => Err(TemplateMismatch { code, details: self.details }),
        }
    }

    /// A template, or a card of its carousel, whose places begin with `at`.
    fn parts(&mut self, at: &str, parts: &Parts, used: &[ComponentUse]) {
        if let Given::Known(component) = given(used, ComponentKind::Header) {
            self.header(at, parts, component);
        }
        if let Given::Known(component) = given(used, ComponentKind::Body) {
            self.variables(format_args!("{at}body"), &parts.body, component.map_or(&[], |body| &body.parameters));
        }
        self.buttons(at, parts, used);
        if let Given::Known(component) = given(used, ComponentKind::LimitedTimeOffer) {
            self.offer(at, parts, component);
        }
        if let Given::Known(component) = given(used, ComponentKind::Carousel) {
            self.carousel(at, parts, component);
        }
    }

    fn header(&mut self, at: &str, parts: &Parts, used: Option<&ComponentUse>) {
        let given = used.map_or(&[][..], |header| &header.parameters);
        let place = format_args!("{at}header");
        let wanted = match &parts.header {
            None if given.is_empty() || parts.has_unknown => return,
            None => return self.add(COUNT, place, format_args!("the template has no header, {} given", parameters(given.len()))),
            Some(HeaderNeed::Text(variables)) => return self.variables(place, variables, given),
            Some(HeaderNeed::Unknown) => return,
            Some(HeaderNeed::Image) => ParameterKind::Image,
            Some(HeaderNeed::Video) => ParameterKind::Video,
            Some(HeaderNeed::Document) => ParameterKind::Document,
            Some(HeaderNeed::Gif) => ParameterKind::Gif,
            Some(HeaderNeed::Location) => ParameterKind::Location,
            // Meta fills the product of some templates by itself.
            Some(HeaderNeed::Product) if given.is_empty() => return,
            Some(HeaderNeed::Product) => ParameterKind::Product,
        };
        match given {
            [] => self.add(FORMAT, place, format_args!("the template needs one parameter of type {}, none was given", wanted.as_str())),
            [one] if one.kind == wanted => {}
            [one] => self.add(
                FORMAT,
                place,
                format_args!("the template needs a parameter of type {}, {} was given", wanted.as_str(), one.kind.as_str()),
            ),
            many => self.add(
                COUNT,
                place,
                format_args!("the template needs one parameter of type {}, {} given", wanted.as_str(), parameters(many.len())),
            ),
        }
    }

    fn variables(&mut self, place: fmt::Arguments<'_>, wanted: &Variables, given: &[ParameterUse]) {
        let Some(count) = wanted.count() else { return };
        for (index, parameter) in given.iter().enumerate() {
            if !matches!(parameter.kind, ParameterKind::Text | ParameterKind::Currency | ParameterKind::DateTime) {
                let kind = parameter.kind.as_str();
                self.add(FORMAT, place, format_args!("parameter {} is of type {kind}, a variable needs text", index + 1));
            }
        }
        if count != given.len() {
            self.add(COUNT, place, format_args!("the template has {}, {} given", variables(count), parameters(given.len())));
        }
        if let Variables::Named(names) = wanted {
            self.names(place, names, given);
        }
    }

    fn names(&mut self, place: fmt::Arguments<'_>, names: &[String], given: &[ParameterUse]) {
        for (index, parameter) in given.iter().enumerate() {
            match &parameter.name {
                None => self.add(
                    MISSING,
                    place,
                    format_args!("parameter {} has no parameter_name, the template's variables are named", index + 1),
                ),
                Some(name) if !names.contains(name) => {
                    let shown: String = name.chars().take(NAME_SHOWN).collect();
                    self.add(FORMAT, place, format_args!("parameter {} is named {shown}, the template has no such variable", index + 1));
                }
                Some(_) => {}
            }
        }
        for name in names {
            if !given.iter().any(|parameter| parameter.name.as_ref() == Some(name)) {
                self.add(FORMAT, place, format_args!("the template's variable {name} was given no parameter"));
            }
        }
    }

    fn buttons(&mut self, at: &str, parts: &Parts, used: &[ComponentUse]) {
        for (index, need) in parts.buttons.iter().enumerate() {
            let mut uses = used.iter().filter(|component| component.button.is_some_and(|button| usize::from(button.index) == index));
            let place = format_args!("{at}button {index}");
            match (uses.next(), uses.next()) {
                (None, _) => {
                    if let Some(missing) = need.required() {
                        self.add(MISSING, place, format_args!("the template needs {missing}, none was given"));
                    }
                }
                (Some(component), None) => self.button(place, *need, component),
                // Which of several Meta takes is not known.
                (Some(_), Some(_)) => {}
            }
        }
        if parts.has_unknown {
            return;
        }
        for button in used.iter().filter_map(|component| component.button) {
            if usize::from(button.index) >= parts.buttons.len() {
                let have = match parts.buttons.len() {
                    0 => "no buttons".to_owned(),
                    1 => "1 button".to_owned(),
                    count => format!("{count} buttons"),
                };
                self.add(FORMAT, format_args!("{at}button {}", button.index), format_args!("the template has {have}"));
            }
        }
    }

    fn button(&mut self, place: fmt::Arguments<'_>, need: ButtonNeed, used: &ComponentUse) {
        let Some(kind) = need.kind() else { return };
        if let Some(given) = used.button.map(|button| button.kind).filter(|given| *given != kind) {
            return self.add(FORMAT, place, format_args!("the template has a {} button, {} was given", kind.as_str(), given.as_str()));
        }
        let given = &used.parameters[..];
        match (need.takes(), given) {
            (Takes::Anything, _) | (Takes::AtMostOne, [] | [_]) => {}
            (Takes::AtMostOne, many) => {
                self.add(COUNT, place, format_args!("the template's button takes one parameter, {} given", parameters(many.len())));
            }
            (Takes::Nothing, []) => {}
            (Takes::Nothing, many) => {
                self.add(COUNT, place, format_args!("the template's button takes no parameter, {} given", parameters(many.len())));
            }
            (Takes::One(_), []) => {
                if let Some(missing) = need.required() {
                    self.add(MISSING, place, format_args!("the template needs {missing}, none was given"));
                }
            }
            (Takes::One(wanted), [one]) if one.kind != wanted => self.add(
                FORMAT,
                place,
                format_args!("the template needs a parameter of type {}, {} was given", wanted.as_str(), one.kind.as_str()),
            ),
            (Takes::One(_), [one]) => {
                let chars = one.text_chars.unwrap_or_default();
                if need == ButtonNeed::OneTimePassword && chars > CODE_CHARS_MAX {
                    self.add(FORMAT, place, format_args!("a code has at most {CODE_CHARS_MAX} characters, {chars} were given"));
                }
            }
            (Takes::One(wanted), many) => self.add(
                COUNT,
                place,
                format_args!("the template takes one parameter of type {}, {} given", wanted.as_str(), parameters(many.len())),
            ),
        }
    }

    fn offer(&mut self, at: &str, parts: &Parts, used: Option<&ComponentUse>) {
        let place = format_args!("{at}limited_time_offer");
        match (parts.limited_time_offer, used) {
            (Some(offer), used) if offer.expires && used.is_none_or(|component| component.parameters.is_empty()) => {
                self.add(MISSING, place, format_args!("the template's offer ends at a time that the message must give"));
            }
            (None, Some(component)) if !component.parameters.is_empty() && !parts.has_unknown => {
                self.add(FORMAT, place, format_args!("the template has no limited-time offer"));
            }
            _ => {}
        }
    }

    fn carousel(&mut self, at: &str, parts: &Parts, used: Option<&ComponentUse>) {
        let place = format_args!("{at}carousel");
        let used = used.map(|component| &component.cards[..]).unwrap_or_default();
        let Some(cards) = &parts.cards else {
            if !used.is_empty() && !parts.has_unknown {
                self.add(FORMAT, place, format_args!("the template has no carousel"));
            }
            return;
        };
        for (index, card) in cards.iter().enumerate() {
            let mut uses = used.iter().filter(|given| usize::from(given.index) == index);
            match (uses.next(), uses.next()) {
                (Some(given), None) => self.parts(&format!("{at}carousel card {index}: "), card, &given.components),
                (Some(_), Some(_)) => self.add(FORMAT, place, format_args!("card {index} was given twice")),
                (None, _) if card.needs_something() => self.add(MISSING, place, format_args!("card {index} was not given")),
                (None, _) => {}
            }
        }
        // A carousel of products may be sent with more cards than it was made with; one of media
        // may not.
        let of_media = cards.iter().all(|card| matches!(card.header, Some(HeaderNeed::Image | HeaderNeed::Video)));
        if of_media && let Some(beyond) = used.iter().find(|given| usize::from(given.index) >= cards.len()) {
            self.add(COUNT, place, format_args!("the template has {} cards, card {} was given", cards.len(), beyond.index));
        }
    }
}

/// What a message gives of a component that can stand once.
enum Given<'a> {
    Known(Option<&'a ComponentUse>),
    /// Several: which of them Meta takes is not known.
    Several,
}

fn given(used: &[ComponentUse], kind: ComponentKind) -> Given<'_> {
    let mut of_kind = used.iter().filter(|component| component.kind == kind);
    match (of_kind.next(), of_kind.next()) {
        (first, None) => Given::Known(first),
        _ => Given::Several,
    }
}

/// What a button's component may hold.
enum Takes {
    Nothing,
    /// One of whatever type: callers give a payload also as text.
    AtMostOne,
    One(ParameterKind),
    Anything,
}

impl ButtonNeed {
    /// The `sub_type` that a message names it by; `None` where that is not checked.
    fn kind(self) -> Option<ButtonKind> {
        match self {
            ButtonNeed::StaticUrl | ButtonNeed::UrlWithVariable | ButtonNeed::OneTimePassword => Some(ButtonKind::Url),
            ButtonNeed::QuickReply => Some(ButtonKind::QuickReply),
            ButtonNeed::CopyCode => Some(ButtonKind::CopyCode),
            ButtonNeed::Flow => Some(ButtonKind::Flow),
            ButtonNeed::Catalog => Some(ButtonKind::Catalog),
            ButtonNeed::MultiProduct => Some(ButtonKind::Mpm),
            ButtonNeed::SingleProduct => Some(ButtonKind::Spm),
            ButtonNeed::PhoneNumber => Some(ButtonKind::PhoneNumber),
            ButtonNeed::VoiceCall => Some(ButtonKind::VoiceCall),
            ButtonNeed::RequestContactInfo => Some(ButtonKind::RequestContactInfo),
            ButtonNeed::Unknown => None,
        }
    }

    fn takes(self) -> Takes {
        match self {
            ButtonNeed::StaticUrl | ButtonNeed::SingleProduct | ButtonNeed::PhoneNumber | ButtonNeed::RequestContactInfo => Takes::Nothing,
            ButtonNeed::UrlWithVariable | ButtonNeed::OneTimePassword => Takes::One(ParameterKind::Text),
            ButtonNeed::QuickReply => Takes::AtMostOne,
            ButtonNeed::CopyCode => Takes::One(ParameterKind::CouponCode),
            ButtonNeed::Flow | ButtonNeed::Catalog | ButtonNeed::MultiProduct => Takes::One(ParameterKind::Action),
            ButtonNeed::VoiceCall | ButtonNeed::Unknown => Takes::Anything,
        }
    }

    /// What a message must give, in words; `None` where it may give nothing.
    fn required(self) -> Option<&'static str> {
        match self {
            ButtonNeed::UrlWithVariable => Some("a text for the variable of its URL"),
            ButtonNeed::OneTimePassword => Some("a text with the code"),
            ButtonNeed::CopyCode => Some("a coupon_code"),
            ButtonNeed::MultiProduct => Some("an action with the products"),
            _ => None,
        }
    }
}

impl Parts {
    /// Whether a message that says nothing of these parts is certainly wrong.
    fn needs_something(&self) -> bool {
        let mut differences = Differences::default();
        differences.parts("", self, &[]);
        differences.code.is_some()
    }
}

fn parameters(count: usize) -> String {
    match count {
        0 => "no parameters were".to_owned(),
        1 => "1 parameter was".to_owned(),
        _ => format!("{count} parameters were"),
    }
}

fn variables(count: usize) -> String {
    match count {
        0 => "no variables".to_owned(),
        1 => "1 variable".to_owned(),
        _ => format!("{count} variables"),
    }
}
