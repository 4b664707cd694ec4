//! Approved templates: what a message that uses one must supply, and whether it does.
//!
//! A mismatch found here is refused before money moves, in the words and with the code that Meta
//! would have used (contract §3.2 step 6). The check knows less than Meta does, so it refuses only
//! what is certain: a component of a kind that we have never seen is left to Meta, and so is every
//! detail that Meta's own pages leave open.

use crate::send::Category;

mod check;
mod read;

pub use check::{TemplateMismatch, check};
pub use read::UnreadableTemplate;

/// A template as Meta last gave it, reduced to what decides a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateDefinition {
    /// Meta's id, where the answer had one.
    pub id: Option<String>,
    /// The name; unique together with the language.
    pub name: String,
    /// The language code, `en_US`; a message must give exactly this one.
    pub language: String,
    /// Where the template stands.
    pub status: TemplateStatus,
    /// The category that prices it; `None` where Meta gave one that we do not know.
    pub category: Option<Category>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`, where the answer had it.
    pub quality: Option<String>,
    /// What a message must supply.
    pub parts: Parts,
}

/// Where a template stands, as far as a send cares (meta-cloud-api §6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateStatus {
    /// Can be sent.
    Approved,
    /// Cannot be sent until it is unpaused (132015).
    Paused,
    /// Cannot be sent any more (132016).
    Disabled,
    /// Cannot be sent: pending, rejected, deleted, archived …, in Meta's word (132001).
    NotApproved(String),
    /// A word whose meaning for a send is not certain; Meta decides.
    Unclear(String),
}

/// The parts of a template, or of one card of its carousel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The header; `None` where there is none.
    pub header: Option<HeaderNeed>,
    /// Variables of the body.
    pub body: Variables,
    /// The buttons, in the order by which a message's `index` counts them.
    pub buttons: Vec<ButtonNeed>,
    /// The cards of a carousel; `None` where there is none. Cards have no cards.
    pub cards: Option<Vec<Parts>>,
    /// A limited-time offer; `None` where there is none.
    pub limited_time_offer: Option<OfferNeed>,
    /// There are components of a kind that we do not know: what a message gives beyond the known
    /// ones is not checked.
    pub has_unknown: bool,
}

/// What a header must be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderNeed {
    /// A text with these variables.
    Text(Variables),
    /// An image.
    Image,
    /// A video.
    Video,
    /// A document.
    Document,
    /// An animated image (marketing endpoint).
    Gif,
    /// A location.
    Location,
    /// A product of the catalog.
    Product,
    /// A format that we do not know: not checked.
    Unknown,
}

/// The variables of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Variables {
    /// None.
    #[default]
    None,
    /// So many, filled in order.
    Positional(usize),
    /// These, filled by `parameter_name`; in order of their first place, each once.
    Named(Vec<String>),
    /// Written in a way that we do not know: not checked.
    Unknown,
}

impl Variables {
    /// How many values a message must give; `None` where that is not known.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        match self {
            Variables::None => Some(0),
            Variables::Positional(count) => Some(*count),
            Variables::Named(names) => Some(names.len()),
            Variables::Unknown => None,
        }
    }
}

/// What a limited-time offer must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferNeed {
    /// Whether it ends at a time that each message gives.
    pub expires: bool,
}

/// What one button may or must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonNeed {
    /// A URL without a variable: nothing.
    StaticUrl,
    /// A URL that ends in a variable: one text.
    UrlWithVariable,
    /// A one-time password: one text, the code, given as to a URL button.
    OneTimePassword,
    /// A quick reply: a payload, if the sender wants one.
    QuickReply,
    /// A coupon: its code.
    CopyCode,
    /// A flow: an action, if the sender wants one.
    Flow,
    /// The catalog: an action, if the sender wants one.
    Catalog,
    /// Several products: an action with them.
    MultiProduct,
    /// One product; nothing, the header names it.
    SingleProduct,
    /// A telephone number: nothing.
    PhoneNumber,
    /// A call inside WhatsApp: its own settings, if the sender wants any.
    VoiceCall,
    /// Asks for the user's telephone number: nothing.
    RequestContactInfo,
    /// A kind that we do not know: not checked.
    Unknown,
}

#[cfg(test)]
mod tests;
