//! The load generator: one thread, many keep-alive connections, one request under way on each.
//!
//! Two kinds of load. *Saturating*: every connection sends again as soon as it was answered, which
//! shows CPU per message and throughput. *Steady*: requests are due at a fixed rate whatever
//! happens to earlier ones, and each is timed from when it was due, so that a subject that stalls
//! cannot hide the requests which it kept from being sent.
//!
//! It runs as a process of its own (`bench load`), so that it can be pinned to a processor, and
//! says what it saw as one line of JSON.

mod connection;
mod request;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::stats::percentile;
use connection::{Connection, Seen};
#[cfg(test)]
pub(crate) use request::BODY;
use request::Requests;
pub(crate) use request::scatter;

/// What to send, where and how fast.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Address and port of the subject
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Path to post to
    #[arg(long)]
    pub(crate) path: String,
    /// File with one API key a line
    #[arg(long)]
    pub(crate) keys: PathBuf,
    /// How many of those keys send
    #[arg(long)]
    pub(crate) senders: usize,
    /// Connections, each with one request at a time
    #[arg(long)]
    pub(crate) connections: usize,
    /// Seconds that count
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Seconds before those
    #[arg(long)]
    pub(crate) warm: f64,
    /// Requests a second; without it, as fast as they are answered
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Makes this run's Idempotency-Keys differ from every other run's
    #[arg(long)]
    pub(crate) run: u64,
}

/// What a run of load saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Requests answered, those before and after the seconds that count among them.
    pub(crate) answered: u64,
    /// Answers a second, of the seconds that count.
    pub(crate) per_second: f64,
    /// Microseconds from due to answered, of the requests due in the seconds that count.
    pub(crate) p50_us: f64,
    /// As above.
    pub(crate) p90_us: f64,
    /// As above.
    pub(crate) p99_us: f64,
    /// Answers that were not 2xx.
    pub(crate) refused: u64,
    /// Answers that an earlier request had been given already.
    pub(crate) replayed: u64,
    /// Requests without a whole answer.
    pub(crate) lost: u64,
    /// The first answer that voids the run.
    pub(crate) first_fault: Option<String>,
}

impl Report {
    /// Whether every request was answered, with a 2xx of its own.
    pub(crate) fn is_clean(&self) -> bool {
        self.refused == 0 && self.replayed == 0 && self.lost == 0
    }
}

/// What a request without an answer waits for before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// The timer's place among the connections.
const TIMER: u64 = u64::MAX;

impl Load {
    /// Runs it and prints what it saw.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let report = Generator::new(self)?.run()?;
        println!("{}", serde_json::to_string(&report)?);
        Ok(())
    }
}

struct Generator<'a> {
    load: &'a Load,
    requests: Requests,
    connections: Vec<Connection>,
    /// Connections with nothing under way.
    free: Vec<usize>,
    /// Requests that are due and found no free connection.
    waiting: VecDeque<Instant>,
    epoll: OwnedFd,
    timer: OwnedFd,
    counts_from: Instant,
    ends: Instant,
    times_ns: Vec<u64>,
    answered_in_time: u64,
    report: Report,
}

