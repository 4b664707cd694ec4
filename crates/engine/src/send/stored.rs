//! The sealed bytes beside a message: what was asked, and what Meta answered.
//!
//! Both hold personal data, so they live apart from the money rows, sealed for their organization,
//! in tables by day. The formats are ours alone and bear a version byte.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use turnpike_domain::refusal::{MetaRefusal, NotSentCause, UnknownCause};

/// What a caller asked for, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Digits or BSUID.
    pub recipient: String,
    /// The caller's `biz_opaque_callback_data`, restored in every status.
    pub callback_data: Option<String>,
    /// The body's bytes; `None` where bodies are not kept (retention 0, authentication templates).
    pub body: Option<Bytes>,
}

const CONTENT_V1: u8 = 1;
const HAS_CALLBACK: u8 = 1;
const HAS_BODY: u8 = 2;

impl Content {
    /// The bytes to seal: version, flags, two length-prefixed texts, the body to the end.
    #[must_use]
    pub fn encode(recipient: &str, callback_data: Option<&str>, body: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + 4 + recipient.len() + callback_data.map_or(0, str::len) + body.map_or(0, <[u8]>::len));
        bytes.push(CONTENT_V1);
        bytes.push(if callback_data.is_some() { HAS_CALLBACK } else { 0 } | if body.is_some() { HAS_BODY } else { 0 });
        push_text(&mut bytes, recipient);
        push_text(&mut bytes, callback_data.unwrap_or(""));
        bytes.extend_from_slice(body.unwrap_or(b""));
        bytes
    }

    /// Reads it back; `None` where the bytes are not ours.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Content> {
        let [CONTENT_V1, flags, rest @ ..] = bytes else { return None };
        let (recipient, rest) = pull_text(rest)?;
        let (callback, body) = pull_text(rest)?;
        Some(Content {
            recipient: recipient.to_owned(),
            callback_data: (flags & HAS_CALLBACK != 0).then(|| callback.to_owned()),
            body: (flags & HAS_BODY != 0).then(|| Bytes::copy_from_slice(body)),
        })
    }
}

/// A text of at most 64 KiB with its length in front; recipients and callback data are far shorter
/// (`message::parse` saw to it), so what is longer is cut rather than refused here.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

fn pull_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// How a send was answered, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Meta's answer, with `input` as the caller wrote it.
    Accepted(Bytes),
    /// Meta's refusal, with our words for it.
    Refused(Box<MetaRefusal>),
    /// No byte left.
    NotSent(NotSentCause),
    /// Nobody knows.
    Unknown(UnknownCause),
    /// Meta's own answer never came; a status told what it would have said.
    Reported(Box<Reported>),
}

/// What a status told of a message whose answer nobody had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Meta's id of the message.
    pub wamid: String,
    /// Why Meta could not deliver it, where that was the first that was heard of it.
    pub failure: Option<MetaRefusal>,
}

/// What Meta wrote of a failure: kept sealed beside its status, since it may name the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureWords {
    /// `title`
    pub title: String,
    /// `error_data.details`
    pub details: Option<String>,
}

impl Answer {
    /// The bytes to seal: a letter, then Meta's bytes or JSON of ours.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (letter, rest) = match self {
            Answer::Accepted(data) => return Answer::encode_accepted(data),
            Answer::Refused(refusal) => (b'R', serde_json::to_vec(refusal)),
            Answer::NotSent(cause) => (b'N', serde_json::to_vec(cause)),
            Answer::Unknown(cause) => (b'U', serde_json::to_vec(cause)),
            Answer::Reported(reported) => (b'S', serde_json::to_vec(reported)),
        };
        let mut bytes = vec![letter];
        // These types hold only texts and numbers, whose JSON cannot fail.
        bytes.extend_from_slice(&rest.unwrap_or_default());
        bytes
    }

    /// [`Answer::encode`] of an accepted send without a copy in between.
    #[must_use]
    pub fn encode_accepted(data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + data.len());
        bytes.push(b'A');
        bytes.extend_from_slice(data);
        bytes
    }

    /// Reads it back; `None` where the bytes are not ours.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let (letter, rest) = bytes.split_first()?;
        match letter {
            b'A' => Some(Answer::Accepted(Bytes::copy_from_slice(rest))),
            b'R' => serde_json::from_slice(rest).ok().map(|refusal| Answer::Refused(Box::new(refusal))),
            b'N' => serde_json::from_slice(rest).ok().map(Answer::NotSent),
            b'U' => serde_json::from_slice(rest).ok().map(Answer::Unknown),
            b'S' => serde_json::from_slice(rest).ok().map(Answer::Reported),
            _ => None,
        }
    }

    /// The wamid inside an accepted answer, or told by a status.
    #[must_use]
    pub fn wamid(&self) -> Option<String> {
        match self {
            Answer::Accepted(data) => wamid_of(data),
            Answer::Reported(reported) => Some(reported.wamid.clone()),
            _ => None,
        }
    }
}

