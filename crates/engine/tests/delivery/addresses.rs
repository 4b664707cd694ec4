//! Addresses that a delivery may never reach, the ways to spell them, and public ones beside them.
//!
//! Two tests live on these lists: one asks the guard alone, the other lets a whole gateway loose in a
//! network where every one of them has somebody who listens.

use std::net::{IpAddr, Ipv4Addr};

/// Addresses of every forbidden range: first, last and some between.
pub(crate) fn forbidden() -> Vec<IpAddr> {
    let four = [
        "0.0.0.0",
        "0.1.2.3",
        "0.255.255.255",
        "10.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.0",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.0",
        "127.0.0.1",
        "127.0.1.1",
        "127.1.1.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.255.255",
        "172.16.0.0",
        "172.16.0.1",
        "172.20.10.1",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.0.255",
        "192.0.2.0",
        "192.0.2.1",
        "192.0.2.255",
        "192.88.99.0",
        "192.88.99.1",
        "192.88.99.255",
        "192.168.0.0",
        "192.168.1.1",
        "192.168.255.255",
        "198.18.0.0",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.0",
        "198.51.100.7",
        "198.51.100.255",
        "203.0.113.0",
        "203.0.113.9",
        "203.0.113.255",
        "224.0.0.0",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.0",
        "250.1.2.3",
        "255.255.255.254",
        "255.255.255.255",
    ];
    let six = [
        "::",
        "::1",
        "::2",
        "::127.0.0.1",
        "::10.0.0.1",
        "64:ff9b::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::ffff:ffff",
        "64:ff9b:1::1",
        "64:ff9b:1:ffff::7f00:1",
        "100::",
        "100::1",
        "100::ffff:ffff:ffff:ffff",
        "2001::",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
        "2001:db8::",
        "2001:db8::1",
        "2001:db8:ffff::1",
        "2002::",
        "2002:7f00:1::",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "2002:c0a8:101::1",
        "2002:a9fe:a9fe::1",
        "3fff::",
        "3fff::1",
        "3fff:fff::1",
        "5f00::",
        "5f00::1",
        "5f00:ffff::1",
        "fc00::",
        "fc00::1",
        "fd00::1",
        "fd00:ec2::254",
        "fdff::1",
        "fe80::",
        "fe80::1",
        "fe80::a9fe:a9fe",
        "febf::1",
        "fec0::",
        "fec0::1",
        "feff::1",
        "ff00::",
        "ff02::1",
        "ff05::2",
        "ffff::1",
        "4000::1",
        "8000::1",
        "e000::1",
        "::ffff:0:127.0.0.1",
    ];
    let four: Vec<Ipv4Addr> = four.iter().map(|text| text.parse().expect("an address")).collect();
    let mapped = four.iter().map(|address| IpAddr::V6(address.to_ipv6_mapped()));
    let six = six.iter().map(|text| text.parse::<IpAddr>().unwrap_or_else(|_| panic!("{text}")));
    four.iter().copied().map(IpAddr::V4).chain(mapped).chain(six).collect()
}

/// Spellings of an address as a URL's host, as a stranger would try them: those that the URL's parser
/// reads as the address, those that a C library would, and those that nobody should.
pub(crate) fn spellings(address: IpAddr) -> Vec<String> {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let number = u32::from(address);
            let text = address.to_string();
            let percent: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            vec![
                text.clone(),
                format!("{number}"),
                format!("0x{number:x}"),
                format!("0X{number:08X}"),
                format!("0x00000000{number:08x}"),
                format!("0{number:o}"),
                format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
                format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                format!("0000{a:o}.0{b:o}.0{c:o}.000{d:o}"),
                format!("0x{a:x}.0{b:o}.{c}.{d}"),
                format!("{a}.{}", number & 0x00ff_ffff),
                format!("{a}.{b}.{}", number & 0xffff),
                format!("{text}."),
                format!("0x{number:x}."),
                text.replace('.', "\u{3002}"),
                text.replace('.', "\u{ff0e}"),
                text.replace('.', "\u{ff61}"),
                digits_as(&text, 0xff10),
                digits_as(&text, 0x1d7d8),
                text.replace('.', "\u{ad}."),
                percent,
                format!("[::ffff:{text}]"),
            ]
        }
        IpAddr::V6(address) => {
            let segments = address.segments();
            let long = segments.map(|segment| format!("{segment:04x}")).join(":");
            let [.., a, b, c, d] = address.octets();
            let dotted = segments[..6].iter().map(|segment| format!("{segment:x}")).collect::<Vec<_>>().join(":");
            vec![
                format!("[{address}]"),
                format!("[{long}]"),
                format!("[{}]", long.to_uppercase()),
                format!("[{dotted}:{a}.{b}.{c}.{d}]"),
                format!("[{address}%25lo]"),
                format!("[{address}%lo]"),
                format!("[{address}%1]"),
            ]
        }
    }
}

/// The text with its digits from another row of Unicode, which a careful parser folds to the usual ones.
fn digits_as(text: &str, zero: u32) -> String {
    let other = |character: char| character.to_digit(10).and_then(|digit| char::from_u32(zero + digit));
    text.chars().map(|character| other(character).unwrap_or(character)).collect()
}

/// Public addresses: some that are well known, and the neighbours of every forbidden range.
pub(crate) fn public() -> Vec<IpAddr> {
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "93.184.215.14",
        "2606:4700::1111",
        "2a00:1450:4001:800::200e",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2400:cb00::1",
        "2620:fe::fe",
        "2c0f:fb50::1",
        "3ffe::1",
    ]
    .iter()
    .map(|text| text.parse().unwrap_or_else(|_| panic!("{text}")))
    .collect()
}
