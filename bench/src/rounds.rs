//! Side by side: every subject is up at once and works in slices of a second, in rotating order.
//!
//! What the machine does in a bad second then hits all alike. Ratios are taken inside a round. A
//! slice in which foreign processes took a noticeable share of a processor is done again, as often
//! as the run has patience for.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::load::Report;
use crate::machine::{Busy, cpu_of};
use crate::process::LOAD_CPU;

/// Connections under steady load: enough that none is waited for.
pub(crate) const STEADY_CONNECTIONS: usize = 32;
/// Requests a second under steady load.
pub(crate) const STEADY_RATE: f64 = 1_000.0;
/// Share of one processor above which a slice counts as disturbed.
pub(crate) const FOREIGN_MAX: f64 = 0.1;
/// How often one slice is done again: who disturbs it for longer disturbs the next one too.
const RETRIES_OF_ONE: u32 = 2;
/// Seconds of load before those that count.
const WARM_SECONDS: f64 = 0.2;

/// Something that answers sends.
pub(crate) struct Subject {
    /// As the tables call it.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What is posted to.
    pub(crate) path: &'static str,
    /// The API keys that it knows.
    pub(crate) keys: PathBuf,
    /// How many of those send.
    pub(crate) senders: usize,
    /// Its processes.
    pub(crate) pids: Vec<u32>,
}

/// What one slice showed.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// What the load generator saw.
    pub(crate) seen: Report,
    /// The subject's processor time for each request.
    pub(crate) cpu_us: f64,
    /// What others took meanwhile, as a share of one processor.
    pub(crate) foreign: f64,
}

/// Whether load waits for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As much as is answered.
    Saturating,
    /// At [`STEADY_RATE`].
    Steady,
}

/// Runs slices.
pub(crate) struct Bench {
    /// Everything that this bench started and that runs beside the subject in a slice.
    pub(crate) beside: RefCell<Vec<u32>>,
    /// Connections under saturating load, each with a request under way.
    pub(crate) connections: usize,
    /// How often a disturbed slice may be done again, over the whole run.
    pub(crate) retries: Cell<u32>,
    /// Slices that stayed disturbed.
    pub(crate) disturbed: Cell<u32>,
    /// Foreign shares of all slices that count.
    pub(crate) foreign: RefCell<Vec<f64>>,
    /// Number of the next run of load; every run's Idempotency-Keys differ.
    pub(crate) next_run: Cell<u64>,
    /// Says what goes on.
    pub(crate) is_quiet: bool,
}

impl Bench {
    /// One slice, again if it was disturbed and there is patience left.
    ///
    /// # Errors
    /// Where the run is void: an answer that is no 2xx, a repeat, a lost request, a subject that
    /// took no processor time.
    pub(crate) fn slice(&self, subject: &Subject, kind: Kind, seconds: f64) -> anyhow::Result<Slice> {
        let mut tries = 0;
        loop {
            let slice = self.once(subject, kind, seconds)?;
            let is_disturbed = slice.foreign > FOREIGN_MAX;
            tries += 1;
            if is_disturbed && tries <= RETRIES_OF_ONE && self.retries.get() > 0 {
                self.retries.set(self.retries.get() - 1);
                continue;
            }
            if is_disturbed {
                self.disturbed.set(self.disturbed.get() + 1);
            }
            self.foreign.borrow_mut().push(slice.foreign);
            if !self.is_quiet {
                eprintln!(
                    "  {:<22} {:>9} {:>6.0}/s  CPU {:>6.1} µs  p50 {:>6.0} p99 {:>6.0} µs  foreign {:.2}",
                    subject.name,
                    if kind == Kind::Saturating { "saturated" } else { "steady" },
                    slice.seen.per_second,
                    slice.cpu_us,
                    slice.seen.p50_us,
                    slice.seen.p99_us,
                    slice.foreign
                );
            }
            return Ok(slice);
        }
    }

    /// Saturating load whose figures count for nothing; it must be clean all the same.
    pub(crate) fn unmeasured(&self, subject: &Subject, seconds: f64) -> anyhow::Result<Report> {
        let seen = self.load(subject, Kind::Saturating, seconds)?;
        clean(subject, seen)
    }

    fn once(&self, subject: &Subject, kind: Kind, seconds: f64) -> anyhow::Result<Slice> {
        let mut ours = self.beside.borrow().clone();
        ours.extend(&subject.pids);
        ours.sort_unstable();
        ours.dedup();
        let (busy, cpu) = (Busy::now(&ours)?, cpu_of(&subject.pids));
        let seen = self.load(subject, kind, seconds)?;
        let (busy_after, cpu_after) = (Busy::now(&ours)?, cpu_of(&subject.pids));
        let seen = clean(subject, seen)?;
        let cpu_us = cpu_after.saturating_sub(cpu).as_secs_f64() * 1e6 / seen.answered as f64;
        ensure!(
            cpu_us > 0.0,
            "the run is void: no processor time of {} was seen, so its processes are others than {:?}",
            subject.name,
            subject.pids
        );
        Ok(Slice { cpu_us, foreign: busy_after.foreign_since(&busy), seen })
    }

    fn load(&self, subject: &Subject, kind: Kind, seconds: f64) -> anyhow::Result<Report> {
        let run = self.next_run.get();
        self.next_run.set(run + 1);
        let connections = if kind == Kind::Steady { STEADY_CONNECTIONS } else { self.connections };
        let mut command = Command::new("taskset");
        command.args(["-c", LOAD_CPU]).arg(std::env::current_exe()?).arg("load");
        command.arg("--address").arg(subject.address.to_string()).arg("--path").arg(subject.path).arg("--keys").arg(&subject.keys);
        command.arg("--senders").arg(subject.senders.to_string());
        command.arg("--connections").arg(connections.to_string()).arg("--run").arg(run.to_string());
        command.arg("--seconds").arg(seconds.to_string()).arg("--warm").arg(WARM_SECONDS.to_string());
        if kind == Kind::Steady {
            command.arg("--rate").arg(STEADY_RATE.to_string());
        }
        let output = command.stderr(Stdio::inherit()).output().context("starting the load generator by taskset")?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("the load generator for {} ended {}", subject.name, output.status))
    }
}

fn clean(subject: &Subject, seen: Report) -> anyhow::Result<Report> {
    if !seen.is_clean() {
        bail!(
            "the run is void: {} of {}'s answers were no success, {} were repeats, {} never came; the first: {}",
            seen.refused,
            subject.name,
            seen.replayed,
            seen.lost,
            seen.first_fault.unwrap_or_default()
        );
    }
    Ok(seen)
}

/// `subjects` in the order of this round: each begins a round in its turn.
pub(crate) fn rotated<T>(subjects: &[T], round: usize) -> impl Iterator<Item = (usize, &T)> {
    let first = round % subjects.len().max(1);
    subjects.iter().enumerate().cycle().skip(first).take(subjects.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_its_turn_in_every_round() {
        let order = |round| rotated(&["a", "b", "c"], round).map(|(place, _)| place).collect::<Vec<_>>();
        assert_eq!(order(0), [0, 1, 2]);
        assert_eq!(order(1), [1, 2, 0]);
        assert_eq!(order(5), [2, 0, 1]);
    }
}
