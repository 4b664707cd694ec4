//! Which addresses a delivery may never reach (reliability §e, "Webhooks out").
//!
//! A customer names the URL, so a delivery is a request that a stranger makes from inside the
//! operator's network. The decision is made on the address that is dialled, by a table: what the
//! standard library calls global is not stable, and a table can be read and tested.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a range such as 10.1.0.0/16")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().map_err(|_| NotANetwork)?,
            Some(_) => return Err(NotANetwork),
        };
        if bits > width {
            return Err(NotANetwork);
        }
        // Addresses are judged as what they are, so a range of IPv4 written as IPv6 is read as IPv4.
        match (address.to_canonical(), width - bits) {
            (IpAddr::V4(inner), free @ 0..=32) => Ok(Network { address: IpAddr::V4(inner), bits: 32 - free }),
            _ => Ok(Network { address, bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether the address lies in it. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) lies
    /// where the IPv4 address does.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => covers4(network, self.bits, address),
            (IpAddr::V6(network), IpAddr::V6(address)) => covers6(network, self.bits, address),
            _ => false,
        }
    }
}

/// What the operator permits of what is forbidden: private networks that hold endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<Network>);

impl AllowedNetworks {
    /// Nothing but public addresses.
    #[must_use]
    pub fn none() -> AllowedNetworks {
        AllowedNetworks::default()
    }

    /// 127.0.0.0/8 and ::1: endpoints on this very machine, for `turnpike demo` and tests.
    #[must_use]
    pub fn loopback() -> AllowedNetworks {
        AllowedNetworks(vec![
            Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), bits: 8 },
            Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 },
        ])
    }

    /// Whether the address lies in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromIterator<Network> for AllowedNetworks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> AllowedNetworks {
        AllowedNetworks(networks.into_iter().collect())
    }
}

/// Why `address` may not be dialled, in a few words; `None` where it may. An IPv4 address written
/// as IPv6 is judged as what it is; one behind NAT64 too, where the operator allows NAT64, since that
/// is said to reach the public by IPv6 and not to reach what lies inside (RFC 6052 §3.1).
#[must_use]
pub fn forbidden(address: IpAddr, allowed: &AllowedNetworks) -> Option<&'static str> {
    if allowed.contains(address) {
        return behind_nat64(address).and_then(|address| forbidden(IpAddr::V4(address), allowed));
    }
    match address.to_canonical() {
        IpAddr::V4(address) => {
            FORBIDDEN4.iter().find(|(network, bits, _)| covers4(Ipv4Addr::from(*network), *bits, address)).map(|(_, _, why)| *why)
        }
        IpAddr::V6(address) => FORBIDDEN6
            .iter()
            .find(|(network, bits, _)| covers6(Ipv6Addr::from(*network), *bits, address))
            .map(|(_, _, why)| *why)
            // Nothing outside of 2000::/3 was ever given out to the public.
            .or_else(|| (address.segments()[0] >> 13 != 1).then_some("not a public IPv6 address")),
    }
}

/// The IPv4 address that is reached through `64:ff9b::/96`.
fn behind_nat64(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let (network, bits) = NAT64;
    let [.., a, b, c, d] = address.octets();
    covers6(Ipv6Addr::from(network), bits, address).then_some(Ipv4Addr::new(a, b, c, d))
}

/// The well-known prefix of NAT64.
const NAT64: ([u16; 8], u8) = ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

fn covers4(network: Ipv4Addr, bits: u8, address: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    u32::from(network) & mask == u32::from(address) & mask
}

fn covers6(network: Ipv6Addr, bits: u8, address: Ipv6Addr) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    u128::from(network) & mask == u128::from(address) & mask
}

#[rustfmt::skip]
const FORBIDDEN4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "this network (0.0.0.0/8)"),
    ([10, 0, 0, 0], 8, "a private network (10.0.0.0/8)"),
    ([100, 64, 0, 0], 10, "a carrier's private network (100.64.0.0/10)"),
    ([127, 0, 0, 0], 8, "this machine (127.0.0.0/8)"),
    ([169, 254, 0, 0], 16, "link-local, cloud metadata among it (169.254.0.0/16)"),
    ([172, 16, 0, 0], 12, "a private network (172.16.0.0/12)"),
    ([192, 0, 0, 0], 24, "protocol assignments (192.0.0.0/24)"),
    ([192, 0, 2, 0], 24, "documentation (192.0.2.0/24)"),
    ([192, 88, 99, 0], 24, "6to4 relays (192.88.99.0/24)"),
    ([192, 168, 0, 0], 16, "a private network (192.168.0.0/16)"),
    ([198, 18, 0, 0], 15, "benchmarks (198.18.0.0/15)"),
    ([198, 51, 100, 0], 24, "documentation (198.51.100.0/24)"),
    ([203, 0, 113, 0], 24, "documentation (203.0.113.0/24)"),
    ([224, 0, 0, 0], 4, "multicast (224.0.0.0/4)"),
    ([240, 0, 0, 0], 4, "reserved or broadcast (240.0.0.0/4)"),
];

/// IPv6 that embeds IPv4 (NAT64, 6to4, Teredo) is forbidden by its own range, whatever it embeds.
#[rustfmt::skip]
const FORBIDDEN6: &[([u16; 8], u8, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "no address (::)"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "this machine (::1)"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4 inside IPv6, long deprecated (::/96)"),
    (NAT64.0, NAT64.1, "NAT64 (64:ff9b::/96)"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local NAT64 (64:ff9b:1::/48)"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only (100::/64)"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments, Teredo among them (2001::/23)"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation (2001:db8::/32)"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4 (2002::/16)"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation (3fff::/20)"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing (5f00::/16)"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a private network (fc00::/7)"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local (fe80::/10)"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local, long deprecated (fec0::/10)"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast (ff00::/8)"),
];

#[cfg(test)]
#[path = "tests/address.rs"]
mod tests;
