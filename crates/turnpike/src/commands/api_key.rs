//! The API key of a command that speaks as a customer: where it is found.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::Value;
use turnpike_domain::api_key::{ApiKeyText, KeyKind, Presented};
use turnpike_engine::secret::Secret;

use super::context::Context;
use super::demo;
use crate::client::Gateway;
use crate::failure::Failure;

/// An API key, given in one of the ways.
#[derive(Debug, ClapArgs)]
pub(crate) struct KeyArgs {
    /// API key (it is seen in the list of processes; better --key-file or TURNPIKE_API_KEY)
    #[arg(long, value_name = "KEY", conflicts_with = "key_file")]
    key: Option<String>,
    /// File with the API key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Use a sandbox key: nothing reaches WhatsApp
    #[arg(long)]
    pub(crate) sandbox: bool,
}

impl KeyArgs {
    /// The key: from the flag, a file, the environment, or the folder of a demo, in this order.
    pub(crate) fn find(&self, context: &Context, gateway: &Gateway) -> Result<Secret, Failure> {
        let environment = &context.environment;
        let file =
            self.key_file.clone().or_else(|| environment.get("TURNPIKE_API_KEY_FILE").map(PathBuf::from).filter(|_| self.key.is_none()));
        let given = match (&self.key, file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(path)) => Some(
                std::fs::read_to_string(&path)
                    .map_err(|problem| Failure::Usage(format!("the API key's file {} cannot be read: {problem}", path.display())))?,
            ),
            (None, None) => environment.get("TURNPIKE_API_KEY").map(str::to_owned).or_else(|| demo_key(gateway, self.sandbox)),
        };
        let Some(key) = given else {
            return Err(Failure::Usage(
                "this needs an API key: give --key-file FILE or TURNPIKE_API_KEY. Make one with: turnpike key create".to_owned(),
            ));
        };
        let key = key.trim().to_owned();
        match ApiKeyText::parse(&key).map(Presented::kind) {
            None => {
                return Err(Failure::Usage("this is no API key, or not copied whole: a key is pk_ or sk_ and 32 characters".to_owned()));
            }
            Some(KeyKind::Live) if self.sandbox => {
                return Err(Failure::Usage(
                    "--sandbox needs a sandbox key, which begins with sk_; this one would send for real".to_owned(),
                ));
            }
            Some(_) => {}
        }
        Ok(Secret::new(key))
    }
}

/// The key that `turnpike demo` left in its folder.
fn demo_key(gateway: &Gateway, sandbox: bool) -> Option<String> {
    let kept: Value = serde_json::from_slice(&std::fs::read(gateway.folder()?.join(demo::KEYS_FILE)).ok()?).ok()?;
    kept[if sandbox { "sandboxKey" } else { "liveKey" }].as_str().map(str::to_owned)
}
