//! Draining, the gate, and the socket in the data folder.

mod door;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use door::{Answer, Door, PATIENCE, read_answer, read_to_end, request_ids, service, short, write_all};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_web::gate::Gate;
use turnpike_web::server::{BindError, Server, ServerLimits};

const GET: &str = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

/// A connection on which the server is working.
async fn busy(door: &Door, path: &str) -> TcpStream {
    let mut stream = door.connect().await;
    let before = door.handle.stats().requests;
    write_all(&mut stream, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
    while door.handle.stats().requests == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stream
}

#[tokio::test]
async fn a_drain_lets_requests_in_flight_finish_and_then_ends() {
    let door = Door::open(short()).await;
    let mut stream = busy(&door, "/v1/wa/slow").await;
    door.shutdown.cancel();
    let answer = Answer::only(&read_to_end(&mut stream).await);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    timeout(PATIENCE, door.handle.drained()).await.expect("the drain ends with its last request");
    assert!(TcpStream::connect(door.address).await.is_err(), "nobody is let in after it");
}

#[tokio::test]
async fn an_idle_connection_may_still_ask_once_and_is_then_closed() {
    let limits = ServerLimits { drain_idle: Duration::from_millis(300), keep_alive_idle: Duration::from_secs(60), ..short() };
    let door = Door::open(limits).await;
    let mut asks = door.connect().await;
    let mut idles = door.connect().await;
    for stream in [&mut asks, &mut idles] {
        write_all(stream, GET.as_bytes()).await;
        assert_eq!(read_answer(stream).await.header("connection"), None);
    }
    door.shutdown.cancel();
    while !door.handle.is_draining() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    write_all(&mut asks, GET.as_bytes()).await;
    assert_eq!(Answer::only(&read_to_end(&mut asks).await).header("connection"), Some("close"));
    assert!(read_to_end(&mut idles).await.is_empty());
    timeout(PATIENCE, door.handle.drained()).await.expect("the drain ends");
}

#[tokio::test]
async fn what_does_not_finish_is_cut_at_the_deadline() {
    let door = Door::open(short()).await;
    let mut stream = busy(&door, "/v1/wa/endless").await;
    door.shutdown.cancel();
    timeout(PATIENCE, door.handle.drained()).await.expect("the deadline is kept");
    assert!(read_to_end(&mut stream).await.is_empty());
}

#[tokio::test]
async fn every_task_of_a_drained_server_is_gone() {
    let door = Door::open(short()).await;
    assert_eq!(Answer::only(&door.tell(GET).await).status, 200);
    door.shutdown.cancel();
    door.tracker.close();
    timeout(PATIENCE, door.tracker.wait()).await.expect("no task is left behind");
}

#[tokio::test]
async fn sends_past_the_gate_are_refused_at_once_and_operations_are_not() {
    let door = Door::open(short()).await;
    let inside: Vec<_> = (0..64).map(|_| door.gate.enter().expect("there is room")).collect();
    let send = "POST /v1/wa/message HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let answer = Answer::only(&door.tell(send).await);
    answer.assert_dressed();
    assert_eq!((answer.status, answer.code().as_str()), (503, "GW_004"));
    assert!((1..=5).contains(&answer.header("retry-after").and_then(|wait| wait.parse().ok()).unwrap_or(0)));
    assert_eq!(answer.json()["errors"]["params"]["sent"], "no");
    assert_eq!(Answer::only(&door.tell(GET).await).status, 200);
    drop(inside);
    assert_eq!(Answer::only(&door.tell(send).await).status, 200);
}

#[tokio::test]
async fn the_same_service_answers_on_a_socket_that_only_its_owner_may_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let gate = Gate::new(1);
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let server = Server::bind_unix(&path, short(), request_ids()).await.expect("the socket is made");
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    let handle = server.start(service(&gate), &tracker, shutdown.clone());

    let mut stream = UnixStream::connect(&path).await.expect("it answers");
    write_all(&mut stream, b"GET /v1/wa/who HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(read_answer(&mut stream).await.json()["here"], true);

    let second = Server::bind_unix(&path, short(), request_ids()).await;
    assert!(matches!(second.err(), Some(BindError::SocketTaken { .. })));

    shutdown.cancel();
    timeout(PATIENCE, handle.drained()).await.expect("it drains");
    assert!(!path.exists(), "the socket file goes with the server");
}

#[tokio::test]
async fn a_socket_file_left_by_a_killed_process_is_replaced_and_any_other_file_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale socket"));
    assert!(path.exists());
    Server::bind_unix(&path, short(), request_ids()).await.expect("nobody answers there");

    let precious = folder.path().join("precious");
    std::fs::write(&precious, "data").expect("a file");
    assert!(matches!(Server::bind_unix(&precious, short(), request_ids()).await.err(), Some(BindError::Socket { .. })));
    assert_eq!(std::fs::read_to_string(&precious).expect("it is still there"), "data");
}
