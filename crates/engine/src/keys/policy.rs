//! What a key may do, read once so that the hot path only compares numbers.
//!
//! A stored [`KeyPolicy`] is words: scopes, addresses, market codes. Compiling it is the one place
//! where these are checked, both when a key is made (the faults go back to whoever made it) and
//! when it is loaded (a record that cannot be read is AUTH_005, never a key without its limits).

use std::fmt;
use std::net::IpAddr;

use turnpike_domain::market::Market;
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::FieldFault;
use turnpike_store::keys::KeyPolicy;

use super::IpNetwork;

/// The highest `ratePerSecond`: far above what one machine forwards, and a bound on the memory of
/// one key's windows (8 bytes for each request of the last minute).
pub const RATE_PER_SECOND_MAX: u32 = 100_000;
/// The highest `ratePerMinute`: sixty times the other.
pub const RATE_PER_MINUTE_MAX: u32 = 60 * RATE_PER_SECOND_MAX;
/// The highest `concurrencyLimit`: as many as the gateway takes connections, with room.
pub const CONCURRENCY_MAX: u32 = 100_000;
/// Addresses and networks that one key may list; each request compares with all of them.
pub const ALLOWED_IPS_MAX: usize = 64;

/// A [`KeyPolicy`] ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledPolicy {
    /// Requests in any span of one second.
    pub rate_per_second: u32,
    /// Requests in any span of sixty seconds.
    pub rate_per_minute: u32,
    /// Messages of the UTC day.
    pub daily_limit: Option<u32>,
    /// Sends in flight.
    pub concurrency_limit: Option<u32>,
    /// Held amounts of the UTC day.
    pub daily_spend: Option<Micros>,
    /// What it may be used for.
    pub scopes: Scopes,
    /// Whether a closed customer service window refuses (POL_001).
    pub enforce_window: bool,
    /// Markets (or countries, as `Market::list_allows` reads them) that it may send to. An empty
    /// list allows none.
    pub allowed_markets: Option<Box<[Market]>>,
    /// Networks that it may be used from. An empty list allows none.
    pub allowed_ips: Option<Box<[IpNetwork]>>,
}

impl CompiledPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// Every faulty field by its name, so that a form can show them all at once.
    pub fn compile(policy: &KeyPolicy) -> Result<CompiledPolicy, Vec<FieldFault>> {
        let mut faults = Vec::new();
        within(&mut faults, "ratePerSecond", policy.rate_per_second, RATE_PER_SECOND_MAX);
        within(&mut faults, "ratePerMinute", policy.rate_per_minute, RATE_PER_MINUTE_MAX);
        if let Some(limit) = policy.concurrency_limit {
            within(&mut faults, "concurrencyLimit", limit, CONCURRENCY_MAX);
        }
        if policy.daily_spend.is_some_and(Micros::is_negative) {
            faults.push(FieldFault::new("dailySpend", "must not be negative"));
        }
        let mut scopes = Scopes::NONE;
        for (index, word) in policy.scopes.iter().enumerate() {
            match Scopes::parse(word) {
                Some(scope) => scopes = scopes.with(scope),
                None => {
                    faults.push(FieldFault::new(format!("scopes[{index}]"), format!("`{word}` is no scope; known are {}", Scopes::ALL)))
                }
            }
        }
        let allowed_markets = policy.allowed_markets.as_ref().map(|codes| {
            let read = codes.iter().enumerate().filter_map(|(index, code)| {
                let market = Market::parse(code);
                if market.is_none() {
                    faults.push(FieldFault::new(
                        format!("allowedMarkets[{index}]"),
                        format!("`{code}` is no market; turnpike rates show --at DATE lists them"),
                    ));
                }
                market
            });
            read.collect()
        });
        let allowed_ips = policy.allowed_ips.as_ref().map(|texts| {
            if texts.len() > ALLOWED_IPS_MAX {
                faults.push(FieldFault::new("allowedIps", format!("must have at most {ALLOWED_IPS_MAX} entries ({} given)", texts.len())));
            }
            let read = texts.iter().enumerate().filter_map(|(index, text)| {
                IpNetwork::parse(text).map_err(|problem| faults.push(FieldFault::new(format!("allowedIps[{index}]"), problem))).ok()
            });
            read.collect()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(CompiledPolicy {
            rate_per_second: policy.rate_per_second,
            rate_per_minute: policy.rate_per_minute,
            daily_limit: policy.daily_limit,
            concurrency_limit: policy.concurrency_limit,
            daily_spend: policy.daily_spend,
            scopes,
            enforce_window: policy.enforce_window,
            allowed_markets,
            allowed_ips,
        })
    }

    /// Whether a caller may use the key from this address.
    #[must_use]
    pub fn allows_ip(&self, address: IpAddr) -> bool {
        self.allowed_ips.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(address)))
    }

    /// Whether anything of the key is counted by the UTC day, so that the store keeps its usage.
    #[must_use]
    pub fn counts_today(&self) -> bool {
        self.daily_limit.is_some() || self.daily_spend.is_some()
    }
}

