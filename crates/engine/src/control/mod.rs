//! What operators do: organizations, applications, keys, money, messages. Each is one intention
//! that the operator's routes call; the rules live here, not in the routes.

pub mod applications;
pub mod endpoints;
pub mod keys;
pub mod messages;
pub mod money;
pub mod organizations;
pub mod shown;

use turnpike_domain::refusal::FieldFault;
use turnpike_store::StoreError;

/// Why an operator's request was not carried out.
#[derive(Debug)]
pub enum ControlFault {
    /// Fields are wrong; all of them are named.
    Fields(Vec<FieldFault>),
    /// There is no such object (or it belongs to another organization).
    NotFound(&'static str),
    /// A unique name or number is taken. Says which field.
    Taken(&'static str),
    /// A rule says no, in a sentence.
    Rule(String),
    /// The store does not answer.
    Store(StoreError),
}

impl ControlFault {
    /// A rule's no.
    pub fn rule(sentence: impl Into<String>) -> ControlFault {
        ControlFault::Rule(sentence.into())
    }

    /// One wrong field.
    pub fn field(path: &str, problem: impl Into<String>) -> ControlFault {
        ControlFault::Fields(vec![FieldFault::new(path, problem)])
    }
}

impl From<StoreError> for ControlFault {
    fn from(error: StoreError) -> ControlFault {
        ControlFault::Store(error)
    }
}
