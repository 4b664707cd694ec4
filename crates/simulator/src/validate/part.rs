//! A part of a message, with its path, so that every "no" names its place the
//! way Meta does: `interactive['action']['buttons'][0]['reply']['title']`.

use serde_json::{Map, Value};

use crate::graph::error::GraphError;

/// Which codes Meta uses for this part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// 100, and the parameter named in the message.
    Graph,
    /// 131008 for what is missing, 131009 for what is wrong, named in the details.
    WhatsApp,
}

/// One JSON object of a message.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    pub(super) members: &'a Map<String, Value>,
    pub(super) path: String,
    family: Family,
}

impl<'a> Part<'a> {
    /// The message itself.
    pub(super) fn whole(message: &'a Map<String, Value>, family: Family) -> Part<'a> {
        Part { members: message, path: String::new(), family }
    }

    /// The part of a message that its type names.
    pub(super) fn of_message(message: &'a Map<String, Value>, name: &str, family: Family) -> Result<Part<'a>, GraphError> {
        Part::whole(message, family).object(name)
    }

    /// A member's path.
    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}['{name}']", self.path) }
    }

    /// Whether a member is there; null is not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// "The parameter … is required."
    pub(super) fn missing(&self, name: &str) -> GraphError {
        let at = self.at(name);
        match self.family {
            Family::Graph => GraphError::parameter(format!("The parameter {at} is required.")),
            Family::WhatsApp => GraphError::new(131_008, format!("The parameter {at} is required.")),
        }
    }

    /// "Param … {problem}"
    pub(super) fn wrong(&self, name: &str, problem: &str) -> GraphError {
        self.wrong_at(&self.at(name), problem)
    }

    pub(super) fn wrong_at(&self, at: &str, problem: &str) -> GraphError {
        match self.family {
            Family::Graph => GraphError::parameter(format!("Param {at} {problem}")),
            Family::WhatsApp => GraphError::new(131_009, format!("Param {at} {problem}")),
        }
    }

    /// A string of 1 to `longest` characters.
    pub(super) fn text(&self, name: &str, longest: usize) -> Result<&'a str, GraphError> {
        self.optional_text(name, longest)?.filter(|text| !text.is_empty()).ok_or_else(|| self.missing(name))
    }

    /// A string of at most `longest` characters, where there is one.
    pub(super) fn optional_text(&self, name: &str, longest: usize) -> Result<Option<&'a str>, GraphError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= longest => Ok(Some(text)),
            Some(Value::String(_)) => Err(self.wrong(name, &format!("must be at most {longest} characters long."))),
            Some(_) => Err(self.wrong(name, "must be a string.")),
        }
    }

    /// One of these words, whatever its case.
    pub(super) fn word(&self, name: &str, known: &[&'static str]) -> Result<&'static str, GraphError> {
        let text = self.text(name, 256)?;
        known.iter().copied().find(|known| known.eq_ignore_ascii_case(text)).ok_or_else(|| {
            let known = known.join(", ").to_ascii_uppercase();
            self.wrong(name, &format!("must be one of {{{known}}} - got \"{text}\"."))
        })
    }

    pub(super) fn optional_bool(&self, name: &str) -> Result<(), GraphError> {
        match self.get(name) {
            None | Some(Value::Bool(_)) => Ok(()),
            // Form-minded clients write them as strings, and Meta reads them so.
            Some(Value::String(text)) if matches!(text.as_str(), "true" | "false") => Ok(()),
            Some(_) => Err(self.wrong(name, "must be a boolean.")),
        }
    }

    pub(super) fn object(&self, name: &str) -> Result<Part<'a>, GraphError> {
        self.optional_object(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn optional_object(&self, name: &str) -> Result<Option<Part<'a>>, GraphError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Part { members, path: self.at(name), family: self.family })),
            Some(_) => Err(self.wrong(name, "must be a JSON object.")),
        }
    }

    /// An array of `least` to `most` objects.
    pub(super) fn objects(&self, name: &str, least: usize, most: usize) -> Result<Vec<Part<'a>>, GraphError> {
        let Some(value) = self.get(name) else {
            return if least == 0 { Ok(Vec::new()) } else { Err(self.missing(name)) };
        };
        let Some(items) = value.as_array() else {
            return Err(self.wrong(name, "must be an array."));
        };
        if items.len() < least || items.len() > most {
            return Err(self.wrong(name, &format!("must have {least} to {most} elements, it has {}.", items.len())));
        }
        let path = self.at(name);
        items
            .iter()
            .enumerate()
            .map(|(n, item)| match item {
                Value::Object(members) => Ok(Part { members, path: format!("{path}[{n}]"), family: self.family }),
                _ => Err(self.wrong_at(&format!("{path}[{n}]"), "must be a JSON object.")),
            })
            .collect()
    }

    /// A number, or a string that is one.
    pub(super) fn number(&self, name: &str) -> Result<f64, GraphError> {
        let value = self.get(name).ok_or_else(|| self.missing(name))?;
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| self.wrong(name, "must be a number."))
    }

    /// `http://…` or `https://…` with a host.
    pub(super) fn check_link(&self, name: &str) -> Result<(), GraphError> {
        let link = self.text(name, 2_048)?;
        let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://")).unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || link.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(self.wrong(name, "is not a valid URI."));
        }
        Ok(())
    }

    /// A media object: an uploaded id or a link, and what may stand beside it.
    pub(super) fn check_media(&self) -> Result<(), GraphError> {
        match (self.get("id"), self.has("link")) {
            (None, false) => Err(self.wrong_at(&self.path, "must have a link or an id.")),
            (Some(Value::String(id)), _) if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) => {
                Err(self.wrong("id", "is not a valid media id."))
            }
            (Some(Value::String(_)), _) => Ok(()),
            (Some(Value::Number(id)), _) if id.is_u64() => Ok(()),
            (Some(_), _) => Err(self.wrong("id", "must be a string.")),
            (None, true) => self.check_link("link"),
        }
    }
}
