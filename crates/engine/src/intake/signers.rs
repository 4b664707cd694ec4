//! Who signed a webhook, and for whom that counts (contract §8).
//!
//! Every app's every secret is tried, since during a rotation Meta may sign with either. An
//! operator's app speaks for every application but those that a customer connected through an app
//! of its own; that app speaks for these alone, and never about money that Meta bills the operator.
//! The built-in simulator speaks for sandbox ids and nothing else.

use std::sync::Arc;

use hashbrown::HashSet;
use subtle::ConstantTimeEq as _;
use turnpike_domain::webhook::{HubSecrets, NotSigned};
use turnpike_store::applications::Application;

use crate::secret::Secret;
use crate::settings::Settings;

/// How the built-in simulator is named among the apps.
const SIMULATOR: &str = "sandbox";

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    app_id: Arc<str>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// An app of the operator's; the ids of all apps that are not.
    Operator { of_customers: Arc<HashSet<String>> },
    /// A customer's own app.
    Customer,
    /// The built-in simulator.
    Simulator,
}

impl Signer {
    /// Meta's id of the app, or `sandbox`.
    #[must_use]
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Whether it is the built-in simulator, which knows `sandbox-…` ids alone.
    #[must_use]
    pub fn is_simulator(&self) -> bool {
        self.kind == Kind::Simulator
    }

    /// Whether its word counts for an application.
    #[must_use]
    pub fn speaks_for(&self, application: &Application) -> bool {
        match &self.kind {
            Kind::Operator { of_customers } => !application.meta_app_id.as_ref().is_some_and(|id| of_customers.contains(id)),
            Kind::Customer => application.meta_app_id.as_deref() == Some(self.app_id()),
            Kind::Simulator => true,
        }
    }

    /// Whether its prices settle what Meta bills the operator.
    #[must_use]
    pub fn moves_operator_fee(&self) -> bool {
        self.kind != Kind::Customer
    }
}

/// Every app's secrets, made ready once.
pub(super) struct Signers {
    secrets: HubSecrets,
    /// Whose secret each of them is.
    owners: Vec<Signer>,
    verify_tokens: Vec<Secret>,
}

impl Signers {
    pub(super) fn new(settings: &Settings) -> Signers {
        let of_customers: Arc<HashSet<String>> =
            Arc::new(settings.meta_apps.iter().filter(|app| app.customer).map(|app| app.id.clone()).collect());
        let mut secrets: Vec<Secret> = Vec::new();
        let mut owners = Vec::new();
        for app in &settings.meta_apps {
            let kind = if app.customer { Kind::Customer } else { Kind::Operator { of_customers: Arc::clone(&of_customers) } };
            let signer = Signer { app_id: app.id.as_str().into(), kind };
            // Everybody can sign with an empty secret.
            for secret in app.secrets.iter().filter(|secret| !secret.expose().is_empty()) {
                secrets.push(secret.clone());
                owners.push(signer.clone());
            }
        }
        if let Some(sandbox) = settings.sandbox.as_ref().filter(|sandbox| !sandbox.secret.expose().is_empty()) {
            secrets.push(sandbox.secret.clone());
            owners.push(Signer { app_id: SIMULATOR.into(), kind: Kind::Simulator });
        }
        Signers {
            secrets: HubSecrets::new(secrets.iter().map(Secret::expose)),
            owners,
            // The built-in simulator is told no other words than its secret: both live in this process.
            verify_tokens: settings
                .meta_apps
                .iter()
                .map(|app| &app.verify_token)
                .chain(settings.sandbox.as_ref().map(|sandbox| &sandbox.secret))
                .cloned()
                .collect(),
        }
    }

    /// Who signed `body`.
    pub(super) fn verify<'h>(&self, headers: impl IntoIterator<Item = &'h [u8]>, body: &[u8]) -> Result<Signer, NotSigned> {
        let which = self.secrets.verify(headers, body)?;
        self.owners.get(which).cloned().ok_or(NotSigned::Wrong)
    }

    /// Who signed what is in quarantine. An app that is configured no longer is taken for a
    /// customer's: it may speak for those alone that named it.
    pub(super) fn of_quarantine(&self, app_id: Option<&str>) -> Signer {
        let app_id = app_id.unwrap_or_default();
        let known = self.owners.iter().find(|signer| signer.app_id() == app_id);
        known.cloned().unwrap_or_else(|| Signer { app_id: app_id.into(), kind: Kind::Customer })
    }

    /// Whether an app of this id is configured.
    pub(super) fn knows(&self, app_id: Option<&str>) -> bool {
        app_id.is_some_and(|app_id| self.owners.iter().any(|signer| signer.app_id() == app_id))
    }

    /// Whether a handshake gives the words of any app. Every app is compared, and each in constant
    /// time, so that the answer's time tells nothing.
    pub(super) fn knows_verify_token(&self, given: &[u8]) -> bool {
        let known = self.verify_tokens.iter().filter(|token| !token.expose().is_empty());
        known.fold(false, |known, token| known | bool::from(token.expose().as_bytes().ct_eq(given)))
    }
}

#[cfg(test)]
mod tests {
    use turnpike_domain::webhook::hub_signature;

    use super::*;
    use crate::settings::{MetaApp, SandboxUpstream};

    fn app(id: &str, secrets: &[&str], customer: bool) -> MetaApp {
        MetaApp {
            id: id.to_owned(),
            secrets: secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect(),
            verify_token: Secret::new(format!("words of {id}")),
            customer,
        }
    }

    fn signers() -> Signers {
        Signers::new(&Settings {
            meta_apps: vec![app("1", &["new", "old", ""], false), app("2", &["theirs"], true)],
            sandbox: Some(SandboxUpstream { url: "http://127.0.0.1:9".to_owned(), secret: Secret::new("sbx".to_owned()) }),
            ..Settings::default()
        })
    }

    fn who(secret: &str) -> Option<String> {
        let signature = hub_signature(secret.as_bytes(), b"{}");
        signers().verify([signature.as_bytes()], b"{}").ok().map(|signer| signer.app_id().to_owned())
    }

    #[test]
    fn any_secret_of_any_app_signs_and_an_empty_one_never() {
        assert_eq!(
            ["new", "old", "theirs", "sbx", "", "else"].map(who),
            [Some("1".to_owned()), Some("1".to_owned()), Some("2".to_owned()), Some("sandbox".to_owned()), None, None]
        );
    }

    #[test]
    fn the_words_of_any_app_are_known_and_no_others() {
        let known = ["words of 1", "words of 2", "words of 3", "words of", ""].map(|words| signers().knows_verify_token(words.as_bytes()));
        assert_eq!(known, [true, true, false, false, false]);
    }

    #[test]
    fn a_customers_app_never_settles_what_the_operator_is_billed() {
        let signers = signers();
        let settles = ["1", "2", "sandbox", "3"].map(|app| signers.of_quarantine(Some(app)).moves_operator_fee());
        assert_eq!(settles, [true, false, true, false], "an app that nobody knows any more is taken for a customer's");
    }
}
