//! How an application reaches Meta: whose number, which token, which host and version.
//!
//! Everything that a send needs is made once, here: the paths, the header, the proof. The proof is
//! the hex HMAC-SHA256 of the token under the app secret; with "require app secret" switched on at
//! Meta, a stolen token alone is worth nothing (reliability §b, 13).

use std::fmt;
use std::sync::Arc;

use ring::hmac;

use crate::transport::{Authorization, PathAndQuery, Target};

/// One number's way to Meta. Shows no secret.
#[derive(Clone)]
pub struct Link {
    target: Arc<Target>,
    version: Arc<str>,
    phone_number_id: Arc<str>,
    authorization: Authorization,
    proof: Option<Arc<str>>,
    messages: PathAndQuery,
    marketing_messages: PathAndQuery,
}

/// Why a link cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The Graph version is not of the form `v23.0`.
    #[error("the Graph version must look like v23.0")]
    Version,
    /// An id holds what no id of Meta's holds, and would change the path.
    #[error("the id may hold letters, digits, - and _ only, and at most 64 of them")]
    Id,
    /// The token holds what a header cannot.
    #[error("the access token holds characters that no header can carry, or is empty")]
    Token,
}

impl Link {
    /// Makes the link. `app_secret` is given where one is configured for the app whose token this
    /// is; every request then bears the proof.
    ///
    /// # Errors
    /// [`LinkError`] names what cannot be used.
    pub fn new(
        target: Arc<Target>,
        version: &str,
        phone_number_id: &str,
        token: &str,
        app_secret: Option<&str>,
    ) -> Result<Link, LinkError> {
        if !is_version(version) {
            return Err(LinkError::Version);
        }
        if !is_id(phone_number_id) {
            return Err(LinkError::Id);
        }
        if token.is_empty() {
            return Err(LinkError::Token);
        }
        let authorization = Authorization::bearer(token).ok_or(LinkError::Token)?;
        let proof: Option<Arc<str>> = app_secret.map(|secret| appsecret_proof(secret, token).into());
        let path = |endpoint: &str| {
            let query = proof.as_deref().map(|proof| format!("?appsecret_proof={proof}")).unwrap_or_default();
            PathAndQuery::parse(&format!("{}/{version}/{phone_number_id}/{endpoint}{query}", target.prefix())).ok_or(LinkError::Id)
        };
        let (messages, marketing_messages) = (path("messages")?, path("marketing_messages")?);
        Ok(Link {
            target,
            version: version.into(),
            phone_number_id: phone_number_id.into(),
            authorization,
            proof,
            messages,
            marketing_messages,
        })
    }

    /// Whom its requests go to.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Meta's id of the sending number.
    #[must_use]
    pub fn phone_number_id(&self) -> &str {
        &self.phone_number_id
    }

    /// The Graph version, `v23.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    pub(super) fn messages(&self) -> &PathAndQuery {
        &self.messages
    }

    pub(super) fn marketing_messages(&self) -> &PathAndQuery {
        &self.marketing_messages
    }

    /// `/{version}/{id}{edge}?{query}` with the proof. `edge` is empty or begins with `/`; `query`
    /// is encoded already.
    pub(super) fn path_of(&self, id: &str, edge: &str, query: &str) -> Result<PathAndQuery, LinkError> {
        if !is_id(id) {
            return Err(LinkError::Id);
        }
        let proof = self.proof.as_deref().map(|proof| format!("&appsecret_proof={proof}")).unwrap_or_default();
        PathAndQuery::parse(&format!("{}/{}/{id}{edge}?{query}{proof}", self.target.prefix(), self.version)).ok_or(LinkError::Id)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("target", &format_args!("{}", self.target))
            .field("version", &self.version)
            .field("phone_number_id", &self.phone_number_id)
            .field("has_proof", &self.proof.is_some())
            .finish_non_exhaustive()
    }
}

/// The hex HMAC-SHA256 of `token` under `app_secret`, as Meta's `appsecret_proof` wants it.
fn appsecret_proof(app_secret: &str, token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    hex::encode(hmac::sign(&key, token.as_bytes()))
}

fn is_version(text: &str) -> bool {
    let Some((major, minor)) = text.strip_prefix('v').and_then(|numbers| numbers.split_once('.')) else { return false };
    [major, minor].iter().all(|number| (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Past this no id of Meta's goes, nor one of our sandbox numbers (`sandbox-<appId>`).
const ID_MAX: usize = 64;

fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Arc<Target> {
        Arc::new(Target::parse("https://graph.facebook.com").expect("Meta's own"))
    }

    #[test]
    fn the_paths_bear_version_number_and_proof() {
        let plain = Link::new(target(), "v23.0", "1065", "token", None).expect("a link");
        assert_eq!(plain.messages().wire().as_str(), "/v23.0/1065/messages");
        assert_eq!(plain.path_of("77", "/x", "limit=1").expect("a path").wire().as_str(), "/v23.0/77/x?limit=1");
        let proved = Link::new(target(), "v23.0", "1065", "token", Some("secret")).expect("a link");
        // HMAC-SHA256("secret", "token"), computed with another implementation.
        let proof = "e941110e3d2bfe82621f0e3e1434730d7305d106c5f68c87165d0b27a4611a4a";
        assert_eq!(proved.marketing_messages().wire().as_str(), format!("/v23.0/1065/marketing_messages?appsecret_proof={proof}"));
        assert_eq!(
            proved.path_of("77", "", "fields=id").expect("a path").wire().as_str(),
            format!("/v23.0/77?fields=id&appsecret_proof={proof}")
        );
    }

    #[test]
    fn a_link_shows_neither_token_nor_proof() {
        let link = Link::new(target(), "v23.0", "1065", "canary", Some("canary-secret")).expect("a link");
        let shown = format!("{link:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(!shown.contains(&appsecret_proof("canary-secret", "canary")), "{shown}");
    }

    #[test]
    fn what_would_change_the_path_or_break_the_header_is_refused() {
        for version in ["", "23.0", "v23", "v23.0/1", "v.0", "v23.0?x"] {
            assert_eq!(Link::new(target(), version, "1", "t", None).err(), Some(LinkError::Version), "{version}");
        }
        for id in ["", "1/../2", "1?x", "a b", "é", &"1".repeat(65)] {
            assert_eq!(Link::new(target(), "v23.0", id, "t", None).err(), Some(LinkError::Id), "{id}");
        }
        for token in ["", "a\nb", "a\u{0}b"] {
            assert_eq!(Link::new(target(), "v23.0", "1", token, None).err(), Some(LinkError::Token), "{token:?}");
        }
    }
}
