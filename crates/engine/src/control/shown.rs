//! Secrets that may be seen a second time: those of a demo's endpoints.
//!
//! Secrets are shown once (contract §5). A demo is the exception, as it is for its API keys: it is
//! started again and again on the same folder, by scripts that set their endpoint each time and must
//! verify what comes.

use crate::Engine;
use crate::directory::App;
use crate::secret::Secret;
use crate::vault::Purpose;

/// What an endpoint signs with and what it is called by.
#[derive(Debug)]
pub struct EndpointSecrets {
    /// The signing secret, `whsec_…`.
    pub secret: Secret,
    /// The bearer.
    pub bearer: Secret,
}

impl Engine {
    /// The secrets of the endpoint of that name, where this gateway shows them again; `None` elsewhere,
    /// and where there is no such endpoint or they do not open.
    #[must_use]
    pub fn secrets_shown_again(&self, app: &App, name: &str) -> Option<EndpointSecrets> {
        if !self.settings.shows_secrets_again {
            return None;
        }
        let known = self.endpoint_named(app, name).ok()?;
        let row = &known.row;
        let open = |sealed: &[u8]| {
            let opened = self.vault.open(Purpose::Endpoint, row.organization, row.id.as_bytes(), sealed).ok()?;
            String::from_utf8(opened).ok().map(Secret::new)
        };
        Some(EndpointSecrets { secret: open(&row.secret_sealed)?, bearer: open(&row.bearer_sealed)? })
    }
}