impl<'a> Generator<'a> {
    fn new(load: &'a Load) -> anyhow::Result<Generator<'a>> {
        ensure!(load.connections > 0, "at least one connection is needed");
        let requests = Requests::new(load)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
        let mut connections = Vec::with_capacity(load.connections);
        for place in 0..load.connections {
            let connection = Connection::open(load.address).with_context(|| format!("connecting to {}", load.address))?;
            epoll::add(&epoll, connection.stream(), epoll::EventData::new_u64(place as u64), epoll::EventFlags::IN)?;
            connections.push(connection);
        }
        let counts_from = clock::now() + Duration::from_secs_f64(load.warm);
        Ok(Generator {
            load,
            requests,
            free: (0..connections.len()).rev().collect(),
            connections,
            waiting: VecDeque::new(),
            epoll,
            timer,
            counts_from,
            ends: counts_from + Duration::from_secs_f64(load.seconds),
            times_ns: Vec::new(),
            answered_in_time: 0,
            report: Report::default(),
        })
    }

    fn run(mut self) -> anyhow::Result<Report> {
        let began = clock::now();
        let mut due_count = 0u32;
        let mut events = Vec::with_capacity(256);
        loop {
            let now = clock::now();
            match self.load.rate {
                Some(rate) => {
                    // Requests are due whether or not earlier ones were answered.
                    let due = |count: u32| began + Duration::from_secs_f64(f64::from(count) / rate);
                    while due(due_count) <= now && due(due_count) < self.ends {
                        self.waiting.push_back(due(due_count));
                        due_count += 1;
                    }
                    if due(due_count) < self.ends {
                        self.wake_in(due(due_count).saturating_duration_since(now))?;
                    }
                }
                None if now < self.ends => {
                    // Whoever is free sends at once.
                    self.waiting.clear();
                    self.waiting.extend(std::iter::repeat_n(now, self.free.len()));
                }
                None => self.waiting.clear(),
            }
            self.send_waiting();
            let under_way = self.connections.len() - self.free.len();
            if now >= self.ends && under_way == 0 && self.waiting.is_empty() {
                break;
            }
            if now >= self.ends + PATIENCE {
                self.report.lost += under_way as u64 + self.waiting.len() as u64;
                break;
            }
            let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
            for event in &events {
                match event.data.u64() {
                    TIMER => drop(rustix::io::read(&self.timer, &mut [0u8; 8])),
                    place => self.receive(usize::try_from(place)?),
                }
            }
        }
        Ok(self.conclude())
    }

    fn wake_in(&self, wait: Duration) -> anyhow::Result<()> {
        // A timer of nothing would never ring.
        let wait = wait.max(Duration::from_micros(1));
        let once = Timespec { tv_sec: wait.as_secs().try_into()?, tv_nsec: wait.subsec_nanos().into() };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: never, it_value: once })?;
        Ok(())
    }

    fn send_waiting(&mut self) {
        while !self.waiting.is_empty()
            && let Some(place) = self.free.pop()
        {
            let Some(due) = self.waiting.pop_front() else { break };
            if self.connections[place].send(due, self.requests.next()).is_err() {
                self.lose("it could not be written");
            }
        }
    }

    fn receive(&mut self, place: usize) {
        // After a loss none is left, though events of some are.
        let Some(connection) = self.connections.get_mut(place) else { return };
        match connection.receive() {
            Ok(None) => {}
            Ok(Some(seen)) => self.count(place, &seen),
            Err(reason) => self.lose(&reason),
        }
    }

    fn count(&mut self, place: usize, seen: &Seen) {
        let now = clock::now();
        self.free.push(place);
        self.report.answered += 1;
        if !(200..300).contains(&seen.status) {
            self.report.refused += 1;
            self.fault(|| format!("{} {}", seen.status, seen.body));
        } else if seen.replayed {
            self.report.replayed += 1;
            self.fault(|| "a fresh Idempotency-Key was answered as a repeat".to_owned());
        }
        if now >= self.counts_from && now < self.ends {
            self.answered_in_time += 1;
        }
        if seen.due >= self.counts_from && seen.due < self.ends {
            self.times_ns.push(now.duration_since(seen.due).as_nanos().try_into().unwrap_or(u64::MAX));
        }
    }

    /// A request that will not be answered. It voids the run, so nothing more is asked.
    fn lose(&mut self, reason: &str) {
        self.report.lost += 1;
        self.fault(|| format!("a request without an answer: {reason}"));
        self.ends = clock::now();
        self.waiting.clear();
        self.connections.clear();
        self.free.clear();
    }

    fn fault(&mut self, words: impl FnOnce() -> String) {
        self.report.first_fault.get_or_insert_with(words);
    }

    fn conclude(mut self) -> Report {
        self.times_ns.sort_unstable();
        let us = |share: f64| percentile(&self.times_ns, share) as f64 / 1_000.0;
        Report {
            per_second: self.answered_in_time as f64 / self.load.seconds,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            ..self.report
        }
    }
}
