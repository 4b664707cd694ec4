//! The program as its users run it: a child process with an address, killed when it is dropped.
//!
//! Nothing here calls into the program's code. What a child says on stderr is kept, and printed
//! where a test fails, because a gateway's own words are the best hint at what went wrong.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// How long a child may take until it says that it is ready. A start takes a tenth of a second; a
/// machine that also compiles may take far longer.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Lines of stderr that are shown when a test fails.
const LINES_SHOWN: usize = 60;

/// A running child.
pub struct Process {
    child: Child,
    name: &'static str,
    said: Arc<Mutex<Vec<String>>>,
}

/// The words by which `serve` says in its log that it is ready.
const SERVING: &str = "serving on ";

impl Process {
    /// `turnpike simulator`, or `turnpike demo`: ready when it prints its line of JSON.
    pub fn announcing(name: &'static str, arguments: &[String]) -> (Process, Value) {
        let (process, lines, _) = Process::spawn(name, arguments, &[]);
        let line = process.wait_for(&lines, |line| line.starts_with('{'));
        let announced = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name} announced {line}: {error}"));
        (process, announced)
    }

    /// `turnpike serve`: ready when its log says where it serves. Gives the address.
    pub fn serving(arguments: &[String], environment: &[(&str, &str)]) -> (Process, String) {
        let (process, _, lines) = Process::spawn("serve", arguments, environment);
        let line = process.wait_for(&lines, |line| line.contains(SERVING));
        let logged: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("serve logged {line}: {error}"));
        let address = logged["address"].as_str().expect("the line names the address").to_owned();
        (process, address)
    }

    /// A command that ends by itself: its exit code and what it printed.
    pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = command(&[]).args(arguments).output().expect("the program can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// The child, and the lines of its stdout and its stderr.
    fn spawn(name: &'static str, arguments: &[String], environment: &[(&str, &str)]) -> (Process, Receiver<String>, Receiver<String>) {
        let mut child = command(environment)
            .arg(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        let said = Arc::new(Mutex::new(Vec::new()));
        let ((out, printed), (err, logged)) = (channel(), channel());
        listen(child.stdout.take().expect("piped"), out, None);
        listen(child.stderr.take().expect("piped"), err, Some(Arc::clone(&said)));
        (Process { child, name, said }, printed, logged)
    }

    /// The first line that is the one.
    fn wait_for(&self, lines: &Receiver<String>, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            match lines.recv_timeout(READY_WITHIN) {
                Ok(line) if is_it(&line) => return line,
                Ok(_) => {}
                Err(_) => panic!("{} never said that it is ready:\n{}", self.name, self.last_words()),
            }
        }
    }

    /// SIGKILL, and waits until it is gone: the lock of its folder is free then.
    pub fn kill(&mut self) {
        // Gone already is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the orderly end; its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().expect("kill can be run");
        assert!(asked.success(), "{} is there to be told to stop", self.name);
        self.child.wait().expect("a child can be waited for").code()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it said on stderr.
    pub fn last_words(&self) -> String {
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
fn listen(pipe: impl std::io::Read + Send + 'static, lines: Sender<String>, said: Option<Arc<Mutex<Vec<String>>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(said) = &said {
                said.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
            }
            // Nobody listens once the child is ready.
            let _ = lines.send(line);
        }
    });
}

/// A path as an argument.
pub fn text_of(path: &Path) -> String {
    path.to_str().expect("temporary folders have UTF-8 names").to_owned()
}
