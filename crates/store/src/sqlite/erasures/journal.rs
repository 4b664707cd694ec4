//! The journal of erasures: a file in the data folder that no backup replaces.
//!
//! One JSON object a line, appended and synced before the database hears of it. The names in it are
//! sealed under the master key, with a key that nothing else has; in clear stand an id, a time and the
//! organization's public id, by which lines are joined, aged and told apart from another gateway's.
//!
//! Who loses the folder loses with it what was erased since the newest backup. So a second copy may be
//! kept in a folder on another machine or disk: whatever is written here is written there before it is
//! answered, and an opening takes from it what a restored folder does not know. A copy that cannot be
//! written holds up nobody's erasure; it is behind, which is said aloud, until it has caught up.
//!
//! A last line without its end was cut by a crash and was never answered, so it is cut off. Any other
//! line that cannot be read stays where it is and is counted: nobody can say whom it is about.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use crate::erasures::{CopyStanding, JournalStanding, NewErasure};
use crate::sqlite::backup::sync_folder;

/// The journal's file, in a data folder and in a backup.
pub const ERASURES_FILE: &str = "erasures.journal";

/// Where the journal is written anew before it takes its name.
pub(in crate::sqlite) const UNFINISHED_JOURNAL: &str = "erasures.journal.new";

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::sqlite) enum Line {
    /// An erasure was asked for.
    Erase { id: Uuid, organization: Uuid, at: i64, sealed: String },
    /// The names that its user was found under.
    Names { id: Uuid, sealed: String },
}

/// An erasure as lines tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sqlite) struct Told {
    pub(in crate::sqlite) new: NewErasure,
    pub(in crate::sqlite) names: Option<Vec<u8>>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Read {
    /// Oldest line first.
    pub(in crate::sqlite) told: Vec<Told>,
    /// Whole lines that cannot be read, as they stand.
    unreadable: Vec<Vec<u8>>,
    /// Bytes up to the end of the last whole line.
    whole: u64,
}

impl Read {
    /// What a file holds; nothing, where there is none.
    pub(in crate::sqlite) fn file(path: &Path) -> io::Result<Read> {
        match fs::read(path) {
            Ok(bytes) => Ok(Read::bytes(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Read::default()),
            Err(error) => Err(error),
        }
    }

    fn bytes(bytes: &[u8]) -> Read {
        let mut read = Read::default();
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            read.whole += line.len() as u64;
            let understood = serde_json::from_slice::<Line>(text).ok().and_then(|line| read.take(&mut places, line));
            if understood.is_none() && !text.is_empty() {
                read.unreadable.push(text.to_vec());
            }
        }
        read
    }

    /// `None` where the line means nothing.
    fn take(&mut self, places: &mut HashMap<Uuid, usize>, line: Line) -> Option<()> {
        match line {
            Line::Erase { id, organization, at, sealed } => {
                let sealed = hex::decode(sealed).ok()?;
                // Told twice where folders were joined: once is enough.
                if !places.contains_key(&id) {
                    places.insert(id, self.told.len());
                    self.told.push(Told { new: NewErasure { id, organization, at: UnixMs(at), sealed }, names: None });
                }
            }
            Line::Names { id, sealed } => self.told.get_mut(*places.get(&id)?)?.names = Some(hex::decode(sealed).ok()?),
        }
        Some(())
    }

    /// Takes over what another file has beyond this one. Returns how many erasures that are.
    pub(in crate::sqlite) fn join(&mut self, other: Read) -> usize {
        let mut known: HashMap<Uuid, usize> = self.told.iter().enumerate().map(|(place, told)| (told.new.id, place)).collect();
        let before = self.told.len();
        for told in other.told {
            match known.get(&told.new.id) {
                Some(place) if self.told[*place].names.is_none() => self.told[*place].names = told.names,
                Some(_) => {}
                None => {
                    known.insert(told.new.id, self.told.len());
                    self.told.push(told);
                }
            }
        }
        for line in other.unreadable {
            if !self.unreadable.contains(&line) {
                self.unreadable.push(line);
            }
        }
        self.told.len() - before
    }

