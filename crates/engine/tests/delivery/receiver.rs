//! A customer's endpoint on loopback, which behaves as a test tells it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How an endpoint answers.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// With this status and these header lines.
    Answer(u16, &'static str),
    /// With 200, after a while.
    Slow(Duration),
    /// Not at all; the connection stays open.
    Hang,
    /// By resetting the connection.
    Reset,
    /// With 200 and a body that never ends, a byte now and then.
    Drip,
    /// With this status for so many posts, then 200.
    First(usize, u16),
    /// With 500 for bodies that hold this text, else 200.
    RefusesText(&'static str),
}

/// A post that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn id(&self) -> String {
        self.header("webhook-id").expect("every post has an id").to_owned()
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    posts: Mutex<Vec<Post>>,
    behaviour: Mutex<Behaviour>,
    pub(crate) connections: AtomicUsize,
    at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
}

impl Receiver {
    pub(crate) async fn start(behaviour: Behaviour) -> Arc<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let receiver = Arc::new(Receiver {
            address: listener.local_addr().expect("bound"),
            posts: Mutex::default(),
            behaviour: Mutex::new(behaviour),
            connections: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&receiver);
        tokio::runtime::Handle::current().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let serving = Arc::clone(&serving);
                tokio::runtime::Handle::current().spawn(async move { serving.serve(socket).await });
            }
        });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?from=turnpike", self.address)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.posts.lock().len()
    }

    async fn serve(&self, mut socket: TcpStream) -> Option<()> {
        let mut seen = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                if socket.read_buf(&mut seen).await.ok()? == 0 {
                    return None;
                }
            };
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let mut post = Post { head, body: Vec::new() };
            let length: usize = post.header("content-length").expect("posts have a length").parse().expect("a number");
            while seen.len() < end + length {
                if socket.read_buf(&mut seen).await.ok()? == 0 {
                    return None;
                }
            }
            post.body = seen[end..end + length].to_vec();
            seen.drain(..end + length);
            let text = post.text();
            let number = {
                let mut posts = self.posts.lock();
                posts.push(post);
                posts.len()
            };
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            let behaviour = self.behaviour.lock().clone();
            let answer = |status: u16, lines: &str| format!("HTTP/1.1 {status} X\r\n{lines}Content-Length: 2\r\n\r\nok");
            let answer = match behaviour {
                Behaviour::Answer(status, lines) => answer(status, lines),
                Behaviour::Slow(wait) => {
                    tokio::time::sleep(wait).await;
                    answer(200, "")
                }
                Behaviour::Hang => std::future::pending().await,
                Behaviour::Reset => {
                    self.at_once.fetch_sub(1, Ordering::SeqCst);
                    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("an option of TCP");
                    return None;
                }
                Behaviour::Drip => {
                    socket.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n").await.ok()?;
                    loop {
                        if socket.write_all(b".").await.is_err() {
                            self.at_once.fetch_sub(1, Ordering::SeqCst);
                            return None;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                Behaviour::First(count, status) => answer(if number <= count { status } else { 200 }, ""),
                Behaviour::RefusesText(refused) => answer(if text.contains(refused) { 500 } else { 200 }, ""),
            };
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            socket.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}
