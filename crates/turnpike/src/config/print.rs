//! `config print`: every setting with its value and where it comes from; secrets only as `[set]`.

use serde_json::{Value, json};

use super::overlay::{Given, Overlay};
use super::settings::{APP_KEYS, Kind, SETTINGS};

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The key.
    pub(crate) key: String,
    /// The value; `[set]` for a secret, empty where there is none.
    pub(crate) value: String,
    /// Where from.
    pub(crate) source: String,
}

/// Every setting, in the order of the default file, then the apps.
pub(crate) fn lines(overlay: &Overlay) -> Vec<Line> {
    let settings = SETTINGS.iter().map(|setting| line(setting.key.to_owned(), setting.kind, overlay.get(setting.key)));
    let apps = overlay.apps.iter().enumerate().flat_map(|(at, app)| {
        APP_KEYS.iter().filter_map(move |(key, kind)| {
            // A list among an app's members holds secrets.
            let kind = if *kind == Kind::List { Kind::Secret } else { *kind };
            app.get(key).map(|given| line(format!("meta.app[{at}].{key}"), kind, Some(given)))
        })
    });
    settings.chain(apps).collect()
}

/// The same as JSON: `{key, value, source}` each; a value that is not set is null.
pub(crate) fn json(overlay: &Overlay) -> Value {
    let object = |line: Line| json!({"key": line.key, "value": (!line.source.is_empty()).then_some(line.value), "source": line.source});
    Value::Array(lines(overlay).into_iter().map(object).collect())
}

fn line(key: String, kind: Kind, given: Option<&Given>) -> Line {
    match given {
        None => Line { key, value: String::new(), source: String::new() },
        Some(given) => {
            let value = if kind == Kind::Secret { "[set]".to_owned() } else { given.text.clone() };
            Line { key, value, source: given.source.place() }
        }
    }
}
