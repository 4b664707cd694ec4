//! The guard on deliveries, seen from outside: in a network where every forbidden address has somebody
//! who listens, nobody hears of a delivery.
//!
//! A unit test can ask the guard what it decides, and would not notice a way around it. So these tests
//! build a network of their own ([`namespace`]) in which every address of IPv4 and IPv6 leads back to
//! this machine, put a name server into it which answers as a stranger's would ([`dns`]), a listener
//! that writes down to which address each connection was made ([`listener`]), and let loose there the
//! client of the deliveries ([`client`]) and a whole gateway ([`gateway`]), with the system's resolver
//! and real sockets. Each also shows that the same listener does hear, once the guard is opened: a
//! check that cannot fail is worth nothing.

#[path = "../../../../engine/tests/delivery/addresses.rs"]
mod addresses;
#[path = "../../../../engine/tests/delivery/authority.rs"]
#[expect(dead_code, reason = "faulty certificates are the engine's tests' own; here they are right")]
mod authority;
mod client;
mod dns;
mod gateway;
mod listener;
mod namespace;

#[test]
fn no_spelling_and_no_name_leads_the_client_of_deliveries_to_a_forbidden_address() {
    namespace::run("canary::client::inside");
}

#[test]
fn a_gateway_delivers_to_no_forbidden_address_and_asks_no_proxy() {
    namespace::run("canary::gateway::inside");
}
