//! Reads one POST of Meta's into items: `entry[].changes[].value` and the arrays in it, each of
//! which may hold several.
//!
//! The bytes are scanned once into a flat tape; everything else is looked up in it and borrowed
//! from the bytes, because a batch of a thousand updates is parsed while its sender waits for a 200.
//! Nothing fails for being unknown: a field, type or status that Meta invented yesterday is an item
//! of [`EventKind::Other`], and is delivered as it came. Where a name occurs twice the last one
//! counts, as it does for most receivers, to whom both are sent.

mod change;
mod contacts;
mod message;
mod source;
mod status;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self::contacts::Contacts;
use self::source::{Source, get};
use super::event::EventKind;
use super::item::{Edit, Item, Parts, Place, Shell};
use super::view::{Text, User, View};
use crate::json::{Document, Kind, Value};
use crate::time::UnixMs;

/// Most items of one POST. Meta sends at most 1,000 updates; ten times that is no webhook.
pub const ITEMS_MAX: usize = 10_000;

/// Most bytes of all items' bodies together: what items share is repeated in each, and a payload of
/// 3 MB must not grow into gigabytes.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// Why a signed payload could not be read at all (WH_004).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not UTF-8.
    #[error("the body is not UTF-8 (byte {offset})")]
    NotUtf8 {
        /// Of the first wrong byte.
        offset: usize,
    },
    /// Not one JSON object.
    #[error("{problem} (byte {offset})")]
    NotJson {
        /// Of the fault.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// JSON, but not `{"object": …, "entry": […]}`.
    #[error("{0}")]
    NotAWebhook(&'static str),
    /// More than [`ITEMS_MAX`] items, or items that would grow past any use when taken apart.
    #[error("the payload holds too much to be taken apart")]
    TooMuch,
}

/// The items of one POST, in order. A part that cannot be read within an otherwise readable
/// payload is an item too ([`View::Unreadable`]), so that it is kept and seen.
///
/// # Errors
/// [`Unreadable`], where there is nothing to take apart.
pub fn read(raw: &[u8]) -> Result<Vec<Item<'_>>, Unreadable> {
    let text = std::str::from_utf8(raw).map_err(|error| Unreadable::NotUtf8 { offset: error.valid_up_to() })?;
    let document = Document::scan_leniently(text).map_err(|fault| Unreadable::NotJson { offset: fault.offset, problem: fault.problem })?;
    let root = document.root();
    let entries = get(root, "entry").ok_or(Unreadable::NotAWebhook("`entry` is missing"))?;
    if entries.kind() != Kind::Array {
        return Err(Unreadable::NotAWebhook("`entry` is not an array"));
    }
    let source = Source::new(text);
    let object = get(root, "object").map_or(OBJECT, |object| source.raw(object));
    let mut gathered = Gathered { items: Vec::new(), bytes: 0 };
    for entry in entries.elements() {
        read_entry(source, object, entry, &mut gathered)?;
    }
    Ok(gathered.items)
}

/// `object` where a payload names none.
const OBJECT: &str = "\"whatsapp_business_account\"";

/// The items so far, and how much their bodies come to.
struct Gathered<'t> {
    items: Vec<Item<'t>>,
    bytes: usize,
}

impl<'t> Gathered<'t> {
    fn add(&mut self, item: Item<'t>) -> Result<(), Unreadable> {
        let parts = &item.parts;
        self.bytes += parts.shell.bytes + parts.own.len() + parts.contacts.iter().map(|contact| contact.len()).sum::<usize>();
        if self.items.len() == ITEMS_MAX || self.bytes > BODIES_BYTES_MAX {
            return Err(Unreadable::TooMuch);
        }
        self.items.push(item);
        Ok(())
    }
}

/// What the items of one change have in common.
struct Around<'t> {
    waba_id: Option<Text<'t>>,
    field: Text<'t>,
    phone_number_id: Option<Text<'t>>,
    display_phone_number: Option<Text<'t>>,
    time: Option<UnixMs>,
    shell: Arc<Shell<'t>>,
}

/// What is read of one item beside what it has in common with its neighbours.
struct Found<'t> {
    kind: EventKind,
    user: Option<User<'t>>,
    at: Option<UnixMs>,
    wamid: Option<Text<'t>>,
    view: View<'t>,
    edits: Vec<Edit<'t>>,
}

