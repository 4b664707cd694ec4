//! Message templates: what a WABA has, and the calls that list and change it.
//!
//! Ids are not declared here, so nobody says which number belongs to which WABA:
//! a number may send whatever any WABA has. A new template is reviewed and
//! approved at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::GraphError;
use super::objects::{Node, split_fields};
use super::request::GraphRequest;
use super::{Found, Taking};
use crate::chance::Chance;
use crate::exchange::World;

/// Templates on a page when no `limit` is given, as at Meta.
const PAGE_DEFAULT: usize = 25;

/// Templates on a page at most.
const PAGE_MAX: usize = 1_000;

/// Templates of one WABA at most (Meta: 250, or 6,000 for a verified portfolio).
const PER_WABA_MAX: usize = 6_000;

const DEFAULT_FIELDS: &[&str] = &["name", "parameter_format", "components", "language", "status", "category", "sub_category"];

/// Fields that Meta knows of a template and leaves out where they are not set.
const UNSET_FIELDS: &[&str] = &[
    "bid_spec",
    "correct_category",
    "creative_sourcing_spec",
    "cta_url_link_tracking_opted_out",
    "degrees_of_freedom_spec",
    "health_status",
    "library_template_name",
    "message_send_ttl_seconds",
    "optimization_spec",
    "rejection_info",
    "source",
    "sub_category",
    "specific_rejection_reason",
    "sub_category",
];

/// A template as Meta shows it when it is read, without its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateSeed {
    /// `[a-z0-9_]{1,512}`.
    pub name: String,
    /// Such as `en_US`.
    pub language: String,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    pub category: String,
    /// Only `APPROVED` can be sent.
    #[serde(default = "approved")]
    pub status: String,
    /// `POSITIONAL` or `NAMED`.
    #[serde(default = "positional")]
    pub parameter_format: String,
    /// `HEADER`, `BODY`, `FOOTER`, `BUTTONS`, `CAROUSEL`, `LIMITED_TIME_OFFER`, in Meta's form.
    pub components: Vec<Value>,
    /// Whatever else a read shall show, such as `quality_score`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl TemplateSeed {
    /// An approved template with positional variables.
    pub fn new(name: &str, language: &str, category: &str, components: Vec<Value>) -> TemplateSeed {
        TemplateSeed {
            name: name.to_owned(),
            language: language.to_owned(),
            category: category.to_owned(),
            status: approved(),
            parameter_format: positional(),
            components,
            more: Map::new(),
        }
    }
}

fn approved() -> String {
    "APPROVED".to_owned()
}

fn positional() -> String {
    "POSITIONAL".to_owned()
}

/// A template of one WABA.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    pub(crate) id: String,
    waba: String,
    pub(crate) seed: TemplateSeed,
}

impl Template {
    fn new(waba: &str, seed: TemplateSeed) -> Template {
        Template { id: Chance::stable_id(&[waba, &seed.name, &seed.language]), waba: waba.to_owned(), seed }
    }

    fn node(&self) -> Node<'static> {
        Node { kind: "MessageTemplate", object: self.object(), default: DEFAULT_FIELDS, unset: UNSET_FIELDS }
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = match serde_json::to_value(&self.seed) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        };
        object.insert("id".to_owned(), self.id.clone().into());
        object.entry("quality_score").or_insert_with(|| json!({"score": "UNKNOWN", "date": 1_767_225_600}));
        object.entry("rejected_reason").or_insert_with(|| "NONE".into());
        object.entry("previous_category").or_insert(Value::Null);
        object
    }
}

/// All templates of all WABAs.
pub(crate) struct Templates {
    seeds: Vec<TemplateSeed>,
    inner: Mutex<Wabas>,
}

#[derive(Default)]
struct Wabas {
    /// WABAs that were asked about; each began with the seeds.
    known: HashMap<String, Vec<Arc<Template>>>,
    /// (name, language) that some WABA deleted: no longer sendable as a seed.
    deleted: HashSet<(String, String)>,
}

