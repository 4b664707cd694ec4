//! How a message uses a template: what the template check compares with the synced definition.
//!
//! It holds shapes and lengths, never the texts that fill the variables: those are personal data,
//! and nothing that we decide depends on them. The order is the caller's, since positional
//! parameters are matched by it.

/// The `template` object of a message, read and found well-formed (contract §3.1,
/// meta-cloud-api §1.5). Whether it fits the approved template is for the template check to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateUse {
    /// `template.name`: 1–512 of `a-z`, `0-9`, `_`.
    pub name: String,
    /// `template.language.code`, as the caller wrote it: `en_US`, `tr`.
    pub language: String,
    /// `template.components` in the caller's order; empty where they were omitted.
    pub components: Vec<ComponentUse>,
}

/// One entry of `components`, of the message itself or of a carousel card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentUse {
    /// Its `type`.
    pub kind: ComponentKind,
    /// `sub_type` and `index`; `Some` exactly where `kind` is [`ComponentKind::Button`].
    pub button: Option<ButtonUse>,
    /// Its `parameters` in the caller's order; empty where they were omitted.
    pub parameters: Vec<ParameterUse>,
    /// Its `cards` in the caller's order; empty unless `kind` is [`ComponentKind::Carousel`].
    pub cards: Vec<CardUse>,
}

impl ComponentUse {
    /// A component without a button, parameters or cards.
    #[must_use]
    pub fn new(kind: ComponentKind) -> ComponentUse {
        ComponentUse { kind, button: None, parameters: Vec::new(), cards: Vec::new() }
    }
}

/// Which button of the definition a component fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ButtonUse {
    /// Its `sub_type`.
    pub kind: ButtonKind,
    /// Its zero-based place in the definition's list of buttons, 0–9, written as `"0"` or `0`.
    pub index: u8,
}

/// One card of a carousel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardUse {
    /// Its `card_index`, zero-based, 0–9.
    pub index: u8,
    /// Its components: header, body, button. Never a carousel again.
    pub components: Vec<ComponentUse>,
}

/// One value for a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterUse {
    /// Its `type`.
    pub kind: ParameterKind,
    /// Its `parameter_name`, for templates with named variables.
    pub name: Option<String>,
    /// Unicode scalar values of the text that will be shown: `text`, `payload`, `coupon_code`, or
    /// the `fallback_value` of a currency or date. `None` for every other kind.
    pub text_chars: Option<usize>,
}

impl ParameterUse {
    /// A positional text of that many Unicode scalar values.
    #[must_use]
    pub fn text(chars: usize) -> ParameterUse {
        ParameterUse { kind: ParameterKind::Text, name: None, text_chars: Some(chars) }
    }
}

/// Declares a closed set of words with Meta's spelling. Reading ignores case, as Meta does.
macro_rules! meta_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every word, in the order of the declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Meta's spelling in a message.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The word for a text, in any case, or `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<$name> {
                $(if text.eq_ignore_ascii_case($text) { return Some($name::$variant); })*
                None
            }
        }
    };
}

meta_words! {
    /// What a component fills.
    ComponentKind {
        /// The header: one text, medium, location or product.
        Header "header",
        /// The variables of the body.
        Body "body",
        /// One button.
        Button "button",
        /// The cards of a carousel.
        Carousel "carousel",
        /// When a limited-time offer ends.
        LimitedTimeOffer "limited_time_offer",
        /// Another title and target for the tap on the header (marketing endpoint).
        TapTargetConfiguration "tap_target_configuration",
        /// The state of an order (payments).
        OrderStatus "order_status",
        /// A footer has no variables; some clients name it all the same.
        Footer "footer",
    }
}

meta_words! {
    /// What a button does.
    ButtonKind {
        /// Opens a URL; also every one-time-password button, whose text is the code.
        Url "url",
        /// Answers with a payload.
        QuickReply "quick_reply",
        /// Copies a coupon code.
        CopyCode "copy_code",
        /// Opens a flow.
        Flow "flow",
        /// Opens the catalog.
        Catalog "catalog",
        /// Opens several products.
        Mpm "mpm",
        /// Opens one product.
        Spm "spm",
        /// Calls the business inside WhatsApp.
        VoiceCall "voice_call",
        /// Dials a number; takes no parameters.
        PhoneNumber "phone_number",
        /// Shows an order that can be paid.
        OrderDetails "order_details",
        /// Shows the state of an order.
        OrderStatus "order_status",
        /// Asks for the user's phone number; takes no parameters.
        RequestContactInfo "request_contact_info",
        /// Opens an app.
        App "app",
    }
}

meta_words! {
    /// What kind of value a parameter is.
    ParameterKind {
        /// `text`
        Text "text",
        /// `currency`, shown as its `fallback_value`
        Currency "currency",
        /// `date_time`, shown as its `fallback_value`
        DateTime "date_time",
        /// `image` by id or link
        Image "image",
        /// `video` by id or link
        Video "video",
        /// `document` by id or link
        Document "document",
        /// `gif` by id or link (marketing endpoint)
        Gif "gif",
        /// `location`
        Location "location",
        /// `product` of a catalog
        Product "product",
        /// `payload` of a quick reply
        Payload "payload",
        /// `coupon_code` of a copy-code button
        CouponCode "coupon_code",
        /// `action` of a flow, catalog, multi-product or order button
        Action "action",
        /// `limited_time_offer`
        LimitedTimeOffer "limited_time_offer",
        /// `tap_target_configuration`
        TapTargetConfiguration "tap_target_configuration",
        /// `order_status`
        OrderStatus "order_status",
        /// `ttl_minutes` of a voice-call button
        TtlMinutes "ttl_minutes",
    }
}
