//! Webhooks both ways: what comes in from Meta, what goes out to a customer.
//!
//! Meta and the customer are small programs of the bench's own on processor 0; the gateway has
//! processor 1. Intake is measured by what Meta sees (answered 200, so durable), delivery by what the
//! endpoint sees, and a delivered event's processor time stands beside that of a bare client which
//! posts the same bytes and does nothing else.

pub(crate) mod bare;
pub(crate) mod chaos;
pub(crate) mod endpoint;
pub(crate) mod meta;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::json;

use crate::figures::{Bound, Goal, number};
use crate::gateway::Gateway;
use crate::process::{LOAD_CPU, Process, SUBJECT_CPU, free_address, listens, pinned};
use crate::stats::median;
use crate::{clock, control, machine};

/// The app secret that Meta's side signs with.
pub(crate) const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Events that wait when the delivery is let go.
const BACKLOG: u64 = 40_000;
/// Rounds, odd so that a median is one of them.
const ROUNDS: usize = 3;
/// Seconds of a slice that count.
const SECONDS: f64 = 3.0;
const START_PATIENCE: Duration = Duration::from_secs(30);
/// A delivery that makes no progress for so long never will.
const STALLED: Duration = Duration::from_secs(30);

/// What a run measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    /// Events a second in batches of 50.
    pub(crate) intake_events_per_s: f64,
    /// Requests a second of one event each.
    pub(crate) intake_requests_per_s: f64,
    /// Milliseconds from due to answered, at 2,000 requests of one event a second.
    pub(crate) intake_p99_ms: f64,
    /// Events a second that reached a fast endpoint, each signed, each recorded as delivered.
    pub(crate) delivery_events_per_s: f64,
    /// The gateway's processor time for a delivered event, in µs.
    pub(crate) delivery_cpu_us: f64,
    /// The same over that of a bare client.
    pub(crate) delivery_cpu_ratio: f64,
}

impl Figures {
    /// The goals, each with what was measured.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let goal = |what, is, bound, unit| Goal { what, is, bound, unit };
        vec![
            goal("intake in batches of 50, events a second", self.intake_events_per_s, Bound::AtLeast(15_000.0), ""),
            goal("intake of single events, requests a second", self.intake_requests_per_s, Bound::AtLeast(3_000.0), ""),
            goal("intake p99 at 2,000 events a second", self.intake_p99_ms, Bound::AtMost(50.0), " ms"),
            goal("delivery to a fast endpoint, events a second", self.delivery_events_per_s, Bound::AtLeast(5_000.0), ""),
            goal("CPU per delivered event, over a bare client's", self.delivery_cpu_ratio, Bound::AtMost(3.0), " ×"),
        ]
    }

    /// As a section of the results.
    pub(crate) fn to_markdown(&self) -> String {
        let rows: Vec<String> = self.goals().iter().map(Goal::row).collect();
        format!(
            "## Webhooks\n\n| what | measured | goal | |\n| --- | --- | --- | --- |\n{}\n\nA delivered event costs the gateway {} µs.\n",
            rows.join("\n"),
            number(self.delivery_cpu_us)
        )
    }
}

/// Starts what is needed in `folder`, measures, stops it.
pub(crate) fn measure(program: &Path, folder: &Path, say: &dyn Fn(&str)) -> anyhow::Result<Figures> {
    let side = Side::start(program, folder)?;
    say("intake: batches of 50, single events, single events at a fixed rate");
    let (mut batches, mut singles, mut steady) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        batches.push(side.meta(8, 50, None)?.per_second * 50.0);
        singles.push(side.meta(32, 1, None)?.per_second);
        steady.push(side.meta(64, 1, Some(2_000.0))?.p99_us / 1_000.0);
    }
    say("delivery: a backlog let go, beside a bare client");
    let (mut rates, mut costs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bare = side.bare_us()?;
        let (per_second, cpu_us) = side.drain()?;
        rates.push(per_second);
        costs.push(cpu_us);
        ratios.push(cpu_us / bare);
    }
    side.gateway.verify()?;
    Ok(Figures {
        intake_events_per_s: median(batches),
        intake_requests_per_s: median(singles),
        intake_p99_ms: median(steady),
        delivery_events_per_s: median(rates),
        delivery_cpu_us: median(costs),
        delivery_cpu_ratio: median(ratios),
    })
}

/// A gateway with Meta and a customer's endpoint beside it.
struct Side {
    gateway: Gateway,
    endpoint: SocketAddr,
    socket: PathBuf,
    _endpoint: Process,
    _upstream: Process,
}