impl Templates {
    pub(crate) fn new(seeds: Vec<TemplateSeed>) -> Templates {
        Templates { seeds, inner: Mutex::new(Wabas::default()) }
    }

    /// Whether the id has been used as a WABA's.
    pub(crate) fn is_waba(&self, id: &str) -> bool {
        self.lock().known.contains_key(id)
    }

    /// The template of this id, in a WABA that was asked about.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Template>> {
        self.lock().known.values().flatten().find(|template| template.id == id).cloned()
    }

    /// What a number finds when it sends this name and language; an approved one
    /// before others.
    pub(crate) fn sendable(&self, name: &str, language: &str) -> Option<TemplateSeed> {
        let is_it = |seed: &TemplateSeed| seed.name == name && seed.language == language;
        let inner = self.lock();
        let mut found: Vec<&TemplateSeed> =
            inner.known.values().flatten().map(|template| &template.seed).filter(|seed| is_it(seed)).collect();
        if found.is_empty() && !inner.deleted.contains(&(name.to_owned(), language.to_owned())) {
            found.extend(self.seeds.iter().find(|seed| is_it(seed)));
        }
        found.iter().find(|seed| seed.status == "APPROVED").or(found.first()).map(|seed| (*seed).clone())
    }

    /// The WABAs that were asked about and have this template.
    pub(crate) fn wabas_with(&self, name: &str, language: &str) -> Vec<String> {
        let has = |templates: &Vec<Arc<Template>>| templates.iter().any(|known| known.seed.name == name && known.seed.language == language);
        self.lock().known.iter().filter(|(_, templates)| has(templates)).map(|(waba, _)| waba.clone()).collect()
    }

    /// Changes a template of a WABA; gives its id and what the change gave.
    pub(crate) fn change<T>(
        &self,
        waba: &str,
        name: &str,
        language: &str,
        change: impl FnOnce(&mut TemplateSeed) -> T,
    ) -> Option<(String, T)> {
        self.with(waba, |templates| {
            let slot = templates.iter_mut().find(|known| known.seed.name == name && known.seed.language == language)?;
            let mut changed = Template::clone(slot);
            let given = change(&mut changed.seed);
            let id = changed.id.clone();
            *slot = Arc::new(changed);
            Some((id, given))
        })
    }

    fn of(&self, waba: &str) -> Vec<Arc<Template>> {
        self.with(waba, |templates| templates.clone())
    }

    fn with<T>(&self, waba: &str, change: impl FnOnce(&mut Vec<Arc<Template>>) -> T) -> T {
        let mut inner = self.lock();
        let templates = inner
            .known
            .entry(waba.to_owned())
            .or_insert_with(|| self.seeds.iter().map(|seed| Arc::new(Template::new(waba, seed.clone()))).collect());
        change(templates)
    }

    fn lock(&self) -> MutexGuard<'_, Wabas> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /{waba}/message_templates`.
pub(super) fn list(world: &World, request: &GraphRequest<'_>) -> Result<Found, GraphError> {
    let waba = request.object_id;
    let mut templates = world.templates.of(waba);
    type Of = fn(&TemplateSeed) -> &str;
    let filters: [(&str, Of); 4] = [
        ("name", |seed| &seed.name),
        ("status", |seed| &seed.status),
        ("category", |seed| &seed.category),
        ("language", |seed| &seed.language),
    ];
    for (parameter, of) in filters {
        if let Some(wanted) = request.query(parameter) {
            let wanted = one_or_many(&wanted);
            templates.retain(|template| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(of(&template.seed))));
        }
    }
    if let Some(part) = request.query("name_or_content") {
        templates.retain(|template| {
            template.seed.name.contains(&part)
                || template.seed.components.iter().any(|c| c["text"].as_str().is_some_and(|text| text.contains(&part)))
        });
    }
    let limit = match request.query("limit") {
        None => PAGE_DEFAULT,
        Some(limit) => match limit.parse() {
            Ok(limit @ 1..) => PAGE_MAX.min(limit),
            _ => return Err(GraphError::parameter("Param limit must be an integer greater than or equal to 1")),
        },
    };
    let (start, end) = match (request.query("after"), request.query("before")) {
        (Some(after), _) => {
            let start = position(&templates, &after)? + 1;
            (start, (start + limit).min(templates.len()))
        }
        (None, Some(before)) => {
            let end = position(&templates, &before)?;
            (end.saturating_sub(limit), end)
        }
        (None, None) => (0, limit.min(templates.len())),
    };
    let page = &templates[start..end];
    let fields = split_fields(&request.query("fields").unwrap_or_default());
    let data = page.iter().map(|template| template.node().select(&fields)).collect::<Result<Vec<Value>, GraphError>>()?;
    let mut answer = json!({"data": data});
    if let (Some(first), Some(last)) = (page.first(), page.last()) {
        let after = cursor(last);
        let before = cursor(first);
        answer["paging"] = json!({"cursors": {"before": &before, "after": &after}});
        if end < templates.len() {
            answer["paging"]["next"] = link(world, request, "after", &after).into();
        }
        if start > 0 {
            answer["paging"]["previous"] = link(world, request, "before", &before).into();
        }
    }
    Ok(Found { counted_for: Some(waba.to_owned()), ..Found::json(&answer) })
}

