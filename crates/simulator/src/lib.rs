//! The other side: WhatsApp's Graph API as a sender sees it.

mod chance;
mod clock;
pub mod command;
mod config;
mod control;
mod exchange;
pub mod faults;
mod graph;
pub mod phones;
mod record;
mod script;
mod server;
mod validate;
mod wamid;

pub use chance::NoEntropy;
pub use config::{Config, Record, TlsFiles, Tokens, Window};
pub use faults::{Behaviour, Named};
pub use graph::codes;
pub use graph::templates::{TemplateSeed, demo_templates};
pub use record::{RecordError, RecordedRequest};
pub use script::{Match, Rule, SetRule};
pub use server::{Simulator, StartError, TlsError};