    fn standing(&self) -> JournalStanding {
        JournalStanding { erasures: self.told.len(), unreadable: self.unreadable.len(), copy: CopyStanding::None }
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for told in &self.told {
            for line in lines_of(told) {
                text.append(&mut rendered(&line)?);
            }
        }
        for line in &self.unreadable {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        Ok(text)
    }
}

fn lines_of(told: &Told) -> Vec<Line> {
    let Told { new, names } = told;
    let mut lines = vec![Line::Erase { id: new.id, organization: new.organization, at: new.at.0, sealed: hex::encode(&new.sealed) }];
    lines.extend(names.as_ref().map(|names| Line::Names { id: new.id, sealed: hex::encode(names) }));
    lines
}

fn rendered(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// Writes a whole journal in place of what stood there: beside it first, so that a crash leaves the
/// one or the other.
pub(in crate::sqlite) fn write(folder: &Path, read: &Read) -> io::Result<()> {
    let fresh = folder.join(UNFINISHED_JOURNAL);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&read.text()?)?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(ERASURES_FILE))?;
    sync_folder(folder)
}

/// The journal of an open store.
pub(in crate::sqlite) struct Journal {
    folder: PathBuf,
    open: Mutex<Open>,
    /// The folder of the second copy.
    copy: Option<PathBuf>,
}

struct Open {
    file: File,
    /// Where the next line begins. What stands behind it was never answered.
    end: u64,
    standing: JournalStanding,
    /// How long the copy was when it had all that stands here; `None` while it has not.
    copied: Option<u64>,
}

impl Journal {
    /// Opens a folder's journal, made where it is missing, and what it holds.
    ///
    /// What the copy knows beyond it, of the organizations that `is_ours` names, is taken over first.
    pub(in crate::sqlite) fn open(folder: &Path, copy: Option<PathBuf>, is_ours: impl Fn(Uuid) -> bool) -> io::Result<(Journal, Read)> {
        let path = folder.join(ERASURES_FILE);
        let is_new = !path.exists();
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        let read = Read::file(&path)?;
        if is_new {
            file.sync_all()?;
            sync_folder(folder)?;
        }
        let open = Open { file, end: read.whole, standing: read.standing(), copied: None };
        let journal = Journal { folder: folder.to_owned(), open: Mutex::new(open), copy };
        let read = journal.take_from_the_copy(read, is_ours)?;
        journal.catch_up();
        Ok((journal, read))
    }

    /// Appends what only the copy knows. One that cannot be read is no reason not to start: it is behind.
    fn take_from_the_copy(&self, read: Read, is_ours: impl Fn(Uuid) -> bool) -> io::Result<Read> {
        let Some(folder) = &self.copy else { return Ok(read) };
        let Ok(mut copy) = Read::file(&folder.join(ERASURES_FILE)) else { return Ok(read) };
        // Another gateway's lines stay where they are, and so does what nobody can read.
        copy.told.retain(|told| is_ours(told.new.organization));
        copy.unreadable.clear();
        let known = read.told.iter().filter(|told| told.names.is_some()).map(|told| told.new.id).collect::<Vec<_>>();
        let asked = read.told.iter().map(|told| told.new.id).collect::<Vec<_>>();
        for told in &copy.told {
            match &told.names {
                _ if !asked.contains(&told.new.id) => self.tell(told)?,
                Some(names) if !known.contains(&told.new.id) => self.note_names(told.new.id, names)?,
                _ => {}
            }
        }
        let mut read = read;
        read.join(copy);
        Ok(read)
    }

    /// Brings the copy up to date, where it is not. Until then nothing is lost: it is tried again.
    pub(in crate::sqlite) fn catch_up(&self) {
        let mut open = self.open.lock();
        self.mend_copy(&mut open);
    }

    /// Writes the copy anew with all that stands here and what it has of others.
    fn mend_copy(&self, open: &mut Open) {
        let Some(folder) = self.copy.as_ref().filter(|_| open.copied.is_none()) else { return };
        let mended = || -> io::Result<u64> {
            // A folder that is not there is a disk that is not mounted: to make it would hide that.
            let mut all = Read::file(&folder.join(ERASURES_FILE))?;
            all.join(Read::file(&self.folder.join(ERASURES_FILE))?);
            write(folder, &all)?;
            Ok(fs::metadata(folder.join(ERASURES_FILE))?.len())
        };
        match mended() {
            Ok(length) => open.copied = Some(length),
            Err(error) => tracing::error!(
                copy = %folder.display(),
                error = %error,
                "the copy of the journal of erasures cannot be written; erasures go on, and it is tried again"
            ),
        }
    }

