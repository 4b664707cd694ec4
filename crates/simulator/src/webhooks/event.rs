//! One thing that is reported, and how several become one body.
//!
//! Parts are rendered once, in Meta's spelling, and joined as text: a batch of a
//! thousand costs no second serialisation.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;

use super::json::escaped;
use crate::forgetting::Names;
use crate::plan::Signature;

/// One update, for all subscriptions that cover it.
pub(crate) struct Event {
    pub(crate) waba_id: String,
    /// The number that it is about, where it is about one.
    pub(crate) phone_number_id: Option<String>,
    pub(crate) field: String,
    pub(crate) at: Timestamp,
    pub(crate) content: Content,
    pub(crate) signature: Signature,
    /// What lists show: `messages delivered wamid.…`.
    pub(crate) label: String,
    /// Who waits for the first attempt.
    pub(crate) attempted: Option<Attempted>,
}

/// Held by what is still to be attempted; tells by [`release`], or by being dropped.
#[derive(Clone)]
pub(crate) struct Attempted(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Attempted {
    /// The pair; the receiver resolves (to an error) at the first attempt, or when
    /// nobody is left who would make one.
    pub(crate) fn new() -> (Attempted, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Attempted(Arc::new(Mutex::new(Some(sender)))), receiver)
    }
}

/// What `value` consists of, in Meta's spelling.
pub(crate) enum Content {
    /// An element of `messages` or `statuses`, which can share a value with others.
    Listed { list: &'static str, metadata: String, item: String, contact: Option<String> },
    /// A whole value.
    Whole(String),
}

impl Content {
    pub(crate) fn status(metadata: &Value, status: &Value, contact: Option<&Value>) -> Content {
        Content::Listed { list: "statuses", metadata: escaped(metadata), item: escaped(status), contact: contact.map(escaped) }
    }

    pub(crate) fn message(metadata: &Value, message: &Value, contact: Option<&Value>) -> Content {
        Content::Listed { list: "messages", metadata: escaped(metadata), item: escaped(message), contact: contact.map(escaped) }
    }

    pub(crate) fn whole(value: &Value) -> Content {
        Content::Whole(escaped(value))
    }
}

impl Event {
    /// Whether it names a user.
    pub(super) fn names(&self, names: &Names) -> bool {
        match &self.content {
            Content::Listed { item, contact, .. } => {
                names.stand_in(item.as_bytes()) || contact.as_ref().is_some_and(|contact| names.stand_in(contact.as_bytes()))
            }
            Content::Whole(value) => names.stand_in(value.as_bytes()),
        }
    }

    /// About how many bytes it adds to a body.
    pub(crate) fn weight(&self) -> usize {
        let content = match &self.content {
            Content::Listed { metadata, item, contact, .. } => metadata.len() + item.len() + contact.as_ref().map_or(0, String::len),
            Content::Whole(value) => value.len(),
        };
        content + self.waba_id.len() + 160
    }
}

/// A mutable value of a change while a batch is put together.
struct Change<'a> {
    field: &'a str,
    value: Parts<'a>,
}

enum Parts<'a> {
    Lists { list: &'a str, metadata: &'a str, contacts: Vec<&'a str>, items: Vec<&'a str> },
    Whole(&'a str),
}

struct Entry<'a> {
    waba_id: &'a str,
    time: Option<i64>,
    changes: Vec<Change<'a>>,
}

