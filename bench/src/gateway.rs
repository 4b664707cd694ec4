//! The gateway under test: built, started as anybody starts it, furnished as operators furnish it.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;

use crate::process::{Process, SUBJECT_CPU, free_address, listens, pinned};
use crate::{clock, control, machine};

/// Where a message is posted.
pub(crate) const PATH: &str = "/v1/wa/message";

/// Keys are made in batches of this many: the most that one request may ask for.
const KEYS_AT_ONCE: usize = 100_000;

/// A start reads every key into memory and recovers what is stored.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// Builds the release binary where it is missing or older than its sources.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the bench lies in the workspace")?;
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("the bench runs from a target folder")?;
    let built = Command::new("cargo")
        .args(["build", "--release", "--package", "turnpike", "--target-dir"])
        .arg(target)
        .current_dir(root)
        .status()
        .context("running cargo")?;
    ensure!(built.success(), "the gateway could not be built");
    Ok(target.join("release").join("turnpike"))
}

/// A gateway that runs on a folder of its own.
pub(crate) struct Gateway {
    /// Where callers reach it.
    pub(crate) address: SocketAddr,
    /// The process.
    pub(crate) process: Process,
    folder: PathBuf,
}

impl Gateway {
    /// Starts `turnpike serve` with the settings that it ships with.
    pub(crate) fn start(program: &Path, folder: &Path, upstream: SocketAddr) -> anyhow::Result<Gateway> {
        std::fs::create_dir_all(folder)?;
        let (address, graph) = (free_address()?, format!("http://{upstream}"));
        let data = folder.join("data");
        let listen = address.to_string();
        let arguments = ["serve", "--data", text(&data)?, "--listen", &listen, "--graph-url", &graph];
        let mut process = Process::start("turnpike serve", SUBJECT_CPU, program, &arguments, &folder.join("log"))?;
        process.wait_until(START_PATIENCE, || listens(address)).with_context(|| format!("see {}", folder.join("log").display()))?;
        Ok(Gateway { address, process, folder: folder.to_owned() })
    }

    /// Makes organization, money, application and `count` keys, and writes the keys into a file.
    pub(crate) fn furnish(&self, count: usize) -> anyhow::Result<PathBuf> {
        let socket = self.folder.join("data").join("control.sock");
        let ask = |path: &str, body| control::post(&socket, path, &body);
        ask("/organizations", json!({"name": "Bench"}))?;
        ask("/organizations/-/wallet/top-up", json!({"amount": "100000000.00", "reason": "a bench must not run out of money"}))?;
        ask(
            "/applications",
            json!({
                "displayName": "Bench",
                "appId": "bench",
                "connect": {
                    "phoneNumberId": "100000000000001",
                    "wabaId": "200000000000001",
                    "accessToken": "EAABENCH00000000000000000000000",
                    "phoneNumber": "15550001000",
                },
                "settings": {"numberPerSecond": 1_000_000},
            }),
        )?;
        ask("/applications/bench/templates/sync", json!({}))?;
        let path = self.folder.join("keys");
        let mut file = BufWriter::new(std::fs::File::create(&path)?);
        let mut left = count;
        while left > 0 {
            let batch = left.min(KEYS_AT_ONCE);
            let made = ask("/applications/bench/api-keys", json!({"count": batch, "ratePerSecond": 100_000, "ratePerMinute": 6_000_000}))?;
            for key in made.as_array().context("a list of keys")? {
                writeln!(file, "{}", key["key"].as_str().context("a key's text")?)?;
            }
            left -= batch;
        }
        file.flush()?;
        Ok(path)
    }

    /// Proves the books, after everything that was sent.
    pub(crate) fn verify(&self) -> anyhow::Result<()> {
        let found = control::post(&self.folder.join("data").join("control.sock"), "/ledger/verify", &json!({}))?;
        ensure!(found["clean"] == true, "the books do not balance after the run: {found}");
        Ok(())
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        machine::resident_mib(&self.process.family())
    }
}

/// How long `turnpike demo` takes on an empty folder until it says that it is ready.
pub(crate) fn demo_ready(program: &Path, folder: &Path) -> anyhow::Result<Duration> {
    let listen = free_address()?.to_string();
    let arguments = ["demo", "--json", "--data", text(folder)?, "--listen", &listen];
    let began = clock::now();
    let mut child = pinned("0,1", program, &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut line = String::new();
    let out = child.stdout.take().context("its output")?;
    BufReader::new(out).read_line(&mut line)?;
    let took = began.elapsed();
    // It has sent nothing, so it may be ended without ceremony.
    child.kill()?;
    child.wait()?;
    if !line.contains("liveKey") {
        bail!("turnpike demo said {line:?} instead of that it is ready");
    }
    Ok(took)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}
