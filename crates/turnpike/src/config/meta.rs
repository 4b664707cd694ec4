//! Our apps at Meta: `[[meta.app]]` in the file, or one app in the environment.

use std::path::{Path, PathBuf};

use turnpike_engine::secret::Secret;
use turnpike_engine::settings::MetaApp;

use super::environment::{Environment, PREFIX};
use super::file::AppEntry;
use super::overlay::{Given, Source};
use super::problem::Problems;
use super::secrets;
use super::settings::APP_KEYS;

/// An app as it was given, before its secrets are read.
#[derive(Clone, Debug)]
pub(crate) struct AppGiven {
    /// Where it begins.
    pub(crate) place: String,
    /// Its members.
    pub(crate) values: Vec<(&'static str, Given)>,
}

impl AppGiven {
    /// One `[[meta.app]]`.
    pub(crate) fn of_file(entry: AppEntry, path: &Path) -> AppGiven {
        let given = |entry: super::file::Entry| Given { text: entry.text, source: Source::File(path.to_owned(), entry.line) };
        AppGiven {
            place: super::file::place(path, entry.line),
            values: entry.entries.into_iter().map(|(key, entry)| (key, given(entry))).collect(),
        }
    }

    /// `TURNPIKE_META_APP_ID` and its siblings. They replace the file's apps: two halves of two apps
    /// would make one that works for neither.
    pub(crate) fn of_environment(environment: &Environment) -> Option<AppGiven> {
        let values: Vec<_> = APP_KEYS
            .iter()
            .filter_map(|(key, _)| {
                let name = variable(key);
                let text = environment.get(&name)?.to_owned();
                Some((*key, Given { text, source: Source::Environment(name) }))
            })
            .collect();
        (!values.is_empty()).then(|| AppGiven { place: variable("id"), values })
    }

    /// The value of a member.
    pub(crate) fn get(&self, key: &str) -> Option<&Given> {
        self.values.iter().find(|(name, given)| *name == key && !given.text.is_empty()).map(|(_, given)| given)
    }

    /// The app with its secrets read, or what is wrong with it.
    pub(crate) fn resolve(&self, problems: &mut Problems) -> Option<MetaApp> {
        let id = self.get("id").map(|given| given.text.clone()).unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            problems.refused(&self.place, "a Meta app needs `id`: the digits that Meta shows as App ID");
            return None;
        }
        let secrets = self.secrets(problems)?;
        let Some(verify_token) = self.verify_token(problems)? else {
            problems.refused(
                &self.place,
                "a Meta app needs `verify_token` or `verify_token_file`: the words that you enter at Meta for the webhook",
            );
            return None;
        };
        let customer = self.is_customers(problems)?;
        Some(MetaApp { id, secrets, verify_token, customer })
    }

    fn is_customers(&self, problems: &mut Problems) -> Option<bool> {
        let Some(given) = self.get("customer") else { return Some(false) };
        let flag = given.text.parse().ok();
        if flag.is_none() {
            problems.refused(given.source.place(), format!("`customer` must be true or false, and is `{}`", given.text));
        }
        flag
    }

    /// The app's secrets, the newest first.
    fn secrets(&self, problems: &mut Problems) -> Option<Vec<Secret>> {
        let given: Vec<&Given> = ["secret", "secrets", "secret_file"].iter().filter_map(|key| self.get(key)).collect();
        let [one] = given.as_slice() else {
            problems.refused(
                &self.place,
                "a Meta app needs one of `secret`, `secrets` (during rotation, the newest first) and `secret_file` (one a line)",
            );
            return None;
        };
        let texts = match self.get("secret_file") {
            Some(file) => secrets::read_lines(&PathBuf::from(&file.text), &file.source.place(), problems)?,
            None => one.text.split(',').map(|text| Secret::new(text.trim().to_owned())).collect(),
        };
        if let Some(odd) =
            texts.iter().position(|secret| secret.expose().len() != 32 || !secret.expose().bytes().all(|b| b.is_ascii_hexdigit()))
        {
            let which = if texts.len() == 1 { "it".to_owned() } else { format!("secret number {}", odd + 1) };
            problems.warning(
                one.source.place(),
                format!("an app secret at Meta is 32 hexadecimal digits, and {which} is not; see that it was copied whole"),
            );
        }
        Some(texts)
    }

    #[expect(clippy::option_option, reason = "a secret that cannot be read is told apart from one that is not given")]
    fn verify_token(&self, problems: &mut Problems) -> Option<Option<Secret>> {
        match (self.get("verify_token"), self.get("verify_token_file")) {
            (Some(_), Some(_)) => {
                problems.refused(&self.place, "give `verify_token` or `verify_token_file`, not both");
                None
            }
            (Some(text), None) => Some(Some(Secret::new(text.text.clone()))),
            (None, Some(file)) => secrets::read(&PathBuf::from(&file.text), &file.source.place(), problems).map(Some),
            (None, None) => Some(None),
        }
    }
}

/// The variables that give one app.
pub(crate) fn variables() -> impl Iterator<Item = String> {
    APP_KEYS.iter().map(|(key, _)| variable(key))
}

fn variable(key: &str) -> String {
    format!("{PREFIX}META_APP_{}", key.to_uppercase())
}
