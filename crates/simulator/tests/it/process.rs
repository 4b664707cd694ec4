//! The simulator as a process that is killed: what it answered, it remembers.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{PATIENCE, call, request_bytes, text_to};

/// Kills the process when a test ends, however it ends.
pub(crate) struct Process(Child);

impl Process {
    /// Ends it at once, in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it lived until now");
        self.0.wait().expect("it is ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn spawn(folder: &Path) -> (Process, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnpike-simulator"))
        .args(["--listen", "127.0.0.1:0", "--json", "--data"])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output is ours")).read_line(&mut line).expect("it says a line");
    let ready: Value = serde_json::from_str(&line).expect("the line is JSON");
    let address = ready["address"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address");
    (Process(child), address.parse().expect("an address and a port"))
}

/// Sends on one connection until it breaks; gives the recipients that were answered.
async fn send_until_killed(address: SocketAddr, sender: usize, answered: Arc<AtomicUsize>) -> Vec<String> {
    let mut took = Vec::new();
    let Ok(mut connection) = TcpStream::connect(address).await else { return took };
    for n in 0.. {
        let to = format!("9053{sender:02}{n:06}");
        let request = request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer x\r\n", &text_to(&to).to_string());
        if connection.write_all(&request).await.is_err() {
            break;
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"}]}") {
            match tokio::time::timeout(PATIENCE, connection.read_buf(&mut answer)).await {
                Ok(Ok(1..)) => {}
                _ => return took,
            }
        }
        took.push(to);
        answered.fetch_add(1, Ordering::Relaxed);
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_before_a_kill_is_in_the_record_after_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut all_answered = Vec::new();
    for round in 0..5 {
        let (mut process, address) = spawn(folder.path());
        let answered = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for sender in 0..16 {
            senders.spawn(send_until_killed(address, round * 16 + sender, Arc::clone(&answered)));
        }
        while answered.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
        process.0.kill().expect("it lived until now");
        process.0.wait().expect("it is ours");
        while let Some(took) = senders.join_next().await {
            all_answered.extend(took.expect("no sender panics"));
        }
    }
    let (_process, address) = spawn(folder.path());
    let record = call(address, "GET", "/_sim/requests?limit=1000000", None).await.json();
    let recorded: std::collections::HashSet<&str> =
        record.as_array().expect("an array").iter().map(|request| request["body"]["to"].as_str().expect("a recipient")).collect();
    assert!(all_answered.len() >= 1_000);
    let lost: Vec<&String> = all_answered.iter().filter(|to| !recorded.contains(to.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} were answered and forgotten", lost.len(), all_answered.len());
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_first, _) = spawn(folder.path());
    let second = Command::new(env!("CARGO_BIN_EXE_turnpike-simulator"))
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .output()
        .expect("it runs and ends");
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("in use by another simulator"), "{words}");
}

#[test]
fn help_tells_how_to_fail_on_purpose() {
    let help = Command::new(env!("CARGO_BIN_EXE_turnpike-simulator")).arg("--help").output().expect("it runs and ends");
    let help = String::from_utf8_lossy(&help.stdout);
    for words in ["15550101130429", "close_after_body_rst", "/_sim/requests", "EAAEXPIRED", "--tls-self-signed"] {
        assert!(help.contains(words), "{words} is not in:\n{help}");
    }
}
