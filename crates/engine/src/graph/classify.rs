//! What an answer of Meta's means for the message and its money.
//!
//! | answer | outcome |
//! | --- | --- |
//! | 2xx, JSON, with a message id | accepted |
//! | 2xx otherwise | unknown, `unreadable_answer`: most likely Meta took it |
//! | 4xx with Graph's error object | refused, by its code ([`super::codes`]) |
//! | 4xx without one | unknown, `unreadable_refusal` |
//! | 5xx, whatever it holds | unknown, `server_error`, but for [`REFUSED_THOUGH_5XX`] |
//! | 3xx | unknown, `redirect`; never followed |
//!
//! *Why a 4xx without Graph's error object is no refusal.* Contract §3.4 releases money only on
//! Meta's own words: GW_001 shows Meta's `code`, GW_003 is "no usable answer". A bare 4xx may come
//! from a box in between, and a 408 or 499 of such a box says nothing about the POST that it had
//! passed on already. To hold money a day too long is repaired by evidence; to release it for a
//! message that went out is not.
//!
//! *Why a 5xx with an error object is no refusal.* Payment systems that sit behind a 5xx are known
//! to have done the work (reliability §c1, step 8); Meta documents no code as proof of the contrary.

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use turnpike_domain::refusal::{MetaRefusal, UnknownCause};

use super::codes;
use super::{GraphFailure, GraphOutcome};
use crate::transport::{GraphResponse, cause_of_unusable};

/// Codes that prove a refusal even in a 5xx (contract §3.4: published, empty at first). Whoever
/// adds one shows in docs/decisions how it was proved.
pub const REFUSED_THOUGH_5XX: &[i64] = &[];

/// Past this an id is not Meta's: theirs have about 60 characters, and our rows keep them.
const WAMID_MAX_BYTES: usize = 512;

/// How much of Meta's words is kept: they are shown and stored.
const WORDS_MAX_CHARS: usize = 1_000;

/// The end of a POST of a message.
#[must_use]
pub fn sent_message(answer: &GraphResponse) -> GraphOutcome {
    if !answer.status.is_success() {
        return failure(answer).into();
    }
    match wamid(&answer.body) {
        Some(wamid) => GraphOutcome::Accepted { wamid, body: answer.body.clone() },
        None => GraphOutcome::Unknown { cause: UnknownCause::UnreadableAnswer },
    }
}

/// The end of a call that Meta answers with `{"success": true}`.
///
/// # Errors
/// [`GraphFailure`]; a 2xx that does not say so is an unreadable answer.
pub fn done(answer: &GraphResponse) -> Result<(), GraphFailure> {
    #[derive(Deserialize)]
    struct Done {
        success: bool,
    }
    let body = body_of_success(answer)?;
    match serde_json::from_slice(&body) {
        Ok(Done { success: true }) => Ok(()),
        _ => Err(GraphFailure::Unknown { cause: UnknownCause::UnreadableAnswer }),
    }
}

/// The body of a 2xx.
///
/// # Errors
/// [`GraphFailure`] for every other status.
pub fn body_of_success(answer: &GraphResponse) -> Result<Bytes, GraphFailure> {
    if answer.status.is_success() { Ok(answer.body.clone()) } else { Err(failure(answer)) }
}

/// What an answer other than 2xx means.
fn failure(answer: &GraphResponse) -> GraphFailure {
    let refused = |error: GraphError<'_>| GraphFailure::Refused {
        refusal: Box::new(refusal(error, answer.retry_after.as_ref(), answer.trace_id.as_ref())),
        http_status: answer.status.as_u16(),
    };
    let error = graph_error(&answer.body);
    if answer.status.is_client_error() {
        return error.map_or(GraphFailure::Unknown { cause: UnknownCause::UnreadableRefusal }, refused);
    }
    if answer.status.is_server_error() {
        return error
            .filter(|error| REFUSED_THOUGH_5XX.contains(&error.code))
            .map_or(GraphFailure::Unknown { cause: UnknownCause::ServerError }, refused);
    }
    GraphFailure::Unknown { cause: cause_of_unusable(answer.status) }
}

/// The id of the first message, where the whole body is one JSON object that has one.
fn wamid(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Accepted {
        messages: Vec<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        id: String,
    }
    let accepted: Accepted = serde_json::from_slice(body).ok()?;
    let id = accepted.messages.into_iter().next()?.id;
    let usable = (1..=WAMID_MAX_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    usable.then_some(id)
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    error: GraphError<'a>,
}

/// Graph's error object (meta-cloud-api §3.1). Only `code` must be there: without it there is
/// nothing to go by.
#[derive(Deserialize)]
struct GraphError<'a> {
    code: i64,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    error_subcode: Option<i64>,
    /// An object with `details`, or a plain string.
    #[serde(default, borrow)]
    error_data: Option<&'a RawValue>,
    #[serde(default)]
    error_user_msg: Option<String>,
    #[serde(default)]
    is_transient: Option<bool>,
    #[serde(default)]
    fbtrace_id: Option<String>,
}

fn graph_error(body: &[u8]) -> Option<GraphError<'_>> {
    serde_json::from_slice::<ErrorBody<'_>>(body).ok().map(|body| body.error)
}

fn refusal(error: GraphError<'_>, retry_after: Option<&HeaderValue>, trace_id: Option<&HeaderValue>) -> MetaRefusal {
    let meaning = codes::meaning(error.code, error.error_subcode);
    let retryable = meaning.retryable.unwrap_or_else(|| error.is_transient.unwrap_or(false));
    let advised = retry_after.and_then(retry_after_ms);
    MetaRefusal {
        class: meaning.class,
        code: error.code,
        subcode: error.error_subcode,
        title: words(title(error.message.as_deref().unwrap_or_default(), error.code)),
        details: error.error_data.and_then(details).or(error.error_user_msg).map(|text| words(&text)).filter(|text| !text.is_empty()),
        fbtrace_id: error.fbtrace_id.or_else(|| trace_id.and_then(|id| id.to_str().ok()).map(str::to_owned)).map(|id| words(&id)),
        hint: meaning.hint.to_owned(),
        retryable,
        retry_after_ms: if retryable { advised.or(meaning.retry_after_ms) } else { None },
        by_gateway: false,
    }
}

/// `(#131009) Parameter value is not valid` without what is in front.
fn title(message: &str, code: i64) -> &str {
    message.strip_prefix(&format!("(#{code})")).unwrap_or(message).trim()
}

fn details(error_data: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Data {
        Text(String),
        Object { details: Option<String> },
    }
    match serde_json::from_str(error_data.get()).ok()? {
        Data::Text(text) | Data::Object { details: Some(text) } => Some(text),
        Data::Object { details: None } => None,
    }
}

fn words(text: &str) -> String {
    text.chars().take(WORDS_MAX_CHARS).collect()
}

/// Past this a `Retry-After` is not believed: nobody waits longer than Meta's longest window.
const RETRY_AFTER_MAX_S: u64 = 72 * 3_600;

/// `Retry-After` in seconds as milliseconds. Meta does not send dates, and a date would need its
/// clock to agree with ours.
fn retry_after_ms(value: &HeaderValue) -> Option<u64> {
    let seconds: u64 = value.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.min(RETRY_AFTER_MAX_S) * 1_000)
}

#[cfg(test)]
mod tests;
