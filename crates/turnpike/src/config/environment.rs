//! The environment, read once. Nothing else in the workspace looks at it.

use std::collections::BTreeMap;

/// What all our variables begin with.
pub(crate) const PREFIX: &str = "TURNPIKE_";

/// A snapshot of the variables that concern us.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl Environment {
    /// The process' own.
    pub(crate) fn of_process() -> Environment {
        let mut environment = Environment::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            if !(name.starts_with(PREFIX) || OTHERS.contains(&name.as_str())) {
                continue;
            }
            match value.into_string() {
                Ok(value) => drop(environment.variables.insert(name, value)),
                Err(_) => environment.unreadable.push(name),
            }
        }
        environment
    }

    /// One made for a test.
    #[cfg(test)]
    pub(crate) fn of<const N: usize>(variables: [(&str, &str); N]) -> Environment {
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Environment { variables, unreadable: Vec::new() }
    }

    /// The value of a variable; an empty one counts as not set, as compose files leave them.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of our own variables, in order.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str).filter(|name| name.starts_with(PREFIX))
    }

    /// Variables of ours that are no UTF-8.
    pub(crate) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Who acts, for the log of writes: the system's user name.
    pub(crate) fn user(&self) -> &str {
        self.get("USER").or_else(|| self.get("LOGNAME")).unwrap_or("operator")
    }
}

/// Not ours, and of use: who acts, and how to paint.
const OTHERS: [&str; 4] = ["USER", "LOGNAME", "NO_COLOR", "TERM"];
