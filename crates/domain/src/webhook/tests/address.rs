//! Addresses that are refused, and their public neighbours, which are not.

use super::*;

fn why(address: &str) -> Option<&'static str> {
    forbidden(address.parse().expect(address), &AllowedNetworks::none())
}

/// First and last address of each forbidden range, one inside, and the nearest public addresses on
/// either side where there are any.
#[rustfmt::skip]
const RANGES4: &[(&str, &str, &str, &[&str])] = &[
    ("0.0.0.0", "0.1.2.3", "0.255.255.255", &["1.0.0.0"]),
    ("10.0.0.0", "10.20.30.40", "10.255.255.255", &["9.255.255.255", "11.0.0.0"]),
    ("100.64.0.0", "100.100.100.200", "100.127.255.255", &["100.63.255.255", "100.128.0.0"]),
    ("127.0.0.0", "127.0.0.1", "127.255.255.255", &["126.255.255.255", "128.0.0.0"]),
    ("169.254.0.0", "169.254.169.254", "169.254.255.255", &["169.253.255.255", "169.255.0.0"]),
    ("172.16.0.0", "172.20.1.1", "172.31.255.255", &["172.15.255.255", "172.32.0.0"]),
    ("192.0.0.0", "192.0.0.192", "192.0.0.255", &["191.255.255.255", "192.0.1.0"]),
    ("192.0.2.0", "192.0.2.99", "192.0.2.255", &["192.0.1.255", "192.0.3.0"]),
    ("192.88.99.0", "192.88.99.1", "192.88.99.255", &["192.88.98.255", "192.88.100.0"]),
    ("192.168.0.0", "192.168.1.1", "192.168.255.255", &["192.167.255.255", "192.169.0.0"]),
    ("198.18.0.0", "198.19.0.1", "198.19.255.255", &["198.17.255.255", "198.20.0.0"]),
    ("198.51.100.0", "198.51.100.7", "198.51.100.255", &["198.51.99.255", "198.51.101.0"]),
    ("203.0.113.0", "203.0.113.7", "203.0.113.255", &["203.0.112.255", "203.0.114.0"]),
    ("224.0.0.0", "239.255.255.250", "239.255.255.255", &["223.255.255.255"]),
    ("240.0.0.0", "250.1.1.1", "255.255.255.255", &[]),
];

