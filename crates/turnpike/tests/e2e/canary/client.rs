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
use turnpike_domain::webhook::{EndpointHost, EndpointUrl, PlainHttp, UrlRules};
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
    let crossed = no_spelling_in_a_name_gets_through_by_any_manner(&clients, &canary).await;
    every_manner_is_heard_where_nothing_keeps_away(&clients, &canary).await;
    this_machines_own_public_addresses_are_not_dialled(&clients, &canary).await;
    a_client_that_looks_twice_would_be_caught(&canary).await;
    let passed = public_addresses_pass(&clients, &canary, &public).await;
    println!("{literals} spellings and {names} posts to names heard by nobody; {passed} posts to public addresses heard");
    println!("{crossed} spellings in names, by every manner: heard by nobody but where they were public");
    assert!(literals >= 1_000 && names >= 3_000 && crossed >= 300 && passed >= 70);
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
                Ok(url) => {
                    // Whatever a resolver would answer for it: none is asked.
                    assert!(matches!(url.host(), EndpointHost::Address(_)), "{text}: a spelling is a literal or no URL");
                    posted.push((client, text, url));
                }
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

/// A spelling as the beginning of a name: brackets and colons cannot stand in one.
fn as_labels(spelling: &str) -> String {
    match spelling.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => format!("six-{}-6", inside.replace([':', '%'], "-")),
        None => spelling.trim_end_matches('.').to_owned(),
    }
}

/// A forbidden address, a way to spell it in a name, and a manner in which that name answers.
struct Crossed {
    address: IpAddr,
    manner: Manner,
    name: String,
}

/// Every spelling of every forbidden address by every manner; how many spellings that are.
fn crossed(spellings_of_each: usize) -> (usize, Vec<Crossed>) {
    let (mut all, mut spelt) = (Vec::new(), 0);
    for address in forbidden() {
        let embedding: &[Manner] = if address.is_ipv4() { &Manner::EMBEDDING } else { &[] };
        let ways: BTreeSet<String> = spellings(address).iter().map(|spelling| as_labels(spelling)).collect();
        for spelling in ways.iter().take(spellings_of_each) {
            spelt += 1;
            for manner in Manner::ALL.iter().chain(embedding) {
                all.push(Crossed { address, manner: *manner, name: manner.name_spelling(address, spelling, all.len()) });
            }
        }
    }
    (spelt, all)
}

/// The full cross product: every spelling of every forbidden address stands in names that answer in
/// every manner. Each is posted to twice, which is what a name needs to be public and then not.
async fn no_spelling_in_a_name_gets_through_by_any_manner(clients: &Clients, canary: &Canary) -> usize {
    const POSTS: usize = 2;
    let begun = namespace::connections_begun();
    let (spelt, all) = crossed(usize::MAX);
    let count = all.len();
    let heard: usize = stream::iter(all.into_iter().enumerate())
        .map(async |(index, Crossed { manner, name, .. })| {
            let mut heard = 0;
            for n in 0..POSTS {
                // By turns, so that each manner meets both, first and second.
                let (client, rules, scheme) = if (index + n).is_multiple_of(2) {
                    (&clients.strict, UrlRules::default(), "https")
                } else {
                    (&clients.lax, lax(), "http")
                };
                let url =
                    EndpointUrl::parse(&format!("{scheme}://{name}/hook"), &rules).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
                let ended = clients.post(client, url).await;
                if manner.is_public_at(n) {
                    // A certificate's `*` stands for one label, so the handshake is as far as it goes.
                    assert!(matches!(ended, Ok(Answered { status: 200, .. }) | Err(PostFault::Tls(_))), "{name}, post {n}: {ended:?}");
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
    assert_eq!(met.len(), heard, "it heard of what was public, and of nothing else");
    assert!(heard > count / 10, "names that change their mind were public first");
    assert_eq!(namespace::connections_begun() - begun, (heard + PORTS.len()) as u64, "connections were begun beside those heard");
    println!("{spelt} spellings in {count} names, {} posts: {heard} of them public and heard", count * POSTS);
    spelt
}

/// The same names with the guard opened: all are heard, and every forbidden address is met.
async fn every_manner_is_heard_where_nothing_keeps_away(clients: &Clients, canary: &Canary) {
    let (_, all) = crossed(1);
    stream::iter(all)
        .map(async |Crossed { address, manner, name }| {
            for n in 0..2 {
                let url = EndpointUrl::parse(&format!("http://{name}:6379/hook"), &open()).expect("a name is a URL");
                let ended = clients.post(&clients.open, url).await;
                // Link-local, and so out of reach by itself.
                if !is_out_of_reach(address) && manner != Manner::Isatap {
                    assert_eq!(ended.map(|answered| answered.body), Ok(b"heard".to_vec()), "{name}, post {n}");
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    let met: BTreeSet<IpAddr> = canary.met_at().await.into_iter().map(|place| place.ip()).collect();
    for address in forbidden().into_iter().map(|address| address.to_canonical()) {
        let where_to = if address.is_unspecified() { loopback_like(address) } else { address };
        assert!(is_out_of_reach(address) || met.contains(&where_to), "{address}");
    }
}

/// Public they are, and lead to this machine: refused before a connection, as literals and by name.
async fn this_machines_own_public_addresses_are_not_dialled(clients: &Clients, canary: &Canary) {
    for own in namespace::OWN {
        let own: IpAddr = own.parse().expect("an address");
        assert_eq!(why_forbidden(own, &AllowedNetworks::none()), None, "no table knows of it");
        let begun = namespace::connections_begun();
        for host in [SocketAddr::new(own, 443).to_string(), Manner::Straight.name(own), Manner::Last.name(own), Manner::Alias.name(own)] {
            for (client, rules) in [(&clients.strict, UrlRules::default()), (&clients.lax, lax())] {
                let url = EndpointUrl::parse(&format!("https://{host}/hook"), &rules).expect("a URL");
                let ended = clients.post(client, url).await;
                assert_eq!(ended, Err(PostFault::Blocked("this very machine".to_owned())), "{host}");
            }
        }
        assert_eq!(namespace::connections_begun(), begun, "connections were begun to {own}");
        let url = EndpointUrl::parse(&format!("http://{}/hook", SocketAddr::new(own, 6379)), &open()).expect("a URL");
        assert_eq!(clients.post(&clients.open, url).await.map(|answered| answered.body), Ok(b"heard".to_vec()), "{own}");
        assert_eq!(canary.met_at().await, [SocketAddr::new(own, 6379)]);
    }
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
