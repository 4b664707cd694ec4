//! Which of a value's `contacts` go with which item: a delivery tells of its own user alone.

use super::source::{Source, get};
use crate::json::{Kind, Value};
use crate::webhook::view::{Text, User};

/// The contacts of one value.
pub(super) struct Contacts<'t> {
    /// Each as it stands, with the user whom it names.
    cards: Vec<(&'t str, User<'t>)>,
    /// Every name in order, with its card: a batch may hold a thousand of both.
    by_name: Vec<(Text<'t>, usize)>,
    /// Whether the value holds one item, whose contact a single card is, whatever it is named by.
    is_sole: bool,
}

impl<'t> Contacts<'t> {
    /// The contacts of `value`, which holds `items` items.
    pub(super) fn of(source: Source<'t>, value: Value<'_>, items: usize) -> Contacts<'t> {
        let mut cards = Vec::new();
        for (_, list) in value.members().filter(|(name, _)| name.spells("contacts")) {
            for card in list.elements().filter(|card| card.kind() == Kind::Object) {
                let user = User {
                    phone: source.member(card, "wa_id"),
                    id: source.member(card, "user_id"),
                    parent_id: source.member(card, "parent_user_id"),
                };
                cards.push((source.raw(card), user));
            }
        }
        let mut by_name: Vec<(Text<'t>, usize)> = Vec::new();
        if cards.len() > 1 {
            for (index, (_, user)) in cards.iter().enumerate() {
                by_name.extend([&user.phone, &user.id, &user.parent_id].into_iter().flatten().map(|name| (name.clone(), index)));
            }
            by_name.sort_unstable();
        }
        let is_sole = items == 1 && cards.len() == 1;
        Contacts { cards, by_name, is_sole }
    }

    /// The cards of an item's user, as they stand; names that the item leaves out are completed
    /// from them.
    pub(super) fn take(&self, user: &mut Option<User<'t>>) -> Vec<&'t str> {
        if self.cards.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<usize> = Vec::new();
        for name in user.iter().flat_map(User::names) {
            if let [(_, only)] = &*self.cards {
                found.extend(only.names().any(|known| known == name).then_some(0));
            } else {
                let from = self.by_name.partition_point(|(known, _)| **known < *name);
                found.extend(self.by_name[from..].iter().take_while(|(known, _)| known == name).map(|(_, index)| *index));
            }
        }
        found.sort_unstable();
        found.dedup();
        let is_nameless = user.as_ref().is_none_or(|user| user.key().is_none());
        if found.is_empty() && self.is_sole {
            found.push(0);
            if !is_nameless {
                // One item and one card belong together, but names that differ are not mixed.
                return vec![self.cards[0].0];
            }
        }
        for index in &found {
            let known = &self.cards[*index].1;
            let user = user.get_or_insert_with(User::default);
            for (name, known) in [(&mut user.phone, &known.phone), (&mut user.id, &known.id), (&mut user.parent_id, &known.parent_id)] {
                if name.is_none() {
                    name.clone_from(known);
                }
            }
        }
        found.into_iter().map(|index| self.cards[index].0).collect()
    }
}

/// A user by the names that an object gives under `phone`, `id` and `parent`; a "phone number" that
/// is none is an id, wherever Meta writes it.
pub(super) fn user<'t>(source: Source<'t>, object: Value<'_>, [phone, id, parent]: [&str; 3]) -> Option<User<'t>> {
    let text = |name: &str| get(object, name).and_then(|value| source.text(value)).filter(|text| !text.is_empty());
    let mut user = User { phone: text(phone), id: text(id), parent_id: text(parent) };
    if let Some(number) = user.phone.take() {
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            user.phone = Some(match number {
                Text::Borrowed(number) => Text::Borrowed(number.strip_prefix('+').unwrap_or(number)),
                Text::Owned(number) => Text::Owned(number.trim_start_matches('+').to_owned()),
            });
        } else if user.id.is_none() {
            user.id = Some(number);
        }
    }
    user.key().is_some().then_some(user)
}
