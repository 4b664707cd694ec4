//! From a hash to the message that it names, without a random index on the hot path.
//!
//! The newest entries are a map in memory (the tail). When it is full it becomes a segment: 256
//! pages, one per first byte of the hash, written a few per commit beside other work and never
//! touched again. A look-up asks the tail, then one page of each segment, newest first. Filters in
//! memory say which segments need no look: for what is kept for a while only (idempotency keys,
//! identities of events, asked for on every request) a wide one over many segments; for wamids, kept
//! for ever, a narrow one for each of the newest segments, written beside it, so that a start reads
//! filters and not pages. A crash loses nothing: what no finished segment holds is read again from the
//! rows at the next start.

use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::ids::MessageKey;
use turnpike_domain::time::{DAY_MS, UnixMs};

use super::failure::Failure;
use super::filter::{Filter, spread};
use crate::messages::Hash16;

/// Entries of a segment: a page then has about 192, 3 KB, and fits one page of the database.
pub(super) const SEGMENT_ENTRIES: usize = 49_152;

/// Pages of a segment: one for each first byte.
const PAGES: i64 = 256;

/// Pages written, or deleted, per commit: little enough not to be felt by the batch that it rides with.
const PAGES_PER_COMMIT: i64 = 16;

/// Bytes of an entry on a page: the hash, mixed to 64 bits, and the message's key.
const ENTRY_BYTES: usize = 16;

/// Segments under one filter at most. Filters double up to it, so that there are few to ask.
const SEGMENTS_PER_FILTER: usize = 64;

/// How long a segment of what is kept for ever has its filter in memory: Meta keeps an undelivered
/// message for 30 days, the sweep gives its fee back after 38, and a webhook is repeated for 7.
pub(super) const FILTERED_FOR_MS: i64 = 45 * DAY_MS;

/// Segments that have one at most: the newest fifty million entries, 72 MB. Who sends less in 45
/// days needs less.
const FILTERED_MAX: usize = 1_024;

