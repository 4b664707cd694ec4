//! Rules that are set one behind the other, and which of them strikes.
//!
//! Faults ([`crate::script`]) and statuses ([`crate::plan`]) are chosen in the same way: rules are
//! asked in the order in which they were added, and the first that matches and is not used up
//! strikes. One that matches but is left out by `nth` or `probability` lets later ones answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::chance::Chance;

/// Rules that may be set at once: each request, or each message, asks all of them.
const RULES_MAX: usize = 10_000;

/// How often a rule strikes what it matches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Often {
    /// Only the nth match (from 1), counted from the rule's making.
    pub(crate) nth: Option<u64>,
    /// At most so many times.
    pub(crate) times: Option<u64>,
    /// With this probability, 0 to 1.
    pub(crate) probability: Option<f64>,
}

/// A rule of some kind.
pub(crate) trait Ruling: Clone {
    /// Why a rule cannot be carried out.
    type Problem: From<String>;

    /// How often it strikes.
    fn often(&self) -> Often;

    /// Whether it can be carried out, whatever [`Ruling::often`] says.
    fn check(&self) -> Result<(), Self::Problem>;
}

/// A rule as it is set: with its number and what it has seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Set<R> {
    /// Its number, for taking it back.
    pub id: u64,
    /// The rule.
    #[serde(flatten)]
    pub rule: R,
    /// How many requests, or messages, matched.
    pub matched: u64,
    /// How many it struck.
    pub struck: u64,
}

/// The rules that are set.
pub(crate) struct Rules<R> {
    inner: Mutex<Listed<R>>,
}

struct Listed<R> {
    next_id: u64,
    set: Vec<Set<R>>,
}

impl<R> Default for Rules<R> {
    fn default() -> Rules<R> {
        Rules { inner: Mutex::new(Listed { next_id: 0, set: Vec::new() }) }
    }
}

impl<R: Ruling> Rules<R> {
    /// Sets rules behind those that are set; all of them, or none.
    pub(crate) fn add(&self, rules: Vec<R>) -> Result<Vec<u64>, R::Problem> {
        for rule in &rules {
            rule.check()?;
            let often = rule.often();
            if often.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
                return Err("probability: must be 0 to 1".to_owned().into());
            }
            if often.nth == Some(0) {
                return Err("nth: counts from 1".to_owned().into());
            }
        }
        let mut inner = self.lock();
        if inner.set.len() + rules.len() > RULES_MAX {
            return Err(format!("at most {RULES_MAX} rules can be set at once").into());
        }
        let mut ids = Vec::with_capacity(rules.len());
        for rule in rules {
            inner.next_id += 1;
            let id = inner.next_id;
            ids.push(id);
            inner.set.push(Set { id, rule, matched: 0, struck: 0 });
        }
        Ok(ids)
    }

    /// All of them, in their order.
    pub(crate) fn all(&self) -> Vec<Set<R>> {
        self.lock().set.clone()
    }

    /// Takes all of them back.
    pub(crate) fn clear(&self) {
        self.lock().set.clear();
    }

    /// Takes one rule back; whether it was set.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut inner = self.lock();
        let before = inner.set.len();
        inner.set.retain(|set| set.id != id);
        inner.set.len() < before
    }

    /// The first of those that match which strikes.
    pub(crate) fn strike(&self, matches: impl Fn(&R) -> bool, chance: &Chance) -> Option<R> {
        let mut inner = self.lock();
        inner.set.iter_mut().find_map(|set| {
            let often = set.rule.often();
            if often.times.is_some_and(|times| set.struck >= times) || !matches(&set.rule) {
                return None;
            }
            set.matched += 1;
            if often.nth.is_some_and(|nth| nth != set.matched)
                || often.probability.is_some_and(|probability| chance.fraction() >= probability)
            {
                return None;
            }
            set.struck += 1;
            Some(set.rule.clone())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Listed<R>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
