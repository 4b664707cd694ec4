//! What the kernel tells about processes: their processor time, their memory, and who else runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::clock;

/// Processor time that all threads of these processes took so far, as the scheduler counts it.
pub(crate) fn cpu_of(pids: &[u32]) -> Duration {
    let mut nanoseconds = 0;
    for pid in pids {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            // A thread that ended in between has nothing more to say.
            let said = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            nanoseconds += said.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0u64);
        }
    }
    Duration::from_nanos(nanoseconds)
}

/// A process and everything that it started.
pub(crate) fn family_of(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let Ok(processes) = fs::read_dir("/proc") else { return family };
    for process in processes.flatten() {
        let Some(child) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if parent_of(&process.path()) == Some(pid) {
            family.extend(family_of(child));
        }
    }
    family
}

fn parent_of(process: &Path) -> Option<u32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name before the last parenthesis may hold anything.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Resident memory of these processes together, in MiB.
pub(crate) fn resident_mib(pids: &[u32]) -> f64 {
    let kib: u64 = pids
        .iter()
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .filter_map(|status| {
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        })
        .sum();
    kib as f64 / 1024.0
}

/// How busy the machine and this bench were up to one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    at: Instant,
    machine: Duration,
    own: Duration,
}

impl Busy {
    /// Up to now; `ours` are the processes that were started by this one and still run.
    pub(crate) fn now(ours: &[u32]) -> anyhow::Result<Busy> {
        Ok(Busy { at: clock::now(), machine: machine_busy()?, own: cpu_of(ours) + self_and_ended_children()? })
    }

    /// What others took since `earlier`, as a share of one processor.
    pub(crate) fn foreign_since(&self, earlier: &Busy) -> f64 {
        let machine = self.machine.saturating_sub(earlier.machine).as_secs_f64();
        let own = self.own.saturating_sub(earlier.own).as_secs_f64();
        ((machine - own) / self.at.duration_since(earlier.at).as_secs_f64()).max(0.0)
    }
}

/// The kernel's ticks in /proc: 100 a second wherever Linux runs.
const TICK: Duration = Duration::from_millis(10);

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap_or(u32::MAX)
}

fn machine_busy() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or("").split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, then idle and waiting for a disk, then interrupts hard and soft.
    Ok(ticks([0, 1, 2, 5, 6].iter().filter_map(|field| fields.get(*field)).sum()))
}

fn self_and_ended_children() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    let fields: Vec<u64> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    // utime, stime, and both of the children that ended.
    Ok(ticks(fields.get(11..15).unwrap_or_default().iter().sum()))
}

/// What stands in the results about the machine.
pub(crate) fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    let processors = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{processors} × {model}, {} GiB, Linux {}", kib / 1_048_576, kernel.trim())
}
