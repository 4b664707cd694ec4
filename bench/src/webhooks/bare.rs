//! The yardstick of delivery: a client that posts an event's bytes over kept connections and does
//! nothing else. It signs nothing, reads nothing from a disk and remembers nothing.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::meta;
use crate::{clock, machine};

/// As many as the gateway has under way to one endpoint.
const CONNECTIONS: usize = 8;

/// What to post to.
#[derive(Debug, clap::Args)]
pub(crate) struct Bare {
    /// Address and port of the endpoint
    #[arg(long)]
    address: SocketAddr,
    /// Seconds
    #[arg(long)]
    seconds: f64,
}

/// What it cost.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Events posted.
    pub(crate) posted: u64,
    /// Processor time for one, in µs.
    pub(crate) cpu_us: f64,
}

impl Bare {
    /// Posts for as long as it was told, and prints the report.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = [std::process::id()];
        let report = tokio::task::LocalSet::new().block_on(&runtime, async {
            let until = clock::now() + Duration::from_secs_f64(self.seconds);
            let cpu = machine::cpu_of(&own);
            let mut posting = tokio::task::JoinSet::new();
            for _ in 0..CONNECTIONS {
                posting.spawn_local(post(self.address, until));
            }
            let mut posted = 0;
            while let Some(done) = posting.join_next().await {
                posted += done??;
            }
            let cpu = machine::cpu_of(&own).saturating_sub(cpu);
            Ok::<Report, anyhow::Error>(Report { posted, cpu_us: cpu.as_secs_f64() * 1e6 / posted as f64 })
        })?;
        println!("{}", serde_json::to_string(&report)?);
        Ok(())
    }
}

async fn post(address: SocketAddr, until: std::time::Instant) -> anyhow::Result<u64> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    // As long as what the gateway delivers, and with as many headers.
    let body = Bytes::from(meta::body(&meta::Event::numbers(1, 1)));
    let mut posted = 0;
    while clock::now() < until {
        let request = http::Request::post("/hook")
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .header("user-agent", "bench")
            .header("authorization", "Bearer whb_00000000000000000000000000000000000000000000")
            .header("webhook-id", "msg_00000000000070008000000000000000")
            .header("webhook-timestamp", "1795000000")
            .header("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
            .header("x-hub-signature-256", "sha256=0000000000000000000000000000000000000000000000000000000000000000")
            .header("x-gateway-event", "messages")
            .header("x-gateway-application", "bench")
            .body(Full::new(body.clone()))?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        answer.into_body().collect().await?;
        posted += 1;
    }
    Ok(posted)
}
