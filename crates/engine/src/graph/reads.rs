//! What we read from Meta: templates, the number, the account.
//!
//! Reads are safe to repeat, so their callers may; they share the failures of sends because the
//! same codes and the same transport stand behind them.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use turnpike_domain::refusal::{NotSentCause, UnknownCause};

use super::{GraphClient, GraphFailure, Link, LinkError, Trace};

/// Templates asked for per page: a page of the largest possible templates stays below
/// [`PAGE_MAX_BYTES`].
const TEMPLATES_PER_PAGE: usize = 100;

/// Pages followed at most. A verified portfolio may have 6,000 templates in several languages
/// each (meta-cloud-api §4); past this something answers in a circle.
pub const TEMPLATE_PAGES_MAX: usize = 500;

/// Past this a page is not read further: 100 templates with ten escaped carousel cards each stay
/// below it.
pub(super) const PAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What we need of a template's definition to check a send against it and to price it.
const TEMPLATE_FIELDS: &str = "id,name,language,status,category,sub_category,previous_category,parameter_format,components";

/// Digits of a time zone's number: Meta's have three.
const ZONE_ID_MAX: usize = 9;

const NUMBER_FIELDS: &str = "id,display_phone_number,verified_name,quality_rating,status,name_status,throughput,\
whatsapp_business_manager_messaging_limit,platform_type,is_on_biz_app";

const WABA_FIELDS: &str = "id,name,currency,timezone_id,account_review_status,business_verification_status,\
marketing_messages_lite_api_status,disable_marketing_messages_on_cloud_api";

/// A sending number as Meta shows it. Fields that Meta leaves out are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NumberView {
    /// Meta's id of it.
    pub id: String,
    /// As people write it, `+1 555 078 3881`.
    pub display_phone_number: Option<String>,
    /// The name that recipients see.
    pub verified_name: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality_rating: Option<String>,
    /// `CONNECTED`, `DISCONNECTED`, …
    pub status: Option<String>,
    /// `APPROVED`, …
    pub name_status: Option<String>,
    /// How fast it may send.
    pub throughput: Option<Throughput>,
    /// `TIER_250` … `TIER_UNLIMITED`.
    pub whatsapp_business_manager_messaging_limit: Option<String>,
    /// `CLOUD_API` or `NOT_APPLICABLE`.
    pub platform_type: Option<String>,
    /// Whether it is shared with the WhatsApp Business app.
    pub is_on_biz_app: Option<bool>,
}

/// `throughput` of a number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Throughput {
    /// `STANDARD`, `HIGH`, `NOT_APPLICABLE`.
    pub level: Option<String>,
}

/// A WhatsApp Business Account as Meta shows it. Fields that Meta leaves out are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WabaView {
    /// Meta's id of it.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The currency that Meta bills it in.
    pub currency: Option<String>,
    /// Meta's number of its time zone (not an IANA name).
    #[serde(default, deserialize_with = "text_or_number")]
    pub timezone_id: Option<String>,
    /// `APPROVED`, `PENDING`, `REJECTED`, `LIMIT_REACHED`.
    pub account_review_status: Option<String>,
    /// `verified`, …
    pub business_verification_status: Option<String>,
    /// `ONBOARDED` where `/marketing_messages` may be used.
    pub marketing_messages_lite_api_status: Option<String>,
    /// Whether marketing templates are refused on `/messages`.
    pub disable_marketing_messages_on_cloud_api: Option<bool>,
}

#[derive(Deserialize)]
struct ZonedAccount {
    #[serde(default, deserialize_with = "text_or_number")]
    timezone_id: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    cursors: Option<Cursors>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Cursors {
    after: Option<String>,
}

impl GraphClient {
    /// Every template of a WABA as Meta defines it, page after page. The address of the next page
    /// that Meta gives is not followed: it bears a token and a host of its own; only its cursor is
    /// taken. `deadline` is for each page.
    ///
    /// # Errors
    /// [`GraphFailure`]; a page that cannot be read, a cursor that comes again and more pages than
    /// [`TEMPLATE_PAGES_MAX`] are an unreadable answer. Part of a list is never given: a template
    /// that is missing would be refused to its sender.
    pub async fn message_templates(
        &self,
        link: &Link,
        waba_id: &str,
        deadline: Option<Duration>,
        trace: &Trace,
    ) -> Result<Vec<Box<RawValue>>, GraphFailure> {
        let mut templates = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut after: Option<String> = None;
        for _ in 0..TEMPLATE_PAGES_MAX {
            let cursor = after.as_deref().map(|cursor| format!("&after={}", query_value(cursor))).unwrap_or_default();
            let query = format!("fields={TEMPLATE_FIELDS}&limit={TEMPLATES_PER_PAGE}{cursor}");
            let path = link.path_of(waba_id, "/message_templates", &query).map_err(bad_id)?;
            let page: Page = parse(&self.read(link, path, deadline, trace).await?, "the page of templates")?;
            templates.extend(page.data);
            let next = page.paging.filter(|paging| paging.next.is_some()).and_then(|paging| paging.cursors).and_then(|c| c.after);
            match next {
                None => return Ok(templates),
                Some(cursor) if !seen.insert(cursor.clone()) => return Err(unreadable("the cursor of the templates came again")),
                Some(cursor) => after = Some(cursor),
            }
        }
        Err(unreadable("the templates have more pages than anybody has"))
    }

