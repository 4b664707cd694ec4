//! A customer's endpoint that is as fast as can be: takes every event, counts it, answers 200.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::wire;

/// Serves until the process is ended.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind(address).await?;
        let count = Rc::new(Cell::new(0u64));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let count = Rc::clone(&count);
            tokio::task::spawn_local(async move {
                // A connection that breaks is the other side's matter, which counts what it lost.
                let _ = serve(stream, &count).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream, count: &Cell<u64>) -> anyhow::Result<()> {
    let mut received = Vec::with_capacity(4096);
    while let Some((request, _)) = wire::next_of(&mut stream, &mut received, false).await? {
        if request.is_post {
            count.set(count.get() + 1);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        } else {
            let body = count.get().to_string();
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
        }
    }
    Ok(())
}
