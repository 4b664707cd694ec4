//! Who the users are: by number, by business-scoped id, by username.
//!
//! Every number is a user without being declared, with a name and a
//! business-scoped id made from it (`TR.905321234567`), and every business-scoped
//! id is one whose number is hidden. [`User`] declares what differs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::forgetting::Names;

/// Users that may be declared.
const USERS_MAX: usize = 100_000;

/// Digits of the longest phone number (E.164).
const PHONE_MAX: usize = 15;

/// A user, as declared by [`crate::Config::users`], [`crate::Simulator::define_user`]
/// or `POST /_sim/users`. At least one of `phone` and `user_id` must be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Digits, with or without `+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The business-scoped id, `US.13491208655302741918`. Made from the number
    /// where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The username, without `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The profile's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether webhooks show the number; without it, they do where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_visible: Option<bool>,
    /// The parent portfolio's id of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_user_id: Option<String>,
}

/// A user with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// Digits; none where nobody knows them.
    pub(crate) phone: Option<String>,
    pub(crate) user_id: String,
    pub(crate) parent_user_id: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) name: String,
    pub(crate) phone_visible: bool,
}

impl Person {
    /// What webhooks show as `wa_id` and `from`.
    pub(crate) fn visible_phone(&self) -> Option<&str> {
        self.phone.as_deref().filter(|_| self.phone_visible)
    }

    /// By which windows and preferences are kept: one key however they are addressed.
    pub(crate) fn key(&self) -> &str {
        self.phone.as_deref().unwrap_or(&self.user_id)
    }

    /// An element of `contacts[]`; `phone` is what it may show as `wa_id`.
    pub(crate) fn contact(&self, phone: Option<&str>) -> Value {
        let mut profile = json!({"name": self.name});
        if let Some(username) = &self.username {
            profile["username"] = username.as_str().into();
        }
        let mut contact = json!({"profile": profile, "user_id": self.user_id});
        if let Some(phone) = phone {
            contact["wa_id"] = phone.into();
        }
        if let Some(parent) = &self.parent_user_id {
            contact["parent_user_id"] = parent.as_str().into();
        }
        contact
    }
}

/// All users that were declared.
#[derive(Default)]
pub(crate) struct Users {
    inner: Mutex<Declared>,
}

#[derive(Default)]
struct Declared {
    /// By [`Person::key`].
    people: HashMap<String, Person>,
    /// Business-scoped id to key, for those whose number is known.
    by_id: HashMap<String, String>,
}

impl Users {
    /// Declares a user, in place of what was declared of the same number or id.
    /// The sentence names the member that cannot be.
    pub(crate) fn define(&self, user: User) -> Result<Person, String> {
        let phone = match user.phone.as_deref() {
            None => None,
            Some(phone) => Some(digits(phone).ok_or("phone: must be 5 to 15 digits, with or without +")?),
        };
        let user_id = match (user.user_id, &phone) {
            (Some(id), _) if is_business_scoped(&id) => id,
            (Some(_), _) => return Err("user_id: must be two letters, a dot, and up to 128 letters or digits".to_owned()),
            (None, Some(phone)) => derived_id(phone),
            (None, None) => return Err("phone: a user needs a phone or a user_id".to_owned()),
        };
        let name = user.name.or_else(|| user.username.clone()).unwrap_or_else(|| default_name(phone.as_deref().unwrap_or(&user_id)));
        let person = Person {
            phone_visible: phone.is_some() && user.phone_visible.unwrap_or(true),
            phone,
            user_id,
            parent_user_id: user.parent_user_id,
            username: user.username,
            name,
        };
        let mut declared = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if declared.people.len() >= USERS_MAX {
            return Err(format!("at most {USERS_MAX} users can be declared"));
        }
        declared.by_id.insert(person.user_id.clone(), person.key().to_owned());
        declared.people.insert(person.key().to_owned(), person.clone());
        Ok(person)
    }

    /// The user whom a number or a business-scoped id names.
    pub(crate) fn find(&self, address: &str) -> Option<Person> {
        let address = address.trim();
        {
            let declared = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if !declared.people.is_empty() {
                let plain = digits(address);
                let key = declared.by_id.get(address).map_or_else(|| plain.as_deref().unwrap_or(address), String::as_str);
                if let Some(person) = declared.people.get(key) {
                    return Some(person.clone());
                }
                let by_username = |person: &&Person| person.username.as_deref() == Some(address.strip_prefix('@').unwrap_or(address));
                if let Some(person) = declared.people.values().find(by_username) {
                    return Some(person.clone());
                }
            }
        }
        undeclared(address)
    }

    /// Forgets that a user was declared; how many declarations that were.
    pub(crate) fn forget(&self, names: &Names) -> usize {
        let mut declared = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let before = declared.people.len();
        declared.people.retain(|key, _| !names.are(key));
        declared.by_id.retain(|id, key| !names.are(id) && !names.are(key));
        before - declared.people.len()
    }

