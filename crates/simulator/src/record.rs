//! The record of every Graph request: the outside witness of what was sent.
//!
//! A test asks it what Meta would have received, also after the simulator was
//! killed. So in [`Record::File`] a request is on disk before it is answered: one
//! thread writes, taking all that wait into one `write` and one `fdatasync`, so
//! that a hundred waiting requests cost one sync. What is asked for is read back
//! from the file by offset; memory holds eight bytes a request.

mod writer;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use self::writer::{Job, Kept, Writer};
use crate::config::Record;
use crate::forgetting::Names;

/// Requests that may wait for the writer: past this, callers wait to hand over,
/// which bounds memory at this many bodies.
const WAITING_MAX: usize = 4_096;

/// Bodies nested deeper are kept as a string. JSON readers commonly stop at 128,
/// and the record adds levels of its own.
const DEPTH_MAX: usize = 100;

/// One request as the record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// When its body had been read: RFC 3339, UTC.
    pub at: String,
    /// `POST`, `GET`, `DELETE`.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query as it came; empty where there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// Headers by lower-case name; several of one name are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The JSON value; a string where the body was not JSON; null where empty.
    pub body: Value,
}

/// The record could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be opened or prepared.
    #[error("opening the record {path}")]
    Open {
        /// The record's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this record.
    #[error("the record {path} is in use by another simulator")]
    InUse {
        /// The record's path.
        path: PathBuf,
    },
    /// A request could not be written or synced; it must not be answered as done.
    #[error("writing the record")]
    Write,
    /// What was asked for could not be read back.
    #[error("reading the record")]
    Read(#[source] io::Error),
}

/// Keeps requests, in memory or in a file.
pub(crate) enum Recorder {
    Memory(Mutex<Lines>),
    File(FileRecorder),
}

/// Requests in memory.
pub(crate) struct Lines {
    lines: Vec<Box<[u8]>>,
    newest: Option<usize>,
}

/// How many of `count` requests are too old to be kept.
fn surplus(count: usize, newest: Option<usize>) -> usize {
    newest.filter(|newest| count > newest.saturating_mul(2)).map_or(0, |newest| count - newest)
}

/// The file's reading side and the way to its writer.
pub(crate) struct FileRecorder {
    /// Gone only while the recorder is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<std::thread::JoinHandle<()>>,
    /// What is in the file; the writer alone changes it.
    kept: Arc<Mutex<Kept>>,
}

impl Recorder {
    /// Opens the record; a file's unfinished last line (its request was never
    /// answered) is cut off.
    ///
    /// With `newest` the oldest requests are dropped once there are twice as many as that: so many
    /// are always there, and what dropping them costs is spread over as many requests.
    pub(crate) fn open(record: &Record, newest: Option<usize>) -> Result<Recorder, RecordError> {
        match record {
            Record::Memory => Ok(Recorder::Memory(Mutex::new(Lines { lines: Vec::new(), newest }))),
            Record::File(path) => FileRecorder::open(path, newest).map(Recorder::File),
        }
    }

    /// How many requests are kept.
    pub(crate) fn count(&self) -> usize {
        match self {
            Recorder::Memory(memory) => lock(memory).lines.len(),
            Recorder::File(file) => lock(&file.kept).ends.len(),
        }
    }

    /// Keeps one line (a JSON object without line feed). On return it is durable.
    pub(crate) async fn append(&self, mut line: Vec<u8>) -> Result<(), RecordError> {
        debug_assert!(!line.contains(&b'\n'), "a line feed would end the record's line");
        match self {
            Recorder::Memory(memory) => {
                let mut memory = lock(memory);
                memory.lines.push(line.into_boxed_slice());
                let surplus = surplus(memory.lines.len(), memory.newest);
                memory.lines.drain(..surplus);
                Ok(())
            }
            Recorder::File(file) => {
                line.push(b'\n');
                let (done, written) = oneshot::channel();
                file.ask(Job::Append { line, done }, written).await
            }
        }
    }

    /// Leaves of every request that names a user its time and method; how many there were. On return
    /// the file holds nothing else of them.
    pub(crate) async fn husk(&self, names: Arc<Names>) -> Result<usize, RecordError> {
        match self {
            Recorder::Memory(memory) => {
                let mut husked = 0;
                for line in lock(memory).lines.iter_mut().filter(|line| names.stand_in(line)) {
                    *line = husk_of(line).into_boxed_slice();
                    husked += 1;
                }
                Ok(husked)
            }
            Recorder::File(file) => {
                let (done, husked) = oneshot::channel();
                let jobs = file.jobs.as_ref().ok_or(RecordError::Write)?;
                jobs.send(Job::Husk { names, done }).await.map_err(|_| RecordError::Write)?;
                husked.await.ok().flatten().ok_or(RecordError::Write)
            }
        }
    }

    /// Forgets everything.
    pub(crate) async fn clear(&self) -> Result<(), RecordError> {
        match self {
            Recorder::Memory(memory) => {
                lock(memory).lines.clear();
                Ok(())
            }
            Recorder::File(file) => {
                let (done, cleared) = oneshot::channel();
                file.ask(Job::Clear { done }, cleared).await
            }
        }
    }

    /// The newest `limit` requests as a JSON array, oldest first.
    pub(crate) fn newest_json(&self, limit: usize) -> Result<Vec<u8>, RecordError> {
        let mut json = vec![b'['];
        match self {
            Recorder::Memory(memory) => {
                let lines = &lock(memory).lines;
                let skipped = lines.len().saturating_sub(limit);
                for (n, line) in lines[skipped..].iter().enumerate() {
                    if n > 0 {
                        json.push(b',');
                    }
                    json.extend_from_slice(line);
                }
            }
            Recorder::File(file) => {
                let mut lines = file.newest(limit)?;
                // Lines become elements: every line feed but the last is a comma.
                lines.pop();
                for byte in &mut lines {
                    if *byte == b'\n' {
                        *byte = b',';
                    }
                }
                json.append(&mut lines);
            }
        }
        json.push(b']');
        Ok(json)
    }
}

impl FileRecorder {
    fn open(path: &Path, newest: Option<usize>) -> Result<FileRecorder, RecordError> {
        let failed = |source| RecordError::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // Bodies and tokens are other people's, even in tests.
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(RecordError::InUse { path: path.to_owned() });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let ends = line_ends(&mut file).map_err(failed)?;
        file.set_len(ends.last().copied().unwrap_or(0)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        sync_folder(path).map_err(failed)?;

        let reader = Arc::new(File::open(path).map_err(failed)?);
        let kept = Arc::new(Mutex::new(Kept { ends, reader }));
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let (writers, path) = (Arc::clone(&kept), path.to_owned());
        let writer = std::thread::Builder::new()
            .name("simulator-record".to_owned())
            .spawn(move || Writer::new(file, path, newest, writers).run(waiting))
            .map_err(failed)?;
        Ok(FileRecorder { jobs: Some(jobs), writer: Some(writer), kept })
    }

    async fn ask(&self, job: Job, answer: oneshot::Receiver<bool>) -> Result<(), RecordError> {
        let jobs = self.jobs.as_ref().ok_or(RecordError::Write)?;
        jobs.send(job).await.map_err(|_| RecordError::Write)?;
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(RecordError::Write),
        }
    }

    /// The bytes of the newest `limit` lines, each with its line feed.
    fn newest(&self, limit: usize) -> Result<Vec<u8>, RecordError> {
        let (start, end, reader) = {
            let kept = lock(&self.kept);
            let skipped = kept.ends.len().saturating_sub(limit);
            let start = if skipped == 0 { 0 } else { kept.ends[skipped - 1] };
            (start, kept.ends.last().copied().unwrap_or(0), Arc::clone(&kept.reader))
        };
        let length = usize::try_from(end.saturating_sub(start)).map_err(|_| RecordError::Read(io::ErrorKind::FileTooLarge.into()))?;
        let mut lines = vec![0; length];
        reader.read_exact_at(&mut lines, start).map_err(RecordError::Read)?;
        Ok(lines)
    }
}

impl Drop for FileRecorder {
    /// Waits for the writer (at most one sync), so that the file can be opened
    /// again as soon as the recorder is gone.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to finish.
            let _ = writer.join();
        }
    }
}

