//! The message that a caller asks us to send.

pub mod recipient;
pub mod template_use;

pub use recipient::{Bsuid, PhoneNumber, Recipient};
pub use template_use::{ButtonKind, ButtonUse, CardUse, ComponentKind, ComponentUse, ParameterKind, ParameterUse, TemplateUse};