#[rustfmt::skip]
const RANGES6: &[(&str, &str, &str, &[&str])] = &[
    ("::", "::", "::", &[]),
    ("::1", "::1", "::1", &[]),
    ("::2", "::8.8.8.8", "::ffff:ffff", &[]),
    ("64:ff9b::", "64:ff9b::8.8.8.8", "64:ff9b::ffff:ffff", &[]),
    ("64:ff9b:1::", "64:ff9b:1::a00:1", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", &[]),
    ("100::", "100::1", "100::ffff:ffff:ffff:ffff", &[]),
    ("2001::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", &["2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"]),
    ("2001:db8::", "2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", &["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"]),
    ("2002::", "2002:808:808::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"]),
    ("3fff::", "3fff:abc::1", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", &["3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"]),
    ("5f00::", "5f00::1", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[]),
    ("fc00::", "fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[]),
    ("fe80::", "fe80::a9fe:a9fe", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[]),
    ("fec0::", "fec0::1", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[]),
    ("ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[]),
];

#[test]
fn every_range_is_refused_from_end_to_end_and_its_public_neighbours_are_not() {
    assert_eq!((RANGES4.len(), RANGES6.len()), (FORBIDDEN4.len(), FORBIDDEN6.len()), "each range is tested");
    for (first, inside, last, neighbours) in RANGES4.iter().chain(RANGES6) {
        for address in [first, inside, last] {
            assert!(why(address).is_some(), "{address}");
        }
        for address in *neighbours {
            assert_eq!(why(address), None, "{address}");
        }
    }
}

#[test]
fn three_hundred_spellings_of_forbidden_addresses_are_refused() {
    let mut tried = 0;
    let mut refuse = |text: String| {
        tried += 1;
        let address: IpAddr = text.parse().unwrap_or_else(|_| panic!("{text} is an address"));
        assert!(forbidden(address, &AllowedNetworks::none()).is_some(), "{text}");
    };
    for (first, inside, last, _) in RANGES4 {
        for text in [first, inside, last] {
            let [a, b, c, d] = text.parse::<Ipv4Addr>().expect("an IPv4 address").octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            refuse((*text).to_string());
            // Mapped, twice; compatible; translated; NAT64, both; 6to4; Teredo, whose client is inverted.
            refuse(format!("::ffff:{text}"));
            refuse(format!("::FFFF:{high:X}:{low:x}"));
            refuse(format!("0:0:0:0:0:ffff:{high:04x}:{low:04x}"));
            refuse(format!("::{high:x}:{low:x}"));
            refuse(format!("::ffff:0:{text}"));
            refuse(format!("64:ff9b::{text}"));
            refuse(format!("64:ff9b:1::{text}"));
            refuse(format!("2002:{high:x}:{low:x}::1"));
            refuse(format!("2001:0:4136:e378:8000:63bf:{:x}:{:x}", !high, !low));
        }
    }
    for (first, inside, last, _) in RANGES6 {
        for text in [first, inside, last] {
            refuse((*text).to_string());
            let segments = text.parse::<Ipv6Addr>().expect("an IPv6 address").segments();
            refuse(segments.map(|segment| format!("{segment:04X}")).join(":"));
        }
    }
    assert!(tried >= 300, "{tried}");
}

#[test]
fn public_addresses_pass() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.9.9.9",
        "17.0.0.1",
        "31.13.64.1",
        "93.184.216.34",
        "100.0.0.1",
        "129.0.0.1",
        "151.101.1.69",
        "157.240.1.1",
        "172.64.0.1",
        "185.60.216.35",
        "192.30.255.112",
        "193.0.6.139",
        "198.41.0.4",
        "199.7.83.42",
        "202.12.27.33",
        "203.119.1.1",
        "216.58.212.142",
        "223.5.5.5",
        "::ffff:8.8.8.8",
        "::ffff:808:808",
        "2001:4860:4860::8888",
        "2001:500:2::c",
        "2400:cb00::1",
        "2606:4700:4700::1111",
        "2620:fe::fe",
        "2803:f800::1",
        "2a00:1450::1",
        "2a03:2880:f12f:83:face:b00c:0:25de",
        "2c0f:f248::1",
    ] {
        assert_eq!(why(address), None, "{address}");
    }
}

#[test]
fn nothing_outside_the_public_range_of_ipv6_passes() {
    for address in ["1::", "200::1", "400::1", "1fff:ffff::1", "4000::", "6000::1", "8000::1", "c000::1", "e000::1", "fe00::1", "::1:0:0:0"]
    {
        assert_eq!(why(address), Some("not a public IPv6 address"), "{address}");
    }
}

#[test]
fn an_operator_allows_networks_and_nothing_beside_them() {
    let allowed: AllowedNetworks =
        ["10.1.0.0/16", "fd00:1::/32", "192.168.7.7"].iter().map(|text| text.parse::<Network>().expect(text)).collect();
    let refuses = |address: &str| forbidden(address.parse().expect(address), &allowed).is_some();
    for address in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "fd00:1::5", "192.168.7.7"] {
        assert!(!refuses(address), "{address}");
    }
    for address in ["10.0.255.255", "10.2.0.0", "fd00:2::", "192.168.7.8", "127.0.0.1", "64:ff9b::10.1.2.3", "2002:a01:203::"] {
        assert!(refuses(address), "{address}");
    }
    let loopback = AllowedNetworks::loopback();
    assert!(loopback.contains("127.9.9.9".parse().expect("an address")) && loopback.contains("::1".parse().expect("an address")));
    assert!(!loopback.contains("::2".parse().expect("an address")) && !loopback.contains("128.0.0.0".parse().expect("an address")));
    assert_eq!("10.0.0.0/8".parse::<Network>().expect("a network").to_string(), "10.0.0.0/8");
    assert!("0.0.0.0/0".parse::<Network>().expect("everything").contains("8.8.8.8".parse().expect("an address")));
}

#[test]
fn what_is_no_network_is_refused() {
    for text in
        ["", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0/8", "localhost", "0x7f.1/8"]
    {
        assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
    }
}

#[test]
fn who_allows_nat64_allows_the_public_behind_it_and_nothing_inside() {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse::<Network>().expect(text)).collect::<AllowedNetworks>();
    let why = |address: &str, allowed: &[&str]| forbidden(address.parse().expect(address), &networks(allowed));
    assert_eq!(why("64:ff9b::8.8.8.8", &["64:ff9b::/96"]), None);
    for inside in ["64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::127.0.0.1"] {
        assert!(why(inside, &["64:ff9b::/96"]).is_some() && why(inside, &["::/0"]).is_some(), "{inside}");
    }
    assert_eq!(why("64:ff9b::10.0.0.1", &["64:ff9b::/96", "10.0.0.0/8"]), None, "each was allowed");
    assert!(why("64:ff9b::10.0.0.1", &["10.0.0.0/8"]).is_some(), "the way was not");
}

#[test]
fn a_range_of_ipv4_may_be_written_as_ipv6() {
    for (written, read) in [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:10.1.2.3", "10.1.2.3/32"), ("::ffff:0:0/96", "0.0.0.0/0")] {
        assert_eq!(written.parse::<Network>().expect(written), read.parse().expect(read));
    }
    // Wider than what is IPv4: a range of IPv6, in which no IPv4 address lies.
    let wide: Network = "::ffff:0:0/95".parse().expect("a range");
    assert!(!wide.contains("10.0.0.1".parse().expect("an address")));
}
