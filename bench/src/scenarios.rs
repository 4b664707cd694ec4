//! What is measured: the three side by side, growth with keys, growth with stored messages, idle
//! memory, the demo's start.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;

use crate::figures::{SideBySide, Track, ratios};
use crate::gateway::{self, Gateway};
use crate::load::scatter;
use crate::process::{LOAD_CPU, Process, free_address, listens};
use crate::rounds::{Bench, Kind, Subject, rotated};
use crate::stats::median;
use crate::{machine, nginx, webhooks};

/// Keys of the gateway beside nginx: as many as nginx's table has.
const USUAL_KEYS: usize = nginx::KEYS;
/// Those of them that send.
const SENDERS: usize = 1_000;
/// Keys of the grown gateway.
pub(crate) const MANY_KEYS: usize = 1_000_000;
/// Messages that the grown store holds.
pub(crate) const MANY_MESSAGES: u64 = 2_000_000;

/// How long the small programs may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// A started gateway settles before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);
/// Where the upstream's side of the paths is: nginx forwards them as they are.
const GRAPH_PATH: &str = "/v26.0/100000000000001/messages";

/// What stands for one run of the bench: a folder, the programs, the upstream.
pub(crate) struct House {
    folder: PathBuf,
    gateway: PathBuf,
    upstream: SocketAddr,
    _upstream: Process,
    /// Runs the slices.
    pub(crate) bench: Bench,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl House {
    /// Starts the upstream in a folder beside the built programs: on the same disk, not in a
    /// temporary folder, which may be memory.
    pub(crate) fn open(gateway: PathBuf, connections: usize, retries: u32, is_quiet: bool) -> anyhow::Result<House> {
        let own = std::env::current_exe()?;
        let target = own.ancestors().nth(2).context("the bench runs from a target folder")?;
        let folder = target.join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let upstream = free_address()?;
        let address = upstream.to_string();
        let arguments = ["upstream", "--address", &address];
        let mut process = Process::start("the upstream", LOAD_CPU, &own, &arguments, &folder.join("upstream.log"))?;
        process.wait_until(START_PATIENCE, || listens(upstream))?;
        let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let bench = Bench {
            beside: RefCell::new(process.family()),
            connections,
            retries: Cell::new(retries),
            disturbed: Cell::new(0),
            foreign: RefCell::new(Vec::new()),
            // No two runs of the bench share an Idempotency-Key, though they may share a folder.
            next_run: Cell::new(scatter(seconds ^ u64::from(std::process::id()) << 32)),
            is_quiet,
        };
        Ok(House { folder, gateway, upstream, _upstream: process, bench })
    }

    /// The folder of one part of the run.
    fn part(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn say(&self, words: &str) {
        if !self.bench.is_quiet {
            eprintln!("{words}");
        }
    }

    /// The bare upstream, nginx and the gateway, `rounds` times: saturated (without the upstream,
    /// which shares the load generator's processor), then steady. Also the gateway's resident memory
    /// before its first message and after its last, in MiB.
    pub(crate) fn side_by_side(&self, rounds: usize, seconds: f64) -> anyhow::Result<(SideBySide, f64, f64)> {
        self.say("side by side: the bare upstream, nginx, the gateway");
        let (nginx_process, nginx) = self.start_nginx()?;
        let (gateway, idle_mib) = self.start_gateway_idle()?;
        let subject = self.subject_of(&gateway, "gateway", USUAL_KEYS, SENDERS)?;
        let direct = Subject {
            name: "direct",
            address: self.upstream,
            path: GRAPH_PATH,
            keys: nginx.keys.clone(),
            senders: SENDERS,
            pids: self._upstream.family(),
        };
        self.beside(&[&nginx_process, &gateway.process]);
        let subjects = [&direct, &nginx, &subject];
        self.warm(&subjects)?;
        let mut tracks = [Track::default(), Track::default(), Track::default()];
        for round in 0..rounds {
            for (place, subject) in rotated(&subjects, round) {
                if place != 0 {
                    tracks[place].saturated.push(self.bench.slice(subject, Kind::Saturating, seconds)?);
                }
                tracks[place].steady.push(self.bench.slice(subject, Kind::Steady, seconds)?);
            }
        }
        let loaded_mib = gateway.resident_mib();
        gateway.verify()?;
        let [direct, nginx, gateway] = tracks;
        Ok((SideBySide { direct, nginx, gateway }, idle_mib, loaded_mib))
    }

    /// Processor time per message with [`MANY_KEYS`] keys over that with one: inside a round, the
    /// median; and the grown gateway's resident memory in MiB.
    pub(crate) fn growth_with_keys(&self, rounds: usize, seconds: f64) -> anyhow::Result<(f64, f64)> {
        self.say("growth with keys: one, and a million that all send");
        let few = self.start_gateway("one-key")?;
        let many = self.start_gateway("many-keys")?;
        let few_subject = self.subject_of(&few, "one key", 1, 1)?;
        let many_subject = self.subject_of(&many, "a million keys", MANY_KEYS, MANY_KEYS)?;
        self.beside(&[&few.process, &many.process]);
        let ratio = self.compared(&few_subject, &many_subject, rounds, seconds)?;
        Ok((ratio, many.resident_mib()))
    }

    /// Processor time per message after [`MANY_MESSAGES`] stored ones over that of an empty store:
    /// inside a round, the median.
    pub(crate) fn growth_with_messages(&self, rounds: usize, seconds: f64) -> anyhow::Result<f64> {
        self.say("growth with stored messages: an empty store, and two millions");
        let full = self.start_gateway("full")?;
        let full_subject = self.subject_of(&full, "two million stored", USUAL_KEYS, SENDERS)?;
        let mut stored = 0;
        while stored < MANY_MESSAGES {
            // Filling is no measurement, so nobody minds company.
            let filled = self.bench.unmeasured(&full_subject, 20.0)?;
            stored += filled.answered;
            self.say(&format!("  {stored} stored, {:.0}/s", filled.per_second));
        }
        let empty = self.start_gateway("empty")?;
        let empty_subject = self.subject_of(&empty, "empty store", USUAL_KEYS, SENDERS)?;
        self.beside(&[&full.process, &empty.process]);
        let ratio = self.compared(&empty_subject, &full_subject, rounds, seconds)?;
        full.verify()?;
        Ok(ratio)
    }

    /// Milliseconds until `turnpike demo` is ready on an empty folder, the median of `times`.
    pub(crate) fn demo_ready_ms(&self, times: usize) -> anyhow::Result<f64> {
        self.say("how soon the demo is ready");
        let mut milliseconds = Vec::new();
        for time in 0..times {
            let took = gateway::demo_ready(&self.gateway, &self.part(&format!("demo-{time}")))?;
            self.say(&format!("  {} ms", took.as_millis()));
            milliseconds.push(took.as_secs_f64() * 1_000.0);
        }
        Ok(median(milliseconds))
    }

    /// Intake and delivery.
    pub(crate) fn webhooks(&self) -> anyhow::Result<webhooks::Figures> {
        self.say("webhooks");
        webhooks::measure(&self.gateway, &self.part("webhooks"), &|words| self.say(&format!("  {words}")))
    }

    /// Broken endpoints beside healthy ones, a backlog beside a quiet customer.
    pub(crate) fn chaos(&self, events: usize) -> anyhow::Result<webhooks::chaos::Report> {
        self.say(&format!("chaos: {events} events to two hundred endpoints"));
        webhooks::chaos::measure(&self.gateway, &self.part("chaos"), events)
    }

    fn compared(&self, base: &Subject, of: &Subject, rounds: usize, seconds: f64) -> anyhow::Result<f64> {
        let subjects = [base, of];
        self.warm(&subjects)?;
        let mut tracks = [Track::default(), Track::default()];
        for round in 0..rounds {
            for (place, subject) in rotated(&subjects, round) {
                tracks[place].saturated.push(self.bench.slice(subject, Kind::Saturating, seconds)?);
            }
        }
        Ok(median(ratios(&tracks[1], &tracks[0])))
    }

    /// A second of load for each that counts for nothing: pools fill, caches warm.
    fn warm(&self, subjects: &[&Subject]) -> anyhow::Result<()> {
        for subject in subjects {
            self.bench.unmeasured(subject, 1.0)?;
        }
        Ok(())
    }

    fn beside(&self, processes: &[&Process]) {
        let mut beside = self._upstream.family();
        beside.extend(processes.iter().flat_map(|process| process.family()));
        self.bench.beside.replace(beside);
    }

    fn start_nginx(&self) -> anyhow::Result<(Process, Subject)> {
        let program = nginx::program()?;
        let (folder, address) = (self.part("nginx"), free_address()?);
        let keys = self.part("nginx-keys");
        let configuration = nginx::configure(&folder, &keys, address, self.upstream)?;
        let configuration = configuration.to_str().context("a path in text")?;
        let log = folder.join("log");
        let mut process = Process::start("nginx", crate::process::SUBJECT_CPU, &program, &["-c", configuration], &log)?;
        process.wait_until(START_PATIENCE, || nginx::answers(address)).with_context(|| format!("see {}", log.display()))?;
        let pids = process.family();
        Ok((process, Subject { name: "nginx", address, path: GRAPH_PATH, keys, senders: SENDERS, pids }))
    }

    fn start_gateway(&self, name: &str) -> anyhow::Result<Gateway> {
        Gateway::start(&self.gateway, &self.part(name), self.upstream)
    }

    fn start_gateway_idle(&self) -> anyhow::Result<(Gateway, f64)> {
        let gateway = self.start_gateway("gateway")?;
        std::thread::sleep(SETTLE);
        let idle_mib = gateway.resident_mib();
        Ok((gateway, idle_mib))
    }

    fn subject_of(&self, gateway: &Gateway, name: &'static str, keys: usize, senders: usize) -> anyhow::Result<Subject> {
        let keys = gateway.furnish(keys)?;
        Ok(Subject { name, address: gateway.address, path: gateway::PATH, keys, senders, pids: gateway.process.family() })
    }
}

/// The version that nginx says it is.
pub(crate) fn nginx_version() -> String {
    nginx::program().map(|program| nginx::version(&program)).unwrap_or_default()
}

/// The machine in a few words.
pub(crate) fn machine() -> String {
    machine::description()
}

/// Where the results are kept.
pub(crate) fn results_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md")
}