    /// The link's own number, to check token, permission and state.
    ///
    /// # Errors
    /// [`GraphFailure`]; 190 for a token that is not valid, 100 or 10 for a number that it may not see.
    pub async fn number(&self, link: &Link, deadline: Option<Duration>, trace: &Trace) -> Result<NumberView, GraphFailure> {
        let path = link.path_of(link.phone_number_id(), "", &format!("fields={NUMBER_FIELDS}")).map_err(bad_id)?;
        parse(&self.read(link, path, deadline, trace).await?, "the number")
    }

    /// Meta's number of a WABA's time zone, and nothing else of it: a field that its version of the
    /// API does not have would fail the whole answer. `None` where Meta does not say.
    ///
    /// # Errors
    /// [`GraphFailure`], as for [`GraphClient::number`]; what is no number is an unreadable answer.
    pub async fn waba_timezone(
        &self,
        link: &Link,
        waba_id: &str,
        deadline: Option<Duration>,
        trace: &Trace,
    ) -> Result<Option<String>, GraphFailure> {
        let path = link.path_of(waba_id, "", "fields=timezone_id").map_err(bad_id)?;
        let account: ZonedAccount = parse(&self.read(link, path, deadline, trace).await?, "the account's time zone")?;
        match account.timezone_id {
            Some(id) if id.is_empty() || id.len() > ZONE_ID_MAX || !id.bytes().all(|b| b.is_ascii_digit()) => {
                Err(unreadable("the account's time zone is no number"))
            }
            id => Ok(id),
        }
    }

    /// A WABA, for its state.
    ///
    /// # Errors
    /// [`GraphFailure`], as for [`GraphClient::number`].
    pub async fn waba(&self, link: &Link, waba_id: &str, deadline: Option<Duration>, trace: &Trace) -> Result<WabaView, GraphFailure> {
        let path = link.path_of(waba_id, "", &format!("fields={WABA_FIELDS}")).map_err(bad_id)?;
        parse(&self.read(link, path, deadline, trace).await?, "the account")
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a Bytes, what: &str) -> Result<T, GraphFailure> {
    // serde's own text would quote the body, so it is left out.
    serde_json::from_slice(body).map_err(|_| unreadable(&format!("its answer does not hold {what}")))
}

fn unreadable(problem: &str) -> GraphFailure {
    tracing::info!("an answer of Meta cannot be used: {problem}");
    GraphFailure::Unknown { cause: UnknownCause::UnreadableAnswer }
}

fn bad_id(error: LinkError) -> GraphFailure {
    tracing::info!("Meta was not asked: {error}");
    GraphFailure::NotSent { cause: NotSentCause::Connect, retry_after_ms: None }
}

/// Percent-encodes what is not unreserved (RFC 3986 §2.3): cursors are base64.
fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }
    Ok(Option::<Either>::deserialize(from)?.map(|either| match either {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_encoded_for_the_query() {
        assert_eq!(query_value("QVFI+/=x-_~."), "QVFI%2B%2F%3Dx-_~.");
    }

    #[test]
    fn a_time_zone_is_read_as_text_or_number() {
        for (body, zone) in [
            (r#"{"id":"1","timezone_id":"58"}"#, Some("58")),
            (r#"{"id":"1","timezone_id":58}"#, Some("58")),
            (r#"{"id":"1"}"#, None),
            (r#"{"id":"1","timezone_id":null}"#, None),
        ] {
            let waba: WabaView = serde_json::from_str(body).expect("an account");
            assert_eq!(waba.timezone_id.as_deref(), zone, "{body}");
        }
    }
}
