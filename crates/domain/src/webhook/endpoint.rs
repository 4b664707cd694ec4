//! What a customer may set of an endpoint: its URL and headers of its own (contract §7).
//!
//! The URL is read once, by the parser that the client of the deliveries goes by, so that what was
//! checked is what is dialled: `https://0x7f.1/` is 127.0.0.1 here as there. What a name resolves to
//! is decided at every attempt, by [`EndpointUrl::refuses`].

use std::net::IpAddr;

use url::{Host, Url};

use super::address::{AllowedNetworks, forbidden};
use crate::refusal::FieldFault;

/// What the operator permits of endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlRules {
    /// Where plain http is permitted.
    pub plain_http: PlainHttp,
    /// Whether any port may be named; otherwise 443, 8443 and 1024 and above (and 80 for http).
    pub any_port: bool,
    /// Whether names of local networks are permitted (`localhost`, `.local`, `.internal`, names
    /// without a dot). What they resolve to must be allowed too.
    pub local_names: bool,
    /// Networks that are permitted though they are not public.
    pub networks: AllowedNetworks,
}

/// Where plain http is permitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Nowhere.
    #[default]
    Never,
    /// To [`UrlRules::networks`] alone: `turnpike demo` has loopback there.
    ToAllowedNetworks,
    /// Everywhere.
    Anywhere,
}

/// An endpoint's URL, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    text: Box<str>,
    host: EndpointHost,
    port: u16,
    is_tls: bool,
    path_at: usize,
}

/// Whom an endpoint's URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointHost {
    /// A name to resolve, in ASCII and lower case.
    Name(Box<str>),
    /// An address, however it was spelt.
    Address(IpAddr),
}

/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;
/// Most headers of a customer's own.
pub const HEADERS_MAX: usize = 20;
/// Longest name of one, in bytes.
pub const HEADER_NAME_BYTES_MAX: usize = 64;
/// Longest value of one, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 1_024;
/// All of them together, in bytes: receivers refuse heads of more than 8 KiB, and ours come on top.
pub const HEADERS_BYTES_MAX: usize = 4_096;

impl EndpointUrl {
    /// Reads and checks a URL.
    ///
    /// # Errors
    /// The fault, of the field `url`.
    pub fn parse(text: &str, rules: &UrlRules) -> Result<EndpointUrl, FieldFault> {
        let fault = |problem: &str| FieldFault::new("url", problem);
        if text.len() > URL_BYTES_MAX {
            return Err(fault("must be at most 2048 bytes"));
        }
        // The parser would drop some of these and read others as `/`.
        if text.chars().any(|character| character.is_whitespace() || character.is_control() || character == '\\') {
            return Err(fault("must not hold spaces, control characters or backslashes"));
        }
        let url = Url::parse(text).map_err(|_| fault("must be a URL such as https://example.com/webhooks"))?;
        let is_tls = match (url.scheme(), rules.plain_http) {
            ("https", _) => true,
            ("http", PlainHttp::ToAllowedNetworks | PlainHttp::Anywhere) => false,
            ("http", PlainHttp::Never) => {
                return Err(fault("must begin with https://; http:// only into `webhooks.allowed_networks`, with `webhooks.allow_http`"));
            }
            _ => return Err(fault("must begin with https://")),
        };
        if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
            return Err(fault("must not hold a user name or password; use the bearer, or a header of your own"));
        }
        if url.fragment().is_some() {
            return Err(fault("must not hold a fragment (#…)"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => EndpointHost::Name(name.into()),
            Some(Host::Ipv4(address)) => EndpointHost::Address(address.into()),
            Some(Host::Ipv6(address)) => EndpointHost::Address(address.into()),
            None => return Err(fault("must name a host")),
        };
        if let EndpointHost::Name(name) = &host
            && !rules.local_names
            && is_local(name)
        {
            return Err(fault("must not name a host of a local network"));
        }
        let port = url.port_or_known_default().unwrap_or(0);
        let is_usual = matches!(port, 443 | 8443 | 1024..) || (port == 80 && !is_tls);
        if port == 0 || !(is_usual || rules.any_port) {
            return Err(fault("must name port 443, 8443, or one from 1024 on"));
        }
        let path_at = url[..url::Position::BeforePath].len();
        let url = EndpointUrl { text: String::from(url).into(), host, port, is_tls, path_at };
        if let EndpointHost::Address(address) = url.host
            && let Some(why) = url.refuses(address, rules)
        {
            return Err(fault(&format!("must not lead to {why}")));
        }
        Ok(url)
    }

    /// Why this URL may not be called at `address`, in a few words; `None` where it may. To be asked
    /// of every address that the host resolves to, at every attempt: one that is refused refuses
    /// the attempt (reliability §c4).
    #[must_use]
    pub fn refuses(&self, address: IpAddr, rules: &UrlRules) -> Option<&'static str> {
        if let Some(why) = forbidden(address, &rules.networks) {
            return Some(why);
        }
        let plainly = self.is_tls
            || match rules.plain_http {
                PlainHttp::Never => false,
                PlainHttp::ToAllowedNetworks => rules.networks.contains(address),
                PlainHttp::Anywhere => true,
            };
        (!plainly).then_some("a public address without TLS")
    }

