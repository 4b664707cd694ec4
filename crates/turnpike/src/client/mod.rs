//! The operator's commands as a client: one HTTP request, by whichever way leads to the gateway.
//!
//! With `--server` over the network; else over the data folder's socket, where a gateway answers on
//! it; else through the same routes in this process, on the folder itself. So there is one set of
//! rules, whoever asks and however.

mod simulator;
mod stream;
mod wire;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use serde_json::Value;
use turnpike_engine::secret::Secret;
use turnpike_store::sqlite::{DATABASE_FILE, OpenError};

pub(crate) use self::simulator::SimulatorClient;
pub(crate) use self::stream::post;
use crate::cli::{Remote, SettingArgs};
use crate::config::{self, Config, Environment, Log};
use crate::failure::Failure;

/// Where the operator's routes begin.
const BASE: &str = "/api/v1/operator";

/// What to ask.
#[derive(Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    headers: HeaderMap,
    key: Option<Secret>,
}

impl Ask {
    /// Reads something.
    pub(crate) fn get(path: &[&str]) -> Ask {
        Ask::new(Method::GET, path)
    }

    /// Does something.
    pub(crate) fn post(path: &[&str], body: &Value) -> Ask {
        Ask { body: Some(Bytes::from(body.to_string())), ..Ask::new(Method::POST, path) }
    }

    /// Changes something.
    pub(crate) fn patch(path: &[&str], body: &Value) -> Ask {
        Ask { body: Some(Bytes::from(body.to_string())), ..Ask::new(Method::PATCH, path) }
    }

    /// Ends something.
    pub(crate) fn delete(path: &[&str]) -> Ask {
        Ask::new(Method::DELETE, path)
    }

    /// The public API in place of the operator's, with an API key.
    pub(crate) fn public(path: &str, body: Bytes, key: Secret) -> Ask {
        let (method, query, headers) = (Method::POST, Vec::new(), HeaderMap::new());
        Ask { method, path: path.to_owned(), query, body: Some(body), headers, key: Some(key) }
    }

