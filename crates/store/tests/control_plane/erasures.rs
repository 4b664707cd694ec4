//! Erasures outlive the database that they were carried out on: what the journal and the database
//! tell each other at every opening, and what a restore gathers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use turnpike_domain::time::UnixMs;
use turnpike_store::Store;
use turnpike_store::erasures::{Erasure, ErasureDone, JournalStanding, NewErasure};
use turnpike_store::sqlite::{ERASURES_FILE, RestoreError, restore};
use uuid::Uuid;

use crate::story::{id, open, organization};

const ASKED: UnixMs = UnixMs(1_795_392_000_000);

fn erasure(name: &str, of: &str) -> NewErasure {
    NewErasure { id: id(name), organization: id(of), at: ASKED, sealed: format!("sealed {name}").into_bytes() }
}

/// Ids of those that are open.
async fn waiting(store: &dyn Store) -> Vec<Erasure> {
    store.open_erasures(100).await.expect("reads")
}

async fn ids(store: &dyn Store) -> Vec<Uuid> {
    waiting(store).await.into_iter().map(|erasure| erasure.id).collect()
}

async fn done(store: &dyn Store, name: &str) {
    let done = ErasureDone { at: ASKED.plus_ms(9), erased: 5, names: 2, webhooks: 1, unreadable: 0 };
    store.finish_erasure(id(name), done).await.expect("writes");
}

/// A gateway's folder, and where its backups go.
struct Place {
    room: tempfile::TempDir,
    store: Option<Arc<dyn Store>>,
}

impl Place {
    async fn new() -> Place {
        let room = tempfile::tempdir().expect("a temporary folder");
        let store = open(&room.path().join("data"));
        organization(&*store, "acme").await;
        Place { room, store: Some(store) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("it is open")
    }

    async fn back_up(&self, name: &str) {
        fs::create_dir_all(self.path(name).parent().expect("a folder above")).expect("made");
        self.store().backup(self.path(name)).await.expect("backed up");
    }

    /// Ends it as a kill would, as far as the folder can tell.
    fn end(&mut self) {
        drop(self.store.take());
    }

    fn again(&mut self) {
        self.end();
        self.store = Some(open(&self.path("data")));
    }
}

fn journal(folder: &Path) -> PathBuf {
    folder.join(ERASURES_FILE)
}

#[tokio::test]
async fn an_erasure_is_remembered_until_it_is_done_and_known_for_good() {
    let mut place = Place::new().await;
    place.store().ask_erasure(erasure("one", "acme")).await.expect("asked");
    place.store().ask_erasure(erasure("two", "acme")).await.expect("asked");
    place.again();
    let open = waiting(place.store()).await;
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|erasure| !erasure.owed && erasure.done.is_none()), "{open:?}");
    place.store().note_erasure_names(id("one"), b"names".to_vec()).await.expect("noted");
    done(place.store(), "one").await;
    place.again();
    assert_eq!(ids(place.store()).await, [id("two")]);
    let one = place.store().erasure(id("acme"), id("one")).await.expect("reads").expect("there");
    assert_eq!((one.sealed, one.names, one.done.map(|done| done.erased)), (b"sealed one".to_vec(), Some(b"names".to_vec()), Some(5)));
    assert_eq!(place.store().erasure(id("other"), id("one")).await.expect("reads"), None, "another's is not found");
    assert_eq!(place.store().erasures(id("other"), 9).await.expect("reads"), []);
    assert_eq!(place.store().erasures(id("acme"), 9).await.expect("reads").len(), 2);
}