/// Which tables an index lives in.
pub(super) struct Tables {
    find_page: &'static str,
    write_page: &'static str,
    delete_pages: &'static str,
    write_segment: &'static str,
    delete_segment: &'static str,
    segments: &'static str,
    /// Where each segment has a filter of its own: how it is written, and read.
    filter: Option<[&'static str; 2]>,
}

/// Where idempotency keys are found.
pub(super) const IDEMPOTENCY: Tables = Tables {
    find_page: "SELECT entries FROM idempotency_pages WHERE page = ?1",
    write_page: "INSERT OR REPLACE INTO idempotency_pages (page, entries) VALUES (?1, ?2)",
    delete_pages: "DELETE FROM idempotency_pages WHERE page >= ?1 AND page < ?2",
    write_segment: "INSERT INTO idempotency_segments (segment, first_message, last_message, newest_at, entries) VALUES (?1, ?2, ?3, ?4, ?5)",
    delete_segment: "DELETE FROM idempotency_segments WHERE segment = ?1",
    segments: "SELECT segment, last_message, newest_at FROM idempotency_segments ORDER BY segment",
    filter: None,
};

/// Where wamids are found.
pub(super) const WAMIDS: Tables = Tables {
    find_page: "SELECT entries FROM wamid_pages WHERE page = ?1",
    write_page: "INSERT OR REPLACE INTO wamid_pages (page, entries) VALUES (?1, ?2)",
    delete_pages: "DELETE FROM wamid_pages WHERE page >= ?1 AND page < ?2",
    write_segment: "INSERT INTO wamid_segments (segment, first_message, last_message, newest_at, entries) VALUES (?1, ?2, ?3, ?4, ?5)",
    delete_segment: "DELETE FROM wamid_segments WHERE segment = ?1",
    segments: "SELECT segment, last_message, newest_at FROM wamid_segments ORDER BY segment",
    filter: Some(["UPDATE wamid_segments SET filter = ?2 WHERE segment = ?1", "SELECT filter FROM wamid_segments WHERE segment = ?1"]),
};

/// Where identities of events are found; the keys are those of events.
pub(super) const EVENTS: Tables = Tables {
    find_page: "SELECT entries FROM event_pages WHERE page = ?1",
    write_page: "INSERT OR REPLACE INTO event_pages (page, entries) VALUES (?1, ?2)",
    delete_pages: "DELETE FROM event_pages WHERE page >= ?1 AND page < ?2",
    write_segment: "INSERT INTO event_segments (segment, first_message, last_message, newest_at, entries) VALUES (?1, ?2, ?3, ?4, ?5)",
    delete_segment: "DELETE FROM event_segments WHERE segment = ?1",
    segments: "SELECT segment, last_message, newest_at FROM event_segments ORDER BY segment",
    filter: None,
};

/// One index. The writer adds, anybody looks up.
pub(super) struct HashIndex {
    tables: Tables,
    segment_entries: usize,
    /// How long after its newest entry a segment is dropped; `None` keeps it for ever.
    keep_ms: Option<i64>,
    state: RwLock<State>,
    /// Oldest first; the last one takes new entries. None where what is kept is kept for ever.
    filters: RwLock<Vec<Arc<Generation>>>,
    /// Pages that look-ups read: what the filters are there to keep small.
    #[cfg(test)]
    pages_read: AtomicU64,
}

/// Some neighbouring segments and the filter over them.
struct Generation {
    filter: Filter,
    /// First segment that belongs to it.
    first_segment: i64,
    /// How many belong to it before the next begins.
    segments: usize,
}

#[derive(Default)]
struct State {
    tail: HashMap<Hash16, MessageKey>,
    newest_at: UnixMs,
    /// A full tail on its way to disk.
    sealed: Option<Sealed>,
    /// Segments that look-ups ask, oldest first.
    segments: Vec<Segment>,
    /// Entries that outlive their segment: few, and found last.
    pinned: HashMap<Hash16, MessageKey>,
    /// Pages of dropped segments that are still to be deleted.
    expired: Vec<Segment>,
    next_segment: i64,
}

struct Sealed {
    number: i64,
    map: HashMap<Hash16, MessageKey>,
    pages: Vec<Vec<u8>>,
    filter: Option<Arc<Filter>>,
    written: i64,
    covers_to: MessageKey,
    newest_at: UnixMs,
}

#[derive(Clone)]
struct Segment {
    number: i64,
    newest_at: UnixMs,
    /// What it certainly does not hold, while it is young.
    filter: Option<Arc<Filter>>,
    /// Next page to delete, once it is expired.
    next_page: i64,
}

impl HashIndex {
    /// Reads which segments there are; returns the message key after which entries are in none.
    pub(super) fn load(
        connection: &Connection,
        tables: Tables,
        segment_entries: usize,
        keep_ms: Option<i64>,
        now: UnixMs,
    ) -> Result<(HashIndex, MessageKey), Failure> {
        let mut state = State::default();
        let mut covered = MessageKey(0);
        let mut statement = connection.prepare(tables.segments)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for row in rows {
            let (number, last_message, newest_at): (i64, i64, i64) = row?;
            let segment = Segment { number, newest_at: UnixMs(newest_at), filter: None, next_page: 0 };
            covered = MessageKey(last_message);
            state.next_segment = number + 1;
            match keep_ms {
                Some(keep) if newest_at.saturating_add(keep) < now.0 => state.expired.push(segment),
                _ => state.segments.push(segment),
            }
        }
        drop(statement);
        if tables.filter.is_some() {
            for segment in state.segments.iter_mut().rev().take(FILTERED_MAX) {
                if segment.newest_at.0.saturating_add(FILTERED_FOR_MS) < now.0 {
                    break;
                }
                segment.filter = Some(Arc::new(read_filter(connection, &tables, segment.number, segment_entries)?));
            }
        }
        let mut filters = Vec::new();
        if keep_ms.is_some() {
            for neighbours in state.segments.chunks(SEGMENTS_PER_FILTER) {
                let filter = Filter::for_entries(segment_entries * neighbours.len());
                let mut find = connection.prepare(tables.find_page)?;
                for page in neighbours.iter().flat_map(|segment| segment.number * PAGES..(segment.number + 1) * PAGES) {
                    let entries: Option<Vec<u8>> = find.query_row([page], |row| row.get(0)).optional()?;
                    for (hash, _) in entries.iter().flat_map(|entries| read_page(entries)) {
                        filter.insert(hash);
                    }
                }
                let first_segment = neighbours.first().map_or(state.next_segment, |segment| segment.number);
                filters.push(Arc::new(Generation { filter, first_segment, segments: neighbours.len() }));
            }
            filters.push(Arc::new(Generation::new(state.next_segment, 1, segment_entries)));
        }
        let index = HashIndex {
            tables,
            segment_entries,
            keep_ms,
            state: RwLock::new(state),
            filters: RwLock::new(filters),
            #[cfg(test)]
            pages_read: AtomicU64::default(),
        };
        Ok((index, covered))
    }