fn within(faults: &mut Vec<FieldFault>, path: &str, value: u32, max: u32) {
    if !(1..=max).contains(&value) {
        faults.push(FieldFault::new(path, format!("must be between 1 and {max} ({value} given)")));
    }
}

/// A set of scopes: what a key may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing.
    pub const NONE: Scopes = Scopes(0);
    /// `send`: messages, `/check`, mark-as-read.
    pub const SEND: Scopes = Scopes(1);
    /// `read`: look-ups.
    pub const READ: Scopes = Scopes(1 << 1);
    /// `templates`.
    pub const TEMPLATES: Scopes = Scopes(1 << 2);
    /// `webhooks`.
    pub const WEBHOOKS: Scopes = Scopes(1 << 3);
    /// `billing:read`: balances and what is available.
    pub const BILLING_READ: Scopes = Scopes(1 << 4);
    /// All of them.
    pub const ALL: Scopes = Scopes((1 << 5) - 1);

    const WORDS: [(Scopes, &'static str); 5] = [
        (Scopes::SEND, "send"),
        (Scopes::READ, "read"),
        (Scopes::TEMPLATES, "templates"),
        (Scopes::WEBHOOKS, "webhooks"),
        (Scopes::BILLING_READ, "billing:read"),
    ];

    /// The scope of a word, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Scopes> {
        Scopes::WORDS.iter().find(|(_, known)| *known == word).map(|(scope, _)| *scope)
    }

    /// The words of the set, in the order of the documentation.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        Scopes::WORDS.iter().filter(|(scope, _)| self.contains(*scope)).map(|(_, word)| *word).collect()
    }

    /// Both sets.
    #[must_use]
    pub fn with(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// Whether all of `wanted` is in it.
    #[must_use]
    pub fn contains(self, wanted: Scopes) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl fmt::Display for Scopes {
    /// `send, read`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_compiles_and_allows_every_address_and_market() {
        let policy = CompiledPolicy::compile(&KeyPolicy::default()).expect("the default is sound");
        assert_eq!((policy.rate_per_second, policy.rate_per_minute), (80, 4_800));
        assert_eq!(policy.scopes, Scopes::ALL);
        assert!(policy.allows_ip("203.0.113.9".parse().expect("address")));
        assert!(!policy.counts_today());
    }

    #[test]
    fn every_faulty_field_is_named_at_once() {
        let policy = KeyPolicy {
            rate_per_second: 0,
            rate_per_minute: RATE_PER_MINUTE_MAX + 1,
            concurrency_limit: Some(0),
            daily_spend: Some(Micros(-1)),
            allowed_markets: Some(vec!["turkey".into(), "atlantis".into()]),
            allowed_ips: Some(vec!["192.0.2.0/24".into(), "192.0.2.1/24".into()]),
            scopes: vec!["send".into(), "everything".into()],
            ..KeyPolicy::default()
        };
        let faults = CompiledPolicy::compile(&policy).expect_err("faulty");
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(
            paths,
            ["ratePerSecond", "ratePerMinute", "concurrencyLimit", "dailySpend", "scopes[1]", "allowedMarkets[1]", "allowedIps[1]"]
        );
        assert!(faults[4].problem.contains("send, read, templates, webhooks, billing:read"), "{}", faults[4].problem);
    }

    #[test]
    fn an_address_list_admits_its_networks_and_an_empty_one_nobody() {
        let from = |ips: &[&str]| {
            let allowed_ips = Some(ips.iter().map(|ip| (*ip).to_owned()).collect());
            CompiledPolicy::compile(&KeyPolicy { allowed_ips, ..KeyPolicy::default() }).expect("sound")
        };
        let office: IpAddr = "198.51.100.20".parse().expect("address");
        assert!(from(&["192.0.2.1", "198.51.100.0/24"]).allows_ip(office));
        assert!(!from(&["192.0.2.1"]).allows_ip(office));
        assert!(!from(&[]).allows_ip(office));
    }

    #[test]
    fn scopes_are_a_set() {
        let two = Scopes::SEND.with(Scopes::BILLING_READ);
        assert!(two.contains(Scopes::SEND) && two.contains(Scopes::BILLING_READ) && two.contains(Scopes::NONE));
        assert!(!two.contains(Scopes::READ) && !two.contains(Scopes::SEND.with(Scopes::READ)));
        assert_eq!(two.to_string(), "send, billing:read");
    }
}
