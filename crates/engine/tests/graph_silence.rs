//! A peer that is gone without a word: no end, no reset, packets that vanish. What is under way then
//! may become unknown; what comes after must not.
//!
//! Between client and server stands a proxy that can go silent: the connections that it has are
//! neither carried on nor closed, as behind a firewall that has forgotten them; new ones are served.

mod graph_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use graph_support::{ACCEPTED, Identity, Road, answer_200, listen, read_request, short, spawn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use turnpike_domain::refusal::UnknownCause;
use turnpike_engine::graph::GraphOutcome;
use turnpike_engine::net::NetConfig;

/// How long a test waits for what must come; only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The proxy.
struct Proxy {
    port: u16,
    /// Connections up to this number are silent.
    silent_to: watch::Sender<usize>,
    /// How many connections were made through it.
    made: watch::Receiver<usize>,
    /// How many have fallen silent.
    silent: watch::Receiver<usize>,
    /// How many silent ones the client has closed.
    closed: watch::Receiver<usize>,
}

impl Proxy {
    async fn before(server: u16) -> Proxy {
        let (listener, address) = listen().await;
        let (silent_to, silence) = watch::channel(0);
        let (made, made_so_far) = watch::channel(0);
        let (silent, silent_so_far) = watch::channel(0);
        let (closed, closed_so_far) = watch::channel(0);
        spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", server)).await.expect("the server listens");
                let number = *made.borrow() + 1;
                made.send_replace(number);
                spawn(carry(near, far, number, silence.clone(), silent.clone(), closed.clone()));
            }
        });
        Proxy { port: address.port(), silent_to, made: made_so_far, silent: silent_so_far, closed: closed_so_far }
    }

    /// Lets every connection that there is fall silent; not a byte passes after this.
    async fn go_silent(&mut self) {
        let all = self.connections();
        self.silent_to.send_replace(all);
        self.silent.wait_for(|silent| *silent == all).await.expect("the proxy runs");
    }

    fn connections(&self) -> usize {
        *self.made.borrow()
    }
}

async fn carry(
    near: TcpStream,
    far: TcpStream,
    number: usize,
    mut silence: watch::Receiver<usize>,
    silent: watch::Sender<usize>,
    closed: watch::Sender<usize>,
) {
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let both = async { tokio::join!(tokio::io::copy(&mut near_read, &mut far_write), tokio::io::copy(&mut far_read, &mut near_write)) };
    tokio::select! {
        told = silence.wait_for(|silent_to| *silent_to >= number) => { told.expect("the test goes on"); }
        _ = both => return,
    }
    silent.send_modify(|silent| *silent += 1);
    // What the client says now vanishes; that it closes is seen, and told to nobody but the test.
    let mut vanishing = [0; 4_096];
    while matches!(near_read.read(&mut vanishing).await, Ok(1..)) {}
    closed.send_modify(|closed| *closed += 1);
    drop((near_write, far_read, far_write));
}

/// Waits a short while for what is silent, and long for everything else.
fn impatient(config: NetConfig) -> NetConfig {
    let mut config = config;
    config.timeouts.silence = Duration::from_millis(100);
    config.timeouts.hard_cap = Duration::from_secs(5);
    config.timeouts.idle = PATIENCE;
    config.timeouts.ping_every = PATIENCE;
    config
}

