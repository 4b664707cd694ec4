//! Payloads as Meta writes them, for the tests beside this file.

use crate::webhook::{Item, read};

/// The business number of every payload here.
pub(crate) const NUMBER: &str = "106540352242922";

/// A POST of one change. It lives as long as the tests do, so that items may borrow from it.
pub(crate) fn payload(field: &str, value: &str) -> &'static [u8] {
    leak(format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"102290129340398","changes":[{{"value":{value},"field":"{field}"}}]}}]}}"#
    ))
}

pub(crate) fn leak(text: String) -> &'static [u8] {
    Box::leak(text.into_boxed_str()).as_bytes()
}

/// A value of the field `messages` that holds `inner` behind its metadata.
pub(crate) fn value(inner: &str) -> String {
    format!(
        r#"{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"{NUMBER}"}},{inner}}}"#
    )
}

/// One message from a user with a visible number, by its type and its further members.
pub(crate) fn message(kind: &str, inner: &str) -> Item<'static> {
    let contacts = r#""contacts":[{"profile":{"name":"Sheena \u2764\ufe0f"},"wa_id":"16505551234","user_id":"US.13491208655302741918"}]"#;
    let own = format!(r#"{{"from":"16505551234","id":"wamid.A{kind}=","timestamp":"1749416383","type":"{kind}"{inner}}}"#);
    one(payload("messages", &value(&format!(r#"{contacts},"messages":[{own}]"#))))
}

/// The only item of a payload.
pub(crate) fn one(raw: &'static [u8]) -> Item<'static> {
    let mut items = read(raw).expect("a readable payload");
    assert_eq!(items.len(), 1, "{}", String::from_utf8_lossy(raw));
    items.remove(0)
}