/// What stays of a request that named a user who is to be forgotten.
fn husk_of(line: &[u8]) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Head {
        at: String,
        method: String,
    }
    // A line that is none of ours has nothing that must stay.
    let head = serde_json::from_slice::<Head>(line).unwrap_or(Head { at: String::new(), method: String::new() });
    self::line(&head.at, &head.method, FORGOTTEN_PATH, "", &[], b"")
}

/// The path of a husk: the true one may name the user, or a message of theirs.
const FORGOTTEN_PATH: &str = "/forgotten";

/// Where each complete line of the file ends.
fn line_ends(file: &mut File) -> io::Result<Vec<u64>> {
    let mut ends = Vec::new();
    let mut offset = 0_u64;
    let mut chunk = vec![0; 1 << 20];
    file.seek(SeekFrom::Start(0))?;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(ends);
        }
        for (n, byte) in chunk[..read].iter().enumerate() {
            if *byte == b'\n' {
                ends.push(offset + n as u64 + 1);
            }
        }
        offset += read as u64;
    }
}

/// Makes the file's name durable too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One record line. A JSON body is kept to the letter (members in their order,
/// numbers as written), so that the record shows what was sent and not what a
/// parser made of it.
pub(crate) fn line(at: &str, method: &str, path: &str, query: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut by_name: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        by_name
            .entry(name)
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(value);
            })
            .or_insert_with(|| value.clone());
    }
    let mut line = Vec::with_capacity(256 + body.len());
    line.extend_from_slice(b"{\"at\":");
    push_json(&mut line, at);
    line.extend_from_slice(b",\"method\":");
    push_json(&mut line, method);
    line.extend_from_slice(b",\"path\":");
    push_json(&mut line, path);
    if !query.is_empty() {
        line.extend_from_slice(b",\"query\":");
        push_json(&mut line, query);
    }
    line.extend_from_slice(b",\"headers\":");
    push_json(&mut line, &by_name);
    line.extend_from_slice(b",\"body\":");
    if body.is_empty() {
        line.extend_from_slice(b"null");
    } else if is_plain_json(body) {
        // In valid JSON a raw line feed can only be white space between tokens.
        line.extend(body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    } else {
        push_json(&mut line, &String::from_utf8_lossy(body));
    }
    line.push(b'}');
    line
}

/// Whether the body can stand in the record as it is: UTF-8, JSON, and not so
/// deep that a reader of the whole record would give up.
fn is_plain_json(body: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut deepest = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest <= DEPTH_MAX && std::str::from_utf8(body).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn push_json<T: Serialize + ?Sized>(line: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(line, value).expect("strings and string maps always become JSON, and a Vec takes every byte");
}

#[cfg(test)]
mod tests;
