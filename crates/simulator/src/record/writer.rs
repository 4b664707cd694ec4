//! The one thread that writes the record's file: what waits is one write and one sync.
//!
//! It alone changes the file and what is known of it. A file that loses lines is written anew beside the
//! old one and takes its name once it is on disk, so a crash leaves the one or the other, each whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use super::{husk_of, lock, surplus, sync_folder};
use crate::forgetting::Names;

/// Requests written by one sync. More would only make the first of them wait.
const GROUP_MAX: usize = 512;

/// The file as it can be read: both are exchanged together when it is cut.
pub(super) struct Kept {
    /// Where each line ends.
    pub(super) ends: Vec<u64>,
    pub(super) reader: Arc<File>,
}

/// What the writer is asked.
pub(super) enum Job {
    Append { line: Vec<u8>, done: oneshot::Sender<bool> },
    Clear { done: oneshot::Sender<bool> },
    Husk { names: Arc<Names>, done: oneshot::Sender<Option<usize>> },
}

/// The writing side of the file.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    /// So many requests are always kept; all where it is `None`.
    newest: Option<usize>,
    kept: Arc<Mutex<Kept>>,
    /// Where the file ends.
    end: u64,
}

/// Lines that one sync takes, and what ends their gathering.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    callers: Vec<oneshot::Sender<bool>>,
    then: Option<Then>,
}

/// What is done behind a group, with the file as it is then.
enum Then {
    Clear(oneshot::Sender<bool>),
    Husk(Arc<Names>, oneshot::Sender<Option<usize>>),
}

impl Writer {
    pub(super) fn new(file: File, path: PathBuf, newest: Option<usize>, kept: Arc<Mutex<Kept>>) -> Writer {
        let end = lock(&kept).ends.last().copied().unwrap_or(0);
        Writer { file, path, newest, kept, end }
    }

    /// Writes until the recorder is dropped, or until the first failure: after a failed sync nobody knows
    /// what the disk holds.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        while let Some(first) = waiting.blocking_recv() {
            let group = self.gather(first, &mut waiting);
            let Ok(then) = self.write(group) else { return };
            match then {
                Some(Then::Clear(done)) => drop(done.send(self.clear().is_ok())),
                // Where it cannot be written anew, it stays whole as it was, and who asked asks again.
                Some(Then::Husk(names, done)) => drop(done.send(self.husk(&names).ok())),
                None => {}
            }
            self.drop_oldest();
        }
    }

    /// Takes what waits, up to what one sync writes or to what must see the lines before it in the file.
    fn gather(&self, first: Job, waiting: &mut mpsc::Receiver<Job>) -> Group {
        let mut group = Group::default();
        let mut end = self.end;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Append { line, done } => {
                    end += line.len() as u64;
                    group.ends.push(end);
                    group.bytes.extend_from_slice(&line);
                    group.callers.push(done);
                }
                Job::Clear { done } => group.then = Some(Then::Clear(done)),
                Job::Husk { names, done } => group.then = Some(Then::Husk(names, done)),
            }
            let is_full = group.then.is_some() || group.callers.len() >= GROUP_MAX;
            next = if is_full { None } else { waiting.try_recv().ok() };
        }
        group
    }

    /// One write and one sync, and every caller hears how it went.
    fn write(&mut self, mut group: Group) -> io::Result<Option<Then>> {
        if group.bytes.is_empty() {
            return Ok(group.then);
        }
        let written = self.file.write_all(&group.bytes).and_then(|()| self.file.sync_data());
        if written.is_ok() {
            self.end = group.ends.last().copied().unwrap_or(self.end);
            lock(&self.kept).ends.append(&mut group.ends);
        }
        for caller in group.callers {
            // A caller that hung up needs no answer; its request is kept.
            let _ = caller.send(written.is_ok());
        }
        written.map(|()| group.then)
    }

    fn clear(&mut self) -> io::Result<()> {
        let ends = &mut lock(&self.kept).ends;
        self.file.set_len(0).and_then(|()| self.file.sync_data())?;
        ends.clear();
        self.end = 0;
        Ok(())
    }

    /// Makes husks of the lines that name a user; how many there were.
    fn husk(&mut self, names: &Names) -> io::Result<usize> {
        let (fresh, husked) = husk_lines(&self.path, names, &self.kept)?;
        if let Some(fresh) = fresh {
            self.goes_on_in(fresh);
        }
        Ok(husked)
    }

    fn drop_oldest(&mut self) {
        let surplus = surplus(lock(&self.kept).ends.len(), self.newest);
        // Where it cannot be cut, the long file goes on, whole as it was, and the next request tries again.
        if surplus > 0
            && let Ok(shorter) = cut(&self.path, surplus, &self.kept)
        {
            self.goes_on_in(shorter);
        }
    }

    fn goes_on_in(&mut self, file: File) {
        self.file = file;
        self.end = lock(&self.kept).ends.last().copied().unwrap_or(0);
    }
}