    /// Takes the place of what was read anew: what was added here since the last commit is forgotten.
    pub(super) fn take_over(&self, read: HashIndex) {
        let mut state = self.state.write();
        let mut filters = self.filters.write();
        (*state, *filters) = (read.state.into_inner(), read.filters.into_inner());
    }

    /// False means that the hash is certainly in no segment, no tail and not pinned.
    pub(super) fn may_know(&self, hash: &Hash16) -> bool {
        let mixed = mix(hash);
        self.filters.read().iter().any(|generation| generation.filter.may_contain(mixed))
    }

    /// Adds an entry; the newest of a hash is found first.
    pub(super) fn add(&self, hash: Hash16, message: MessageKey, at: UnixMs) {
        if let Some(generation) = self.filters.read().last() {
            generation.filter.insert(mix(&hash));
        }
        let mut state = self.state.write();
        state.tail.insert(hash, message);
        state.newest_at = state.newest_at.max(at);
    }

    /// Adds an entry that no segment's end touches.
    pub(super) fn pin(&self, hash: Hash16, message: MessageKey) {
        if let Some(generation) = self.filters.read().last() {
            generation.filter.insert(mix(&hash));
        }
        self.state.write().pinned.insert(hash, message);
    }

    /// Forgets a pinned entry, unless a newer message has its place.
    pub(super) fn unpin(&self, hash: &Hash16, message: MessageKey) {
        let mut state = self.state.write();
        if state.pinned.get(hash) == Some(&message) {
            state.pinned.remove(hash);
        }
    }

    /// How many entries outlive their segment.
    #[cfg(test)]
    pub(super) fn pinned(&self) -> usize {
        self.state.read().pinned.len()
    }

    /// The newest message under `hash` that `holds` (which reads its row) says is really its.
    ///
    /// Must be the first thing that a reading transaction does: memory is asked before the
    /// database's snapshot is taken, so that an entry on its way from one to the other is not missed.
    pub(super) fn find(
        &self,
        connection: &Connection,
        hash: &Hash16,
        holds: impl FnMut(MessageKey) -> Result<bool, Failure>,
    ) -> Result<Option<MessageKey>, Failure> {
        self.search(connection, hash, |mixed, segments| self.worth_a_look(mixed, segments), holds)
    }

    /// As [`HashIndex::find`], but only where a filter has not said no: a search that costs a
    /// handful of pages however much is stored, and meets nothing older than the filters are kept.
    pub(super) fn find_recent(
        &self,
        connection: &Connection,
        hash: &Hash16,
        holds: impl FnMut(MessageKey) -> Result<bool, Failure>,
    ) -> Result<Option<MessageKey>, Failure> {
        let filtered = |mixed, segments: &[Segment]| {
            let may_hold = |segment: &&Segment| segment.filter.as_ref().is_some_and(|filter| filter.may_contain(mixed));
            segments.iter().rev().take_while(|segment| segment.filter.is_some()).filter(may_hold).map(|segment| segment.number).collect()
        };
        self.search(connection, hash, filtered, holds)
    }

    fn search(
        &self,
        connection: &Connection,
        hash: &Hash16,
        worth_a_look: impl Fn(u64, &[Segment]) -> Vec<i64>,
        mut holds: impl FnMut(MessageKey) -> Result<bool, Failure>,
    ) -> Result<Option<MessageKey>, Failure> {
        let mixed = mix(hash);
        let (near, pinned, segments) = {
            let state = self.state.read();
            let near = state.tail.get(hash).or_else(|| state.sealed.as_ref().and_then(|sealed| sealed.map.get(hash))).copied();
            (near, state.pinned.get(hash).copied(), if near.is_some() { Vec::new() } else { worth_a_look(mixed, &state.segments) })
        };
        if let Some(message) = near
            && holds(message)?
        {
            return Ok(Some(message));
        }
        for number in segments {
            #[cfg(test)]
            self.pages_read.fetch_add(1, Ordering::Relaxed);
            let mut find = connection.prepare_cached(self.tables.find_page)?;
            let entries: Option<Vec<u8>> = find.query_row([page_of(number, mixed)], |row| row.get(0)).optional()?;
            for (found, message) in entries.iter().flat_map(|entries| read_page(entries)) {
                if found == mixed && holds(message)? {
                    return Ok(Some(message));
                }
            }
        }
        match pinned {
            Some(message) if holds(message)? => Ok(Some(message)),
            _ => Ok(None),
        }
    }

