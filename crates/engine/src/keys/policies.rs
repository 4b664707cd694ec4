//! The distinct policies of all keys, each kept once.
//!
//! A million keys have a handful of policies between them, so a record bears a number instead of
//! one. Numbers are counted by use: the last key that bears one frees it for another policy, so an
//! operator who changes policies for years does not fill the memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use turnpike_domain::refusal::FieldFault;
use turnpike_store::keys::KeyPolicy;

use super::CompiledPolicy;

/// Names a policy while a record bears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PolicyNumber(pub(super) u32);

impl PolicyNumber {
    /// Of a key whose record cannot be read.
    pub(super) const UNREADABLE: PolicyNumber = PolicyNumber(u32::MAX);
}

#[derive(Default)]
pub(super) struct Policies {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    by_policy: HashMap<Arc<KeyPolicy>, u32>,
    by_number: Vec<Option<Slot>>,
    free: Vec<u32>,
}

struct Slot {
    policy: Arc<KeyPolicy>,
    compiled: Arc<CompiledPolicy>,
    keys: usize,
}

impl Policies {
    /// The policy of a number that some record bears.
    pub(super) fn get(&self, number: PolicyNumber) -> Option<Arc<CompiledPolicy>> {
        let kept = self.kept.read();
        let slot = kept.by_number.get(usize::try_from(number.0).ok()?)?.as_ref()?;
        Some(Arc::clone(&slot.compiled))
    }

    /// The number of a policy, for one record more.
    pub(super) fn intern(&self, policy: &KeyPolicy) -> Result<PolicyNumber, Vec<FieldFault>> {
        let mut kept = self.kept.write();
        if let Some(number) = kept.by_policy.get(policy).copied() {
            let slot = kept.by_number[number as usize].as_mut().expect("a policy that is found by its words has a slot");
            slot.keys += 1;
            return Ok(PolicyNumber(number));
        }
        let compiled = Arc::new(CompiledPolicy::compile(policy)?);
        let policy = Arc::new(policy.clone());
        let slot = Some(Slot { policy: Arc::clone(&policy), compiled, keys: 1 });
        let number = match kept.free.pop() {
            Some(number) => {
                kept.by_number[number as usize] = slot;
                number
            }
            None => {
                let number = u32::try_from(kept.by_number.len()).expect("there are fewer policies than keys, and fewer keys than 2³²");
                kept.by_number.push(slot);
                number
            }
        };
        kept.by_policy.insert(policy, number);
        Ok(PolicyNumber(number))
    }

    /// One record less bears this number.
    pub(super) fn release(&self, number: PolicyNumber) {
        if number == PolicyNumber::UNREADABLE {
            return;
        }
        let mut kept = self.kept.write();
        let place = &mut kept.by_number[number.0 as usize];
        let slot = place.as_mut().expect("a number is released by a record that bore it");
        slot.keys -= 1;
        if slot.keys == 0 {
            let gone = place.take().expect("it was there a line above");
            kept.by_policy.remove(&gone.policy);
            kept.free.push(number.0);
        }
    }

    #[cfg(test)]
    pub(super) fn distinct(&self) -> usize {
        self.kept.read().by_policy.len()
    }
}