/// What the gateway is told: our app at Meta, and that the endpoint is on this machine.
pub(crate) fn configure(data: &Path, further: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(data)?;
    let text = format!(
        "[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\nallow_http = true\n{further}\n\
         [[meta.app]]\nid = \"1234567890\"\nsecret = \"{APP_SECRET}\"\nverify_token = \"a-token-of-the-bench\"\n"
    );
    let file = data.join("turnpike.toml");
    std::fs::write(&file, text)?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

impl Side {
    fn start(program: &Path, folder: &Path) -> anyhow::Result<Side> {
        std::fs::create_dir_all(folder)?;
        let upstream = part("upstream", folder)?;
        let endpoint = part("endpoint", folder)?;
        let place = folder.join("webhooks");
        configure(&place.join("data"), "")?;
        let gateway = Gateway::start(program, &place, upstream.1)?;
        gateway.furnish(1)?;
        let socket = place.join("data").join("control.sock");
        let url = format!("http://{}/hook", endpoint.1);
        control::post(&socket, "/applications/bench/webhooks/default", &json!({"url": url}))?;
        Ok(Side { gateway, endpoint: endpoint.1, socket, _endpoint: endpoint.0, _upstream: upstream.0 })
    }

    fn order(&self, action: &str, body: &serde_json::Value) -> anyhow::Result<()> {
        control::post(&self.socket, &format!("/applications/bench/webhooks/default/{action}"), body).map(drop)
    }

    /// Lets Meta post; nothing is delivered meanwhile.
    fn meta(&self, connections: usize, batch: usize, rate: Option<f64>) -> anyhow::Result<meta::Report> {
        self.order("disable", &json!({}))?;
        let report = self.posts(connections, batch, rate, None)?;
        self.order("enable", &json!({"backlog": "drop"}))?;
        Ok(report)
    }

    fn posts(&self, connections: usize, batch: usize, rate: Option<f64>, events: Option<u64>) -> anyhow::Result<meta::Report> {
        let mut arguments = vec!["meta".to_owned(), "--address".to_owned(), self.gateway.address.to_string()];
        let mut with = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        with("--connections", connections.to_string());
        with("--batch", batch.to_string());
        with("--seconds", SECONDS.to_string());
        if let Some(rate) = rate {
            with("--rate", rate.to_string());
        }
        if let Some(events) = events {
            with("--events", events.to_string());
        }
        let report: meta::Report = child(LOAD_CPU, &arguments)?;
        ensure!(report.refused == 0, "Meta was refused {} times: {}", report.refused, report.fault);
        Ok(report)
    }

    /// Processor time of a bare client for one post, in µs.
    fn bare_us(&self) -> anyhow::Result<f64> {
        let arguments = ["bare", "--address", &self.endpoint.to_string(), "--seconds", &SECONDS.to_string()].map(str::to_owned);
        let report: bare::Report = child(SUBJECT_CPU, &arguments)?;
        Ok(report.cpu_us)
    }

    /// Lets a backlog go: events a second, and the gateway's processor time for one in µs.
    fn drain(&self) -> anyhow::Result<(f64, f64)> {
        self.order("disable", &json!({}))?;
        self.posts(8, 50, None, Some(BACKLOG))?;
        let pids = self.gateway.process.family();
        let before = wire::count(self.endpoint)?;
        let cpu = machine::cpu_of(&pids);
        let began = clock::now();
        self.order("enable", &json!({"backlog": "replay"}))?;
        let (mut seen, mut moved) = (before, clock::now());
        while seen - before < BACKLOG {
            std::thread::sleep(Duration::from_millis(10));
            let now = wire::count(self.endpoint)?;
            if now > seen {
                (seen, moved) = (now, clock::now());
            }
            ensure!(moved.elapsed() < STALLED, "the delivery stalled after {} of {BACKLOG}", seen - before);
        }
        let seconds = began.elapsed().as_secs_f64();
        let cpu = machine::cpu_of(&pids).saturating_sub(cpu);
        Ok((BACKLOG as f64 / seconds, cpu.as_secs_f64() * 1e6 / BACKLOG as f64))
    }
}

/// Starts one of the bench's own small servers on processor 0.
fn part(name: &str, folder: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let text = address.to_string();
    let own = std::env::current_exe()?;
    let log = folder.join(format!("{name}.log"));
    let mut process = Process::start(name, LOAD_CPU, &own, &[name, "--address", &text], &log)?;
    process.wait_until(START_PATIENCE, || listens(address)).with_context(|| format!("see {}", log.display()))?;
    Ok((process, address))
}

/// Runs one of the bench's own small clients to its end; what it reports.
pub(crate) fn child<T: serde::de::DeserializeOwned>(cpu: &str, arguments: &[String]) -> anyhow::Result<T> {
    let own = std::env::current_exe()?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = pinned(cpu, &own, &arguments).output().context("running the bench's own client")?;
    ensure!(output.status.success(), "{}: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("reading what `bench {}` reported", arguments[0]))
}
