//! A backup: taken while the gateway works, whole or absent; and the way back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::ledger::OutcomeKind;
use turnpike_store::messages::Settled;
use turnpike_store::sqlite::{DATABASE_FILE, ERASURES_FILE, LOCK_FILE, MANIFEST_FILE, RestoreError, restore};
use turnpike_store::{Store, StoreError};

use crate::story::{admitted, fund, open, organization, outcome, send};

/// A store with an organization that has money.
async fn funded(folder: &Path) -> (Arc<dyn Store>, OrganizationId) {
    let store = open(folder);
    let acme = organization(&*store, "acme").await;
    fund(&*store, acme.key).await;
    (store, acme.key)
}

/// Admits and settles a batch; gives the keys once both are committed.
async fn sent(store: &dyn Store, organization: OrganizationId, name: &str, count: usize) -> Vec<MessageKey> {
    let batch = (0..count).map(|number| send(organization, &format!("{name} {number}"))).collect();
    let keys: Vec<MessageKey> = admitted(store, batch).await.into_iter().map(|(key, _)| key).collect();
    let outcomes = keys.iter().map(|key| outcome(organization, *key, OutcomeKind::Accepted)).collect();
    let settled = store.settle(outcomes).await.expect("settled");
    assert!(settled.iter().all(|one| *one == Settled::Done), "{settled:?}");
    keys
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).expect("listed").map(|entry| entry.expect("entry").file_name().display().to_string()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

/// A small backup to try things with, and a name for a folder to restore into.
struct Tried {
    room: tempfile::TempDir,
    backup: PathBuf,
    target: PathBuf,
}

impl Tried {
    async fn new() -> Tried {
        let room = tempfile::tempdir().expect("a temporary folder");
        let (store, acme) = funded(&room.path().join("data")).await;
        sent(&*store, acme, "message", 20).await;
        let (backup, target) = (room.path().join("backup"), room.path().join("restored"));
        store.backup(backup.clone()).await.expect("backed up");
        store.close().await.expect("closed");
        Tried { room, backup, target }
    }

    fn refused(&self) -> RestoreError {
        let refused = restore(&self.backup, &self.target, &[]).expect_err("must be refused");
        assert!(!self.target.join(DATABASE_FILE).exists(), "a refused restore leaves no database: {refused}");
        refused
    }

    fn database(&self) -> PathBuf {
        self.backup.join(DATABASE_FILE)
    }

    /// Changes the backed-up database, and the manifest with it, as a forger would.
    fn forge(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.database()).expect("opened");
        connection.execute_batch(sql).expect("changed");
        drop(connection);
        let bytes = fs::read(self.database()).expect("read");
        let path = self.backup.join(MANIFEST_FILE);
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        manifest["bytes"] = bytes.len().into();
        manifest["blake3"] = blake3::hash(&bytes).to_hex().to_string().into();
        fs::write(path, manifest.to_string()).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_restores_to_everything_that_was_answered_before_it() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let (store, acme) = funded(&room.path().join("data")).await;
    // Large enough for the copy to take many steps, with commits of the writer between them.
    for batch in 0..40 {
        sent(&*store, acme, &format!("batch {batch}"), 100).await;
    }
    let busy = Arc::new(AtomicBool::new(true));
    let load = tokio::task::spawn_blocking({
        let (store, busy) = (Arc::clone(&store), Arc::clone(&busy));
        let runtime = tokio::runtime::Handle::current();
        move || {
            let mut batches = 0_u64;
            while busy.load(Ordering::SeqCst) {
                runtime.block_on(sent(&*store, acme, &format!("meanwhile {batches}"), 10));
                batches += 1;
            }
            batches
        }
    });
    let answered = sent(&*store, acme, "answered", 10).await;
    let backup = room.path().join("backup");
    let report = store.backup(backup.clone()).await.expect("backed up");
    busy.store(false, Ordering::SeqCst);
    let batches = load.await.expect("the load ran");
    assert!(batches > 5, "the writer went on meanwhile: {batches} batches");
    assert!(report.messages >= 4_010 && report.bytes > 5_000_000, "{report:?}");

    let restored = room.path().join("restored");
    let said = restore(&backup, &restored, &[]).expect("restored");
    assert_eq!((said.messages, said.bytes, said.schema_version), (report.messages, report.bytes, report.schema_version));
    let second = open(&restored);
    for key in &answered {
        let message = second.message(acme, *key).await.expect("answered").expect("answered before the backup began");
        assert_eq!(message.content.as_deref(), Some(&[b'x'; 2_000][..]));
        assert_eq!(message.outcome.map(|(kind, _)| kind), Some(OutcomeKind::Accepted));
    }
    let proof = second.verify().await.expect("verified");
    assert!(proof.clean, "{:?}", proof.checks);
    assert_eq!(proof.messages, report.messages);
    sent(&*second, acme, "afterwards", 10).await;
    let proof = store.verify().await.expect("verified");
    assert!(proof.clean, "the first one is none the worse: {:?}", proof.checks);
}

#[tokio::test]
async fn a_backup_holds_the_database_and_nothing_of_the_folder_beside_it() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let data = room.path().join("data");
    let (store, _acme) = funded(&data).await;
    for secret in ["master.key", "control.sock"] {
        fs::write(data.join(secret), "secret").expect("written");
    }
    assert!(names(&data).contains(&LOCK_FILE.to_owned()));
    let backup = room.path().join("backup");
    let report = store.backup(backup.clone()).await.expect("backed up");
    assert_eq!(names(&backup), [MANIFEST_FILE, ERASURES_FILE, DATABASE_FILE]);
    assert_eq!((mode(&backup), mode(&backup.join(DATABASE_FILE)), mode(&backup.join(MANIFEST_FILE))), (0o700, 0o600, 0o600));
    assert_eq!(report.bytes, fs::metadata(backup.join(DATABASE_FILE)).expect("there").len());
    assert_eq!(names(room.path()), ["backup", "data"]);
}