impl<'t> Found<'t> {
    /// Something of which nothing is known but what it is about.
    fn plain(kind: EventKind, view: View<'t>) -> Found<'t> {
        Found { kind, user: None, at: None, wamid: None, view, edits: Vec::new() }
    }

    fn unreadable(problem: &'static str) -> Found<'t> {
        Found::plain(EventKind::Other, View::Unreadable(problem))
    }
}

impl<'t> Around<'t> {
    fn item(&self, found: Found<'t>, place: Place, own: &'t str, contacts: Vec<&'t str>) -> Item<'t> {
        let is_partner = self.field == "partner_solutions"
            || matches!(&found.view, View::Account(change) if self.field == "account_update" && change.event.starts_with("PARTNER_"));
        Item {
            waba_id: self.waba_id.clone(),
            field: self.field.clone(),
            phone_number_id: self.phone_number_id.clone(),
            display_phone_number: self.display_phone_number.clone(),
            kind: found.kind,
            user: found.user,
            at: found.at.or(self.time),
            wamid: found.wamid,
            is_partner,
            view: found.view,
            parts: Parts { shell: Arc::clone(&self.shell), place, own, contacts, edits: found.edits },
        }
    }
}

fn read_entry<'t>(source: Source<'t>, object: &'t str, entry: Value<'_>, gathered: &mut Gathered<'t>) -> Result<(), Unreadable> {
    let mut around = Around {
        waba_id: get(entry, "id").and_then(|id| source.text(id)),
        field: Text::default(),
        phone_number_id: None,
        display_phone_number: None,
        time: get(entry, "time").and_then(|time| source.instant(time)),
        shell: Arc::default(),
    };
    let changes = get(entry, "changes").filter(|changes| changes.kind() == Kind::Array);
    let Some(changes) = changes else {
        let problem = if entry.kind() == Kind::Object { "an entry has no array `changes`" } else { "an entry is not an object" };
        around.shell = Arc::new(Shell { object, ..Shell::default() }.measured());
        return gathered.add(around.item(Found::unreadable(problem), Place::Entry, source.raw(entry), Vec::new()));
    };
    let time = get(entry, "time").map(|time| source.raw(time));
    let of_entry: Arc<[&'t str]> = source.members(entry, |name| name == "changes").into();
    for change in changes.elements() {
        let shell = Shell { object, entry: Arc::clone(&of_entry), time, ..Shell::default() };
        read_change(source, &mut around, shell, change, gathered)?;
    }
    Ok(())
}

fn read_change<'t>(
    source: Source<'t>,
    around: &mut Around<'t>,
    mut shell: Shell<'t>,
    change: Value<'_>,
    gathered: &mut Gathered<'t>,
) -> Result<(), Unreadable> {
    around.field = get(change, "field").and_then(|field| source.text(field)).unwrap_or_default();
    (around.phone_number_id, around.display_phone_number) = (None, None);
    let Some(value) = get(change, "value") else {
        let problem = if change.kind() == Kind::Object { "a change has no `value`" } else { "a change is not an object" };
        around.shell = Arc::new(shell.measured());
        return gathered.add(around.item(Found::unreadable(problem), Place::Change, source.raw(change), Vec::new()));
    };
    shell.change = source.members(change, |name| name == "value");
    let metadata = get(value, "metadata");
    let of_metadata = |name| metadata.and_then(|metadata| get(metadata, name)).and_then(|member| source.text(member));
    around.phone_number_id = of_metadata("phone_number_id");
    around.display_phone_number =
        of_metadata("display_phone_number").or_else(|| get(value, "display_phone_number").and_then(|number| source.text(number)));

    let lists = lists_of(&around.field);
    let held = value.members().filter(|(_, list)| !list.is_null()).filter_map(|(name, list)| Some((listed(lists, name)?, list)));
    let count: usize = held.clone().map(|(_, list)| if list.kind() == Kind::Array { list.elements().count() } else { 1 }).sum();
    if count == 0 {
        around.shell = Arc::new(shell.measured());
        let found = survive(|| change::read(source, &around.field, value));
        return gathered.add(around.item(found, Place::Value, source.raw(value), Vec::new()));
    }

    let contacts = Contacts::of(source, value, count);
    shell.value = source.members(value, |name| name == "contacts" || lists.contains(&name));
    around.shell = Arc::new(shell.measured());
    for (name, list) in held {
        if list.kind() != Kind::Array {
            let found = Found::unreadable("what should be an array is none");
            gathered.add(around.item(found, Place::Member(name), source.raw(list), Vec::new()))?;
            continue;
        }
        for element in list.elements() {
            let mut found = survive(|| read_element(source, around, name, element));
            let of_user = contacts.take(&mut found.user);
            gathered.add(around.item(found, Place::Element(name), source.raw(element), of_user))?;
        }
    }
    Ok(())
}

/// The arrays of a field's value whose elements are items.
fn lists_of(field: &str) -> &'static [&'static str] {
    match field {
        "messages" | "standby" => &["messages", "statuses", "message_echoes"],
        "smb_message_echoes" | "message_echoes" => &["message_echoes"],
        "history" => &["history", "messages"],
        "smb_app_state_sync" => &["state_sync"],
        "user_preferences" => &["user_preferences"],
        "calls" => &["calls", "statuses"],
        _ => &[],
    }
}

fn listed(lists: &'static [&'static str], name: Value<'_>) -> Option<&'static str> {
    lists.iter().copied().find(|list| name.spells(list))
}

/// What is said of an item whose reading met a bug of ours.
pub const BUG_MET: &str = "reading it met a bug of the gateway's";

/// Reads one item; a bug in that is this item's trouble, and not that of the thousand beside it. Sound
/// because a reader only borrows the tape and hands back a value: a panic leaves nothing half done.
fn survive<'t>(read: impl FnOnce() -> Found<'t>) -> Found<'t> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_bug| Found::unreadable(BUG_MET))
}

fn read_element<'t>(source: Source<'t>, around: &Around<'t>, list: &'static str, element: Value<'_>) -> Found<'t> {
    #[cfg(test)]
    assert!(get(element, "a bug for a test").is_none(), "a test asked for this bug");
    if element.kind() != Kind::Object {
        return Found::unreadable("an element of an array of items is not an object");
    }
    match (&*around.field, list) {
        ("calls", _) => change::call(source, list, element),
        ("history", "messages") => {
            let mut found = message::read(source, element, message::Direction::Either(around.display_phone_number.as_deref()));
            found.kind = EventKind::History;
            found
        }
        (_, "messages") => message::read(source, element, message::Direction::Inbound),
        (_, "statuses") => status::read(source, element),
        (_, "message_echoes") => message::read(source, element, message::Direction::Echo),
        (_, "history") => change::history(source, element),
        (_, "state_sync") => change::app_state(source, element),
        _ => change::user_preference(source, element),
    }
}

#[cfg(test)]
#[path = "tests/read.rs"]
mod tests;
