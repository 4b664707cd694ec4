//! Which proxies are believed when they say for whom they speak (`X-Forwarded-For`).
//!
//! Anybody may write that header. It counts only when the connection itself comes from a proxy
//! that the operator has listed, and then from the right: each hop appends whom it heard, so the
//! first address from the right that is no listed proxy is the caller.

use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderValue;

/// One network, `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Bits of `::ffff:0:0/96`, in which IPv6 writes IPv4 (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest {
            return Err(wrong());
        }
        // A peer that is IPv4 is compared as IPv4, however its listener saw it; so is a network.
        match address {
            IpAddr::V6(mapped) if mapped.to_ipv4_mapped().is_some() => {
                let prefix = prefix.checked_sub(MAPPED_PREFIX).ok_or_else(wrong)?;
                Ok(Network { address: address.to_canonical(), prefix })
            }
            address => Ok(Network { address, prefix }),
        }
    }
}

impl Network {
    /// Whether every address of its kind lies in it.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }

    /// Whether the address lies in this network. IPv4 is the same network in either spelling:
    /// `10.0.0.0/8` and `::ffff:10.0.0.0/104`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The proxies that the operator has listed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// These networks; none is the usual case of a gateway that callers reach directly.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// For whom a listed proxy speaks, by the values of `X-Forwarded-For` in their order: the first
    /// address from the right that is not a listed proxy; `None` where there is none, or something
    /// unreadable stands before it.
    pub(super) fn forwarded_for<'a>(&self, values: impl DoubleEndedIterator<Item = &'a HeaderValue>) -> Option<IpAddr> {
        for value in values.rev() {
            for hop in value.to_str().ok()?.rsplit(',') {
                let address = read_hop(hop.trim())?;
                if !self.contains(address) {
                    return Some(address);
                }
            }
        }
        None
    }
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn read_hop(hop: &str) -> Option<IpAddr> {
    let address = hop.parse::<IpAddr>().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|text| text.parse().expect("a network")).collect())
    }

    fn caller(networks: &[&str], values: &[&'static str]) -> Option<String> {
        let values: Vec<_> = values.iter().map(|text| HeaderValue::from_static(text)).collect();
        proxies(networks).forwarded_for(values.iter()).map(|address| address.to_string())
    }

    #[test]
    fn networks_are_read_and_contain_what_they_should() {
        assert!(proxies(&["10.0.0.0/8"]).contains("10.255.0.1".parse().expect("an address")));
        assert!(!proxies(&["10.0.0.0/8"]).contains("11.0.0.1".parse().expect("an address")));
        assert!(proxies(&["10.0.0.0/8"]).contains("::ffff:10.1.1.1".parse().expect("an address")));
        assert!(proxies(&["0.0.0.0/0"]).contains("8.8.8.8".parse().expect("an address")));
        assert!(proxies(&["fd00::/8"]).contains("fd12::1".parse().expect("an address")));
        assert!(!proxies(&["192.0.2.7"]).contains("192.0.2.8".parse().expect("an address")));
        for bad in ["10.0.0.0/33", "ten", "10.0.0.0/", "::/129", ""] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ipv4_is_the_same_in_either_spelling_on_either_side() {
        let matches = |network: &str, peer: &str| proxies(&[network]).contains(peer.parse().expect("an address"));
        for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104", "::ffff:a00:0/104"] {
            for (peer, inside) in
                [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("::ffff:11.0.0.1", false), ("::a01:203", false)]
            {
                assert_eq!(matches(network, peer), inside, "{network} {peer}");
            }
        }
        assert!(matches("::ffff:192.0.2.7", "192.0.2.7") && matches("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(!matches("::ffff:192.0.2.7", "192.0.2.8"));
        assert!(matches("::ffff:0:0/96", "8.8.8.8") && !matches("::ffff:0:0/96", "2001:db8::1"));
        assert!("::ffff:10.0.0.0/8".parse::<Network>().is_err(), "an IPv4 prefix behind an IPv6 address is a mistake");
        assert!(!matches("::/0", "8.8.8.8"), "all of IPv6 is not all of IPv4");
        assert_eq!(caller(&["::ffff:10.0.0.0/104"], &["203.0.113.9, ::ffff:10.0.0.2, 10.0.0.1"]).as_deref(), Some("203.0.113.9"));
    }

    #[test]
    fn the_caller_is_the_first_stranger_from_the_right() {
        assert_eq!(caller(&["10.0.0.0/8"], &["6.6.6.6, 203.0.113.9, 10.0.0.2"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(caller(&["10.0.0.0/8"], &["6.6.6.6", "203.0.113.9:1234"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(caller(&["10.0.0.0/8"], &["[2001:db8::1]"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(caller(&["10.0.0.0/8"], &["203.0.113.9, unknown"]), None);
        assert_eq!(caller(&["10.0.0.0/8"], &["10.0.0.1"]), None);
        assert_eq!(caller(&["10.0.0.0/8"], &[]), None);
    }
}
