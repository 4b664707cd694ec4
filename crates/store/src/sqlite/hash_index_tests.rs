//! What a search costs in pages, and what it finds.

use super::*;

const ENTRIES: usize = 512;
const SEGMENTS: usize = 40;

fn tables() -> Connection {
    let connection = Connection::open_in_memory().expect("opens");
    connection
        .execute_batch(
            "CREATE TABLE wamid_segments (segment INTEGER PRIMARY KEY, first_message INTEGER NOT NULL, last_message INTEGER NOT NULL,
                                          newest_at INTEGER NOT NULL, entries INTEGER NOT NULL, filter BLOB) STRICT;
             CREATE TABLE wamid_pages (page INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;",
        )
        .expect("creates");
    connection
}

fn wamid(number: usize) -> Hash16 {
    blake3::hash(&number.to_le_bytes()).as_bytes()[..16].try_into().expect("16 of 32 bytes")
}

fn load(connection: &Connection, now: UnixMs) -> HashIndex {
    HashIndex::load(connection, WAMIDS, ENTRIES, None, now).expect("loads").0
}

/// An index of forty segments, a day each.
fn filled(connection: &Connection) -> HashIndex {
    let index = load(connection, UnixMs(0));
    for number in 0..ENTRIES * SEGMENTS {
        let (key, at) = (MessageKey(number as i64 + 1), UnixMs((number / ENTRIES) as i64 * DAY_MS));
        index.add(wamid(number), key, at);
        if number % ENTRIES == ENTRIES - 1 {
            for _ in 0..PAGES / PAGES_PER_COMMIT {
                index.work_a_slice(connection, key, at).expect("writes");
                index.committed();
            }
        }
    }
    assert_eq!(index.state.read().segments.len(), SEGMENTS);
    assert!(index.state.read().tail.is_empty());
    index
}

/// Pages that a search for each of these reads, and how many it finds.
fn search(index: &HashIndex, connection: &Connection, wamids: impl Iterator<Item = usize>) -> (u64, usize) {
    let before = index.pages_read.load(Ordering::Relaxed);
    let found = wamids
        .filter(|number| {
            let found = index.find_recent(connection, &wamid(*number), |_| Ok(true)).expect("searches");
            assert!(found.is_none_or(|key| key.0 == *number as i64 + 1), "{number}: {found:?}");
            found.is_some()
        })
        .count();
    (index.pages_read.load(Ordering::Relaxed) - before, found)
}

#[test]
fn a_wamid_that_was_never_ours_costs_hardly_a_page_however_many_segments_there_are() {
    let connection = tables();
    let index = filled(&connection);
    let strangers = || 1_000_000..1_001_000;
    let reopened = load(&connection, UnixMs(39 * DAY_MS));
    connection.execute("UPDATE wamid_segments SET filter = NULL", []).expect("as an older version wrote it");
    let upgraded = load(&connection, UnixMs(39 * DAY_MS));
    for index in [&index, &reopened, &upgraded] {
        let (pages, found) = search(index, &connection, strangers());
        assert_eq!(found, 0);
        assert!(pages < 1_000, "{pages} pages for 1,000 wamids, of 40,000 that a search of all segments reads");
        let (pages, found) = search(index, &connection, (0..ENTRIES * SEGMENTS).step_by(41));
        let asked = (ENTRIES * SEGMENTS).div_ceil(41);
        assert_eq!(found, asked, "and what is ours is found");
        assert!(pages < 2 * asked as u64, "{pages} pages for {asked}");
    }
}

#[test]
fn what_is_older_than_its_filters_is_found_by_a_search_of_all_alone() {
    let connection = tables();
    filled(&connection);
    let later = load(&connection, UnixMs(39 * DAY_MS + FILTERED_FOR_MS));
    let (pages, found) = search(&later, &connection, (0..ENTRIES * SEGMENTS).step_by(41));
    let in_the_last = (0..ENTRIES * SEGMENTS).step_by(41).filter(|number| number / ENTRIES == SEGMENTS - 1).count();
    assert_eq!(found, in_the_last, "one segment is young enough");
    assert!(pages < 2 * in_the_last as u64 + 10, "{pages}");
    assert_eq!(later.find(&connection, &wamid(7), |_| Ok(true)).expect("searches"), Some(MessageKey(8)));
    // Filters go with age also while the index is in use.
    let at = UnixMs(100 * DAY_MS);
    for number in ENTRIES * SEGMENTS..ENTRIES * (SEGMENTS + 1) {
        later.add(wamid(number), MessageKey(number as i64 + 1), at);
    }
    for _ in 0..PAGES / PAGES_PER_COMMIT {
        later.work_a_slice(&connection, MessageKey(1 << 20), at).expect("writes");
        later.committed();
    }
    assert_eq!(later.state.read().segments.iter().filter(|segment| segment.filter.is_some()).count(), 1);
}
