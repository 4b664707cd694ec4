//! What the other side remembers beyond a restart.
//!
//! The record says what was asked of us; it does not say what came of it. So that a user can still
//! tap on a message that an earlier process took, and so that whoever subscribed over HTTP is still
//! told, these things are written to a file of their own beside the record, one JSON object a line,
//! before they are answered. A line is handed to the system and outlives our being killed, which is
//! what tests do; a second later it is on the disk too ([`Memory::unsynced`]), so that a power cut costs the
//! last second and a send waits for nothing. (The record itself is synced before every answer.) At the
//! start the file is read, and written anew with what still counts.
//!
//! Subscriptions of the configuration and of library calls are not remembered, since whoever made
//! them makes them again; rules, templates and files are not either.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config::Record;
use crate::forgetting::Names;
use crate::numbers::Number;
use crate::record::RecordError;
use crate::sent::{KEPT_MAX, SentMessage};
use crate::users::User;
use crate::wabas::Waba;
use crate::webhooks::Subscription;

/// How long it matters that a user wrote: as long as the window that it opened.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// Lines after which the file is written anew while we run: some times what can still count.
const LINES_MAX: usize = 4 * KEPT_MAX;

/// One thing to remember.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// A message was taken.
    Sent(Box<SentMessage>),
    /// A user wrote to a number.
    Wrote {
        /// The number's id.
        number: String,
        /// The user's key.
        user: String,
        /// Simulated.
        #[serde(with = "clock::as_text")]
        at: Timestamp,
    },
    /// A user wants no marketing of a number, or wants it again.
    Marketing {
        /// The number's id.
        number: String,
        /// The user's key.
        user: String,
        /// Whether they want it.
        wants: bool,
    },
    /// All subscriptions that were made over HTTP, in place of those of an earlier line.
    Subscriptions(Vec<Remembered>),
    /// A user was declared over HTTP.
    User(User),
    /// A number was declared over HTTP.
    Number(Number),
    /// An account was declared over HTTP.
    Waba(Waba),
}

/// A subscription as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) subscription: Subscription,
    /// Whether its handshake went well.
    pub(crate) verified: bool,
}

/// All that an earlier process left.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Oldest first.
    pub(crate) sent: VecDeque<SentMessage>,
    /// By number and user.
    pub(crate) wrote: BTreeMap<(String, String), Timestamp>,
    /// By number and user: whether they want marketing.
    pub(crate) marketing: BTreeMap<(String, String), bool>,
    pub(crate) subscriptions: Vec<Remembered>,
    pub(crate) users: Vec<User>,
    pub(crate) numbers: Vec<Number>,
    pub(crate) wabas: Vec<Waba>,
}

impl Past {
    fn take(&mut self, line: Line) {
        match line {
            Line::Sent(message) => {
                if self.sent.len() >= KEPT_MAX {
                    self.sent.pop_front();
                }
                self.sent.push_back(*message);
            }
            Line::Wrote { number, user, at } => {
                self.wrote.insert((number, user), at);
            }
            Line::Marketing { number, user, wants } => {
                self.marketing.insert((number, user), wants);
            }
            Line::Subscriptions(all) => self.subscriptions = all,
            Line::User(user) => {
                self.users.retain(|known| known.phone != user.phone || known.user_id != user.user_id);
                self.users.push(user);
            }
            Line::Number(number) => {
                self.numbers.retain(|known| known.id != number.id);
                self.numbers.push(number);
            }
            Line::Waba(waba) => {
                self.wabas.retain(|known| known.id != waba.id);
                self.wabas.push(waba);
            }
        }
    }

    fn forget(&mut self, names: &Names) -> usize {
        let count = |past: &Past| past.sent.len() + past.wrote.len() + past.marketing.len() + past.users.len();
        let before = count(self);
        self.sent.retain(|message| {
            let told = serde_json::to_vec(&(&message.payload, &message.callback_data)).unwrap_or_default();
            !names.are(&message.user) && !names.stand_in(&told)
        });
        self.wrote.retain(|(_, user), _| !names.are(user));
        self.marketing.retain(|(_, user), _| !names.are(user));
        self.users.retain(|user| ![&user.phone, &user.user_id].into_iter().flatten().any(|name| names.are(name)));
        before - count(self)
    }

