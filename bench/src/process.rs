//! Processes that the bench starts, pinned to a processor, and stops again.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{clock, machine};

/// Where the subjects run, each alone: the others have nothing to do meanwhile.
pub(crate) const SUBJECT_CPU: &str = "1";
/// Where load generator and upstream run.
pub(crate) const LOAD_CPU: &str = "0";

/// How long a stopped process may take to end; the gateway drains.
const STOP_PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(2);

/// A process that ends with its handle.
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program on one processor; what it prints goes to `log`.
    pub(crate) fn start(name: &str, cpu: &str, program: &Path, arguments: &[&str], log: &Path) -> anyhow::Result<Process> {
        let out = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let child = pinned(cpu, program, arguments)
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .with_context(|| format!("starting {name} by taskset"))?;
        Ok(Process { name: name.to_owned(), child })
    }

    /// Waits until `is_ready` says so.
    pub(crate) fn wait_until(&mut self, patience: Duration, mut is_ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let began = clock::now();
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended by itself ({status})", self.name);
            }
            if began.elapsed() > patience {
                bail!("{} was not ready after {} s", self.name, patience.as_secs());
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// It and what it started.
    pub(crate) fn family(&self) -> Vec<u32> {
        machine::family_of(self.child.id())
    }

    fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let began = clock::now();
        while began.elapsed() < STOP_PATIENCE {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command that runs on one processor.
pub(crate) fn pinned(cpu: &str, program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cpu).arg(program).args(arguments);
    command
}

/// An address of this machine on which nobody listens now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Whether somebody listens there.
pub(crate) fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}