    /// All that were declared, by number or id.
    pub(crate) fn all(&self) -> Vec<Value> {
        let declared = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut people: Vec<&Person> = declared.people.values().collect();
        people.sort_by(|a, b| a.key().cmp(b.key()));
        people
            .into_iter()
            .map(|person| {
                json!({"phone": person.phone, "user_id": person.user_id, "username": person.username, "name": person.name,
                       "phone_visible": person.phone_visible, "parent_user_id": person.parent_user_id})
            })
            .collect()
    }
}

/// A user of whom only the address is known.
fn undeclared(address: &str) -> Option<Person> {
    if let Some(phone) = digits(address) {
        return Some(Person {
            user_id: derived_id(&phone),
            parent_user_id: None,
            username: None,
            name: default_name(&phone),
            phone: Some(phone),
            phone_visible: true,
        });
    }
    if !is_business_scoped(address) {
        return None;
    }
    // An id of ours leads back to the number that it was made from.
    let phone = address.split_once('.').map(|(_, rest)| rest).and_then(digits).filter(|phone| derived_id(phone) == address);
    Some(Person {
        user_id: address.to_owned(),
        parent_user_id: None,
        username: None,
        name: default_name(phone.as_deref().unwrap_or(address)),
        phone_visible: phone.is_some(),
        phone,
    })
}

/// The id of a user who was not declared.
pub(crate) fn derived_id(phone: &str) -> String {
    format!("{}.{phone}", country(phone))
}

fn default_name(address: &str) -> String {
    let tail = address.get(address.len().saturating_sub(4)..).unwrap_or(address);
    format!("User {tail}")
}

fn digits(address: &str) -> Option<String> {
    let plain = address.strip_prefix('+').unwrap_or(address);
    let is_phone = (5..=PHONE_MAX).contains(&plain.len()) && plain.bytes().all(|byte| byte.is_ascii_digit()) && !plain.starts_with('0');
    is_phone.then(|| plain.to_owned())
}

/// `US.13491208655302741918`, or `US.ENT.…` for a parent one.
pub(crate) fn is_business_scoped(id: &str) -> bool {
    let Some((country, rest)) = id.split_once('.') else { return false };
    country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Calling codes of larger countries; only a prefix of an id hangs on it, so the
/// rest are `ZZ`, which ISO 3166 leaves to its users.
const COUNTRIES: &[(&str, &str)] = &[
    ("1", "US"),
    ("20", "EG"),
    ("212", "MA"),
    ("234", "NG"),
    ("254", "KE"),
    ("27", "ZA"),
    ("31", "NL"),
    ("33", "FR"),
    ("34", "ES"),
    ("351", "PT"),
    ("39", "IT"),
    ("40", "RO"),
    ("41", "CH"),
    ("43", "AT"),
    ("44", "GB"),
    ("46", "SE"),
    ("48", "PL"),
    ("49", "DE"),
    ("51", "PE"),
    ("52", "MX"),
    ("54", "AR"),
    ("55", "BR"),
    ("56", "CL"),
    ("57", "CO"),
    ("60", "MY"),
    ("61", "AU"),
    ("62", "ID"),
    ("63", "PH"),
    ("65", "SG"),
    ("66", "TH"),
    ("7", "RU"),
    ("81", "JP"),
    ("82", "KR"),
    ("84", "VN"),
    ("90", "TR"),
    ("91", "IN"),
    ("92", "PK"),
    ("966", "SA"),
    ("971", "AE"),
    ("972", "IL"),
];

fn country(phone: &str) -> &'static str {
    COUNTRIES.iter().find(|(code, _)| phone.starts_with(code)).map_or("ZZ", |(_, country)| country)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_the_id_made_from_it_are_one_user() {
        let users = Users::default();
        let by_phone = users.find("+905321234567").expect("a number");
        assert_eq!(by_phone.user_id, "TR.905321234567");
        assert_eq!(users.find("TR.905321234567"), Some(by_phone));
        let hidden = users.find("US.13491208655302741918").expect("an id");
        assert_eq!((hidden.phone.as_deref(), hidden.visible_phone()), (None, None));
        assert_eq!(users.find("not a user"), None);
    }

    #[test]
    fn a_declared_user_is_found_by_all_their_names() {
        let users = Users::default();
        let user = User {
            phone: Some("+905321234567".to_owned()),
            user_id: Some("TR.ABC".to_owned()),
            username: Some("ada".to_owned()),
            phone_visible: Some(false),
            ..User::default()
        };
        let ada = users.define(user).expect("a user");
        for address in ["905321234567", "+905321234567", "TR.ABC", "ada", "@ada"] {
            assert_eq!(users.find(address).as_ref(), Some(&ada), "{address}");
        }
        assert_eq!(ada.contact(ada.visible_phone()), json!({"profile": {"name": "ada", "username": "ada"}, "user_id": "TR.ABC"}));
        assert!(users.define(User { name: Some("nobody".to_owned()), ..User::default() }).is_err());
    }
}
