//! How connections are made, shared, kept and lost, against servers that play one part each.

mod graph_support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use graph_support::{ACCEPTED, Identity, Road, answer_200, dead_port, listen, read_request, short, spawn, text};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turnpike_domain::refusal::{NotSentCause, UnknownCause};
use turnpike_engine::entropy::SystemEntropy;
use turnpike_engine::graph::GraphOutcome;
use turnpike_engine::net::{NetConfig, NetTransport, Timeouts};

fn not_sent(outcome: &GraphOutcome) -> NotSentCause {
    match outcome {
        GraphOutcome::NotSent { cause, .. } => *cause,
        other => panic!("{other:?}"),
    }
}

fn unknown(outcome: &GraphOutcome) -> UnknownCause {
    match outcome {
        GraphOutcome::Unknown { cause } => *cause,
        other => panic!("{other:?}"),
    }
}

fn assert_accepted(outcome: &GraphOutcome) {
    assert!(matches!(outcome, GraphOutcome::Accepted { wamid, .. } if wamid == "wamid.TEST"), "{outcome:?}");
}

/// A server that answers every request of every connection; tells how many connections it took.
async fn friendly_server() -> (String, Arc<AtomicUsize>) {
    let (listener, address) = listen().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            spawn(async move {
                while let Ok(Some(_)) = read_request(&mut socket).await {
                    answer_200(&mut socket, ACCEPTED).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    (format!("http://{address}"), connections)
}

#[tokio::test]
async fn a_port_on_which_nobody_listens_is_not_sent_after_two_retries() {
    let road = Road::to(&format!("http://127.0.0.1:{}", dead_port()), short());
    assert_eq!(not_sent(&road.send("{}").await), NotSentCause::Connect);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_sent() {
    let road = Road::to("http://nobody.invalid:80", short());
    assert_eq!(not_sent(&road.send("{}").await), NotSentCause::Dns);
}

#[tokio::test]
async fn a_host_that_comes_up_between_the_tries_gets_the_request_once() {
    let port = dead_port();
    let mut config = short();
    config.timeouts.retry_min = Duration::from_millis(200);
    config.timeouts.retry_max = Duration::from_millis(200);
    let road = Road::to(&format!("http://127.0.0.1:{port}"), config);
    let server = spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is still free");
        let (mut socket, _) = listener.accept().await.expect("it is dialled again");
        let (head, body) = read_request(&mut socket).await.expect("a request").expect("a whole one");
        answer_200(&mut socket, ACCEPTED).await.expect("it waits");
        (head, body)
    });
    assert_accepted(&road.send(r#"{"a":1}"#).await);
    let (head, body) = server.await.expect("the server ends");
    assert!(head.starts_with("POST /v23.0/106540352242922/messages HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    let host = format!("host: 127.0.0.1:{port}");
    for line in [host.as_str(), "authorization: bearer eaatest", "content-type: application/json", "content-length: 7"] {
        assert_eq!(head.lines().filter(|have| *have == line).count(), 1, "{line} in {head}");
    }
    assert!(!head.contains("transfer-encoding") && !head.contains("accept-encoding"), "{head}");
    assert_eq!(body, br#"{"a":1}"#);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_or_for_another_name_is_not_sent() {
    let identity = Identity::speaking(&[b"h2", b"http/1.1"]);
    // The certificate is for 127.0.0.1; the other address is this machine's as well.
    for (host, config) in [("127.0.0.1", short()), ("127.0.0.2", identity.trusted())] {
        let listener = tokio::net::TcpListener::bind((host, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let acceptor = identity.acceptor.clone();
        spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = acceptor.accept(socket).await;
            }
        });
        assert_eq!(not_sent(&Road::to(&format!("https://{host}:{port}"), config).send("{}").await), NotSentCause::Tls, "{host}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_not_sent() {
    let (base, _) = friendly_server().await;
    let mut config = short();
    config.timeouts.tls = Duration::from_millis(200);
    let road = Road::to(&base.replace("http://", "https://"), config.clone());
    assert_eq!(not_sent(&road.send("{}").await), NotSentCause::Tls);
    // Where the request's own time ends between two tries, the reason of the first is kept.
    config.timeouts.hard_cap = Duration::from_millis(300);
    let road = Road::to(&base.replace("http://", "https://"), config);
    assert_eq!(not_sent(&road.send("{}").await), NotSentCause::Tls);
}

#[tokio::test]
async fn an_extra_root_that_is_no_certificate_is_refused_by_its_number() {
    let good = Identity::speaking(&[]).ca_pem;
    for bad in [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let config = NetConfig { extra_roots_pem: vec![good.clone(), bad.to_vec()], ..NetConfig::default() };
        let error = NetTransport::new(config, Arc::new(SystemEntropy)).expect_err("it is no certificate");
        assert!(error.to_string().contains("number 2"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_the_latest_first() {
    let (base, connections) = friendly_server().await;
    let road = Road::to(&base, short());
    for _ in 0..20 {
        assert_accepted(&road.send("{}").await);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let outcomes = futures_util::future::join_all((0..8).map(|_| road.send("{}"))).await;
    outcomes.iter().for_each(assert_accepted);
    let open = connections.load(Ordering::SeqCst);
    assert!((2..=8).contains(&open), "{open}");
    for _ in 0..20 {
        assert_accepted(&road.send("{}").await);
    }
    assert_eq!(connections.load(Ordering::SeqCst), open, "nothing is dialled while something rests");
}

#[tokio::test]
async fn an_idle_connection_is_not_used_past_its_limit() {
    let (base, connections) = friendly_server().await;
    let mut config = short();
    config.timeouts.idle = Duration::from_millis(50);
    let road = Road::to(&base, config);
    assert_accepted(&road.send("{}").await);
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_accepted(&road.send("{}").await);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_finds_every_connection_busy_waits_and_is_told_that_nothing_was_sent() {
    let (listener, address) = listen().await;
    let (release, arrival) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (released, arrived) = (Arc::clone(&release), Arc::clone(&arrival));
    spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("one connection");
        while let Ok(Some(_)) = read_request(&mut socket).await {
            arrived.notify_one();
            released.notified().await;
            answer_200(&mut socket, ACCEPTED).await.expect("it waits");
        }
    });
    let road = Arc::new(Road::to(&format!("http://{address}"), NetConfig { connections_per_host_max: 1, ..short() }));
    let first = {
        let road = Arc::clone(&road);
        spawn(async move { road.send("{}").await })
    };
    arrival.notified().await;
    // The second waits for 300 ms and gives up; the third is still waiting when the first ends.
    assert_eq!(not_sent(&road.send("{}").await), NotSentCause::Pool);
    let third = {
        let road = Arc::clone(&road);
        spawn(async move { road.send("{}").await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    release.notify_one();
    assert_accepted(&first.await.expect("no panic"));
    release.notify_one();
    assert_accepted(&third.await.expect("no panic"));
}

/// How a server ends a connection on which nothing is under way.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Fin,
    Rst,
}

/// The race that no client can win for good: the server closes a resting connection while we put a
/// request on it. A thousand of them must not make one message twice, and what we say of each must
/// be true of the server's own record.
async fn a_thousand_idle_closes(ends: Ends, pause: fn(usize) -> Duration) {
    const SENDS: usize = 1_000;
    let (listener, address) = listen().await;
    let record: Arc<Mutex<HashMap<Vec<u8>, usize>>> = Arc::default();
    let recorded = Arc::clone(&record);
    spawn(async move {
        let mut number = 0;
        while let Ok((mut socket, _)) = listener.accept().await {
            number += 1;
            let record = Arc::clone(&recorded);
            spawn(async move {
                // One answer without a word of closing, then a close at an awkward moment.
                let Ok(Some((_, body))) = read_request(&mut socket).await else { return };
                *record.lock().entry(body).or_default() += 1;
                if answer_200(&mut socket, ACCEPTED).await.is_err() {
                    return;
                }
                if let Ok(Ok(Some((_, body)))) = tokio::time::timeout(pause(number), read_request(&mut socket)).await {
                    *record.lock().entry(body).or_default() += 1;
                    let _ = answer_200(&mut socket, ACCEPTED).await;
                }
                if matches!(ends, Ends::Rst) {
                    let _ = socket.set_zero_linger();
                }
            });
        }
    });
    let road = Road::to(&format!("http://{address}"), short());
    let (mut accepted, mut lost) = (0, 0);
    for number in 0..SENDS {
        let body = format!("{{\"number\":{number}}}");
        let outcome = road.send(body.clone()).await;
        let seen = record.lock().get(body.as_bytes()).copied().unwrap_or(0);
        match outcome {
            GraphOutcome::Accepted { .. } => {
                assert_eq!(seen, 1, "accepted, and {seen} times there: {number}");
                accepted += 1;
            }
            GraphOutcome::NotSent { cause, .. } => panic!("{number} was not sent ({cause:?}), though the server is up"),
            GraphOutcome::Unknown { cause } => {
                assert_eq!(cause, UnknownCause::ConnectionLost);
                lost += 1;
            }
            GraphOutcome::Refused { .. } => panic!("nobody refused {number}"),
        }
    }
    let record = record.lock();
    assert!(record.values().all(|times| *times == 1), "{:?}", record.iter().find(|(_, times)| **times > 1));
    println!("{ends:?}: {accepted} accepted, {lost} honestly unknown, {} recorded", record.len());
    assert_eq!(accepted + lost, SENDS);
    assert!(accepted >= SENDS / 2, "{accepted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_right_after_the_answer_never_doubles_a_post() {
    a_thousand_idle_closes(Ends::Fin, |_| Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_right_after_the_answer_never_doubles_a_post() {
    a_thousand_idle_closes(Ends::Rst, |_| Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_at_any_moment_never_doubles_a_post() {
    a_thousand_idle_closes(Ends::Fin, |number| Duration::from_micros((number as u64 * 37) % 1_500)).await;
}

#[tokio::test]
async fn a_resting_connection_that_was_closed_before_we_look_is_passed_over() {
    let (listener, address) = listen().await;
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let closed = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&closed);
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            if let Ok(Some(_)) = read_request(&mut socket).await {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = answer_200(&mut socket, ACCEPTED).await;
            }
            drop(socket);
            told.notify_one();
        }
    });
    let road = Road::to(&format!("http://{address}"), short());
    for number in 1..=200 {
        assert_accepted(&road.send("{}").await);
        closed.notified().await;
        assert_eq!(served.load(Ordering::SeqCst), number);
    }
}

#[tokio::test]
async fn an_answer_longer_than_asked_for_is_unreadable_not_endless() {
    let (listener, address) = listen().await;
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = read_request(&mut socket).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            while socket.write_all(chunk.as_bytes()).await.is_ok() {}
        }
    });
    let road = Road::to(&format!("http://{address}"), short());
    assert_eq!(unknown(&road.send("{}").await), UnknownCause::UnreadableAnswer);
}

#[tokio::test]
async fn an_answer_in_pieces_is_put_together() {
    let (listener, address) = listen().await;
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = read_request(&mut socket).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for byte in ACCEPTED.bytes() {
                let _ = socket.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).await;
                tokio::task::yield_now().await;
            }
            let _ = socket.write_all(b"0\r\n\r\n").await;
        }
    });
    let road = Road::to(&format!("http://{address}"), short());
    match road.send("{}").await {
        GraphOutcome::Accepted { body, .. } => assert_eq!(body, ACCEPTED.as_bytes()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_host_that_fails_is_left_alone_for_a_while_and_nothing_is_sent_to_it() {
    let (listener, address) = listen().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            spawn(async move {
                while let Ok(Some(_)) = read_request(&mut socket).await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    socket.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    let road = Road::to(&format!("http://{address}"), short());
    for _ in 0..20 {
        assert_eq!(unknown(&road.send("{}").await), UnknownCause::ServerError);
    }
    match road.send("{}").await {
        GraphOutcome::NotSent { cause: NotSentCause::Breaker, retry_after_ms: Some(wait) } => {
            assert!((1..=5_000).contains(&wait), "{wait}")
        }
        other => panic!("{other:?}"),
    }
    assert!(road.transport.is_barred(road.link.target()));
    assert_eq!(asked.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_dropped_send_takes_its_connection_with_it() {
    let (listener, address) = listen().await;
    let road = Road::to(&format!("http://{address}"), short());
    let (ended, sent) = tokio::join!(
        async {
            let (mut socket, _) = listener.accept().await.expect("it is dialled");
            read_request(&mut socket).await.expect("a request").expect("a whole one");
            // The client gives up; the connection ends instead of carrying another request.
            socket.read(&mut [0; 1]).await
        },
        tokio::time::timeout(Duration::from_millis(200), road.send("{}")),
    );
    assert!(sent.is_err());
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn closing_ends_what_rests_and_waits_for_no_longer_than_told() {
    let (base, _) = friendly_server().await;
    let road = Road::to(&base, short());
    assert_accepted(&road.send("{}").await);
    tokio::time::timeout(Duration::from_secs(5), road.transport.close(Duration::from_secs(4))).await.expect("nothing is under way");
}

/// An HTTP/2 server that answers with a wamid after `pause`, allows `streams` at a time, and tells
/// how many connections it took.
async fn http2_server(streams: u32, pause: Duration) -> (Road, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let identity = Identity::speaking(&[b"h2"]);
    let (listener, address) = listen().await;
    let (connections, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&connections), Arc::clone(&most));
    let acceptor = identity.acceptor.clone();
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let (acceptor, highest) = (acceptor.clone(), Arc::clone(&highest));
            spawn(async move {
                let tls = acceptor.accept(socket).await.expect("we trust it");
                let mut connection =
                    h2::server::Builder::new().max_concurrent_streams(streams).handshake::<_, Bytes>(tls).await.expect("HTTP/2");
                let open = Arc::new(AtomicUsize::new(0));
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let open = Arc::clone(&open);
                    highest.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    spawn(async move {
                        tokio::time::sleep(pause).await;
                        open.fetch_sub(1, Ordering::SeqCst);
                        let mut body = respond.send_response(http::Response::new(()), false).expect("it waits");
                        body.send_data(Bytes::from_static(ACCEPTED.as_bytes()), true).expect("it waits");
                    });
                }
            });
        }
    });
    (Road::to(&format!("https://127.0.0.1:{}", address.port()), identity.trusted()), connections, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_http2_connection_is_shared_by_all_who_fit() {
    let (road, connections, _) = http2_server(200, Duration::from_millis(30)).await;
    let outcomes = futures_util::future::join_all((0..70).map(|_| road.send("{}"))).await;
    outcomes.iter().for_each(assert_accepted);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_http2_connection_is_made_before_the_streams_run_out() {
    let (road, connections, most) = http2_server(10, Duration::from_millis(50)).await;
    assert_accepted(&road.send("{}").await);
    assert_accepted(&road.send("{}").await);
    let outcomes = futures_util::future::join_all((0..40).map(|_| road.send("{}"))).await;
    outcomes.iter().for_each(assert_accepted);
    assert!(connections.load(Ordering::SeqCst) >= 3, "{connections:?}");
    assert!(most.load(Ordering::SeqCst) <= 10, "{most:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sends_at_once_over_http2_make_few_connections() {
    let (road, connections, _) = http2_server(100, Duration::from_millis(5)).await;
    let outcomes = futures_util::future::join_all((0..1_000).map(|_| road.send(text("15551234567", "x")))).await;
    outcomes.iter().for_each(assert_accepted);
    assert!(connections.load(Ordering::SeqCst) <= 13, "{connections:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_goaway_moves_the_traffic_without_losing_a_send() {
    let identity = Identity::speaking(&[b"h2"]);
    let (listener, address) = listen().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let acceptor = identity.acceptor.clone();
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            spawn(async move {
                let tls = acceptor.accept(socket).await.expect("we trust it");
                let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
                let mut served = 0;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let mut body = respond.send_response(http::Response::new(()), false).expect("it waits");
                    body.send_data(Bytes::from_static(ACCEPTED.as_bytes()), true).expect("it waits");
                    served += 1;
                    if served == 10 {
                        connection.graceful_shutdown();
                    }
                }
            });
        }
    });
    let road = Road::to(&format!("https://127.0.0.1:{}", address.port()), identity.trusted());
    for _ in 0..100 {
        assert_accepted(&road.send("{}").await);
    }
    assert!(connections.load(Ordering::SeqCst) >= 9, "{connections:?}");
}

#[test]
fn the_defaults_are_those_of_the_failure_table() {
    let defaults = Timeouts::default();
    let seconds =
        [defaults.connect, defaults.tls, defaults.pool, defaults.hard_cap, defaults.idle, defaults.ping_every].map(|t| t.as_secs());
    assert_eq!(seconds, [3, 3, 2, 60, 20, 20]);
}
