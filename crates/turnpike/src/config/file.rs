//! The configuration file: TOML in, settings as text with their lines out.
//!
//! Walked as a tree with places rather than deserialised into a struct, so that one run names every
//! unknown key and every wrong type, each with its line.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::settings::{APP_KEYS, Kind, SETTINGS, find, nearest};

/// A value that stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// As text; lists with commas.
    pub(crate) text: String,
    /// Its line, from 1.
    pub(crate) line: usize,
}

/// One `[[meta.app]]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppEntry {
    /// The line of its header.
    pub(crate) line: usize,
    /// Its members.
    pub(crate) entries: Vec<(&'static str, Entry)>,
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// The settings in it.
    pub(crate) entries: Vec<(&'static str, Entry)>,
    /// The apps in it.
    pub(crate) apps: Vec<AppEntry>,
}

/// Reads a file's text. `path` is for places and for relative paths.
pub(crate) fn parse(text: &str, path: &Path, problems: &mut Problems) -> Contents {
    let mut reading = Reading { text, path, contents: Contents::default(), problems };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(1, |span| reading.line(span.start));
        reading.refuse(line, format!("this is no TOML: {}", error.message().trim_end()));
    }
    reading.table(root.get_ref(), "");
    reading.contents
}

/// The place of a line, as it is shown.
pub(crate) fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

struct Reading<'a> {
    text: &'a str,
    path: &'a Path,
    contents: Contents,
    problems: &'a mut Problems,
}

impl Reading<'_> {
    fn table(&mut self, table: &DeTable<'_>, section: &str) {
        for (name, value) in table {
            let line = self.line(name.span().start);
            let key = if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            match (find(&key), value.get_ref()) {
                (Some(setting), _) => {
                    if let Some(text) = self.value(setting.key, setting.kind, value) {
                        self.contents.entries.push((setting.key, Entry { text, line }));
                    }
                }
                (None, DeValue::Array(apps)) if key == "meta.app" => apps.iter().for_each(|app| self.app(app)),
                (None, DeValue::Table(_)) if key == "meta.app" => {
                    self.refuse(line, "there may be several apps, so write [[meta.app]] with two brackets");
                }
                (None, DeValue::Table(inner)) if is_section(&key) => self.table(inner, &key),
                _ => self.unknown(line, &key, SETTINGS.iter().map(|setting| setting.key).chain(["meta.app"])),
            }
        }
    }

    fn app(&mut self, app: &Spanned<DeValue<'_>>) {
        let line = self.line(app.span().start);
        let DeValue::Table(table) = app.get_ref() else {
            return self.refuse(line, "`meta.app` is written as [[meta.app]] with its keys below");
        };
        let mut read = AppEntry { line, entries: Vec::new() };
        for (name, value) in table {
            let line = self.line(name.span().start);
            match APP_KEYS.iter().find(|(key, _)| *key == name.get_ref().as_ref()) {
                Some((key, kind)) => {
                    if let Some(text) = self.value(key, *kind, value) {
                        read.entries.push((*key, Entry { text, line }));
                    }
                }
                None => self.unknown(line, name.get_ref(), APP_KEYS.iter().map(|(key, _)| *key)),
            }
        }
        self.contents.apps.push(read);
    }

    /// The value as text, where it is of its kind.
    fn value(&mut self, key: &str, kind: Kind, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let text = match (kind, value.get_ref()) {
            (Kind::Text | Kind::Secret, DeValue::String(text)) => Some(text.to_string()),
            (Kind::Path, DeValue::String(text)) => Some(self.beside(text)),
            (Kind::Flag, DeValue::Boolean(flag)) => Some(flag.to_string()),
            (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
            (Kind::List, DeValue::Array(items)) => {
                items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<&str>>>().map(|items| items.join(","))
            }
            _ => None,
        };
        if text.is_none() {
            let line = self.line(value.span().start);
            self.refuse(line, format!("`{key}` takes {}", kind.name()));
        }
        text
    }

    /// A path as seen from the file's folder, so that it means the same wherever we are started.
    fn beside(&self, text: &str) -> String {
        let folder = self.path.parent().map_or_else(PathBuf::new, Path::to_owned);
        if text.is_empty() { String::new() } else { folder.join(text).display().to_string() }
    }

    fn unknown<'k>(&mut self, line: usize, key: &str, known: impl Iterator<Item = &'k str>) {
        let hint = nearest(key, known).map_or_else(
            || "`turnpike config print --default` lists those there are".to_owned(),
            |near| format!("the nearest that there is: `{near}`"),
        );
        self.refuse(line, format!("there is no setting `{key}`; {hint}"));
    }

    fn refuse(&mut self, line: usize, sentence: impl Into<String>) {
        self.problems.refused(place(self.path, line), sentence);
    }

    fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

fn is_section(key: &str) -> bool {
    key == "meta" || SETTINGS.iter().any(|setting| setting.key.split_once('.').is_some_and(|(section, _)| section == key))
}
