//! Which addresses this very machine has, whatever network they belong to.
//!
//! A service that listens on all of them often trusts who comes from here, so a public address of the
//! machine's own is as much inside as 127.0.0.1 is. The interfaces are asked for it, since no table
//! can know, and anew, since addresses come and go. An address that a router translates to this
//! machine's is on no interface: whether to let it through is for the router, or for a firewall, to say.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How old the list may be: many endpoints that cannot be reached are dialled often, and a list of
/// interfaces costs some tens of microseconds.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The addresses of this machine's interfaces.
#[derive(Debug, Default)]
pub(super) struct Machine {
    listed: Mutex<Option<Listed>>,
}

#[derive(Debug)]
struct Listed {
    at: Instant,
    addresses: Vec<IpAddr>,
}

impl Machine {
    /// Whether one of its interfaces has this address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.has_by(address, Instant::now(), list)
    }

    fn has_by(&self, address: IpAddr, now: Instant, list: impl FnOnce() -> io::Result<Vec<IpAddr>>) -> bool {
        let mut listed = self.listed.lock();
        if listed.as_ref().is_none_or(|listed| now.saturating_duration_since(listed.at) >= AGE_MAX) {
            match list() {
                Ok(addresses) => *listed = Some(Listed { at: now, addresses }),
                // What was known last is better than nothing; the connection is looked at as well.
                Err(error) => tracing::warn!(error = %error, "asking for this machine's addresses"),
            }
        }
        let address = address.to_canonical();
        listed.as_ref().is_some_and(|listed| listed.addresses.contains(&address))
    }
}

fn list() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip().to_canonical()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_here_in_either_spelling_and_a_strangers_address_is_not() {
        let machine = Machine::default();
        for (address, is_here) in [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("93.184.215.14", false)] {
            assert_eq!(machine.has(address.parse().expect("an address")), is_here, "{address}");
        }
    }

    #[test]
    fn addresses_that_come_and_go_are_known_within_the_lists_age_and_a_failure_forgets_none() {
        let machine = Machine::default();
        let address: IpAddr = "93.184.215.14".parse().expect("an address");
        let begun = Instant::now();
        assert!(!machine.has_by(address, begun, || Ok(Vec::new())));
        assert!(!machine.has_by(address, begun + AGE_MAX / 2, || panic!("the list is young")));
        assert!(machine.has_by(address, begun + AGE_MAX, || Ok(vec![address])));
        assert!(machine.has_by(address, begun + AGE_MAX * 2, || Err(io::Error::other("not now"))));
        assert!(!machine.has_by(address, begun + AGE_MAX * 2, || Ok(Vec::new())));
    }
}