    /// A query parameter, where there is a value.
    pub(crate) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Ask {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// A header.
    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Ask {
        self.headers.insert(name, value);
        self
    }

    /// Every segment of the path is escaped: names may hold anything.
    fn new(method: Method, path: &[&str]) -> Ask {
        let path: String = path.iter().map(|segment| format!("/{}", escape(segment))).collect();
        Ask { method, path: format!("{BASE}{path}"), query: Vec::new(), body: None, headers: HeaderMap::new(), key: None }
    }

    fn into_request(self, user: &str, token: Option<&Secret>) -> Result<Request<Bytes>, Failure> {
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let target = if query.is_empty() { self.path } else { format!("{}?{}", self.path, query.join("&")) };
        let mut request = Request::builder().method(self.method).uri(target).header("X-Operator", harmless(user));
        if let Some(secret) = self.key.as_ref().or(token) {
            let value = HeaderValue::try_from(format!("Bearer {}", secret.expose()))
                .map_err(|_| Failure::Usage("the key or token has characters that no key has; see that it was copied whole".to_owned()))?;
            request = request.header(AUTHORIZATION, value);
        }
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(self.body.unwrap_or_default()).map_err(|problem| Failure::Usage(format!("this cannot be asked: {problem}")))
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The envelope's data.
    pub(crate) data: Value,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
    /// The whole body.
    pub(crate) body: Value,
    /// Its headers.
    pub(crate) headers: HeaderMap,
}

/// The gateway that a command works on.
pub(crate) struct Gateway {
    way: Way,
    user: String,
    runtime: tokio::runtime::Runtime,
}

enum Way {
    Network { url: url::Url, token: Option<Secret>, ca_file: Option<PathBuf> },
    Socket(PathBuf),
    Folder(Box<Config>),
}

/// Which folders a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// A gateway's: where a name is mistyped there must be no new folder, and no answer about an empty one.
    Known,
    /// Also one that begins with this command.
    NewOrKnown,
}

impl Gateway {
    /// Finds the way.
    pub(crate) fn find(data: Option<&Path>, remote: &Remote, environment: &Environment, of: Folder) -> Result<Gateway, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|problem| Failure::Unreachable(format!("this system does not let us wait for anything: {problem}")))?;
        let user = environment.user().to_owned();
        if let Some(url) = &remote.server {
            let token = operator_token(remote, environment)?;
            return Ok(Gateway {
                way: Way::Network { url: wire::parse_server(url)?, token, ca_file: remote.ca_file.clone() },
                user,
                runtime,
            });
        }
        let folder =
            config::data_folder(data, remote.config.as_deref(), environment).map_err(|problems| Failure::Usage(problems.to_string()))?;
        let socket = folder.join(crate::wire::CONTROL_SOCKET);
        if runtime.block_on(wire::answers(&socket)) {
            return Ok(Gateway { way: Way::Socket(socket), user, runtime });
        }
        let flags = SettingArgs { config: remote.config.clone(), ..SettingArgs::default() };
        let config = config::load(data, &flags, environment).map_err(|problems| Failure::Usage(problems.to_string()))?;
        if of == Folder::Known {
            must_be_known(&config.data)?;
        }
        // What opening the folder finds is for the operator's eyes: there is no other log.
        crate::log::begin(&Log { format: config.log.format, level: "warn".to_owned() });
        Ok(Gateway { way: Way::Folder(Box::new(config)), user, runtime })
    }

    /// Whether a gateway runs where we ask; else the command works on the folder by itself.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.way, Way::Folder(_))
    }

    /// The data folder, where it is on this machine.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.way {
            Way::Network { .. } => None,
            Way::Socket(socket) => socket.parent(),
            Way::Folder(config) => Some(&config.data),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&self, ask: Ask) -> Result<Answer, Failure> {
        let of_operator = ask.key.is_none();
        let answered = self.runtime.block_on(async {
            match &self.way {
                Way::Network { url, token, ca_file } => {
                    let request = ask.into_request(&self.user, token.as_ref())?;
                    wire::over_network(url, ca_file.as_deref(), request).await
                }
                Way::Socket(path) => wire::over_socket(path, ask.into_request(&self.user, None)?).await,
                Way::Folder(config) => in_process(config, ask.into_request(&self.user, None)?).await,
            }
        })?;
        read_answer(answered, of_operator && matches!(self.way, Way::Network { .. }))
    }
}

/// Refuses a folder that no gateway ever used, before anything is made there.
pub(crate) fn must_be_known(folder: &Path) -> Result<(), Failure> {
    if folder.join(DATABASE_FILE).exists() {
        return Ok(());
    }
    let shown = folder.display();
    let what = if folder.is_dir() {
        format!("{shown} is no data folder: it holds no {DATABASE_FILE}")
    } else if folder.exists() {
        format!("{shown} is no data folder, but a file")
    } else {
        format!("there is no data folder {shown}")
    };
    Err(Failure::NotFound(format!(
        "{what}. Name the gateway's folder with --data DIR, or begin a new one with: turnpike org create NAME --data {shown}"
    )))
}

async fn in_process(config: &Config, request: Request<Bytes>) -> Result<http::Response<Bytes>, Failure> {
    crate::wire::call_in_process(config, request).await.map_err(|error| {
        let in_use = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OpenError::InUse { .. })));
        let folder = config.data.display();
        if in_use {
            return Failure::Unreachable(format!(
                "another process uses {folder}, but answers on no socket there: it is starting, stopping, or a command that is still at work. Try again in a moment"
            ));
        }
        Failure::Unreachable(format!("the data folder {folder} cannot be used: {error:#}"))
    })
}