/// The body of a POST with these events. Those of one account share an entry, and
/// messages or statuses of one number that follow each other share a value.
pub(crate) fn body(events: &[Arc<Event>]) -> String {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for event in events {
        // Meta dates entries of every field but messages.
        let time = (event.field != "messages").then(|| event.at.as_second());
        let entry = match entries.iter_mut().position(|entry| entry.waba_id == event.waba_id && entry.time == time) {
            Some(at) => &mut entries[at],
            None => {
                entries.push(Entry { waba_id: &event.waba_id, time, changes: Vec::new() });
                entries.last_mut().expect("one was pushed just now")
            }
        };
        add(&mut entry.changes, event);
    }
    let mut body = String::with_capacity(events.iter().map(|event| event.weight()).sum::<usize>() + 64);
    body.push_str(r#"{"object":"whatsapp_business_account","entry":["#);
    joined(&mut body, &entries, |body, entry| {
        body.push_str(r#"{"id":"#);
        body.push_str(&escaped(entry.waba_id));
        if let Some(time) = entry.time {
            body.push_str(r#","time":"#);
            body.push_str(&time.to_string());
        }
        body.push_str(r#","changes":["#);
        joined(body, &entry.changes, |body, change| {
            body.push_str(r#"{"value":"#);
            match &change.value {
                Parts::Whole(value) => body.push_str(value),
                Parts::Lists { list, metadata, contacts, items } => {
                    body.push_str(r#"{"messaging_product":"whatsapp","metadata":"#);
                    body.push_str(metadata);
                    if !contacts.is_empty() {
                        body.push_str(r#","contacts":["#);
                        joined(body, contacts, |body, contact| body.push_str(contact));
                        body.push(']');
                    }
                    body.push_str(",\"");
                    body.push_str(list);
                    body.push_str("\":[");
                    joined(body, items, |body, item| body.push_str(item));
                    body.push_str("]}");
                }
            }
            body.push_str(r#","field":"#);
            body.push_str(&escaped(change.field));
            body.push('}');
        });
        body.push_str("]}");
    });
    body.push_str("]}");
    body
}

fn add<'a>(changes: &mut Vec<Change<'a>>, event: &'a Event) {
    match &event.content {
        Content::Whole(value) => changes.push(Change { field: &event.field, value: Parts::Whole(value) }),
        Content::Listed { list, metadata, item, contact } => {
            let contact = contact.as_deref();
            if let Some(Change { field, value: Parts::Lists { list: known, metadata: of, contacts, items } }) = changes.last_mut()
                && *field == event.field
                && known == list
                && of == metadata
            {
                items.push(item);
                contacts.extend(contact.filter(|contact| !contacts.contains(contact)));
                return;
            }
            let value = Parts::Lists { list, metadata, contacts: contact.into_iter().collect(), items: vec![item] };
            changes.push(Change { field: &event.field, value });
        }
    }
}

fn joined<T>(body: &mut String, parts: &[T], write: impl Fn(&mut String, &T)) {
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            body.push(',');
        }
        write(body, part);
    }
}

/// Lets go of what waits for an event, whoever still holds the event.
pub(crate) fn release(attempted: &Attempted) {
    attempted.0.lock().unwrap_or_else(PoisonError::into_inner).take();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(waba_id: &str, field: &str, content: Content) -> Arc<Event> {
        Arc::new(Event {
            waba_id: waba_id.to_owned(),
            phone_number_id: None,
            field: field.to_owned(),
            at: Timestamp::from_second(1_790_000_000).expect("a date of this century"),
            content,
            signature: Signature::Good,
            label: String::new(),
            attempted: None,
        })
    }

    #[test]
    fn statuses_of_one_number_share_a_value_and_accounts_do_not() {
        let metadata = json!({"phone_number_id": "1"});
        let status = |id: u32| Content::status(&metadata, &json!({"id": id}), Some(&json!({"wa_id": "9"})));
        let body = body(&[
            event("w1", "messages", status(1)),
            event("w1", "messages", status(2)),
            event("w1", "messages", Content::message(&metadata, &json!({"id": 3}), None)),
            event("w2", "account_update", Content::whole(&json!({"event": "a/b"}))),
        ]);
        let parsed: Value = serde_json::from_str(&body).expect("it is JSON");
        assert_eq!(
            parsed,
            json!({"object": "whatsapp_business_account", "entry": [
                {"id": "w1", "changes": [
                    {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata,
                     "contacts": [{"wa_id": "9"}], "statuses": [{"id": 1}, {"id": 2}]}},
                    {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, "messages": [{"id": 3}]}},
                ]},
                {"id": "w2", "time": 1_790_000_000, "changes": [{"field": "account_update", "value": {"event": "a/b"}}]},
            ]})
        );
        assert!(body.contains(r"a\/b"));
    }
}
