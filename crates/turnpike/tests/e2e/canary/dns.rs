//! A name server that a stranger might run: its names say how it answers, and for which address.
//!
//! `flip-7f000001.hooks.test` is first a public address and then 127.0.0.1. It speaks the wire format
//! of RFC 1035 over UDP to the system's own resolver, so that nothing between the name and the socket
//! is replaced. Every name that it does not know is this machine, as a stranger would have it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

/// Public addresses, which answers hold beside the forbidden ones.
pub(super) const PUBLIC4: Ipv4Addr = Ipv4Addr::new(93, 184, 215, 14);
pub(super) const PUBLIC6: Ipv6Addr = Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 0x1111);

/// How a name answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// The address, always.
    Straight,
    /// A public address first, and the address ever after; nothing may be kept (a TTL of 0).
    Flip,
    /// The same, kept for a day by whoever keeps answers.
    FlipKept,
    /// Public and not, by turns.
    Seesaw,
    /// A public address and then the address, in one answer.
    Last,
    /// The other way round.
    First,
    /// The address among more public ones than are dialled.
    Crowd,
    /// The address in its family, and a public one in the other.
    Split,
    /// Through a name inside (CNAME).
    Alias,
    /// Through several, the last of which is called `localhost`.
    Chain,
    /// IPv4 written as IPv6: ::ffff:0:0/96.
    Mapped,
    /// ::/96
    Compatible,
    /// ::ffff:0:0:0/96
    Translated,
    /// 64:ff9b::/96
    Nat64,
    /// 64:ff9b:1::/48
    LocalNat64,
    /// 2002::/16
    SixToFour,
    /// 2001::/32, the client's address inverted.
    Teredo,
    /// fe80::5efe:0:0/96
    Isatap,
}

impl Manner {
    /// All for an address of either family.
    pub(super) const ALL: [Manner; 10] = [
        Manner::Straight,
        Manner::Flip,
        Manner::FlipKept,
        Manner::Seesaw,
        Manner::Last,
        Manner::First,
        Manner::Crowd,
        Manner::Split,
        Manner::Alias,
        Manner::Chain,
    ];

    /// Those that put an IPv4 address into an IPv6 one.
    pub(super) const EMBEDDING: [Manner; 8] = [
        Manner::Mapped,
        Manner::Compatible,
        Manner::Translated,
        Manner::Nat64,
        Manner::LocalNat64,
        Manner::SixToFour,
        Manner::Teredo,
        Manner::Isatap,
    ];

    fn word(self) -> String {
        format!("{self:?}").to_ascii_lowercase()
    }

    /// The name that answers so for this address.
    pub(super) fn name(self, address: IpAddr) -> String {
        match address {
            IpAddr::V4(address) => format!("{}-{:08x}.hooks.test", self.word(), u32::from(address)),
            IpAddr::V6(address) => format!("{}-{:032x}.hooks.test", self.word(), u128::from(address)),
        }
    }

    /// The same with the address spelled before it, as wildcard names of the internet have it; the
    /// serial keeps apart what a parser makes alike, since each name counts its own answers.
    pub(super) fn name_spelling(self, address: IpAddr, spelling: &str, serial: usize) -> String {
        format!("{spelling}.s{serial}.{}", self.name(address))
    }

    /// Whether the n-th answer (from 0) is a public address and nothing else.
    pub(super) fn is_public_at(self, n: usize) -> bool {
        match self {
            Manner::Flip | Manner::FlipKept => n == 0,
            Manner::Seesaw => n.is_multiple_of(2),
            _ => false,
        }
    }

    /// What is answered the n-th time to a question for addresses of that family.
    fn addresses(self, address: IpAddr, asks_ipv6: bool, n: usize) -> Vec<IpAddr> {
        let public = |ipv6: bool| if ipv6 { IpAddr::V6(PUBLIC6) } else { IpAddr::V4(PUBLIC4) };
        if let (Some(embedded), IpAddr::V4(address)) = (self.embedding(), address) {
            return if asks_ipv6 { vec![IpAddr::V6(embedded(address))] } else { Vec::new() };
        }
        if address.is_ipv6() != asks_ipv6 {
            return if self == Manner::Split { vec![public(asks_ipv6)] } else { Vec::new() };
        }
        match self {
            _ if self.is_public_at(n) => vec![public(asks_ipv6)],
            Manner::Last => vec![public(asks_ipv6), address],
            Manner::First => vec![address, public(asks_ipv6)],
            Manner::Crowd => (1..=CROWD).map(|last| neighbour(asks_ipv6, last)).chain([address]).collect(),
            _ => vec![address],
        }
    }