    /// Appends to the copy what was appended here.
    fn append_to_copy(&self, open: &mut Open, text: &[u8]) {
        use std::os::unix::fs::FileExt as _;

        let (Some(folder), Some(length)) = (&self.copy, open.copied) else { return self.mend_copy(open) };
        let appended = || -> io::Result<bool> {
            let file = OpenOptions::new().write(true).open(folder.join(ERASURES_FILE))?;
            if file.metadata()?.len() != length {
                return Ok(false);
            }
            file.write_all_at(text, length)?;
            file.sync_all()?;
            Ok(true)
        };
        // Where it was moved, cut or written by another, it is read and written as a whole.
        open.copied = appended().unwrap_or(false).then(|| length + text.len() as u64);
        self.mend_copy(open);
    }

    /// Appends an erasure; on disk when it returns.
    pub(in crate::sqlite) fn ask(&self, new: &NewErasure) -> io::Result<()> {
        self.append(&lines_of(&Told { new: new.clone(), names: None }))
    }

    /// Appends what is known of one, whole.
    pub(in crate::sqlite) fn tell(&self, told: &Told) -> io::Result<()> {
        self.append(&lines_of(told))
    }

    /// Appends the names of one.
    pub(in crate::sqlite) fn note_names(&self, id: Uuid, sealed: &[u8]) -> io::Result<()> {
        self.append(&[Line::Names { id, sealed: hex::encode(sealed) }])
    }

    pub(in crate::sqlite) fn standing(&self) -> JournalStanding {
        let open = self.open.lock();
        let copy = match (&self.copy, open.copied) {
            (None, _) => CopyStanding::None,
            (Some(_), Some(_)) => CopyStanding::Whole,
            (Some(_), None) => CopyStanding::Behind,
        };
        JournalStanding { copy, ..open.standing }
    }

    /// Leaves out the lines of those erasures.
    pub(in crate::sqlite) fn forget(&self, goes: impl Fn(Uuid) -> bool) -> io::Result<()> {
        let mut open = self.open.lock();
        let path = self.folder.join(ERASURES_FILE);
        let mut read = Read::file(&path)?;
        read.told.retain(|told| !goes(told.new.id));
        write(&self.folder, &read)?;
        let file = OpenOptions::new().write(true).open(&path)?;
        let end = file.metadata()?.len();
        *open = Open { file, end, standing: read.standing(), copied: None };
        if let Some(folder) = &self.copy
            && let Ok(mut copy) = Read::file(&folder.join(ERASURES_FILE))
        {
            copy.told.retain(|told| !goes(told.new.id));
            // Where it cannot be written, the line is only remembered for longer, and is let go of by who
            // looks at the file; what is missing in it is seen to below.
            drop(write(folder, &copy));
        }
        self.mend_copy(&mut open);
        Ok(())
    }

    fn append(&self, lines: &[Line]) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;

