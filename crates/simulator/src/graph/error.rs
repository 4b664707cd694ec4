//! Meta's error object.

use serde_json::{Value, json};

use super::codes;

/// A "no" in Meta's shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GraphError {
    pub(crate) status: u16,
    kind: &'static str,
    pub(crate) code: u32,
    subcode: Option<u32>,
    message: String,
    pub(crate) details: Option<String>,
    transient: Option<bool>,
    user: Option<(&'static str, String)>,
}

impl GraphError {
    /// One of WhatsApp's codes with its title, and what exactly is wrong.
    pub(crate) fn new(code: u32, details: impl Into<String>) -> GraphError {
        GraphError { details: Some(details.into()), ..GraphError::bare(code) }
    }

    /// One of Meta's codes with the details that it usually comes with.
    pub(crate) fn usual(code: u32) -> GraphError {
        let details = codes::find(code).map(|row| row.details.to_owned());
        GraphError { details, ..GraphError::bare(code) }
    }

    /// Code 100 in the form that names the parameter in the message.
    pub(crate) fn parameter(message: impl AsRef<str>) -> GraphError {
        GraphError { message: format!("(#100) {}", message.as_ref()), ..GraphError::bare(100) }
    }

    /// A Graph error with its own sentence, as the platform below WhatsApp gives it.
    pub(crate) fn platform(status: u16, kind: &'static str, code: u32, subcode: Option<u32>, message: String) -> GraphError {
        GraphError { status, kind, subcode, message, ..GraphError::bare(code) }
    }

    pub(crate) fn with_status(self, status: u16) -> GraphError {
        GraphError { status, ..self }
    }

    pub(crate) fn with_subcode(self, subcode: u32) -> GraphError {
        GraphError { subcode: Some(subcode), ..self }
    }

    /// With the title and sentence that Meta means for people.
    pub(crate) fn for_people(self, title: &'static str, sentence: impl Into<String>) -> GraphError {
        GraphError { user: Some((title, sentence.into())), transient: Some(false), ..self }
    }

    fn bare(code: u32) -> GraphError {
        let row = codes::find(code);
        GraphError {
            status: row.map_or(400, |row| row.status),
            kind: "OAuthException",
            code,
            subcode: None,
            message: match row {
                Some(row) => format!("(#{code}) {}", row.title),
                None => format!("(#{code}) Unknown error"),
            },
            details: None,
            // Meta says so of its own outages only.
            transient: matches!(code, 1 | 2).then_some(code == 2),
            user: None,
        }
    }

    /// The body; `trace` is `fbtrace_id`.
    pub(crate) fn body(&self, trace: &str) -> Value {
        let mut error = json!({
            "message": self.message,
            "type": self.kind,
            "code": self.code,
            "fbtrace_id": trace,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = subcode.into();
        }
        if let Some(transient) = self.transient {
            error["is_transient"] = transient.into();
        }
        if let Some((title, sentence)) = &self.user {
            error["error_user_title"] = (*title).into();
            error["error_user_msg"] = sentence.as_str().into();
        }
        if let Some(details) = &self.details {
            error["error_data"] = json!({"messaging_product": "whatsapp", "details": details});
        }
        json!({"error": error})
    }
}
