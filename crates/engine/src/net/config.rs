//! What the transport is told at start: how long it waits, how much it keeps, whom it trusts.

use std::time::Duration;

/// How long each part of a request may take (reliability §e, "To Meta").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving the name. A resolver that takes longer is not going to answer.
    pub dns: Duration,
    /// Connecting to one of the addresses.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// Waiting for a connection where as many as may be are open and busy.
    pub pool: Duration,
    /// The whole request, from the call to the last byte of the answer. Past it the answer is given
    /// up; whoever waits gives up its own client earlier (20 s).
    pub hard_cap: Duration,
    /// How long a connection on which an answer is awaited may say nothing at all before the next
    /// requests go to a fresh one. It may be dead, and each further request on it would end as
    /// unknown; where it is only slow, the price is one more connection.
    pub silence: Duration,
    /// How long a connection may be idle before it is closed: shorter than any server's own limit,
    /// because a request on a connection that is just being closed may end as unknown.
    pub idle: Duration,
    /// HTTP/2: how often a connection with open streams is asked whether it lives.
    pub ping_every: Duration,
    /// HTTP/2: how long it may take to say so.
    pub ping_answer: Duration,
    /// The shortest wait before connecting again.
    pub retry_min: Duration,
    /// The longest wait before connecting again.
    pub retry_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            dns: Duration::from_secs(3),
            connect: Duration::from_secs(3),
            tls: Duration::from_secs(3),
            pool: Duration::from_secs(2),
            hard_cap: Duration::from_secs(60),
            silence: Duration::from_secs(3),
            idle: Duration::from_secs(20),
            ping_every: Duration::from_secs(20),
            ping_answer: Duration::from_secs(10),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(1),
        }
    }
}

/// Past this many connections to one host the next request waits: with HTTP/1.1 it bounds the
/// requests in flight (8,000 a second at 60 ms each are 480), and a process may have 1,024 files.
pub const CONNECTIONS_PER_HOST_MAX: usize = 512;

/// How the transport is set up.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// How long each part may take.
    pub timeouts: Timeouts,
    /// Connections to one host at most.
    pub connections_per_host_max: usize,
    /// Certificates in PEM that are trusted beside Mozilla's roots: a simulator's, or that of a
    /// company's egress. The program reads the files.
    pub extra_roots_pem: Vec<Vec<u8>>,
    /// Whether HTTP/2 is offered over TLS. It should be: GOAWAY and REFUSED_STREAM prove what a
    /// broken HTTP/1.1 connection leaves open.
    pub http2: bool,
}

impl Default for NetConfig {
    fn default() -> NetConfig {
        NetConfig {
            timeouts: Timeouts::default(),
            connections_per_host_max: CONNECTIONS_PER_HOST_MAX,
            extra_roots_pem: Vec::new(),
            http2: true,
        }
    }
}

/// Why the transport cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// One of the extra roots is no certificate in PEM.
    #[error("the extra CA file number {number} holds no certificate that can be used: {problem}")]
    ExtraRoot {
        /// Which of them, from 1.
        number: usize,
        /// What is wrong.
        problem: String,
    },
    /// The TLS library cannot do what we need.
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
}
