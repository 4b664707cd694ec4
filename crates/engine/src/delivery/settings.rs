//! How deliveries are made: limits by name, each with its reason (reliability §e, "Webhooks out").

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use turnpike_domain::webhook::address::AllowedNetworks;
use turnpike_domain::webhook::{PlainHttp, Schedule, UrlRules};

use crate::net::guard::{Resolve, SystemResolver};

/// Numbers and rules of deliveries.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// Which URLs may be called, and what of that is allowed though it is not public.
    pub urls: UrlRules,
    /// Where this gateway listens: a delivery never goes to itself.
    pub own_addresses: Vec<SocketAddr>,
    /// What turns names into addresses; the operating system's, but in tests.
    pub resolver: Arc<dyn Resolve>,
    /// When a delivery is tried again.
    pub schedule: Schedule,
    /// Connecting, TLS included. A receiver that takes longer will not answer in time either.
    pub connect_within: Duration,
    /// The whole attempt, to the last byte of the answer's head.
    pub answer_within: Duration,
    /// How long an answer's body is read once its head decided the attempt.
    pub body_within: Duration,
    /// How long a connection may rest: shorter than the least that servers keep one (60 s is usual).
    pub idle: Duration,
    /// Attempts of one endpoint at a time: more would press a receiver that is slow already.
    pub endpoint_in_flight_max: usize,
    /// Attempts at a time of an endpoint that has not answered yet: each answer adds one, each
    /// failure halves them, so that dead endpoints hold little of what their tenant may have in flight.
    pub endpoint_in_flight_first: usize,
    /// Attempts of one organization at a time, so that no tenant takes the whole machine.
    pub tenant_in_flight_max: usize,
    /// Attempts at a time: each has a socket, and a process may have 1,024 files.
    pub in_flight_max: usize,
    /// Attempts that an organization begins at its turn (deficit round robin).
    pub quantum: usize,
    /// Of every hundred attempts in flight, how many may be retries while first attempts wait (and
    /// the rest is for first attempts while retries wait).
    pub retry_percent: usize,
    /// Deliveries held in memory per endpoint, read ahead from the store.
    pub buffer_max: usize,
    /// Deliveries held in memory per endpoint behind lines that wait (`ordered`).
    pub held_max: usize,
    /// How long a claim stands: longer than anything waits in memory, behind a held line of a slow
    /// receiver. Claims end with the process anyway.
    pub lease: Duration,
    /// How long `ordered` holds a user's line (contract §7).
    pub line_held_max: Duration,
    /// This many failures in a row of an endpoint that does not answer, or answers 5xx or 429, open
    /// its breaker. One that let us wait counts twice: the first four of an endpoint time out
    /// together after fifteen seconds.
    pub breaker_failures: u32,
    /// How long an open breaker waits for its first probe; each failed probe doubles it.
    pub breaker_open: Duration,
    /// The longest wait between two probes.
    pub breaker_open_max: Duration,
    /// After this long of nothing but failures the owner is told.
    pub failing_told_after: Duration,
    /// After this long of nothing but failures an endpoint is disabled.
    pub disabled_after: Duration,
    /// But not before this many attempts.
    pub disabled_after_attempts: u32,
    /// How long the old signing secret also signs.
    pub rotation_overlap: Duration,
    /// Deliveries of one organization that may wait; of more the oldest become dead letters, so that
    /// one whose endpoints are gone does not fill the disk that all share (reliability §c4).
    pub backlog_max: u64,
    /// What could have been tried for so long and was not, since its endpoint is off or dead, becomes
    /// a dead letter.
    pub backlog_age_max: Duration,
    /// How often backlogs are measured: it takes a reader some milliseconds for each hundred thousand.
    pub backlog_looked_at_every: Duration,
    /// How often an owner is told that a backlog overflows, at most.
    pub backlog_told_every: Duration,
    /// How often the store is asked for what waits without a hint.
    pub look_every: Duration,
    /// How long attempts under way may go on when the gateway stops.
    pub stop_within: Duration,
    /// Certificates in PEM that are trusted beside Mozilla's roots: a company's own.
    pub extra_roots_pem: Vec<Vec<u8>>,
}

impl Default for DeliverySettings {
    fn default() -> DeliverySettings {
        DeliverySettings {
            urls: UrlRules::default(),
            own_addresses: Vec::new(),
            resolver: Arc::new(SystemResolver),
            schedule: Schedule::default(),
            connect_within: Duration::from_secs(5),
            answer_within: Duration::from_secs(15),
            body_within: Duration::from_secs(2),
            idle: Duration::from_secs(20),
            endpoint_in_flight_max: 8,
            endpoint_in_flight_first: 4,
            tenant_in_flight_max: 32,
            in_flight_max: 512,
            quantum: 8,
            retry_percent: 30,
            buffer_max: 256,
            held_max: 2_048,
            lease: Duration::from_secs(6 * 3_600),
            line_held_max: Duration::from_secs(300),
            breaker_failures: 8,
            breaker_open: Duration::from_secs(15),
            breaker_open_max: Duration::from_secs(300),
            failing_told_after: Duration::from_secs(24 * 3_600),
            disabled_after: Duration::from_secs(5 * 24 * 3_600),
            disabled_after_attempts: 20,
            rotation_overlap: Duration::from_secs(24 * 3_600),
            backlog_max: 1_000_000,
            backlog_age_max: Duration::from_secs(7 * 24 * 3_600),
            backlog_looked_at_every: Duration::from_secs(60),
            backlog_told_every: Duration::from_secs(3_600),
            look_every: Duration::from_secs(10),
            stop_within: Duration::from_secs(3),
            extra_roots_pem: Vec::new(),
        }
    }
}

impl DeliverySettings {
    /// Allows endpoints on this very machine, by plain http and at any port: for `turnpike demo`.
    #[must_use]
    pub fn allowing_loopback(mut self) -> DeliverySettings {
        self.urls =
            UrlRules { plain_http: PlainHttp::ToAllowedNetworks, any_port: true, local_names: true, networks: AllowedNetworks::loopback() };
        self
    }
}