    /// Numbers of the segments that may hold the hash, newest first.
    fn worth_a_look(&self, mixed: u64, segments: &[Segment]) -> Vec<i64> {
        let filters = self.filters.read();
        if filters.is_empty() {
            let may_hold = |segment: &&Segment| segment.filter.as_ref().is_none_or(|filter| filter.may_contain(mixed));
            return segments.iter().rev().filter(may_hold).map(|segment| segment.number).collect();
        }
        let mut found = Vec::new();
        let mut before = i64::MAX;
        for generation in filters.iter().rev() {
            if generation.filter.may_contain(mixed) {
                let of_generation = segments
                    .iter()
                    .rev()
                    .map(|segment| segment.number)
                    .filter(|number| (generation.first_segment..before).contains(number));
                found.extend(of_generation);
            }
            before = generation.first_segment;
        }
        found
    }

    /// Does a slice of what is due, inside the writer's open transaction. `covers_to`: every
    /// message up to it has been added, where it has a hash at all.
    pub(super) fn work_a_slice(&self, connection: &Connection, covers_to: MessageKey, now: UnixMs) -> Result<(), Failure> {
        // Nothing but the writer changes the state, so what is read here still holds below.
        let (full, writing, expired) = {
            let state = self.state.read();
            (state.tail.len() >= self.segment_entries, state.sealed.is_some(), !state.expired.is_empty())
        };
        if full && !writing {
            self.seal(covers_to, now);
        }
        if full || writing {
            self.write_pages(connection)?;
        }
        if expired {
            self.delete_pages(connection)?;
        }
        Ok(())
    }

    /// Makes a segment of the tail and begins a new one.
    fn seal(&self, covers_to: MessageKey, now: UnixMs) {
        let mut state = self.state.write();
        let number = state.next_segment;
        state.next_segment += 1;
        let map = std::mem::take(&mut state.tail);
        let mut pages = vec![Vec::new(); 256];
        let filter = self.tables.filter.map(|_| Arc::new(Filter::narrow_for_entries(map.len())));
        for (hash, message) in &map {
            let mixed = mix(hash);
            if let Some(filter) = &filter {
                filter.insert(mixed);
            }
            let page = &mut pages[usize::from(first_byte(mixed))];
            page.extend_from_slice(&mixed.to_le_bytes());
            page.extend_from_slice(&message.0.to_le_bytes());
        }
        state.sealed = Some(Sealed { number, map, pages, filter, written: 0, covers_to, newest_at: state.newest_at });
        self.turn_generations(&mut state, now);
    }

    /// Begins the next filter where the current one has its segments, and drops those whose
    /// entries have all been kept long enough.
    fn turn_generations(&self, state: &mut State, now: UnixMs) {
        let Some(keep) = self.keep_ms else { return };
        let mut filters = self.filters.write();
        let Some(current) = filters.last() else { return };
        if state.next_segment - current.first_segment < i64::try_from(current.segments).unwrap_or(i64::MAX) {
            return;
        }
        let next = (current.segments * 2).min(SEGMENTS_PER_FILTER);
        filters.push(Arc::new(Generation::new(state.next_segment, next, self.segment_entries)));
        while filters.len() > 1 {
            let end = filters[1].first_segment;
            let within = |segment: &Segment| segment.number < end;
            let alive =
                state.segments.iter().filter(|segment| within(segment)).any(|segment| segment.newest_at.0.saturating_add(keep) >= now.0);
            let unfinished = state.sealed.as_ref().is_some_and(|sealed| sealed.number < end);
            if alive || unfinished {
                break;
            }
            filters.remove(0);
            let (dropped, kept) = state.segments.drain(..).partition(within);
            state.segments = kept;
            state.expired.extend::<Vec<_>>(dropped);
        }
        if let Some(current) = filters.last() {
            for hash in state.pinned.keys() {
                current.filter.insert(mix(hash));
            }
        }
    }