/// `POST /{waba}/message_templates`.
pub(super) fn create(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let nothing = Map::new();
    let members = request.body.object().unwrap_or(&nothing);
    let text = |name: &str| {
        members
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| GraphError::parameter(format!("The parameter {name} is required.")))
    };
    let name = text("name")?;
    if name.len() > 512 || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err(GraphError::parameter("Invalid parameter").with_subcode(2_388_042).for_people(
            "Invalid template name",
            "The template name can only have lowercase letters, digits and underscores, and at most 512 of them.",
        ));
    }
    let language = text("language")?;
    let category = text("category")?.to_ascii_uppercase();
    if !["MARKETING", "UTILITY", "AUTHENTICATION"].contains(&category.as_str()) {
        return Err(GraphError::parameter("Param category must be one of {UTILITY, MARKETING, AUTHENTICATION}"));
    }
    let parameter_format = match members.get("parameter_format").and_then(Value::as_str) {
        None => positional(),
        Some(format) if format.eq_ignore_ascii_case("NAMED") => "NAMED".to_owned(),
        Some(format) if format.eq_ignore_ascii_case("POSITIONAL") => positional(),
        Some(_) => return Err(GraphError::parameter("Param parameter_format must be one of {NAMED, POSITIONAL}")),
    };
    let components = components(members, &category)?;
    let mut seed = TemplateSeed::new(name, language, &category, components);
    seed.parameter_format = parameter_format;
    if let Some(ttl) = members.get("message_send_ttl_seconds") {
        seed.more.insert("message_send_ttl_seconds".to_owned(), ttl.clone());
    }
    let waba = request.object_id;
    let template = Template::new(waba, seed);
    let answer = json!({"id": &template.id, "status": &template.seed.status, "category": &template.seed.category});
    world.templates.with(waba, |templates| {
        let taken = |known: &Arc<Template>| known.seed.name == name && known.seed.language == language;
        if templates.iter().any(taken) {
            return Err(GraphError::parameter("Invalid parameter").with_subcode(2_388_024).for_people(
                "Content in This Language Already Exists",
                "There is already content in this language for this template. You can create a new template and try again.",
            ));
        }
        if templates.len() >= PER_WABA_MAX {
            return Err(GraphError::parameter("Invalid parameter")
                .with_subcode(2_388_019)
                .for_people("Message template limit reached", "The account has as many templates as it may have."));
        }
        if taking == Taking::Takes {
            templates.push(Arc::new(template));
        }
        Ok(())
    })?;
    Ok(Found { counted_for: Some(waba.to_owned()), ..Found::json(&answer) })
}