        let mut text = Vec::new();
        for line in lines {
            text.append(&mut rendered(line)?);
        }
        let mut open = self.open.lock();
        // What an append that failed, or a crash, left behind the end is no part of a line.
        open.file.set_len(open.end)?;
        open.file.write_all_at(&text, open.end)?;
        open.file.sync_all()?;
        open.end += text.len() as u64;
        open.standing.erasures += lines.iter().filter(|line| matches!(line, Line::Erase { .. })).count();
        self.append_to_copy(&mut open, &text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(number: u128) -> NewErasure {
        NewErasure { id: Uuid::from_u128(number), organization: Uuid::from_u128(7), at: UnixMs(5), sealed: vec![1, 2, 3] }
    }

    #[test]
    fn what_was_appended_is_read_again_and_a_torn_line_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(ERASURES_FILE);
        let (journal, read) = Journal::open(folder.path(), None, |_| true).expect("opens");
        assert_eq!(read.told, []);
        journal.ask(&new(1)).expect("appends");
        journal.note_names(Uuid::from_u128(1), &[9, 9]).expect("appends");
        drop(journal);
        let whole = fs::read(&path).expect("reads");
        // Killed anywhere within the next line.
        let torn = rendered(&lines_of(&Told { new: new(2), names: None })[0]).expect("a line");
        for cut in [0, 1, torn.len() / 2, torn.len() - 1] {
            fs::write(&path, [&whole[..], &torn[..cut]].concat()).expect("writes");
            let (journal, read) = Journal::open(folder.path(), None, |_| true).expect("opens");
            assert_eq!(read.told, [Told { new: new(1), names: Some(vec![9, 9]) }], "cut at {cut}");
            assert_eq!(journal.standing(), JournalStanding { erasures: 1, ..JournalStanding::default() });
            journal.ask(&new(3)).expect("appends");
            let again = Read::file(&path).expect("reads");
            assert_eq!(again.told.iter().map(|told| told.new.id.as_u128()).collect::<Vec<_>>(), [1, 3], "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_nobody_can_read_is_counted_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, _) = Journal::open(folder.path(), None, |_| true).expect("opens");
        journal.ask(&new(1)).expect("appends");
        journal.ask(&new(2)).expect("appends");
        drop(journal);
        let path = folder.path().join(ERASURES_FILE);
        let mut bytes = fs::read(&path).expect("reads");
        bytes[3] = b'#';
        fs::write(&path, &bytes).expect("writes");
        let (journal, read) = Journal::open(folder.path(), None, |_| true).expect("opens");
        assert_eq!((read.told.len(), journal.standing().unreadable), (1, 1));
        journal.forget(|id| id.as_u128() == 2).expect("forgets");
        let left = Read::file(&path).expect("reads");
        assert_eq!((left.told.len(), left.unreadable.len()), (0, 1), "whom it is about is not known, so it stays");
    }

    #[test]
    fn journals_are_joined_without_repeats() {
        let mut first = Read { told: vec![Told { new: new(1), names: None }], ..Read::default() };
        let second = Read {
            told: vec![Told { new: new(1), names: Some(vec![4]) }, Told { new: new(2), names: None }],
            unreadable: vec![b"?".to_vec()],
            whole: 0,
        };
        assert_eq!(first.join(second), 1);
        assert_eq!(first.told[0].names, Some(vec![4]));
        assert_eq!(Read::bytes(&first.text().expect("renders")).told, first.told);
    }

    #[test]
    fn whatever_is_written_stands_in_the_copy_too_and_a_copy_that_was_away_catches_up() {
        let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let mounted = elsewhere.path().join("mounted");
        let copied = || Read::file(&mounted.join(ERASURES_FILE)).expect("reads");
        let ids = |read: &Read| read.told.iter().map(|told| told.new.id.as_u128()).collect::<Vec<_>>();
        let open = || Journal::open(folder.path(), Some(mounted.clone()), |organization| organization.as_u128() == 7).expect("opens");
        // Its disk is not there: nobody waits for it, and it is not made.
        let (journal, _) = open();
        journal.ask(&new(1)).expect("appends");
        assert!(journal.standing().copy == CopyStanding::Behind && !mounted.exists());
        fs::create_dir(&mounted).expect("mounted");
        journal.ask(&new(2)).expect("appends");
        assert_eq!((journal.standing().copy, ids(&copied())), (CopyStanding::Whole, vec![1, 2]));
        journal.note_names(Uuid::from_u128(1), &[9]).expect("appends");
        assert_eq!(copied().told, Read::file(&folder.path().join(ERASURES_FILE)).expect("reads").told);
        // Another gateway writes there, too, and a line of its was cut: both stay, and we go on.
        let other = NewErasure { organization: Uuid::from_u128(8), ..new(50) };
        let mut all = copied();
        all.told.push(Told { new: other, names: None });
        all.unreadable.push(b"?".to_vec());
        write(&mounted, &all).expect("writes");
        journal.ask(&new(3)).expect("appends");
        assert_eq!((ids(&copied()), copied().unreadable.len()), (vec![1, 2, 50, 3], 1));
        // Away for a moment, and back.
        fs::rename(&mounted, elsewhere.path().join("away")).expect("moved");
        journal.ask(&new(4)).expect("nobody waits");
        assert_eq!(journal.standing().copy, CopyStanding::Behind);
        fs::rename(elsewhere.path().join("away"), &mounted).expect("moved");
        journal.catch_up();
        assert_eq!((journal.standing().copy, ids(&copied())), (CopyStanding::Whole, vec![1, 2, 50, 3, 4]));
        journal.forget(|id| id.as_u128() == 2).expect("forgets");
        assert_eq!(ids(&copied()), [1, 50, 3, 4]);
        drop(journal);
        // A folder that lost its journal, as a restored one has: what is ours comes back, names and all.
        fs::remove_file(folder.path().join(ERASURES_FILE)).expect("lost");
        let (journal, read) = open();
        assert_eq!((ids(&read), journal.standing().erasures), (vec![1, 3, 4], 3));
        assert_eq!(read.told[0].names, Some(vec![9]));
        assert_eq!(ids(&Read::file(&folder.path().join(ERASURES_FILE)).expect("reads")), [1, 3, 4], "and stands in its own");
        assert_eq!(ids(&copied()), [1, 50, 3, 4], "what was there stays");
    }
}