    /// The URL as it is called.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whom to dial.
    #[must_use]
    pub fn host(&self) -> &EndpointHost {
        &self.host
    }

    /// Where to dial.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is https.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Path and query: the request's target.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.text[self.path_at..]
    }

    /// The value of `Host`: name or address, and the port where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        let from = self.text.find("://").map_or(0, |at| at + 3);
        &self.text[from..self.path_at]
    }
}

/// What stands between `//` and the path, as it was written.
fn authority(text: &str) -> &str {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest).trim_start_matches('/');
    &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

/// Whether a name belongs to a local network: it ends in one of their domains, or has no dot.
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    !name.contains('.') || [".localhost", ".local", ".internal", ".localdomain", ".home.arpa"].iter().any(|end| name.ends_with(end))
}

/// Names that are ours or the connection's: a customer's header of that name would break a delivery
/// or pass for ours.
const RESERVED: &[&str] = &[
    "host",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    "date",
    "x-message-id",
];

/// Beginnings that are ours.
const RESERVED_BEGINNINGS: &[&str] = &["content-", "webhook-", "x-hub-", "x-gateway-", "proxy-", ":"];

/// Checks a customer's own headers, in the order in which they are sent.
/// `Authorization` is free only where our own bearer is switched off.
///
/// # Errors
/// Every fault, each of the field `headers.<name>` (or `headers`); values are never repeated.
pub fn check_headers(headers: &[(String, String)], sends_bearer: bool) -> Result<(), Vec<FieldFault>> {
    let mut faults = Vec::new();
    if headers.len() > HEADERS_MAX {
        return Err(vec![FieldFault::new("headers", format!("must be at most {HEADERS_MAX} headers ({} given)", headers.len()))]);
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum();
    if bytes > HEADERS_BYTES_MAX {
        faults.push(FieldFault::new("headers", format!("must be at most {HEADERS_BYTES_MAX} bytes together ({bytes} given)")));
    }
    for (index, (name, value)) in headers.iter().enumerate() {
        let problem = name_problem(name, sends_bearer).or_else(|| value_problem(value)).or_else(|| {
            let earlier = headers[..index].iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name));
            earlier.then_some("is given twice")
        });
        if let Some(problem) = problem {
            // A name that is no token could hold anything, so it is told by its place.
            let path = if is_token(name) { format!("headers.{name}") } else { format!("headers[{index}]") };
            faults.push(FieldFault::new(path, problem));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn name_problem(name: &str, sends_bearer: bool) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    if name.len() > HEADER_NAME_BYTES_MAX {
        return Some("must have a name of at most 64 bytes");
    }
    if RESERVED.contains(&&*lower) || RESERVED_BEGINNINGS.iter().any(|begin| lower.starts_with(begin)) {
        return Some("is set by the gateway or the connection; choose another name");
    }
    if !is_token(name) {
        return Some("must have a name of letters, digits and !#$%&'*+-.^_`|~");
    }
    (lower == "authorization" && sends_bearer).then_some("is set by the gateway while the bearer is sent; switch the bearer off first")
}

/// A field name of RFC 9110 §5.6.2, short enough to be repeated in a fault.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= HEADER_NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn value_problem(value: &str) -> Option<&'static str> {
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Some("must be at most 1024 bytes");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Some("must be visible ASCII characters and spaces; no control characters");
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return Some("must not begin or end with a space");
    }
    None
}

#[cfg(test)]
#[path = "tests/endpoint.rs"]
mod tests;
