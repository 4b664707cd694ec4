//! Who calls: access tokens, their magic, and `appsecret_proof`.

use ring::hmac;

use super::error::GraphError;
use super::request::GraphRequest;
use crate::config::Tokens;

/// What number and WABA ids of the sandbox begin with.
pub(crate) const SANDBOX_PREFIX: &str = "sandbox-";

/// What decides whether a caller may call.
pub(crate) struct Door {
    tokens: Tokens,
    app_secret: Option<hmac::Key>,
    sandbox_secret: Option<String>,
}

impl Door {
    pub(crate) fn new(tokens: Tokens, app_secret: Option<&str>, sandbox_secret: Option<String>) -> Door {
        let app_secret = app_secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        Door { tokens, app_secret, sandbox_secret }
    }

    /// Lets the request through to the object (a number for its files), or says
    /// Meta's no.
    pub(crate) fn check(&self, request: &GraphRequest<'_>, object_id: &str) -> Result<(), GraphError> {
        let Some(token) = request.token() else {
            return Err(missing_token(request.head.method == "GET"));
        };
        let sandbox_object = object_id.starts_with(SANDBOX_PREFIX);
        let sandbox_token = self.sandbox_secret.as_deref() == Some(token);
        if sandbox_object || sandbox_token {
            return if sandbox_object && sandbox_token { Ok(()) } else { Err(invalid_token()) };
        }
        if token.starts_with("EAAEXPIRED") {
            return Err(expired_token());
        }
        let known = match &self.tokens {
            Tokens::Any => !token.starts_with("EAAINVALID"),
            Tokens::Only(good) => good.iter().any(|good| good == token),
        };
        if !known {
            return Err(invalid_token());
        }
        if token.starts_with("EAANOPERM") {
            return Err(GraphError::platform(
                403,
                "OAuthException",
                10,
                None,
                "(#10) Application does not have permission for this action".to_owned(),
            ));
        }
        self.check_proof(token, request.parameter("appsecret_proof").as_deref())
    }

    fn check_proof(&self, token: &str, proof: Option<&str>) -> Result<(), GraphError> {
        let Some(secret) = &self.app_secret else { return Ok(()) };
        let refusal = |message: &str| Err(GraphError::platform(400, "GraphMethodException", 100, None, message.to_owned()));
        let Some(proof) = proof else {
            return refusal("API calls from the server require an appsecret_proof argument");
        };
        let good = hex::decode(proof).is_ok_and(|proof| hmac::verify(secret, token.as_bytes(), &proof).is_ok());
        if good { Ok(()) } else { refusal("Invalid appsecret_proof provided in the API argument") }
    }
}

fn missing_token(reading: bool) -> GraphError {
    if reading {
        GraphError::platform(403, "OAuthException", 200, None, "(#200) Provide valid app ID".to_owned())
    } else {
        let message = "An access token is required to request this resource.".to_owned();
        GraphError::platform(400, "OAuthException", 104, None, message)
    }
}

fn invalid_token() -> GraphError {
    let message = "Invalid OAuth access token - Cannot parse access token".to_owned();
    GraphError::platform(401, "OAuthException", 190, Some(467), message)
}

fn expired_token() -> GraphError {
    let message = "Error validating access token: Session has expired on Thursday, 01-Jan-26 00:00:00 PST.".to_owned();
    GraphError::platform(401, "OAuthException", 190, Some(463), message)
}