    fn embedding(self) -> Option<fn(Ipv4Addr) -> Ipv6Addr> {
        fn behind(prefix: [u16; 6], address: Ipv4Addr) -> Ipv6Addr {
            let [a, b, c, d, e, f] = prefix;
            let [w, x, y, z] = address.octets();
            Ipv6Addr::new(a, b, c, d, e, f, u16::from_be_bytes([w, x]), u16::from_be_bytes([y, z]))
        }
        Some(match self {
            Manner::Mapped => |address| behind([0, 0, 0, 0, 0, 0xffff], address),
            Manner::Compatible => |address| behind([0; 6], address),
            Manner::Translated => |address| behind([0, 0, 0, 0, 0xffff, 0], address),
            Manner::Nat64 => |address| behind([0x64, 0xff9b, 0, 0, 0, 0], address),
            Manner::LocalNat64 => |address| behind([0x64, 0xff9b, 1, 0, 0, 0], address),
            Manner::SixToFour => |address| {
                let bits = u32::from(address).to_be_bytes();
                Ipv6Addr::new(0x2002, u16::from_be_bytes([bits[0], bits[1]]), u16::from_be_bytes([bits[2], bits[3]]), 0, 0, 0, 0, 1)
            },
            Manner::Teredo => |address| behind([0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf], Ipv4Addr::from(!u32::from(address))),
            Manner::Isatap => |address| behind([0xfe80, 0, 0, 0, 0, 0x5efe], address),
            _ => return None,
        })
    }

    fn ttl(self) -> u32 {
        if self == Manner::FlipKept { 86_400 } else { 0 }
    }

    /// The names between the one that is asked for and its addresses.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Manner::Alias => &["intranet.hooks.test"],
            Manner::Chain => &["edge.hooks.test", "db.internal", "localhost"],
            _ => &[],
        }
    }
}

/// More than are dialled of one name (8).
const CROWD: u8 = 12;

fn neighbour(ipv6: bool, last: u8) -> IpAddr {
    if ipv6 {
        IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, u16::from(last)))
    } else {
        IpAddr::V4(Ipv4Addr::new(93, 184, 216, last))
    }
}

/// Serves names on loopback until the test ends.
#[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
pub(super) async fn serve() {
    let socket = UdpSocket::bind("127.0.0.1:53").await.expect("the port of names is free in a network of one's own");
    tokio::spawn(async move {
        let mut asked: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut packet = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let Some(answer) = answer(&packet[..length], &mut asked) else { continue };
            let from: SocketAddr = from;
            socket.send_to(&answer, from).await.expect("loopback takes datagrams");
        }
    });
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// The length of a message's head, and so where its question begins.
const HEAD: usize = 12;

/// The answer to a question, counting how often it was asked.
fn answer(packet: &[u8], asked: &mut HashMap<Vec<u8>, usize>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = HEAD;
    while *packet.get(at)? > 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(packet.get(at + 1..end)?).to_ascii_lowercase());
        at = end;
    }
    let question = packet.get(HEAD..at + 5)?;
    let asks_for = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    let n = asked.entry(question.to_ascii_lowercase()).and_modify(|n| *n += 1).or_insert(0);
    let (manner, address) = meant(&labels).unwrap_or((Manner::Straight, unknown(asks_for)));
    let addresses = if matches!(asks_for, A | AAAA) { manner.addresses(address, asks_for == AAAA, *n) } else { Vec::new() };
    let aliases = if addresses.is_empty() { &[] } else { manner.aliases() };
    let count = u16::try_from(addresses.len() + aliases.len()).expect("a few");
    // An answer, recursive as it was asked for, without error.
    let mut message = [&packet[..2], &[0x81, 0x80, 0, 1], &count.to_be_bytes()[..], &[0, 0, 0, 0], question].concat();
    let mut owner = HEAD;
    let mut record = |owner: usize, kind: u16, data: &[u8]| {
        let pointer = 0xc000 | u16::try_from(owner).expect("a short message");
        message.extend([pointer.to_be_bytes(), kind.to_be_bytes(), [0, 1]].concat());
        message.extend(manner.ttl().to_be_bytes());
        message.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        let begins = message.len();
        message.extend(data);
        begins
    };
    for alias in aliases {
        owner = record(owner, CNAME, &spelt(alias));
    }
    for address in addresses {
        match address {
            IpAddr::V4(address) => record(owner, A, &address.octets()),
            IpAddr::V6(address) => record(owner, AAAA, &address.octets()),
        };
    }
    Some(message)
}

/// What a name of ours says, whatever stands before it.
fn meant(labels: &[String]) -> Option<(Manner, IpAddr)> {
    let [.., first, hooks, test] = labels else { return None };
    if (hooks.as_str(), test.as_str()) != ("hooks", "test") {
        return None;
    }
    let (word, digits) = first.split_once('-')?;
    let manner = Manner::ALL.into_iter().chain(Manner::EMBEDDING).find(|manner| manner.word() == word)?;
    let address = match digits.len() {
        8 => Ipv4Addr::from(u32::from_str_radix(digits, 16).ok()?).into(),
        _ => Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?).into(),
    };
    Some((manner, address))
}

fn unknown(asks_for: u16) -> IpAddr {
    if asks_for == AAAA { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

/// A name as labels.
fn spelt(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
