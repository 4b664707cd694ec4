//! Whether an endpoint's address may be dialled: the guard against requests that a stranger makes
//! from inside the operator's network (reliability §c4, §e).
//!
//! The decision is made at every new connection, on what the name resolves to at that moment, and
//! the addresses that were looked at are the ones that are dialled: a name that answers differently
//! the next time gains nothing. One forbidden address among several refuses the attempt, since a
//! name that points both ways is not pointing there by accident.

mod machine;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use turnpike_domain::webhook::{EndpointHost, EndpointUrl, UrlRules};

use self::machine::Machine;
use super::hooks::PostFault;

/// Turns names into addresses.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of `host`, in the order in which they are to be tried.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>>;
}

/// The operating system's resolver. Proxies of the environment are never asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Addresses of one name that are dialled at most; all of them are checked.
const ADDRESSES_DIALLED_MAX: usize = 8;

/// Why a public address of this machine is refused.
const THIS_MACHINE: &str = "this very machine";

/// Decides what is dialled.
#[derive(Clone, Debug)]
pub struct Guard {
    rules: UrlRules,
    own: Vec<SocketAddr>,
    resolver: Arc<dyn Resolve>,
    machine: Arc<Machine>,
}

impl Guard {
    /// A guard with these rules; `own` is where this gateway listens.
    #[must_use]
    pub fn new(rules: UrlRules, own: Vec<SocketAddr>, resolver: Arc<dyn Resolve>) -> Guard {
        Guard { rules, own, resolver, machine: Arc::default() }
    }

    /// The guard that the settings ask for.
    #[must_use]
    pub fn of(settings: &crate::delivery::DeliverySettings) -> Guard {
        Guard::new(settings.urls.clone(), settings.own_addresses.clone(), Arc::clone(&settings.resolver))
    }

    /// The addresses to dial for this URL, now.
    ///
    /// # Errors
    /// [`PostFault::Blocked`] or [`PostFault::Dns`].
    pub async fn addresses(&self, url: &EndpointUrl) -> Result<Vec<SocketAddr>, PostFault> {
        let mut addresses = match url.host() {
            // A literal never reaches a resolver, so it is looked at here.
            EndpointHost::Address(address) => vec![SocketAddr::new(*address, url.port())],
            EndpointHost::Name(name) => self
                .resolver
                .resolve(name, url.port())
                .await
                .map_err(|error| PostFault::Dns(format!("resolving the name failed: {error}")))?
                .into_iter()
                // A resolver has no say in the port.
                .map(|address| SocketAddr::new(address.ip(), url.port()))
                .collect(),
        };
        if addresses.is_empty() {
            return Err(PostFault::Dns("the name has no address".to_owned()));
        }
        for address in &addresses {
            let why = url.refuses(address.ip(), &self.rules).or_else(|| self.is_own(*address)).or_else(|| self.is_here(address.ip()));
            if let Some(why) = why {
                return Err(PostFault::Blocked(why.to_owned()));
            }
        }
        addresses.truncate(ADDRESSES_DIALLED_MAX);
        Ok(addresses)
    }

    /// Looks at the connection that came about, once more: one whose two ends have the same address
    /// leads to this machine, though no interface had that address a moment ago. Nothing was written
    /// yet.
    ///
    /// # Errors
    /// [`PostFault::Blocked`].
    pub(super) fn connected(&self, near: SocketAddr, far: SocketAddr) -> Result<(), PostFault> {
        let is_this_machine = near.ip().to_canonical() == far.ip().to_canonical();
        if is_this_machine && !self.rules.networks.contains(far.ip()) {
            return Err(PostFault::Blocked(THIS_MACHINE.to_owned()));
        }
        Ok(())
    }

    /// Whether it is an address of this machine that the operator has not allowed.
    fn is_here(&self, address: IpAddr) -> Option<&'static str> {
        (!self.rules.networks.contains(address) && self.machine.has(address)).then_some(THIS_MACHINE)
    }

    fn is_own(&self, address: SocketAddr) -> Option<&'static str> {
        let ip = address.ip().to_canonical();
        let here = |own: &SocketAddr| match own.ip().to_canonical() {
            own if own.is_unspecified() => ip.is_loopback(),
            IpAddr::V4(own) => ip == IpAddr::V4(own),
            IpAddr::V6(own) => ip == IpAddr::V6(own),
        };
        self.own.iter().any(|own| own.port() == address.port() && here(own)).then_some("this gateway itself")
    }
}
