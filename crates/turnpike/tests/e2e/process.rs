//! The program as its users run it: a child process with an address, killed when it is dropped.
//!
//! Nothing here calls into the program's code. What a child says on stderr is kept, and printed
//! where a test fails, because a gateway's own words are the best hint at what went wrong.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// How long a child may take until it says that it is ready. A start takes a tenth of a second; a
/// machine that also compiles may take far longer.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Lines of stderr that are shown when a test fails.
const LINES_SHOWN: usize = 60;

/// A running child.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// `turnpike simulator`, `demo` or `serve` with `--json`: ready when it prints its line of JSON.
    pub(crate) fn announcing(name: &'static str, arguments: &[String], environment: &[(&str, &str)]) -> (Process, Value) {
        let (process, lines) = Process::spawn(name, arguments, environment);
        let line = process.wait_for(&lines);
        let announced = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name} announced {line}: {error}"));
        (process, announced)
    }

    /// The child, and the lines of its stdout.
    fn spawn(name: &'static str, arguments: &[String], environment: &[(&str, &str)]) -> (Process, Receiver<String>) {
        let mut child = command(environment)
            .arg(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        let said = Arc::new(Mutex::new(Vec::new()));
        let (out, printed) = channel();
        let kept = Arc::clone(&said);
        // Nobody listens any more once the child is ready.
        listen(child.stdout.take().expect("piped"), move |line| drop(out.send(line)));
        listen(child.stderr.take().expect("piped"), move |line| kept.lock().unwrap_or_else(PoisonError::into_inner).push(line));
        (Process { child, name, said }, printed)
    }

    /// The first line of stdout that is an object.
    fn wait_for(&self, lines: &Receiver<String>) -> String {
        loop {
            match lines.recv_timeout(READY_WITHIN) {
                Ok(line) if line.starts_with('{') => return line,
                Ok(_) => {}
                Err(_) => panic!("{} never said that it is ready:\n{}", self.name, self.last_words()),
            }
        }
    }

    /// SIGKILL, and waits until it is gone: the lock of its folder is free then.
    pub(crate) fn kill(&mut self) {
        // Gone already is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it said on stderr until now.
    pub(crate) fn words(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The end of what it said on stderr.
    pub(crate) fn last_words(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said[said.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} said at last:\n{}\n---", self.name, self.last_words());
        }
    }
}

/// The program, with none of our settings from whoever runs the tests.
fn command(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TURNPIKE_") {
            command.env_remove(name);
        }
    }
    command.env("TURNPIKE_LOG_FORMAT", "json").envs(environment.iter().copied());
    command
}

/// Reads a child's pipe to its end, so that the child never waits for us.
fn listen(pipe: impl std::io::Read + Send + 'static, each: impl Fn(String) + Send + 'static) {
    std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).for_each(each));
}

/// A path as an argument.
pub(crate) fn text_of(path: &Path) -> String {
    path.to_str().expect("temporary folders have UTF-8 names").to_owned()
}