/// `DELETE /{waba}/message_templates?name=` with all languages, or one by `hsm_id`.
pub(super) fn delete(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let Some(name) = request.parameter("name") else {
        return Err(GraphError::parameter("The parameter name is required."));
    };
    let id = request.parameter("hsm_id");
    let waba = request.object_id;
    let goes = |template: &Template| template.seed.name == name && id.as_ref().is_none_or(|id| *id == template.id);
    let gone: Vec<(String, String)> = world.templates.with(waba, |templates| {
        let gone = templates
            .iter()
            .filter(|template| goes(template))
            .map(|template| (template.seed.name.clone(), template.seed.language.clone()))
            .collect();
        if taking == Taking::Takes {
            templates.retain(|template| !goes(template));
        }
        gone
    });
    if gone.is_empty() {
        return Err(GraphError::parameter("Invalid parameter")
            .with_subcode(2_593_002)
            .for_people("Message Template Not Found", "No message template of that name (and id) was found in this account."));
    }
    if taking == Taking::Takes {
        world.templates.lock().deleted.extend(gone);
    }
    Ok(Found { counted_for: Some(waba.to_owned()), ..Found::json(&json!({"success": true})) })
}

/// `GET /{template}`.
pub(super) fn read(request: &GraphRequest<'_>, template: &Template) -> Result<Found, GraphError> {
    let fields = split_fields(&request.query("fields").unwrap_or_default());
    let answer = template.node().select(&fields)?;
    Ok(Found { counted_for: Some(template.waba.clone()), ..Found::json(&answer) })
}

/// `POST /{template}`: new components or a new category.
pub(super) fn edit(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let Some(template) = world.templates.by_id(request.object_id) else {
        return Err(super::unknown_object("POST", request.object_id));
    };
    let nothing = Map::new();
    let members = request.body.object().unwrap_or(&nothing);
    let mut edited = Template::clone(&template);
    if let Some(category) = members.get("category").and_then(Value::as_str) {
        if edited.seed.status == "APPROVED" && !category.eq_ignore_ascii_case(&edited.seed.category) {
            return Err(GraphError::parameter("Invalid parameter")
                .with_subcode(2_388_039)
                .for_people("Template Category Cannot Be Changed", "The category of an approved template cannot be changed."));
        }
        edited.seed.category = category.to_ascii_uppercase();
    }
    if members.contains_key("components") {
        edited.seed.components = components(members, &edited.seed.category)?;
    }
    if let Some(ttl) = members.get("message_send_ttl_seconds") {
        edited.seed.more.insert("message_send_ttl_seconds".to_owned(), ttl.clone());
    }
    edited.seed.status = approved();
    if taking == Taking::Takes {
        world.templates.with(&template.waba, |templates| {
            if let Some(slot) = templates.iter_mut().find(|known| known.id == edited.id) {
                *slot = Arc::new(edited.clone());
            }
        });
    }
    Ok(Found { counted_for: Some(template.waba.clone()), ..Found::json(&json!({"success": true})) })
}

/// `components` of a new template: known kinds, a body, lengths.
fn components(members: &Map<String, Value>, category: &str) -> Result<Vec<Value>, GraphError> {
    let Some(components) = members.get("components").and_then(Value::as_array) else {
        return Err(GraphError::parameter("The parameter components is required."));
    };
    let mut shown = Vec::with_capacity(components.len());
    let mut has_body = false;
    for (n, component) in components.iter().enumerate() {
        let kind = component["type"].as_str().unwrap_or_default().to_ascii_uppercase();
        let text_chars = component["text"].as_str().map_or(0, |text| text.chars().count());
        let (known, longest) = match kind.as_str() {
            "HEADER" | "FOOTER" => (true, 60),
            "BODY" => (true, 1_024),
            "BUTTONS" | "CAROUSEL" | "LIMITED_TIME_OFFER" | "CALL_PERMISSION_REQUEST" => (true, usize::MAX),
            _ => (false, 0),
        };
        if !known {
            return Err(GraphError::parameter(format!(
                "Param components[{n}]['type'] must be one of {{HEADER, BODY, FOOTER, BUTTONS, CAROUSEL, LIMITED_TIME_OFFER, CALL_PERMISSION_REQUEST}}"
            )));
        }
        if text_chars > longest {
            return Err(GraphError::parameter("Invalid parameter").with_subcode(2_388_040).for_people(
                "Message Field Character Limit Exceeded",
                format!("components[{n}] has {text_chars} characters; at most {longest} are allowed."),
            ));
        }
        has_body |= kind == "BODY";
        let mut component = component.clone();
        component["type"] = kind.as_str().into();
        if kind == "BODY" && category == "AUTHENTICATION" {
            // Meta writes the text of these itself, around the one code.
            component["text"] = "*{{1}}* is your verification code.".into();
        }
        shown.push(component);
    }
    if !has_body {
        return Err(GraphError::parameter("Invalid parameter")
            .with_subcode(2_388_043)
            .for_people("Missing body", "A template needs a component of the type BODY."));
    }
    Ok(shown)
}