    fn write_pages(&self, connection: &Connection) -> Result<(), Failure> {
        let mut state = self.state.write();
        let Some(sealed) = &mut state.sealed else { return Ok(()) };
        let until = (sealed.written + PAGES_PER_COMMIT).min(PAGES);
        let mut write = connection.prepare_cached(self.tables.write_page)?;
        for (byte, entries) in (sealed.written..until).zip(sealed.pages.iter_mut().skip(usize::try_from(sealed.written).unwrap_or(0))) {
            if !entries.is_empty() {
                write.execute(params![sealed.number * PAGES + byte, *entries])?;
                *entries = Vec::new();
            }
        }
        sealed.written = until;
        if until == PAGES {
            let first = sealed.map.values().min().map_or(0, |key| key.0);
            connection.prepare_cached(self.tables.write_segment)?.execute(params![
                sealed.number,
                first,
                sealed.covers_to.0,
                sealed.newest_at.0,
                i64::try_from(sealed.map.len()).unwrap_or(i64::MAX),
            ])?;
            if let (Some([write_filter, _]), Some(filter)) = (self.tables.filter, &sealed.filter) {
                connection.prepare_cached(write_filter)?.execute(params![sealed.number, filter.to_bytes()])?;
            }
        }
        Ok(())
    }

    fn delete_pages(&self, connection: &Connection) -> Result<(), Failure> {
        let mut state = self.state.write();
        let Some(segment) = state.expired.last_mut() else { return Ok(()) };
        let from = segment.number * PAGES + segment.next_page;
        connection.prepare_cached(self.tables.delete_pages)?.execute([from, from + PAGES_PER_COMMIT])?;
        segment.next_page += PAGES_PER_COMMIT;
        if segment.next_page >= PAGES {
            connection.prepare_cached(self.tables.delete_segment)?.execute([segment.number])?;
            state.expired.pop();
        }
        Ok(())
    }

    /// Tells the index that the slice is on disk: only now may look-ups go to a finished segment.
    pub(super) fn committed(&self) {
        if self.state.read().sealed.as_ref().is_none_or(|sealed| sealed.written < PAGES) {
            return;
        }
        let mut state = self.state.write();
        if let Some(sealed) = state.sealed.take() {
            let (newest_at, now_old) = (sealed.newest_at, sealed.newest_at.plus_ms(-FILTERED_FOR_MS));
            state.segments.push(Segment { number: sealed.number, newest_at, filter: sealed.filter, next_page: 0 });
            // Filters go in order of age, so the first that has none ends the search.
            let too_many = state.segments.len().saturating_sub(FILTERED_MAX);
            for (place, segment) in state.segments.iter_mut().enumerate().rev() {
                if place >= too_many && segment.newest_at >= now_old {
                    continue;
                }
                if segment.filter.take().is_none() {
                    break;
                }
            }
        }
    }
}

impl Generation {
    fn new(first_segment: i64, segments: usize, segment_entries: usize) -> Generation {
        Generation { filter: Filter::for_entries(segment_entries * segments), first_segment, segments }
    }
}

/// A segment's filter as it was written, or made of its pages where it has none.
fn read_filter(connection: &Connection, tables: &Tables, segment: i64, entries: usize) -> Result<Filter, Failure> {
    if let Some([_, read]) = tables.filter {
        let written: Option<Vec<u8>> = connection.prepare_cached(read)?.query_row([segment], |row| row.get(0)).optional()?.flatten();
        if let Some(filter) = written.and_then(|bytes| Filter::from_bytes(&bytes)) {
            return Ok(filter);
        }
    }
    let filter = Filter::narrow_for_entries(entries);
    let mut find = connection.prepare_cached(tables.find_page)?;
    for page in segment * PAGES..(segment + 1) * PAGES {
        let entries: Option<Vec<u8>> = find.query_row([page], |row| row.get(0)).optional()?;
        entries.iter().flat_map(|entries| read_page(entries)).for_each(|(hash, _)| filter.insert(hash));
    }
    Ok(filter)
}

/// Sixty-four evenly spread bits of a hash. What they find is checked against the message's row.
fn mix(hash: &Hash16) -> u64 {
    let (first, second) = hash.split_at(8);
    let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    spread(half(first) ^ half(second).rotate_left(32))
}

fn first_byte(mixed: u64) -> u8 {
    mixed.to_be_bytes()[0]
}

fn page_of(segment: i64, mixed: u64) -> i64 {
    segment * PAGES + i64::from(first_byte(mixed))
}

fn read_page(entries: &[u8]) -> impl Iterator<Item = (u64, MessageKey)> + '_ {
    entries.chunks_exact(ENTRY_BYTES).map(|entry| {
        let (hash, message) = entry.split_at(8);
        let hash = u64::from_le_bytes(hash.try_into().unwrap_or_default());
        (hash, MessageKey(i64::from_le_bytes(message.try_into().unwrap_or_default())))
    })
}

#[cfg(test)]
#[path = "hash_index_tests.rs"]
mod tests;