    /// What is left of it as lines.
    fn write(&self, now: Timestamp, mut put: impl FnMut(&Line) -> io::Result<()>) -> io::Result<()> {
        if !self.subscriptions.is_empty() {
            put(&Line::Subscriptions(self.subscriptions.clone()))?;
        }
        self.users.iter().try_for_each(|user| put(&Line::User(user.clone())))?;
        self.numbers.iter().try_for_each(|number| put(&Line::Number(number.clone())))?;
        self.wabas.iter().try_for_each(|waba| put(&Line::Waba(waba.clone())))?;
        for ((number, user), at) in &self.wrote {
            if now.duration_since(*at) < WINDOW {
                put(&Line::Wrote { number: number.clone(), user: user.clone(), at: *at })?;
            }
        }
        for ((number, user), wants) in self.marketing.iter().filter(|(_, wants)| !**wants) {
            put(&Line::Marketing { number: number.clone(), user: user.clone(), wants: *wants })?;
        }
        self.sent.iter().try_for_each(|message| put(&Line::Sent(Box::new(message.clone()))))
    }
}

/// Where things are remembered; nowhere, where the record is in memory too.
pub(crate) struct Memory(Option<Mutex<Open>>);

struct Open {
    path: PathBuf,
    file: File,
    lines: usize,
    /// Whether anything was written since the last sync.
    unsynced: bool,
}

impl Memory {
    /// Opens what belongs to this record and gives what is in it. The record is open and locked
    /// already, so nobody else writes here.
    pub(crate) fn open(record: &Record) -> Result<(Memory, Past), RecordError> {
        let Record::File(record) = record else { return Ok((Memory(None), Past::default())) };
        let path = record.with_extension("memory.jsonl");
        let past = read(&path)?;
        let open = rewrite(&path, &past).map_err(|source| RecordError::Open { path, source })?;
        Ok((Memory(Some(Mutex::new(open))), past))
    }

    /// Remembers; the line is made only where there is somewhere to write it.
    pub(crate) fn keep(&self, line: impl FnOnce() -> Line) -> Result<(), RecordError> {
        let Some(open) = &self.0 else { return Ok(()) };
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        // Made under the lock, so that of two lists of subscriptions the later one is the last.
        let mut json = serde_json::to_vec(&line()).map_err(|_| RecordError::Write)?;
        json.push(b'\n');
        // One write, so that being killed leaves a whole line or the beginning of one.
        open.file.write_all(&json).map_err(|_| RecordError::Write)?;
        open.unsynced = true;
        open.lines += 1;
        if open.lines >= LINES_MAX {
            // Where it cannot be written anew, the next attempt is as many lines away.
            open.lines = 0;
            let past = read(&open.path)?;
            *open = rewrite(&open.path, &past).map_err(|_| RecordError::Write)?;
        }
        Ok(())
    }
}

impl Memory {
    /// Forgets a user, on the disk when it returns; how many things that were.
    pub(crate) fn forget(&self, names: &Names) -> Result<usize, RecordError> {
        let Some(open) = &self.0 else { return Ok(0) };
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut past = read(&open.path)?;
        let gone = past.forget(names);
        // Also where nothing went: the file may hold lines that count no more.
        *open = rewrite(&open.path, &past).map_err(|_| RecordError::Write)?;
        Ok(gone)
    }
}

impl Memory {
    /// The file, where something was written since it was last asked for: to be synced by the caller,
    /// apart from who writes. One sync covers all that was written before it.
    pub(crate) fn unsynced(&self) -> io::Result<Option<File>> {
        let Some(open) = &self.0 else { return Ok(None) };
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.unsynced {
            return Ok(None);
        }
        let file = open.file.try_clone()?;
        open.unsynced = false;
        Ok(Some(file))
    }
}