#[tokio::test]
async fn a_crash_between_the_journal_and_the_database_loses_nothing_in_either_order() {
    let mut place = Place::new().await;
    place.store().ask_erasure(erasure("one", "acme")).await.expect("asked");
    place.store().note_erasure_names(id("one"), b"names".to_vec()).await.expect("noted");
    done(place.store(), "one").await;
    let with_one = fs::read(journal(&place.path("data"))).expect("reads");
    // The journal is there, the row is not.
    place.store().ask_erasure(erasure("two", "acme")).await.expect("asked");
    place.end();
    let file = place.path("data").join(turnpike_store::sqlite::DATABASE_FILE);
    rusqlite::Connection::open(&file).expect("opens").execute("DELETE FROM erasures WHERE done_at IS NULL", []).expect("takes it away");
    place.again();
    let open = waiting(place.store()).await;
    assert_eq!(open.iter().map(|erasure| (erasure.id, erasure.owed)).collect::<Vec<_>>(), [(id("two"), true)]);
    place.store().erasure_is_applied(vec![id("two")]).await.expect("noted");
    assert!(!waiting(place.store()).await[0].owed);
    // The rows are there, the journal lost its end.
    place.end();
    fs::write(journal(&place.path("data")), &with_one[..with_one.len() - 20]).expect("cut");
    place.again();
    assert_eq!(ids(place.store()).await, [id("two")], "what is done stays done");
    assert_eq!(place.store().erasure_journal().await.expect("answers"), JournalStanding { erasures: 2, ..JournalStanding::default() });
    // And all of it.
    place.end();
    fs::remove_file(journal(&place.path("data"))).expect("removed");
    place.again();
    place.back_up("backup").await;
    place.end();
    let told = fs::read_to_string(journal(&place.path("backup"))).expect("reads");
    assert!(told.contains(&id("one").to_string()) && told.contains(&hex(b"names")), "{told}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_older_backup_owes_what_was_erased_since_wherever_that_is_written() {
    let mut place = Place::new().await;
    place.store().ask_erasure(erasure("before", "acme")).await.expect("asked");
    done(place.store(), "before").await;
    place.back_up("backups/1").await;
    place.store().ask_erasure(erasure("between", "acme")).await.expect("asked");
    done(place.store(), "between").await;
    place.back_up("backups/2").await;
    place.store().ask_erasure(erasure("after", "acme")).await.expect("asked");
    done(place.store(), "after").await;
    place.end();
    // Another gateway's backup in the same place.
    let other = open(&place.path("other"));
    organization(&*other, "other").await;
    other.ask_erasure(erasure("foreign", "other")).await.expect("asked");
    other.backup(place.path("backups/3")).await.expect("backed up");

    // From the backups beside it; and who restores is told that there may be more.
    let report = restore(&place.path("backups/1"), &place.path("a"), &[]).expect("restored");
    assert_eq!((report.erasures_owed, report.erasures_from), (1, vec![journal(&place.path("backups/2"))]));
    assert!(report.next.iter().any(|step| step.contains(ERASURES_FILE)), "{:?}", report.next);
    let restored = open(&place.path("a"));
    assert_eq!(ids(&*restored).await, [id("between")]);
    assert!(waiting(&*restored).await[0].owed);

    // From the folder that is replaced, named by itself or by its file.
    for named in [place.path("data"), journal(&place.path("data"))] {
        let target = place.path(if named.is_dir() { "b" } else { "c" });
        let report = restore(&place.path("backups/1"), &target, &[named]).expect("restored");
        assert_eq!(report.erasures_owed, 2);
        assert!(report.next.iter().all(|step| !step.contains(ERASURES_FILE)), "{:?}", report.next);
        let mut known = ids(&*open(&target)).await;
        known.sort_unstable();
        let mut wanted = [id("between"), id("after")];
        wanted.sort_unstable();
        assert_eq!(known, wanted);
    }

    // From one that lies in the folder, put there before the restore or after it.
    fs::create_dir(place.path("d")).expect("made");
    fs::copy(journal(&place.path("data")), journal(&place.path("d"))).expect("copied");
    assert_eq!(restore(&place.path("backups/2"), &place.path("d"), &[]).expect("restored").erasures_owed, 1);
    assert_eq!(ids(&*open(&place.path("d"))).await, [id("after")]);
    restore(&place.path("backups/2"), &place.path("e"), &[]).expect("restored");
    fs::copy(journal(&place.path("data")), journal(&place.path("e"))).expect("copied");
    assert_eq!(ids(&*open(&place.path("e"))).await, [id("after")]);

    // What is named must be there, and nothing is restored without it.
    let refused = restore(&place.path("backups/1"), &place.path("f"), &[place.path("nowhere")]).expect_err("it is not there");
    assert!(matches!(&refused, RestoreError::Unusable { path, .. } if path.ends_with("nowhere")), "{refused}");
    assert!(!place.path("f").join(turnpike_store::sqlite::DATABASE_FILE).exists());
    restore(&place.path("backups/1"), &place.path("f"), &[]).expect("nothing is in the way of the next try");
}

#[tokio::test]
async fn a_backup_that_was_made_without_a_journal_owes_all_that_is_known() {
    let mut place = Place::new().await;
    place.back_up("old").await;
    fs::remove_file(journal(&place.path("old"))).expect("an earlier version wrote none");
    place.store().ask_erasure(erasure("one", "acme")).await.expect("asked");
    place.end();
    let report = restore(&place.path("old"), &place.path("new"), &[place.path("data")]).expect("restored");
    assert_eq!(report.erasures_owed, 1);
    assert_eq!(ids(&*open(&place.path("new"))).await, [id("one")]);
}

#[tokio::test]
async fn erasures_are_let_go_of_when_no_backup_is_as_old_but_not_before_they_are_done() {
    let mut place = Place::new().await;
    for name in ["done", "open", "young"] {
        let at = if name == "young" { ASKED.plus_ms(1_000) } else { ASKED };
        place.store().ask_erasure(NewErasure { at, ..erasure(name, "acme") }).await.expect("asked");
    }
    done(place.store(), "done").await;
    done(place.store(), "young").await;
    assert_eq!(place.store().forget_erasures(ASKED.plus_ms(500)).await.expect("forgets"), 1);
    assert_eq!(place.store().forget_erasures(ASKED.plus_ms(500)).await.expect("forgets"), 0);
    // And goes on behind what was cut.
    place.store().ask_erasure(erasure("later", "acme")).await.expect("asked");
    place.again();
    let left: Vec<Uuid> = place.store().erasures(id("acme"), 9).await.expect("reads").into_iter().map(|one| one.id).collect();
    assert!(left.len() == 3 && !left.contains(&id("done")), "{left:?}");
    let told = fs::read_to_string(journal(&place.path("data"))).expect("reads");
    assert!(!told.contains(&id("done").to_string()), "{told}");
    assert_eq!(told.lines().count(), 3);
}
