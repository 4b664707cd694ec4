//! The client of the deliveries, alone with a canary: its own URLs, guard, sockets and TLS, and the
//! system's resolver, as the gateway has them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::net::TcpStream;
use turnpike_domain::webhook::address::{AllowedNetworks, forbidden as why_forbidden};
use turnpike_domain::webhook::{EndpointUrl, PlainHttp, UrlRules};
use turnpike_engine::delivery::DeliverySettings;
use turnpike_engine::net::guard::Guard;
use turnpike_engine::net::hooks::{Answered, HookClient, Outgoing, PostFault};
use turnpike_store::endpoints::EndpointId;

use super::addresses::{forbidden, public, spellings};
use super::authority::{Authority, Valid};
use super::dns::{self, Manner};
use super::listener::Canary;
use super::namespace;

/// What endpoints usually have, and what an intruder would rather speak to.
const PORTS: [u16; 5] = [80, 443, 6379, 8443, 9200];

/// Posts at once; more would only wait for the resolver's threads.
const AT_ONCE: usize = 32;

/// Nothing here is late but by this machine's fault.
const PATIENCE: Duration = Duration::from_secs(120);

/// The clients that are compared: one by the rules that the gateway has if nobody sets any, one that
/// is as lax as it can be without being allowed a network, and one that may go anywhere.
struct Clients {
    strict: HookClient,
    lax: HookClient,
    open: HookClient,
    posts: AtomicU32,
}

fn lax() -> UrlRules {
    UrlRules { plain_http: PlainHttp::Anywhere, any_port: true, local_names: true, networks: AllowedNetworks::none() }
}

fn open() -> UrlRules {
    let everything = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
    UrlRules { networks: everything.into_iter().collect(), ..lax() }
}

impl Clients {
    fn new(authority: &Authority) -> Clients {
        let client = |urls: UrlRules| {
            let settings = DeliverySettings {
                urls,
                connect_within: PATIENCE,
                answer_within: PATIENCE,
                extra_roots_pem: vec![authority.pem().as_bytes().to_vec()],
                ..DeliverySettings::default()
            };
            HookClient::new(&settings, Guard::of(&settings)).expect("a client")
        };
        Clients { strict: client(UrlRules::default()), lax: client(lax()), open: client(open()), posts: AtomicU32::new(0) }
    }

