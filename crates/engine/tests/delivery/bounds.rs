//! Endpoints that answer too much, too slowly or elsewhere: every one of them costs a bounded time and
//! a bounded memory, over real sockets. Their servers never come to an end by themselves, so that a
//! post which ends was ended by the client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use turnpike_domain::webhook::EndpointUrl;
use turnpike_engine::delivery::DeliverySettings;
use turnpike_engine::net::guard::Guard;
use turnpike_engine::net::hooks::{Answered, HookClient, Outgoing, PostFault};
use turnpike_store::deliveries::DeliveryState;
use turnpike_store::endpoints::EndpointId;

use crate::house::{House, quick, unhurried};
use crate::receiver::{Behaviour, Receiver};

/// Longer than the tests' machine may hesitate before it dials, short enough to be waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const BODY_WITHIN: Duration = Duration::from_millis(200);
/// A test that waits for this is seen to hang.
const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);
const DROP_BY_DROP: Duration = Duration::from_millis(20);

/// Takes one connection, reads its request, says `once`, and then `again` for ever with a pause
/// between; gives the bytes that it was able to say until the client hung up.
async fn talker(once: Vec<u8>, again: &'static [u8], pause: Duration) -> (SocketAddr, oneshot::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (ended, said) = oneshot::channel();
    tokio::runtime::Handle::current().spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("it is dialled");
        read_request(&mut socket).await;
        let mut bytes = 0;
        let mut next = once.as_slice();
        while let Ok(written) = socket.write(next).await {
            bytes += written;
            next = &next[written..];
            if next.is_empty() {
                next = again;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        }
        // Nobody asks where a test is over.
        let _ = ended.send(bytes);
    });
    (address, said)
}

async fn read_request(socket: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"{}") {
        assert!(socket.read_buf(&mut seen).await.expect("it is open") > 0, "the request came whole");
    }
}

/// Posts; the head of the answer may take as long as the first of these, its body as the second.
async fn post(address: SocketAddr, (answer_within, body_within): (Duration, Duration)) -> Result<Answered, PostFault> {
    let settings =
        DeliverySettings { answer_within, body_within, connect_within: FOR_EVER, ..DeliverySettings::default().allowing_loopback() };
    let client = HookClient::new(&settings, Guard::of(&settings)).expect("a client");
    let url = Arc::new(EndpointUrl::parse(&format!("http://{address}/hook"), &settings.urls).expect("a URL"));
    client.post(EndpointId(1), &url, &Outgoing::to(&url).with_body(b"{}")).await
}

#[tokio::test]
async fn of_a_body_without_end_sixteen_kib_are_read_and_then_the_connection_is_closed() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n".to_vec();
    let (address, said) = talker(head, &[b'x'; 65_536], Duration::ZERO).await;
    let answered = post(address, (FOR_EVER, FOR_EVER)).await.expect("its head decided");
    assert_eq!((answered.status, answered.body.len()), (200, 16 * 1024));
    // It had filled the kernel's buffers at most, and then found nobody.
    let bytes = said.await.expect("it was hung up on");
    assert!(bytes < 64 << 20, "{bytes} bytes were taken from it");

    let head = b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let (address, said) = talker(head, b"8000\r\n", Duration::ZERO).await;
    assert_eq!(post(address, (FOR_EVER, FOR_EVER)).await.expect("its head decided").status, 500, "also where the chunks are no chunks");
    said.await.expect("it was hung up on");
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up_in_time() {
    // Its body, after the head has decided: that is not waited for as long as a head, which here would
    // be for ever.
    let (address, said) = talker(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec(), b".", DROP_BY_DROP).await;
    assert_eq!(post(address, (FOR_EVER, BODY_WITHIN)).await.expect("its head decided").status, 200);
    said.await.expect("it was hung up on");
    // Its head, its status line, and greetings before the answer, each a little at a time.
    let cases =
        [("HTTP/1.1 200 OK\r\nx: ", "y"), ("H", "T"), ("HTTP/1.1 200 OK\r\n", "a: b\r\n"), ("", "HTTP/1.1 103 Early Hints\r\n\r\n")];
    join_all(cases.map(async |(once, again)| {
        let (address, said) = talker(once.as_bytes().to_vec(), again.as_bytes(), DROP_BY_DROP).await;
        let ended = post(address, (ANSWER_WITHIN, FOR_EVER)).await;
        assert!(matches!(ended, Err(PostFault::Timeout(_) | PostFault::Lost(_))), "{once:?} {again:?}: {ended:?}");
        said.await.expect("it was hung up on");
    }))
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_no_answer() {
    for (once, again) in [("HTTP/1.1 200 OK\r\nx: ", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"), ("HTTP/1.1 200 OK\r\n", "a: b\r\n")]
    {
        let (address, said) = talker(once.as_bytes().to_vec(), again.as_bytes(), Duration::ZERO).await;
        let ended = post(address, (FOR_EVER, FOR_EVER)).await;
        assert!(matches!(ended, Err(PostFault::Lost(_))), "{again:?}: {ended:?}");
        let bytes = said.await.expect("it was hung up on");
        assert!(bytes < 64 << 20, "{bytes} bytes were taken from it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_is_followed_and_each_is_recorded_with_where_it_led() {
    let house = House::new(unhurried(quick())).await;
    let elsewhere = Receiver::start(Behaviour::Answer(200, "")).await;
    let location: &'static str = Box::leak(format!("Location: {}\r\n", elsewhere.url()).into_boxed_str());
    let receiver = Receiver::start(Behaviour::Answer(200, "")).await;
    house.endpoint(receiver.url(), |_| ()).await;
    let app = house.app("acme");
    for status in [300, 301, 302, 303, 305, 307, 308] {
        receiver.behave(Behaviour::Answer(status, location));
        let id = house.event(&app, 1, "hello").await;
        let dead = house.until(&id, DeliveryState::Dead).await;
        for attempt in dead.attempts.expect("asked for") {
            assert_eq!((attempt.status, attempt.fault), (Some(status), None));
            let expected = format!("redirects to {}, which is not followed\nok", elsewhere.url());
            assert_eq!(attempt.answer, expected);
        }
    }
    assert_eq!(elsewhere.connections.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody went there");
}
