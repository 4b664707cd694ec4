//! Which value of each setting wins: flag, then environment, then file, then default.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::file;
use super::meta::{self, AppGiven};
use super::problem::Problems;
use super::settings::{SETTINGS, find, nearest};
use super::{DEFAULT_DATA, FILE_NAME};
use crate::cli::SettingArgs;

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// As text; lists with commas.
    pub(crate) text: String,
    /// Where from.
    pub(crate) source: Source,
}

/// Where a value comes from. The later ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Nothing gave another.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// A variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl Source {
    /// The place, as problems and `config print` show it.
    pub(crate) fn place(&self) -> String {
        match self {
            Source::Default => "default".to_owned(),
            Source::File(path, line) => file::place(path, *line),
            Source::Environment(name) => name.clone(),
            Source::Flag(flag) => flag.clone(),
        }
    }

    /// How strong it is: equal for two values of the same sort of source.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Source::Default => 0,
            Source::File(..) => 1,
            Source::Environment(_) => 2,
            Source::Flag(_) => 3,
        }
    }
}

/// The winners, and what was wrong on the way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    values: BTreeMap<&'static str, Given>,
    /// Our apps at Meta.
    pub(crate) apps: Vec<AppGiven>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// Problems of the sources themselves.
    pub(crate) problems: Problems,
}

impl Overlay {
    /// Reads all sources.
    pub(crate) fn gather(data: Option<&Path>, flags: &SettingArgs, environment: &Environment) -> Overlay {
        let mut overlay = Overlay::default();
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                overlay.put(setting.key, default.to_owned(), Source::Default);
            }
        }
        overlay.read_file(data, flags, environment);
        overlay.read_environment(environment);
        overlay.read_flags(data, flags);
        overlay
    }

    /// The winning value; `None` where there is neither one nor a default, or it is empty.
    pub(crate) fn get(&self, key: &str) -> Option<&Given> {
        self.values.get(key).filter(|given| !given.text.is_empty())
    }

    /// An empty text gives the default back, as a variable that is set to nothing does.
    fn put(&mut self, key: &'static str, text: String, source: Source) {
        let default = || find(key).and_then(|setting| setting.default).unwrap_or_default().to_owned();
        let text = if text.is_empty() { default() } else { text };
        self.values.insert(key, Given { text, source });
    }

    fn read_file(&mut self, data: Option<&Path>, flags: &SettingArgs, environment: &Environment) {
        let named = flags.config.clone().or_else(|| environment.get("TURNPIKE_CONFIG").map(PathBuf::from));
        let folder = data.map(Path::to_owned).or_else(|| environment.get("TURNPIKE_DATA").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| folder.unwrap_or_else(|| DEFAULT_DATA.into()).join(FILE_NAME));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if named.is_none() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return,
            Err(error) => {
                return self.problems.refused("", format!("the configuration file {} cannot be read: {error}", path.display()));
            }
        };
        let contents = file::parse(&text, &path, &mut self.problems);
        for (key, entry) in contents.entries {
            if key == "data" && named.is_none() {
                self.problems.refused(
                    file::place(&path, entry.line),
                    "`data` cannot stand in the file that was found in the data folder; name the folder with --data or TURNPIKE_DATA",
                );
                continue;
            }
            self.put(key, entry.text, Source::File(path.clone(), entry.line));
        }
        self.apps = contents.apps.into_iter().map(|app| AppGiven::of_file(app, &path)).collect();
        self.file = Some(path);
    }

    fn read_environment(&mut self, environment: &Environment) {
        for setting in SETTINGS {
            let name = setting.variable();
            if let Some(value) = environment.get(&name) {
                self.put(setting.key, value.to_owned(), Source::Environment(name));
            }
        }
        if let Some(app) = AppGiven::of_environment(environment) {
            self.apps = vec![app];
        }
        for name in environment.unreadable().iter().filter(|name| name.starts_with(super::environment::PREFIX)) {
            self.problems.refused(name, "its value is not UTF-8");
        }
        let known: Vec<String> = SETTINGS.iter().map(super::settings::Setting::variable).chain(meta::variables()).collect();
        for name in environment.ours() {
            if known.iter().any(|known| known == name) || OTHER_VARIABLES.contains(&name) || is_of_kubernetes(name) {
                continue;
            }
            let hint = nearest(name, known.iter().map(String::as_str))
                .map_or(String::new(), |near| format!("; the nearest that there is: {near}"));
            self.problems.warning(name, format!("there is no such setting, so the variable does nothing{hint}"));
        }
    }

    fn read_flags(&mut self, data: Option<&Path>, flags: &SettingArgs) {
        if let Some(data) = data {
            self.put("data", data.display().to_string(), Source::Flag("--data".to_owned()));
        }
        for (key, value, flag) in flags.given() {
            self.put(key, value, Source::Flag(flag.to_owned()));
        }
        for assignment in &flags.set {
            let (key, value) = assignment.split_once('=').unwrap_or((assignment, ""));
            match find(key.trim()) {
                _ if !assignment.contains('=') => {
                    self.problems.refused(format!("--set {assignment}"), "write KEY=VALUE, such as --set graph.answer_wait=15s");
                }
                Some(setting) => self.put(setting.key, value.trim().to_owned(), Source::Flag(format!("--set {}", setting.key))),
                None => {
                    let hint = nearest(key, SETTINGS.iter().map(|setting| setting.key));
                    let hint = hint.map_or(String::new(), |near| format!("; the nearest that there is: `{near}`"));
                    self.problems.refused(format!("--set {key}"), format!("there is no such setting{hint}"));
                }
            }
        }
    }
}

/// Variables that are read elsewhere: the file's name, and what `send` uses.
const OTHER_VARIABLES: [&str; 3] = ["TURNPIKE_CONFIG", "TURNPIKE_API_KEY", "TURNPIKE_API_KEY_FILE"];

/// Kubernetes puts `TURNPIKE_SERVICE_HOST` and `TURNPIKE_PORT_8080_TCP` into every container beside a
/// service of our name.
fn is_of_kubernetes(name: &str) -> bool {
    name.starts_with("TURNPIKE_SERVICE_") || name == "TURNPIKE_PORT" || name.starts_with("TURNPIKE_PORT_")
}
