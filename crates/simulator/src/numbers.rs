//! The business's own numbers: which account each belongs to, and how it looks.
//!
//! Any id is a number without being declared. It then belongs to the account of
//! [`crate::Config::waba_id`]; a sandbox number is an account of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::graph::auth::SANDBOX_PREFIX;

/// The account of numbers that were not declared: the one in Meta's own examples.
pub const DEFAULT_WABA: &str = "102290129340398";

/// Numbers that may be declared.
const NUMBERS_MAX: usize = 100_000;

/// A number, as declared by [`crate::Config::numbers`] or `POST /_sim/numbers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// Its id, `phone_number_id`.
    pub id: String,
    /// The account that it belongs to.
    pub waba_id: String,
}

/// Which number belongs to which account.
pub(crate) struct Numbers {
    default_waba: String,
    declared: Mutex<HashMap<String, String>>,
}

impl Numbers {
    pub(crate) fn new(default_waba: &str, numbers: &[Number]) -> Numbers {
        let declared = numbers.iter().map(|number| (number.id.clone(), number.waba_id.clone())).collect();
        Numbers { default_waba: default_waba.to_owned(), declared: Mutex::new(declared) }
    }

    pub(crate) fn define(&self, number: Number) -> Result<(), String> {
        if number.id.is_empty() || number.waba_id.is_empty() {
            return Err("id, waba_id: must not be empty".to_owned());
        }
        let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        if declared.len() >= NUMBERS_MAX {
            return Err(format!("at most {NUMBERS_MAX} numbers can be declared"));
        }
        declared.insert(number.id, number.waba_id);
        Ok(())
    }

    /// The account of a number.
    pub(crate) fn waba_of(&self, phone_number_id: &str) -> String {
        if let Some(waba) = self.declared.lock().unwrap_or_else(PoisonError::into_inner).get(phone_number_id) {
            return waba.clone();
        }
        if phone_number_id.starts_with(SANDBOX_PREFIX) { phone_number_id.to_owned() } else { self.default_waba.clone() }
    }

    /// The account of those that were not declared.
    pub(crate) fn default_waba(&self) -> &str {
        &self.default_waba
    }

    /// The number, where only one was declared.
    pub(crate) fn only_one(&self) -> Option<String> {
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        if declared.len() == 1 { declared.keys().next().cloned() } else { None }
    }
}

/// `metadata` of a value.
pub(crate) fn metadata(phone_number_id: &str) -> Value {
    json!({"display_phone_number": own_digits(phone_number_id), "phone_number_id": phone_number_id})
}

/// The digits of a number: it ends in those of its id, so that two look different.
pub(crate) fn own_digits(phone_number_id: &str) -> String {
    let digits: String = phone_number_id.chars().filter(char::is_ascii_digit).collect();
    format!("1555010{:0>4}", &digits[digits.len().saturating_sub(4)..])
}