fn read(path: &Path) -> Result<Past, RecordError> {
    let failed = |source| RecordError::Open { path: path.to_owned(), source };
    let mut past = Past::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(past),
        Err(error) => return Err(failed(error)),
    };
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        lines.read_until(b'\n', &mut line).map_err(failed)?;
        // A last line without its end was cut by a kill; nothing of it was answered.
        if line.pop() != Some(b'\n') {
            break;
        }
        let thing = serde_json::from_slice(&line)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, format!("line {number} cannot be understood: {error}"))))?;
        past.take(thing);
    }
    Ok(past)
}

/// Writes what is left of the past beside the file and puts it in its place.
fn rewrite(path: &Path, past: &Past) -> io::Result<Open> {
    let fresh = path.with_extension("new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let mut writer = io::BufWriter::new(file);
    let mut lines = 0;
    past.write(clock::now(), |line| {
        lines += 1;
        serde_json::to_writer(&mut writer, line)?;
        writer.write_all(b"\n")
    })?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    // The name is the folder's, and on the disk only once the folder is.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(Open { path: path.to_owned(), file, lines, unsynced: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a date")
    }

    fn message(wamid: &str) -> SentMessage {
        SentMessage {
            at: at(1_790_000_000),
            phone_number_id: "1001".to_owned(),
            user: "905321234567".to_owned(),
            by_phone: true,
            wamid: wamid.to_owned(),
            kind: "text".to_owned(),
            template: Some(("a".to_owned(), "en".to_owned())),
            payload: Some(serde_json::json!({"type": "button"})),
            callback_data: Some("é".to_owned()),
            voice: false,
            category: "service".to_owned(),
            window_open: true,
            free_entry_until: None,
            free: std::sync::OnceLock::new(),
        }
    }

    #[test]
    fn what_still_counts_is_there_after_a_restart_and_the_rest_is_gone_from_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let record = Record::File(folder.path().join("simulator.jsonl"));
        let pair = ("1001".to_owned(), "905321234567".to_owned());
        {
            let (memory, past) = Memory::open(&record).expect("a new file");
            assert!(past.sent.is_empty());
            let wrote = |at| Line::Wrote { number: pair.0.clone(), user: pair.1.clone(), at };
            let marketing = |wants| Line::Marketing { number: pair.0.clone(), user: pair.1.clone(), wants };
            memory.keep(|| Line::Sent(Box::new(message("wamid.1")))).expect("it can be written");
            memory.keep(|| wrote(clock::now())).expect("it can be written");
            memory.keep(|| Line::Wrote { number: pair.0.clone(), user: "1".to_owned(), at: at(0) }).expect("it can be written");
            memory.keep(|| marketing(false)).expect("it can be written");
            memory.keep(|| marketing(true)).expect("it can be written");
            let unsynced = || memory.unsynced().expect("it can be had").map(|file| file.sync_data().expect("it can be synced"));
            assert_eq!((unsynced(), unsynced()), (Some(()), None), "one sync covers all");
            memory.keep(|| marketing(true)).expect("it can be written");
            assert_eq!(unsynced(), Some(()), "the next sync has work");
        }
        let path = folder.path().join("simulator.memory.jsonl");
        // Killed in the middle of a line.
        let mut file = OpenOptions::new().append(true).open(&path).expect("it is there");
        file.write_all(br#"{"sent":{"at"#).expect("it can be written");
        drop(file);
        let (_memory, past) = Memory::open(&record).expect("a cut line is no hindrance");
        assert_eq!(past.sent.iter().map(|message| message.wamid.as_str()).collect::<Vec<_>>(), ["wamid.1"]);
        assert_eq!(past.sent[0].payload, message("").payload);
        assert!(past.wrote.contains_key(&pair));
        assert_eq!(past.marketing.get(&pair), Some(&true));
        let left = std::fs::read_to_string(&path).expect("text");
        assert_eq!(left.lines().count(), 2, "{left}");
    }

    #[test]
    fn a_line_that_nobody_wrote_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("simulator.memory.jsonl"), "{\"dreamt\":1}\n").expect("it can be written");
        let Err(error) = Memory::open(&Record::File(folder.path().join("simulator.jsonl"))) else { panic!("no such thing") };
        let source = std::error::Error::source(&error).expect("the line").to_string();
        assert!(source.contains("line 1"), "{source}");
    }
}