#[tokio::test]
async fn a_backup_writes_over_nothing_and_leaves_nothing_half_done() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let (store, _acme) = funded(&room.path().join("data")).await;
    let taken = room.path().join("taken");
    fs::create_dir(&taken).expect("made");
    let refused = store.backup(taken.clone()).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable { reason }) if reason.contains("exists already")), "{refused:?}");
    assert_eq!(names(&taken), [""; 0]);

    let nowhere = room.path().join("no/such/folder");
    let refused = store.backup(nowhere).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable { reason }) if reason.contains("no/such/folder")), "{refused:?}");

    let died = room.path().join("again.unfinished");
    fs::create_dir(&died).expect("made");
    fs::write(died.join(DATABASE_FILE), "half").expect("written");
    store.backup(room.path().join("again")).await.expect("a backup that died does not hinder the next");
    assert_eq!(names(room.path()), ["again", "data", "taken"]);

    // What is not ours is not removed, however the folder is called.
    let foreign = room.path().join("third.unfinished");
    fs::create_dir(&foreign).expect("made");
    fs::write(foreign.join("letter.txt"), "dear").expect("written");
    assert!(store.backup(room.path().join("third")).await.is_err());
    assert_eq!(names(&foreign), ["letter.txt"]);
}

#[tokio::test]
async fn a_restore_into_a_new_folder_says_what_is_left_to_do() {
    let tried = Tried::new().await;
    let report = restore(&tried.backup, &tried.target, &[]).expect("restored");
    assert_eq!((report.messages, report.master_key_present), (20, false));
    assert!(report.next[0].contains("master key") && report.next[0].contains("chmod 600"), "{:?}", report.next);
    assert_eq!((mode(&tried.target), mode(&tried.target.join(DATABASE_FILE))), (0o700, 0o600));
    assert_eq!(names(&tried.target), [LOCK_FILE, ERASURES_FILE, DATABASE_FILE]);
    let store = open(&tried.target);
    let organizations = store.organizations().await.expect("listed");
    assert_eq!(organizations.len(), 1);
    assert!(store.verify().await.expect("verified").clean);
}

#[tokio::test]
async fn a_master_key_that_was_put_back_first_is_left_alone() {
    let tried = Tried::new().await;
    fs::create_dir(&tried.target).expect("made");
    fs::write(tried.target.join("master.key"), "key").expect("written");
    fs::write(tried.target.join("turnpike.db.restoring"), "an interrupted restore").expect("written");
    let report = restore(&tried.backup, &tried.target, &[]).expect("restored");
    assert!(report.master_key_present);
    assert_eq!(fs::read_to_string(tried.target.join("master.key")).expect("there"), "key");
    assert_eq!(names(&tried.target), [LOCK_FILE, ERASURES_FILE, "master.key", DATABASE_FILE]);
}