/// The answer that Meta would have given for a message (meta-cloud-api §1.7), from what is known of
/// it: without `contacts` where the recipient was forgotten, without `wa_id` for a user without a
/// visible number.
#[must_use]
pub fn answer_of_meta(recipient: Option<&str>, wamid: &str) -> Bytes {
    let contacts: Vec<_> = recipient
        .map(|to| match to.bytes().all(|byte| byte.is_ascii_digit()) {
            true => serde_json::json!({"input": to, "wa_id": to}),
            false => serde_json::json!({"input": to, "user_id": to}),
        })
        .into_iter()
        .collect();
    let data = serde_json::json!({"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": wamid}]});
    Bytes::from(data.to_string())
}

/// The first message's id in Meta's answer.
#[must_use]
pub fn wamid_of(data: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Ids {
        messages: Vec<OneId>,
    }
    #[derive(Deserialize)]
    struct OneId {
        id: String,
    }
    serde_json::from_slice::<Ids>(data).ok()?.messages.into_iter().next().map(|one| one.id)
}

/// Meta's answer with `contacts[].input` as the caller wrote it: we send `+<digits>`, Meta echoes
/// it, and the caller gets the digits back (contract §3.1).
#[must_use]
pub fn restore_input(data: Bytes, recipient: &str) -> Bytes {
    let echoed = format!("\"+{recipient}\"");
    let Some(at) = memchr::memmem::find(&data, echoed.as_bytes()) else { return data };
    let mut restored = Vec::with_capacity(data.len());
    restored.extend_from_slice(&data[..=at]);
    restored.extend_from_slice(&data[at + 2..]);
    Bytes::from(restored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_back_as_it_was() {
        let bytes = Content::encode("905321234567", Some("order-7"), Some(b"{}"));
        let content =
            Content { recipient: "905321234567".into(), callback_data: Some("order-7".into()), body: Some(Bytes::from_static(b"{}")) };
        assert_eq!(Content::decode(&bytes), Some(content));
        let bare = Content::encode("US.1349", None, None);
        assert_eq!(Content::decode(&bare), Some(Content { recipient: "US.1349".into(), callback_data: None, body: None }));
        assert_eq!(Content::decode(&bare[..5]), None);
    }

    #[test]
    fn every_answer_comes_back_as_it_was() {
        for answer in [
            Answer::Accepted(Bytes::from_static(br#"{"messages":[{"id":"wamid.A"}]}"#)),
            Answer::NotSent(NotSentCause::Dns),
            Answer::Unknown(UnknownCause::Timeout),
            Answer::Reported(Box::new(Reported { wamid: "wamid.A".into(), failure: None })),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
    }

    #[test]
    fn what_a_status_told_reads_as_metas_own_answer() {
        let data = answer_of_meta(Some("905321234567"), "wamid.A");
        assert_eq!(wamid_of(&data).as_deref(), Some("wamid.A"));
        let json: serde_json::Value = serde_json::from_slice(&data).expect("JSON");
        assert_eq!(json["contacts"][0], serde_json::json!({"input": "905321234567", "wa_id": "905321234567"}));
        let json: serde_json::Value = serde_json::from_slice(&answer_of_meta(Some("US.1349"), "wamid.A")).expect("JSON");
        assert_eq!(json["contacts"][0], serde_json::json!({"input": "US.1349", "user_id": "US.1349"}));
    }

    #[test]
    fn the_caller_gets_the_digits_back_that_it_wrote() {
        let meta = Bytes::from_static(br#"{"contacts":[{"input":"+905321234567","wa_id":"905321234567"}]}"#);
        assert_eq!(&restore_input(meta, "905321234567")[..], br#"{"contacts":[{"input":"905321234567","wa_id":"905321234567"}]}"#);
    }
}
