//! A gateway as an operator runs it, in a network where every address listens: what its customers may
//! set as an endpoint, what it delivers to, and what its records say of the rest.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};

use super::authority::{Authority, Valid};
use super::dns::{self, Manner};
use super::listener::Canary;
use super::namespace;
use crate::client::Answer;
use crate::house::{House, Plan};
use crate::intake_kill;

/// Endpoints' ports, one that is no endpoint's, and that of the proxy which nobody asks.
const PORTS: [u16; 4] = [443, 8443, 6379, PROXY_PORT];
const PROXY_PORT: u16 = 3128;

/// How programs are told of a proxy.
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

const ENDPOINT: &str = "/applications/shop/webhooks/default";

/// What an intruder would like to reach, in either family.
const INSIDE: [&str; 8] = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "::1", "fd00:ec2::254", "fc00::1"];

/// URLs that are refused at once, each with a word of the reason.
const NO_ENDPOINTS: [(&str, &str); 31] = [
    ("https://127.0.0.1/", "must not lead to this machine"),
    ("https://127.1/", "must not lead to this machine"),
    ("https://2130706433/", "must not lead to this machine"),
    ("https://0x7f000001/", "must not lead to this machine"),
    ("https://0177.0.0.1/", "must not lead to this machine"),
    ("https://127.0.0.1./", "must not lead to this machine"),
    ("https://１２７.０.０.１/", "must not lead to this machine"),
    ("https://127。0。0。1/", "must not lead to this machine"),
    ("https://%31%32%37.0.0.1/", "must not lead to this machine"),
    ("https:127.0.0.1", "must not lead to this machine"),
    ("https:///127.0.0.1/", "must not lead to this machine"),
    ("https://0/", "must not lead to this network"),
    ("https://169.254.169.254/latest/meta-data/", "cloud metadata"),
    ("https://[::1]/", "must not lead to this machine"),
    ("https://[::]/", "must not lead to no address"),
    ("https://[::ffff:169.254.169.254]/", "cloud metadata"),
    ("https://[64:ff9b::a00:1]/", "NAT64"),
    ("https://[2002:7f00:1::]/", "6to4"),
    ("https://[fe80::1%25lo]/", "must be a URL"),
    ("https://localhost/", "local network"),
    ("https://LOCALHOST./", "local network"),
    ("https://db.internal/", "local network"),
    ("https://printer/", "local network"),
    ("https://hooks.test@127.0.0.1/", "user name"),
    ("https://:@hooks.test/", "user name"),
    ("https://hooks.test\\@127.0.0.1/", "backslashes"),
    ("https://hooks.test:22/", "must name port"),
    ("https://hooks.test:80/", "must name port"),
    ("http://hooks.test/", "must begin with https://"),
    ("gopher://127.0.0.1:6379/_SET", "must begin with https://"),
    ("file:///etc/passwd", "must begin with https://"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a network of its own, where another test starts it"]
async fn inside() {
    namespace::is_ours();
    dns::serve().await;
    let authority = Authority::new("A customer's own");
    let canary = Canary::start(&PORTS, authority.signs(&["*.hooks.test"], Valid::Now)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).expect("a file");
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    let mut plan = intake_kill::plan();
    plan.environment.extend(PROXY_VARIABLES.map(|name| (name, proxy.clone())));
    let ca_setting = format!("webhooks.ca_file={}", ca_file.display());
    let mut house = House::open(Plan { settings: vec![ca_setting, "webhooks.schedule=50ms,50ms".to_owned()], ..plan }).await;

    no_url_inside_is_taken(&house).await;
    names_that_lead_inside_are_taken_and_never_called(&house, &canary).await;
    an_event_for_such_a_name_is_a_dead_letter_that_says_why(&house, &canary).await;
    a_public_name_is_called_and_no_proxy_is_asked(&house, &canary).await;

    house.kill_gateway();
    house.reopen_gateway_with(&["webhooks.allowed_networks=10.0.0.0/8,fc00::/7"]);
    only_what_the_operator_allows_is_called(&house, &canary).await;
}

async fn no_url_inside_is_taken(house: &House) {
    for (url, reason) in NO_ENDPOINTS {
        let answer = try_set(house, url).await;
        assert_eq!(answer.status, 400, "{url}: {}", answer.summary());
        let fields = answer.param("fields");
        assert_eq!(fields[0]["path"], "url", "{url}: {}", answer.summary());
        assert!(fields[0]["problem"].as_str().is_some_and(|problem| problem.contains(reason)), "{url}: {}", answer.summary());
    }
}

async fn names_that_lead_inside_are_taken_and_never_called(house: &House, canary: &Canary) {
    for inside in INSIDE {
        let inside: IpAddr = inside.parse().expect("an address");
        let embedding: &[Manner] = if inside.is_ipv4() { &Manner::EMBEDDING } else { &[] };
        for manner in Manner::ALL.iter().chain(embedding) {
            let name = manner.name(inside);
            set(house, &format!("https://{name}/")).await;
            for n in 0..3 {
                let tested = house.order(&format!("{ENDPOINT}/test"), json!({})).await;
                let met = canary.met_at().await;
                if manner.is_public_at(n) {
                    assert_eq!(tested["ok"], true, "{name}: {tested}");
                    // The look-up of the resolver counts, so nobody asked for it in between.
                    assert_eq!(met, [public_like(inside)], "{name}");
                } else {
                    assert!(tested["fault"].as_str().is_some_and(|fault| fault.starts_with("blocked address: ")), "{name}: {tested}");
                    assert_eq!(met, [], "{name}");
                }
            }
        }
    }
}

fn public_like(address: IpAddr) -> SocketAddr {
    let ip = if address.is_ipv4() { IpAddr::V4(dns::PUBLIC4) } else { IpAddr::V6(dns::PUBLIC6) };
    SocketAddr::new(ip, 443)
}

async fn an_event_for_such_a_name_is_a_dead_letter_that_says_why(house: &House, canary: &Canary) {
    set(house, &format!("https://{}/", Manner::Last.name("169.254.169.254".parse().expect("an address")))).await;
    let dead = event(house, 0, "dead").await;
    let attempts = dead["attempts"].as_array().expect("asked for");
    assert_eq!(attempts.len(), 3, "{dead}");
    for attempt in attempts {
        assert_eq!(attempt["status"], Value::Null);
        assert_eq!(attempt["fault"], "blocked address: link-local, cloud metadata among it (169.254.0.0/16)");
    }
    assert_eq!(canary.met_at().await, []);
}

async fn a_public_name_is_called_and_no_proxy_is_asked(house: &House, canary: &Canary) {
    let public: IpAddr = "198.51.101.1".parse().expect("an address");
    set(house, &format!("https://{}:8443/", Manner::Straight.name(public))).await;
    let delivered = event(house, 1, "delivered").await;
    assert_eq!(delivered["attempts"][0]["answer"], "heard", "{delivered}");
    assert_eq!(canary.met_at().await, [SocketAddr::new(public, 8443)]);
}

async fn only_what_the_operator_allows_is_called(house: &House, canary: &Canary) {
    for (inside, is_allowed) in
        [("10.0.0.1", true), ("fd00:ec2::254", true), ("169.254.169.254", false), ("127.0.0.1", false), ("::1", false)]
    {
        let inside: IpAddr = inside.parse().expect("an address");
        set(house, &format!("https://{}/", Manner::Straight.name(inside))).await;
        let tested = house.order(&format!("{ENDPOINT}/test"), json!({})).await;
        assert_eq!(tested["ok"], is_allowed, "{inside}: {tested}");
        let expected: Vec<SocketAddr> = is_allowed.then_some(SocketAddr::new(inside, 443)).into_iter().collect();
        assert_eq!(canary.met_at().await, expected);
    }
}

async fn set(house: &House, url: &str) {
    let answer = try_set(house, url).await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.summary());
}

async fn try_set(house: &House, url: &str) -> Answer {
    house.try_order(ENDPOINT, json!({"url": url})).await
}

/// A user writes, for the nth time; the one delivery of it once it has come to that state.
async fn event(house: &House, n: usize, state: &str) -> Value {
    let answer = house.api.call(intake_kill::signed(&intake_kill::inbound(n..n + 1))).await;
    assert_eq!(answer.status, 200, "{}", answer.summary());
    for _ in 0..3_000 {
        let newest = house.ask("/applications/shop/deliveries?limit=1").await[0].clone();
        if newest["state"] == state {
            let event = newest["id"].as_str().expect("a delivery is of an event");
            return house.ask(&format!("/applications/shop/deliveries/{event}")).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no delivery was ever {state}")
}