/// Leaves out the oldest `surplus` lines: the rest becomes a file of its own, which takes the name
/// once it is on disk. So a crash leaves the one or the other, each whole.
fn cut(path: &Path, surplus: usize, kept: &Mutex<Kept>) -> io::Result<File> {
    let (start, ends, reader) = {
        let kept = lock(kept);
        let start = kept.ends[surplus - 1];
        (start, kept.ends[surplus..].iter().map(|end| end - start).collect::<Vec<u64>>(), Arc::clone(&kept.reader))
    };
    exchange(path, kept, |shorter| {
        let mut chunk = vec![0; 1 << 20];
        let (mut at, end) = (start, start + ends.last().copied().unwrap_or(0));
        while at < end {
            let wanted = chunk.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            reader.read_exact_at(&mut chunk[..wanted], at)?;
            shorter.write_all(&chunk[..wanted])?;
            at += wanted as u64;
        }
        Ok(ends)
    })
}

/// Makes husks of the lines that name a user, in a file that takes the place of this one; none where
/// no line does.
fn husk_lines(path: &Path, names: &Names, kept: &Mutex<Kept>) -> io::Result<(Option<File>, usize)> {
    let (ends, reader) = {
        let kept = lock(kept);
        (kept.ends.clone(), Arc::clone(&kept.reader))
    };
    let mut husked = 0;
    let mut line = Vec::new();
    let mut each_line = |with: &mut dyn FnMut(&[u8], bool) -> io::Result<()>| -> io::Result<()> {
        let mut start = 0;
        for end in &ends {
            line.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
            reader.read_exact_at(&mut line, start)?;
            with(&line, names.stand_in(&line))?;
            start = *end;
        }
        Ok(())
    };
    each_line(&mut |_, names_them| {
        husked += usize::from(names_them);
        Ok(())
    })?;
    if husked == 0 {
        return Ok((None, 0));
    }
    let fresh = exchange(path, kept, |fresh| {
        let mut fresh = io::BufWriter::new(fresh);
        let (mut end, mut ends) = (0, Vec::new());
        each_line(&mut |line, names_them| {
            let husk = names_them.then(|| [husk_of(line), b"\n".to_vec()].concat());
            let line = husk.as_deref().unwrap_or(line);
            end += line.len() as u64;
            ends.push(end);
            fresh.write_all(line)
        })?;
        fresh.flush()?;
        Ok(ends)
    })?;
    Ok((Some(fresh), husked))
}

/// Puts another file in the place of this one, once it is on disk. So a crash leaves the one or the
/// other, each whole. `write` gives where its lines end.
fn exchange(path: &Path, kept: &Mutex<Kept>, write: impl FnOnce(&mut File) -> io::Result<Vec<u64>>) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".cut");
    let other_path = PathBuf::from(name);
    // One that a crash left is nobody's.
    let _ = std::fs::remove_file(&other_path);
    let mut other = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&other_path)?;
    other.try_lock()?;
    let ends = write(&mut other)?;
    other.sync_all()?;
    let reader = Arc::new(File::open(&other_path)?);
    std::fs::rename(&other_path, path)?;
    sync_folder(path)?;
    *lock(kept) = Kept { ends, reader };
    Ok(other)
}