fn assert_accepted(outcome: &GraphOutcome) {
    assert!(matches!(outcome, GraphOutcome::Accepted { wamid, .. } if wamid == "wamid.TEST"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_http2_connection_is_followed_by_a_fresh_one_after_one_request() {
    let identity = Identity::speaking(&[b"h2"]);
    let (listener, address) = listen().await;
    let (acceptor, seen) = (identity.acceptor.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&seen);
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            spawn(async move {
                let tls = acceptor.accept(socket).await.expect("we trust it");
                let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let mut body = respond.send_response(http::Response::new(()), false).expect("it waits");
                    body.send_data(Bytes::from_static(ACCEPTED.as_bytes()), true).expect("it waits");
                }
            });
        }
    });
    let mut proxy = Proxy::before(address.port()).await;
    let road = Arc::new(Road::to(&format!("https://127.0.0.1:{}", proxy.port), impatient(identity.trusted())));
    assert_accepted(&road.send("{}").await);
    proxy.go_silent().await;

    // Sends come in until a second connection is there; those before it may have gone to the first.
    let mut under_way = Vec::new();
    let fresh = async {
        while proxy.connections() < 2 {
            let road = Arc::clone(&road);
            under_way.push(spawn(async move { road.send("{}").await }));
            let _ = tokio::time::timeout(Duration::from_millis(20), proxy.made.changed()).await;
        }
    };
    tokio::time::timeout(PATIENCE, fresh).await.expect("one silent request is enough");

    for _ in 0..50 {
        assert_accepted(&road.send("{}").await);
    }
    let mut unknown = 0;
    for send in &mut under_way {
        match send.await.expect("no panic") {
            GraphOutcome::Unknown { cause } => {
                assert_eq!(cause, UnknownCause::Timeout);
                unknown += 1;
            }
            outcome => assert_accepted(&outcome),
        }
    }
    assert!(unknown >= 1, "the first one at least was under way");
    assert_eq!(seen.load(Ordering::SeqCst), 51 + under_way.len() - unknown, "what is unknown was not there, and nothing was twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_silent_request_over_http1_clears_out_what_rested_beside_it() {
    const RESTING: usize = 8;
    let (listener, address) = listen().await;
    let together = Arc::new(tokio::sync::Barrier::new(RESTING));
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let together = Arc::clone(&together);
            spawn(async move {
                while let Ok(Some((_, body))) = read_request(&mut socket).await {
                    // All must be there at once, so that each has a connection of its own.
                    if body == b"together" {
                        together.wait().await;
                    }
                    answer_200(&mut socket, ACCEPTED).await?;
                }
                socket.shutdown().await
            });
        }
    });
    let mut proxy = Proxy::before(address.port()).await;
    let road = Arc::new(Road::to(&format!("http://127.0.0.1:{}", proxy.port), impatient(short())));
    let outcomes = futures_util::future::join_all((0..RESTING).map(|_| road.send("together"))).await;
    outcomes.iter().for_each(assert_accepted);
    assert_eq!(proxy.connections(), RESTING);
    proxy.go_silent().await;

    let first = {
        let road = Arc::clone(&road);
        spawn(async move { road.send("{}").await })
    };
    let cleared = proxy.closed.wait_for(|closed| *closed == RESTING - 1);
    tokio::time::timeout(PATIENCE, cleared).await.expect("one silent request is enough").expect("the proxy runs");
    for _ in 0..20 {
        assert_accepted(&road.send("{}").await);
    }
    assert!(matches!(first.await.expect("no panic"), GraphOutcome::Unknown { cause: UnknownCause::Timeout }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_taken_from_a_connection_that_was_already_suspected() {
    let identity = Identity::speaking(&[b"h2"]);
    let (listener, address) = listen().await;
    let (acceptor, connections) = (identity.acceptor.clone(), Arc::new(AtomicUsize::new(0)));
    let release = Arc::new(tokio::sync::Notify::new());
    let (counted, released) = (Arc::clone(&connections), Arc::clone(&release));
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let (acceptor, released) = (acceptor.clone(), Arc::clone(&released));
            spawn(async move {
                let tls = acceptor.accept(socket).await.expect("we trust it");
                let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let released = Arc::clone(&released);
                    spawn(async move {
                        if number == 0 {
                            released.notified().await;
                        }
                        let mut body = respond.send_response(http::Response::new(()), false).expect("it waits");
                        body.send_data(Bytes::from_static(ACCEPTED.as_bytes()), true).expect("it waits");
                    });
                }
            });
        }
    });
    let mut config = impatient(identity.trusted());
    config.timeouts.hard_cap = PATIENCE;
    let road = Arc::new(Road::to(&format!("https://127.0.0.1:{}", address.port()), config));
    let slow = {
        let road = Arc::clone(&road);
        spawn(async move { road.send("{}").await })
    };
    // Sends follow it until they are led elsewhere; none of them is lost either.
    let mut followers = Vec::new();
    let elsewhere = async {
        while connections.load(Ordering::SeqCst) < 2 {
            let road = Arc::clone(&road);
            followers.push(spawn(async move { road.send("{}").await }));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, elsewhere).await.expect("one silent request is enough");
    assert_accepted(&road.send("{}").await);
    while !slow.is_finished() || followers.iter().any(|send| !send.is_finished()) {
        release.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_accepted(&slow.await.expect("no panic"));
    for send in followers {
        assert_accepted(&send.await.expect("no panic"));
    }
}
