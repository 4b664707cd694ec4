//! Slow, greedy and too many: each is cut in time, and told why where it can hear it.

mod door;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use door::{Answer, Door, config, read_answer, read_to_end, short, write_all};
use tokio::io::AsyncWriteExt as _;
use turnpike_web::server::{ServerLimits, TrustedProxies};

const GET: &str = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

/// How long `waiting` took.
#[expect(clippy::disallowed_methods, reason = "these tests are about real time on real sockets")]
async fn timed<T>(waiting: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let value = waiting.await;
    (began.elapsed(), value)
}

fn assert_about(took: Duration, limit: Duration) {
    assert!(took >= limit && took < limit + Duration::from_secs(2), "took {took:?} for a limit of {limit:?}");
}

#[tokio::test]
async fn a_silent_connection_is_cut() {
    let door = Door::open(short()).await;
    let (took, reply) = timed(door.tell_and_stay("")).await;
    assert_about(took, short().first_byte);
    assert!(reply.is_empty());
}

#[tokio::test]
async fn half_a_head_is_cut_however_slowly_it_drips() {
    let door = Door::open(short()).await;
    let (took, reply) = timed(door.tell_and_stay("GET /livez HTTP/1.1\r\nHost: a\r\nX-")).await;
    assert_about(took, short().header);
    assert!(reply.is_empty());

    let (took, ()) = timed(async {
        let mut stream = door.connect().await;
        while stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_about(took, short().header);
}

#[tokio::test]
async fn half_a_head_behind_an_answered_request_is_cut_as_a_head() {
    let limits = ServerLimits { keep_alive_idle: Duration::from_secs(60), ..short() };
    let door = Door::open(limits).await;
    let (took, reply) = timed(door.tell_and_stay(format!("{GET}GET /livez HT"))).await;
    assert_about(took, short().header);
    assert_eq!(Answer::only(&reply).status, 200);
}

#[tokio::test]
async fn a_stalled_body_is_told_408_and_closed() {
    let door = Door::open(short()).await;
    for headers in ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"] {
        let (took, reply) = timed(door.tell_and_stay(format!("POST /v1/wa/message HTTP/1.1\r\nHost: a\r\n{headers}\r\n"))).await;
        assert_about(took, Duration::from_millis(200));
        let answer = Answer::only(&reply);
        answer.assert_dressed();
        assert_eq!((answer.status, answer.code().as_str()), (408, "REQ_007"));
        assert_eq!(answer.json()["errors"]["params"]["sent"], "no");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

#[tokio::test]
async fn a_body_that_drips_below_the_pace_is_cut_and_one_that_keeps_it_is_not() {
    let door = Door::open(short()).await;
    let send = |every: Duration, piece: usize, pieces: usize| {
        let door = &door;
        async move {
            let mut stream = door.connect().await;
            let head = format!("POST /v1/wa/message HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", piece * pieces);
            write_all(&mut stream, head.as_bytes()).await;
            for _ in 0..pieces {
                if stream.write_all(&vec![b'x'; piece]).await.is_err() {
                    break;
                }
                tokio::time::sleep(every).await;
            }
            let _ = stream.shutdown().await;
            Answer::only(&read_to_end(&mut stream).await).status
        }
    };
    assert_eq!(send(Duration::from_millis(30), 1, 100).await, 408);
    // 800 KiB in about 400 ms: past the time for any body, but faster than the 256 KiB/s of the test.
    assert_eq!(send(Duration::from_millis(20), 40 * 1024, 20).await, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time_and_not_before() {
    let idle = Duration::from_millis(600);
    let limits =
        ServerLimits { first_byte: Duration::from_millis(80), header: Duration::from_millis(80), keep_alive_idle: idle, ..short() };
    let door = Door::open(limits).await;
    let mut stream = door.connect().await;
    for _ in 0..3 {
        write_all(&mut stream, GET.as_bytes()).await;
        assert_eq!(read_answer(&mut stream).await.status, 200);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    write_all(&mut stream, GET.as_bytes()).await;
    assert_eq!(read_answer(&mut stream).await.status, 200);
    let (took, rest) = timed(read_to_end(&mut stream)).await;
    assert_about(took, idle);
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_handler_may_take_longer_than_the_limits_of_a_connection() {
    let door = Door::open(short()).await;
    let answer = Answer::only(&door.tell_and_stay("GET /v1/wa/slow HTTP/1.1\r\nHost: a\r\n\r\n").await);
    assert_eq!(answer.json()["data"], "slept");
}

#[tokio::test]
async fn a_peer_that_does_not_take_its_answer_is_cut() {
    let door = Door::open(short()).await;
    let mut stream = door.connect().await;
    write_all(&mut stream, b"GET /v1/wa/huge HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (took, ()) = timed(async {
        while door.handle.connections() > 0 || door.handle.stats().accepted == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(took < door::PATIENCE, "{took:?}");
    assert_eq!(door.handle.stats().cut, 1);
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let door = Door::open(ServerLimits { connections_per_address: 3, ..short() }).await;
    let mut guests = Vec::new();
    for _ in 0..3 {
        let mut stream = door.connect().await;
        write_all(&mut stream, GET.as_bytes()).await;
        assert_eq!(read_answer(&mut stream).await.status, 200);
        guests.push(stream);
    }
    let answer = Answer::only(&door.tell_and_stay("").await);
    answer.assert_dressed();
    assert_eq!((answer.status, answer.code().as_str()), (503, "GW_004"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(door.handle.stats().turned_away, 1);

    drop(guests.pop());
    while door.handle.connections() == 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(Answer::only(&door.tell(GET).await).status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_is_not_counted_and_is_believed() {
    let mut config = config(ServerLimits { connections_per_address: 1, ..short() });
    config.trusted_proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().expect("a network")]);
    let door = Door::with(config).await;
    let _idle = (door.connect().await, door.connect().await);
    let who = |headers: &str| format!("GET /v1/wa/who HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let told = Answer::only(&door.tell(who("X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.1\r\n")).await).json();
    assert_eq!((told["address"].as_str(), told["here"].as_bool()), (Some("203.0.113.9"), Some(false)));
    let silent = Answer::only(&door.tell(who("")).await).json();
    assert_eq!(silent["address"], "127.0.0.1");
}

#[tokio::test]
async fn a_stranger_may_write_what_he_likes_into_x_forwarded_for() {
    let door = Door::open(short()).await;
    let told = Answer::only(&door.tell("GET /v1/wa/who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n").await).json();
    assert_eq!((told["address"].as_str(), told["here"].as_bool()), (Some("127.0.0.1"), Some(true)));
}

#[tokio::test]
async fn past_the_connections_in_all_a_caller_is_told_to_come_back() {
    let door = Door::open(ServerLimits { connections: 2, ..short() }).await;
    let _guests = [door.connect().await, door.connect().await];
    while door.handle.connections() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(Answer::only(&door.tell_and_stay("").await).status, 503);
}

#[tokio::test]
async fn hundreds_of_abusive_connections_are_gone_in_time_and_the_door_still_works() {
    let door = Door::open(ServerLimits { connections_per_address: 1000, ..short() }).await;
    let openings = ["", "GET", "POST /v1/wa/message HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "GET /livez HTTP/1.1\r\nX: ", GET];
    let mut held = Vec::new();
    for n in 0..400 {
        let mut stream = door.connect().await;
        write_all(&mut stream, openings[n % openings.len()].as_bytes()).await;
        held.push(stream);
    }
    assert_eq!(Answer::only(&door.tell(GET).await).status, 200);
    let (took, ()) = timed(async {
        while door.handle.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(took < door::PATIENCE, "{took:?}");
    drop(held);
    assert_eq!(Answer::only(&door.tell(GET).await).status, 200);
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_with_its_name() {
    let door = Door::open(short()).await;
    let mut again = config(short());
    again.listen = SocketAddr::new(door.address.ip(), door.address.port());
    let error = turnpike_web::server::Server::bind(again).await.err().expect("the port is taken");
    assert_eq!(error.to_string(), format!("cannot listen on {}", door.address));
}
