//! Asking a simulator: the one in a running gateway's process, or another by its address.

use std::path::Path;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use serde_json::Value;
use url::Url;

use super::wire;
use crate::failure::Failure;

/// A simulator that a command plays on.
pub(crate) struct SimulatorClient {
    url: Url,
    runtime: tokio::runtime::Runtime,
}

impl SimulatorClient {
    /// The one of that address, or the one that runs in the gateway on `folder`.
    pub(crate) fn find(address: Option<&str>, folder: &Path) -> Result<SimulatorClient, Failure> {
        let text = match address {
            Some(address) => address.to_owned(),
            None => std::fs::read_to_string(folder.join(crate::wire::SIMULATOR_ADDRESS)).map_err(|_| {
                Failure::Unreachable(format!(
                    "no gateway with a built-in simulator runs on {}; name its folder with --data, or another simulator with --simulator URL",
                    folder.display()
                ))
            })?,
        };
        let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let url =
            url.ok_or_else(|| Failure::Usage(format!("--simulator takes an address such as http://127.0.0.1:8090, and is {text}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|problem| Failure::Unreachable(format!("this system does not let us wait for anything: {problem}")))?;
        Ok(SimulatorClient { url, runtime })
    }

    /// Asks at `/_sim/…`; what is wrong with the question is a refusal in the simulator's words.
    pub(crate) fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/_sim/{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())))
            .map_err(|problem| Failure::Usage(format!("this cannot be asked: {problem}")))?;
        let answered = self.runtime.block_on(wire::over_network(&self.url, None, request))?;
        let (parts, bytes) = answered.into_parts();
        let value: Value = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_default() };
        if parts.status.is_success() {
            return Ok(value);
        }
        let said = value["error"].as_str().map_or_else(|| format!("it answered {}", parts.status), str::to_owned);
        Err(Failure::Refused(format!("the simulator did not do it: {said}")))
    }
}