    /// Posts over a connection of its own.
    async fn post(&self, client: &HookClient, url: EndpointUrl) -> Result<Answered, PostFault> {
        let endpoint = EndpointId(self.posts.fetch_add(1, Ordering::SeqCst).into());
        let request = Outgoing::to(&url).with_body(b"{}");
        client.post(endpoint, &Arc::new(url), &request).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a network of its own, where another test starts it"]
async fn inside() {
    namespace::is_ours();
    dns::serve().await;
    let authority = Authority::new("A customer's own");
    let public: Vec<IpAddr> = public();
    let named: Vec<String> = public.iter().map(IpAddr::to_string).chain(["*.hooks.test".to_owned()]).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let canary = Canary::start(&PORTS, authority.signs(&named, Valid::Now)).await;
    let clients = Clients::new(&authority);

    the_canary_hears_whom_nothing_keeps_away(&clients, &canary).await;
    let literals = no_spelling_gets_through(&clients, &canary).await;
    let names = no_name_gets_through(&clients, &canary).await;
    a_client_that_looks_twice_would_be_caught(&canary).await;
    let passed = public_addresses_pass(&clients, &canary, &public).await;
    println!("{literals} spellings and {names} posts to names heard by nobody; {passed} posts to public addresses heard");
    assert!(literals >= 1_000 && names >= 3_000 && passed >= 70);
}

/// Where nobody can connect by TCP, whatever is listening: groups, broadcast, and link-local IPv6,
/// which needs the name of a link that no URL can have.
fn is_out_of_reach(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast() || address.is_unicast_link_local(),
    }
}

async fn the_canary_hears_whom_nothing_keeps_away(clients: &Clients, canary: &Canary) {
    for address in forbidden() {
        let url = EndpointUrl::parse(&format!("http://{}/hook", SocketAddr::new(address, 6379)), &open()).expect("a URL");
        let ended = clients.post(&clients.open, url).await;
        let met = canary.met_at().await;
        if is_out_of_reach(address) {
            assert!(matches!(ended, Err(PostFault::Connect(_))) && met.is_empty(), "{address}: {ended:?}, {met:?}");
        } else {
            assert_eq!(ended.map(|answered| answered.body), Ok(b"heard".to_vec()), "{address}");
            // No address is this machine.
            let where_to =
                if address.to_canonical().is_unspecified() { loopback_like(address.to_canonical()) } else { address.to_canonical() };
            assert_eq!(met, [SocketAddr::new(where_to, 6379)], "{address}");
        }
    }
}

fn loopback_like(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

/// Every spelling of every forbidden address, by three ways: as a customer gives it by the usual
/// rules, by the laxest, and past the check of URLs, so that the guard stands alone.
async fn no_spelling_gets_through(clients: &Clients, canary: &Canary) -> usize {
    let spelt: BTreeSet<String> = forbidden().into_iter().flat_map(spellings).collect();
    let begun = namespace::connections_begun();
    let (mut posted, mut refused) = (Vec::new(), 0);
    for host in &spelt {
        for (client, rules, text) in [
            (&clients.strict, UrlRules::default(), format!("https://{host}/hook")),
            (&clients.strict, UrlRules::default(), format!("https://{host}:8443/hook")),
            (&clients.lax, lax(), format!("http://{host}/hook")),
            (&clients.lax, open(), format!("http://{host}:6379/hook")),
            (&clients.strict, open(), format!("https://{host}/hook")),
        ] {
            match EndpointUrl::parse(&text, &rules) {
                Ok(url) => posted.push((client, text, url)),
                Err(_) => refused += 1,
            }
        }
    }
    let posts = posted.len();
    let ended = stream::iter(posted).map(async |(client, text, url)| (text, clients.post(client, url).await));
    ended
        .buffer_unordered(AT_ONCE)
        .for_each(async |(text, ended)| assert!(matches!(ended, Err(PostFault::Blocked(_))), "{text}: {ended:?}"))
        .await;
    assert_eq!(canary.met_at().await, []);
    // Not even where nobody listens; the marks of the listener are its own.
    assert_eq!(namespace::connections_begun() - begun, PORTS.len() as u64, "connections were begun");
    println!("{} spellings of {} addresses: {refused} times no URL, {posts} times blocked", spelt.len(), forbidden().len());
    spelt.len()
}

/// Every manner of answering, for every forbidden address: what is not public is never dialled, and
/// what is public now says nothing of the next time.
async fn no_name_gets_through(clients: &Clients, canary: &Canary) -> usize {
    /// Enough for a name to change its mind and back.
    const POSTS: usize = 3;
    let begun = namespace::connections_begun();
    let mut names = Vec::new();
    for address in forbidden() {
        let embedding: &[Manner] = if address.is_ipv4() { &Manner::EMBEDDING } else { &[] };
        names.extend(Manner::ALL.iter().chain(embedding).map(|manner| (*manner, address)));
    }
    let count = names.len();
    let heard: usize = stream::iter(names)
        .map(async |(manner, address)| {
            let mut heard = 0;
            for n in 0..POSTS {
                let name = manner.name(address);
                // By turns, so that the plain way is gone as well.
                let (client, rules, scheme) =
                    if n == 1 { (&clients.lax, lax(), "http") } else { (&clients.strict, UrlRules::default(), "https") };
                let url = EndpointUrl::parse(&format!("{scheme}://{name}/hook"), &rules).expect("a name is a URL");
                let ended = clients.post(client, url).await;
                if manner.is_public_at(n) {
                    assert_eq!(ended.map(|answered| answered.status), Ok(200), "{name}, post {n}");
                    heard += 1;
                } else {
                    assert!(matches!(ended, Err(PostFault::Blocked(_))), "{name}, post {n}: {ended:?}");
                }
            }
            heard
        })
        .buffer_unordered(AT_ONCE)
        .fold(0, async |sum, heard| sum + heard)
        .await;
    let met = canary.met_at().await;
    assert!(met.iter().all(|place| [IpAddr::V4(dns::PUBLIC4), IpAddr::V6(dns::PUBLIC6)].contains(&place.ip())), "{met:?}");
    assert_eq!(met.len(), heard, "it heard what was answered, and nothing else");
    assert!(heard > count / 10, "names that change their mind were public first");
    assert_eq!(namespace::connections_begun() - begun, (heard + PORTS.len()) as u64, "connections were begun beside those heard");
    count * POSTS
}

/// The mistake that these names are made for: to look a name up, find it public, and dial the name.
async fn a_client_that_looks_twice_would_be_caught(canary: &Canary) {
    // Not asked for before: names are told apart by their address.
    let inside: IpAddr = "10.77.77.77".parse().expect("an address");
    let name = Manner::Flip.name(inside);
    let looked_at: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 9200)).await.expect("it answers").collect();
    assert!(looked_at.iter().all(|place| why_forbidden(place.ip(), &AllowedNetworks::none()).is_none()), "{looked_at:?}");
    TcpStream::connect((name.as_str(), 9200)).await.expect("it listens");
    assert_eq!(canary.met_at().await, [SocketAddr::new(inside, 9200)]);
}

/// Public addresses are reached, as literals and by name, at exactly the address that was looked at.
async fn public_addresses_pass(clients: &Clients, canary: &Canary, public: &[IpAddr]) -> usize {
    let mut passed = 0;
    for address in public {
        for host in [Manner::Straight.name(*address), Manner::Alias.name(*address), SocketAddr::new(*address, 443).to_string()] {
            let url = EndpointUrl::parse(&format!("https://{host}/hook"), &UrlRules::default()).expect("a URL");
            let ended = clients.post(&clients.strict, url).await;
            assert_eq!(ended.map(|answered| (answered.status, answered.body)), Ok((200, b"heard".to_vec())), "{host}");
            assert_eq!(canary.met_at().await, [SocketAddr::new(*address, 443)], "{host}");
            passed += 1;
        }
    }
    passed
}