#[tokio::test]
async fn nothing_is_restored_over_anything() {
    let tried = Tried::new().await;
    fs::create_dir(&tried.target).expect("made");
    fs::write(tried.target.join("notes.txt"), "mine").expect("written");
    let refused = tried.refused();
    assert!(matches!(&refused, RestoreError::NotEmpty { found, .. } if found == "notes.txt"), "{refused}");
    assert_eq!(names(&tried.target), ["notes.txt"]);

    let data = tried.room.path().join("data");
    let before = fs::read(data.join(DATABASE_FILE)).expect("read");
    let refused = restore(&tried.backup, &data, &[]).expect_err("there is a database");
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused}");
    assert!(fs::read(data.join(DATABASE_FILE)).expect("read") == before);
}

#[tokio::test]
async fn what_is_no_backup_is_refused() {
    let tried = Tried::new().await;
    for name in [MANIFEST_FILE, DATABASE_FILE] {
        fs::rename(tried.backup.join(name), tried.room.path().join(name)).expect("moved away");
        let refused = tried.refused();
        assert!(matches!(&refused, RestoreError::NotABackup { problem, .. } if problem.contains(name)), "{refused}");
        fs::rename(tried.room.path().join(name), tried.backup.join(name)).expect("moved back");
    }
    fs::write(tried.backup.join(MANIFEST_FILE), "{}").expect("written");
    assert!(matches!(tried.refused(), RestoreError::NotABackup { .. }));
    let refused = restore(&tried.room.path().join("nowhere"), &tried.target, &[]).expect_err("no such folder");
    assert!(matches!(refused, RestoreError::NotABackup { .. }), "{refused}");
    assert!(!tried.target.exists());
}

#[tokio::test]
async fn a_backup_with_one_wrong_byte_is_refused() {
    let tried = Tried::new().await;
    let whole = fs::read(tried.database()).expect("read");
    for at in [0, 20, 100, 4_096, whole.len() / 2, whole.len() - 1] {
        let mut wrong = whole.clone();
        wrong[at] ^= 1;
        fs::write(tried.database(), wrong).expect("written");
        let refused = tried.refused();
        assert!(matches!(refused, RestoreError::Damaged { .. }), "byte {at}: {refused}");
    }
    for length in [0, 100, whole.len() - 1] {
        fs::write(tried.database(), &whole[..length]).expect("written");
        assert!(matches!(tried.refused(), RestoreError::Damaged { .. }), "cut to {length}");
    }
    fs::write(tried.database(), &whole).expect("written");
    restore(&tried.backup, &tried.target, &[]).expect("whole again, and nothing of the refusals is in the way");
}

#[tokio::test]
async fn a_damaged_database_is_refused_though_its_manifest_agrees() {
    let tried = Tried::new().await;
    tried.forge("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'api_keys';");
    assert!(matches!(tried.refused(), RestoreError::Damaged { .. }));

    let tried = Tried::new().await;
    tried.forge("PRAGMA application_id = 1;");
    let refused = tried.refused();
    assert!(matches!(&refused, RestoreError::Damaged { problem, .. } if problem.contains("another program")), "{refused}");
}

#[tokio::test]
async fn a_backup_of_a_newer_program_is_refused() {
    let tried = Tried::new().await;
    tried.forge("INSERT INTO schema_migrations VALUES (99, 'from the future', x'00', 1);");
    let refused = tried.refused();
    assert!(matches!(refused, RestoreError::Newer { found: 99, .. }), "{refused}");
    let path = tried.backup.join(MANIFEST_FILE);
    let mut said: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("a manifest");
    said["schemaVersion"] = 77.into();
    fs::write(&path, said.to_string()).expect("written");
    let refused = tried.refused();
    assert!(matches!(refused, RestoreError::Newer { found: 77, .. }), "{refused}");
    assert!(!tried.target.join(DATABASE_FILE).exists());
}

#[tokio::test]
async fn a_folder_that_a_process_holds_is_refused() {
    let tried = Tried::new().await;
    let store = open(&tried.target);
    store.close().await.expect("closed");
    fs::remove_file(tried.target.join(DATABASE_FILE)).expect("removed");
    for name in names(&tried.target).iter().filter(|name| *name != LOCK_FILE) {
        fs::remove_file(tried.target.join(name)).expect("removed");
    }
    let refused = tried.refused();
    assert!(matches!(refused, RestoreError::InUse { .. }), "{refused}");
    drop(store);
    restore(&tried.backup, &tried.target, &[]).expect("free now");
}
