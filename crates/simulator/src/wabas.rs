//! The business's own accounts: what of an account can be declared, which is its time zone.
//!
//! Any id is an account without being declared. It then has Meta's zone 1, which is that of
//! America/Los_Angeles and what a test account of Meta's has.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The zone of accounts that were not declared.
const ZONE_DEFAULT: &str = "1";

/// Accounts that may be declared.
const WABAS_MAX: usize = 100_000;

/// Digits of a zone's number.
const ZONE_ID_MAX: usize = 9;

/// An account, as declared by [`crate::Config::wabas`] or `POST /_sim/wabas`.
/// `{"id": "102290129340398", "timezone_id": "58"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waba {
    /// Its id.
    pub id: String,
    /// Meta's number of its time zone: digits, of a zone that exists or not.
    pub timezone_id: String,
}

/// What was declared of accounts.
pub(crate) struct Wabas {
    declared: Mutex<HashMap<String, Waba>>,
}

impl Wabas {
    pub(crate) fn new() -> Wabas {
        Wabas { declared: Mutex::default() }
    }

    /// Declares one, in place of what was said of it before.
    pub(crate) fn define(&self, waba: Waba) -> Result<(), String> {
        if waba.id.is_empty() {
            return Err("id: must not be empty".to_owned());
        }
        let zone = &waba.timezone_id;
        if zone.is_empty() || zone.len() > ZONE_ID_MAX || !zone.bytes().all(|b| b.is_ascii_digit()) {
            return Err("timezone_id: must be Meta's number of a time zone, digits in a string".to_owned());
        }
        let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        if declared.len() >= WABAS_MAX && !declared.contains_key(&waba.id) {
            return Err(format!("at most {WABAS_MAX} accounts can be declared"));
        }
        declared.insert(waba.id.clone(), waba);
        Ok(())
    }

    /// `timezone_id` of an account.
    pub(crate) fn timezone_id(&self, waba_id: &str) -> String {
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        declared.get(waba_id).map_or_else(|| ZONE_DEFAULT.to_owned(), |waba| waba.timezone_id.clone())
    }

    /// Whether anything was said of an id, which then is an account's.
    pub(crate) fn is_declared(&self, id: &str) -> bool {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }
}