fn read_answer(answered: http::Response<Bytes>, over_network: bool) -> Result<Answer, Failure> {
    let (parts, bytes) = answered.into_parts();
    let Ok(mut body) = serde_json::from_slice::<Value>(&bytes) else {
        let status = parts.status;
        return Err(Failure::Unreachable(format!("what answers there is no Turnpike gateway: it said {status} and no JSON")));
    };
    if parts.status.is_success() && body["isSuccess"] == true {
        let next = body["pagingMetadata"]["nextCursor"].as_str().map(str::to_owned);
        return Ok(Answer { data: body["data"].clone(), next, body, headers: parts.headers });
    }
    let errors = body["errors"].take();
    let code = errors["code"].as_str().unwrap_or_default();
    let advice = match code {
        "REQ_005" if over_network => Some(
            "Operators reach a gateway over the network only where it has an operator token: set `operator.token_file` there, \
             or run the command on its machine",
        ),
        "AUTH_001" | "AUTH_002" | "AUTH_003" if over_network => {
            Some("The operator token is not the one that this gateway has; give it with --operator-token-file")
        }
        "MGMT_404" => errors["params"]["object"].as_str().and_then(where_to_look),
        _ => None,
    };
    Err(Failure::Answered { status: parts.status.as_u16(), errors, advice: advice.map(str::to_owned) })
}

/// Where things of a kind are listed.
fn where_to_look(object: &str) -> Option<&'static str> {
    Some(match object {
        "application" => "Those there are: turnpike app list",
        "organization" => "Those there are: turnpike org list",
        "API key" | "key" => "Those there are: turnpike key list",
        "endpoint" => "Those there are: turnpike webhook list",
        "delivery" => "Those there are: turnpike webhook deliveries; of an endpoint that is not `default`, say which with --endpoint",
        "quarantined webhook" | "quarantined payload" => "Those there are: turnpike quarantine list",
        "message" => "Those there are: turnpike message list",
        _ => return None,
    })
}

/// The token for a remote gateway: from the flag's file, or from the environment.
fn operator_token(remote: &Remote, environment: &Environment) -> Result<Option<Secret>, Failure> {
    let named = remote.operator_token_file.clone().or_else(|| environment.get("TURNPIKE_OPERATOR_TOKEN_FILE").map(PathBuf::from));
    let text = match (named, environment.get("TURNPIKE_OPERATOR_TOKEN")) {
        (Some(path), _) => std::fs::read_to_string(&path)
            .map_err(|problem| Failure::Usage(format!("the operator token's file {} cannot be read: {problem}", path.display())))?,
        (None, Some(text)) => text.to_owned(),
        (None, None) => return Ok(None),
    };
    Ok(Some(Secret::new(text.trim().to_owned())))
}

/// A text as a segment or value of a URL.
fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%2D", "-").replace("%5F", "_")
}

/// A user's name as a header can hold it.
fn harmless(user: &str) -> HeaderValue {
    let name: String = user.chars().filter(char::is_ascii_graphic).collect();
    HeaderValue::try_from(name).unwrap_or_else(|_| HeaderValue::from_static("operator"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        let ask = Ask::get(&["organizations", "a/b?c d", "wallet"]).with("sandbox", Some(true)).with("before", None::<i64>);
        let request = ask.into_request("kim", None).expect("it can be asked");
        assert_eq!(request.uri(), "/api/v1/operator/organizations/a%2Fb%3Fc%20d/wallet?sandbox=true");
        assert_eq!(request.headers()["x-operator"], "kim");
    }

    #[test]
    fn an_answer_that_is_not_ours_is_said_to_be_so() {
        let answered = http::Response::builder().status(200).body(Bytes::from_static(b"<html>")).expect("a response");
        let failure = read_answer(answered, true).expect_err("this is no gateway");
        assert!(failure.to_string().contains("no Turnpike gateway"), "{failure}");
    }

    #[test]
    fn a_gateway_without_operator_routes_is_explained() {
        let body = r#"{"isSuccess":false,"errors":{"code":"REQ_005","description":"There is nothing at this address."}}"#;
        let answered = || http::Response::builder().status(404).body(Bytes::from(body)).expect("a response");
        assert!(read_answer(answered(), true).expect_err("it is not there").to_string().contains("operator.token_file"));
        assert!(!read_answer(answered(), false).expect_err("it is not there").to_string().contains("operator.token_file"));
    }
}
