//! The guard on addresses: no spelling and no behaviour of DNS leads to a forbidden place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use turnpike_domain::webhook::address::AllowedNetworks;
use turnpike_domain::webhook::{EndpointUrl, PlainHttp, UrlRules};
use turnpike_engine::delivery::DeliverySettings;
use turnpike_engine::net::guard::{Guard, Resolve};
use turnpike_engine::net::hooks::{HookClient, PostFault};
use turnpike_store::endpoints::EndpointId;

use crate::receiver::{Behaviour, Receiver};

/// A name server that answers as told: the n-th question gets the n-th list, the last one for ever.
#[derive(Debug)]
struct Dns {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Dns {
    fn new(answers: Vec<Vec<IpAddr>>) -> Arc<Dns> {
        Arc::new(Dns { answers, asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Dns {
    fn resolve<'a>(&'a self, _host: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let found = self.answers[number].iter().map(|address| SocketAddr::new(*address, port)).collect();
        Box::pin(async move { Ok(found) })
    }
}

/// As strict as the default but for the scheme and port, so that a canary could be reached.
fn rules() -> UrlRules {
    UrlRules { plain_http: PlainHttp::Anywhere, any_port: true, local_names: true, networks: AllowedNetworks::none() }
}

const PUBLIC4: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14));
const PUBLIC6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 0x1111));

/// Addresses of every forbidden range: first, last and some between.
fn forbidden() -> Vec<IpAddr> {
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

/// Spellings of an address as a URL's host, as a stranger would try them.
fn spellings(address: IpAddr) -> Vec<String> {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let number = u32::from(address);
            let mut spelt = vec![
                address.to_string(),
                format!("{number}"),
                format!("0x{number:x}"),
                format!("0{number:o}"),
                format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
                format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                format!("{a}.{}", number & 0x00ff_ffff),
                format!("{a}.{b}.{}", number & 0xffff),
                format!("{address}."),
            ];
            spelt.push(address.to_string().replace('.', "\u{3002}"));
            spelt
        }
        IpAddr::V6(address) => {
            let segments = address.segments();
            let long = segments.map(|segment| format!("{segment:04x}")).join(":");
            vec![format!("[{address}]"), format!("[{long}]"), format!("[{}]", long.to_uppercase())]
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_a_url_or_gets_past_the_guard() {
    let mut count = 0;
    for address in forbidden() {
        for spelt in spellings(address) {
            count += 1;
            if let Ok(url) = EndpointUrl::parse(&format!("http://{spelt}:9/"), &rules()) {
                let guard = Guard::new(rules(), Vec::new(), Dns::new(vec![vec![address]]));
                assert!(matches!(guard.addresses(&url).await, Err(PostFault::Blocked(_))), "{spelt} got past");
            }
        }
    }
    assert!(count >= 300, "{count} spellings");
}

#[tokio::test]
async fn no_behaviour_of_dns_leads_to_a_forbidden_address() {
    let url = EndpointUrl::parse("http://hooks.example.com:9/", &rules()).expect("a name is a URL");
    let mut count = 0;
    for address in forbidden() {
        let behaviours = [
            vec![vec![address]],
            vec![vec![PUBLIC4, address]],
            vec![vec![address, PUBLIC4]],
            vec![vec![PUBLIC6, PUBLIC4, address]],
            vec![[vec![PUBLIC4; 20], vec![address]].concat()],
        ];
        for answers in behaviours {
            count += 1;
            let guard = Guard::new(rules(), Vec::new(), Dns::new(answers));
            assert!(matches!(guard.addresses(&url).await, Err(PostFault::Blocked(_))), "{address} got past");
        }
        // A name that changes its mind: the first answer is what is dialled, and the next is looked at anew.
        let guard = Guard::new(rules(), Vec::new(), Dns::new(vec![vec![PUBLIC4], vec![address], vec![PUBLIC6]]));
        assert_eq!(guard.addresses(&url).await, Ok(vec![SocketAddr::new(PUBLIC4, 9)]));
        assert!(matches!(guard.addresses(&url).await, Err(PostFault::Blocked(_))));
        assert_eq!(guard.addresses(&url).await, Ok(vec![SocketAddr::new(PUBLIC6, 9)]));
    }
    assert!(count >= 300, "{count} cases");
}

#[tokio::test]
async fn public_addresses_pass_and_are_dialled_as_they_were_looked_at() {
    let url = EndpointUrl::parse("https://hooks.example.com/", &UrlRules::default()).expect("a URL");
    for text in [
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
    ] {
        let address: IpAddr = text.parse().expect("an address");
        let guard = Guard::new(UrlRules::default(), Vec::new(), Dns::new(vec![vec![address]]));
        assert_eq!(guard.addresses(&url).await, Ok(vec![SocketAddr::new(address, 443)]), "{text}");
    }
    // Plain http to a public address is refused where it is not permitted everywhere.
    let demo = DeliverySettings::default().allowing_loopback().urls;
    let plain = EndpointUrl::parse("http://hooks.example.com/", &demo).expect("a URL");
    let guard = Guard::new(demo, Vec::new(), Dns::new(vec![vec![PUBLIC4]]));
    assert!(matches!(guard.addresses(&plain).await, Err(PostFault::Blocked(_))));
}

#[tokio::test]
async fn a_canary_on_this_machine_hears_nothing_whatever_the_name_says() {
    let canary = Receiver::start(Behaviour::Answer(200, "")).await;
    let port = canary.address.port();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut posts = 0;
    for host in
        ["hooks.example.com", "localhost", "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::1]"]
    {
        let Ok(url) = EndpointUrl::parse(&format!("http://{host}:{port}/"), &rules()) else { continue };
        for answers in [vec![vec![loopback]], vec![vec![loopback.to_canonical(), PUBLIC4]], vec![vec![IpAddr::V6(Ipv6Addr::LOCALHOST)]]] {
            let settings = DeliverySettings { urls: rules(), resolver: Dns::new(answers), ..DeliverySettings::default() };
            let client = HookClient::new(&settings, Guard::of(&settings)).expect("a client");
            let ended = client.post(EndpointId(1), &Arc::new(url.clone()), http::HeaderMap::new(), bytes::Bytes::from_static(b"{}")).await;
            assert!(matches!(ended, Err(PostFault::Blocked(_))), "{host}: {ended:?}");
            posts += 1;
        }
    }
    assert!(posts >= 3);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(canary.connections.load(Ordering::SeqCst), 0);
    // And it would have heard, had it been allowed.
    let settings = DeliverySettings::default().allowing_loopback();
    let client = HookClient::new(&settings, Guard::of(&settings)).expect("a client");
    let url = Arc::new(EndpointUrl::parse(&canary.url(), &settings.urls).expect("a URL"));
    client.post(EndpointId(1), &url, http::HeaderMap::new(), bytes::Bytes::from_static(b"{}")).await.expect("it listens");
    assert_eq!(canary.count(), 1);
    // Not even then to the gateway itself.
    let settings = DeliverySettings { own_addresses: vec![SocketAddr::from(([0, 0, 0, 0], port))], ..settings };
    let client = HookClient::new(&settings, Guard::of(&settings)).expect("a client");
    let ended = client.post(EndpointId(1), &url, http::HeaderMap::new(), bytes::Bytes::new()).await;
    assert!(matches!(ended, Err(PostFault::Blocked(_))));
}