/// `A`, `A,B` or `["A","B"]`.
fn one_or_many(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| text.split(',').map(|one| one.trim().to_owned()).collect())
}

fn cursor(template: &Template) -> String {
    URL_SAFE_NO_PAD.encode(&template.id)
}

fn position(templates: &[Arc<Template>], cursor: &str) -> Result<usize, GraphError> {
    let id = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
    templates.iter().position(|template| template.id.as_bytes() == id).ok_or_else(|| GraphError::usual(131_059))
}

/// The address of another page: ours, where Meta's would have its own, with the
/// caller's other parameters but without its token.
fn link(world: &World, request: &GraphRequest<'_>, direction: &str, cursor: &str) -> String {
    let host = request.head.header("host").unwrap_or("localhost");
    let mut query: Vec<&str> = request
        .head
        .query
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !pair.is_empty() && !["after", "before", "access_token", "appsecret_proof"].contains(&name)
        })
        .collect();
    let direction = format!("{direction}={cursor}");
    query.push(&direction);
    format!("{}://{host}{}?{}", world.scheme, request.head.path, query.join("&"))
}

/// The templates that the demonstration has: one of each kind that the first
/// examples of a sender need.
pub fn demo_templates() -> Vec<TemplateSeed> {
    vec![
        TemplateSeed::new(
            "order_confirmation",
            "en_US",
            "UTILITY",
            vec![
                json!({"type": "BODY", "text": "Thank you, we have your order and are getting it ready."}),
                json!({"type": "FOOTER", "text": "Simulated Business"}),
            ],
        ),
        TemplateSeed::new(
            "shipping_update",
            "en_US",
            "UTILITY",
            vec![json!({
                "type": "BODY",
                "text": "Your order {{1}} is now {{2}}. We expect it to arrive on {{3}} at the latest.",
                "example": {"body_text": [["ORD-1001", "on its way", "December 3, 2025"]]},
            })],
        ),
        TemplateSeed::new(
            "promo_announcement",
            "en_US",
            "MARKETING",
            vec![
                json!({"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://example.com/banner.jpg"]}}),
                json!({
                    "type": "BODY",
                    "text": "Hello {{1}}, this week everything is {{2}} off for you.",
                    "example": {"body_text": [["Ada", "20%"]]},
                }),
                json!({"type": "BUTTONS", "buttons": [{
                    "type": "URL",
                    "text": "See the offer",
                    "url": "https://example.com/offers/{{1}}",
                    "example": ["https://example.com/offers/spring"],
                }]}),
            ],
        ),
        TemplateSeed::new(
            "otp_verification",
            "en_US",
            "AUTHENTICATION",
            vec![
                json!({
                    "type": "BODY",
                    "text": "*{{1}}* is your verification code. For your security, do not share this code.",
                    "add_security_recommendation": true,
                    "example": {"body_text": [["123456"]]},
                }),
                json!({"type": "FOOTER", "text": "This code expires in 10 minutes.", "code_expiration_minutes": 10}),
                json!({"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}]}),
            ],
        ),
        TemplateSeed::new(
            "weekly_newsletter",
            "en_US",
            "MARKETING",
            vec![json!({
                "type": "BODY",
                "text": "Good morning {{1}}, here is what happened this week.",
                "example": {"body_text": [["Ada"]]},
            })],
        ),
    ]
}
