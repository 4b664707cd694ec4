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
use turnpike_engine::net::hooks::{HookClient, Outgoing, PostFault};
use turnpike_store::endpoints::EndpointId;

use crate::addresses::{forbidden, public, spellings};
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
    for address in public() {
        let guard = Guard::new(UrlRules::default(), Vec::new(), Dns::new(vec![vec![address]]));
        assert_eq!(guard.addresses(&url).await, Ok(vec![SocketAddr::new(address, 443)]), "{address}");
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
            let ended = client.post(EndpointId(1), &Arc::new(url.clone()), &Outgoing::to(&url).with_body(b"{}")).await;
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
    client.post(EndpointId(1), &url, &Outgoing::to(&url).with_body(b"{}")).await.expect("it listens");
    assert_eq!(canary.count(), 1);
    // Not even then to the gateway itself.
    let settings = DeliverySettings { own_addresses: vec![SocketAddr::from(([0, 0, 0, 0], port))], ..settings };
    let client = HookClient::new(&settings, Guard::of(&settings)).expect("a client");
    let ended = client.post(EndpointId(1), &url, &Outgoing::to(&url).with_body(b"")).await;
    assert!(matches!(ended, Err(PostFault::Blocked(_))));
}
