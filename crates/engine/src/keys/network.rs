//! Address lists of keys: single addresses and networks, `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`.
//!
//! Forty lines over the standard library's addresses, since all we ask of a network is whether an
//! address is in it.

use std::net::IpAddr;

/// A network, or one address as a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

impl IpNetwork {
    /// Reads an address or `address/prefix`. The error is a sentence part for a field fault.
    ///
    /// # Errors
    /// What is neither, a prefix longer than the address, and a network with bits behind its
    /// prefix (`192.0.2.7/24`): whoever wrote that meant either the one or the other.
    pub fn parse(text: &str) -> Result<IpNetwork, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| format!("`{text}` is neither an address nor a network such as 192.0.2.0/24"))?;
        let width = width(address);
        let prefix = match prefix {
            None => width,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|bits| *bits <= width && digits.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| format!("`{text}` must have a prefix of 0 to {width} bits"))?,
        };
        let network = IpNetwork { address: canonical(address, prefix), prefix: canonical_prefix(address, prefix) };
        if network.bits_behind_prefix() {
            return Err(format!("`{text}` has bits set behind its prefix"));
        }
        Ok(network)
    }

    /// Whether an address is in the network. An IPv4 address that came in over an IPv6 socket
    /// (`::ffff:192.0.2.7`) is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && first_bits(address, self.prefix) == first_bits(self.address, self.prefix)
    }

    fn bits_behind_prefix(&self) -> bool {
        let kept = first_bits(self.address, self.prefix);
        let rest = u32::from(width(self.address) - self.prefix);
        kept.checked_shl(rest).unwrap_or(0) != first_bits(self.address, width(self.address))
    }
}

/// A mapped network of at least 96 bits is the IPv4 network that it maps.
fn canonical(address: IpAddr, prefix: u8) -> IpAddr {
    if prefix >= 96 { address.to_canonical() } else { address }
}

fn canonical_prefix(address: IpAddr, prefix: u8) -> u8 {
    if width(canonical(address, prefix)) == width(address) { prefix } else { prefix - 96 }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `bits` bits of an address as a number; 0 bits are 0.
fn first_bits(address: IpAddr, bits: u8) -> u128 {
    let whole = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    whole.checked_shr(u32::from(width(address) - bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        IpNetwork::parse(network).expect(network).contains(address.parse().expect(address))
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::/0", "2001:db8::2", "192.0.2.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
        ] {
            assert!(holds(network, inside), "{network} {inside}");
            assert!(!holds(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.9"));
        assert!(!holds("192.0.2.0/24", "::ffff:192.0.3.9"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.7/24",
            "::1/129",
            "2001:db8::1/64",
            "host",
            "1.2.3.4/8/8",
        ] {
            assert!(IpNetwork::parse(text).is_err(), "{text}");
        }
    }
}
