//! Users who are to be forgotten: what was asked, and how far it is.
//!
//! An erasure outlives the database that it was carried out on, because a backup brings back what was
//! erased. So each is written to a journal in the data folder before it is a row, and a store that
//! opens compares the two: what the journal names and the database does not is owed, and becomes a
//! pending row; what the database knows and the journal lost is written there again. Whoever applies
//! them is the engine, which alone can open the names.

use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use crate::Answer;
use crate::events::KeptWebhook;

/// An erasure that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewErasure {
    /// Its id, from now on.
    pub id: Uuid,
    /// Public id of the organization whose user it is.
    pub organization: Uuid,
    /// When.
    pub at: UnixMs,
    /// The name that was given, sealed.
    pub sealed: Vec<u8>,
}

/// An erasure as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// Public id of the organization. It need not exist here: a backup may be older than it.
    pub organization: Uuid,
    /// When it was asked for.
    pub asked_at: UnixMs,
    /// The name that was given, sealed.
    pub sealed: Vec<u8>,
    /// Every name that was found to be the same user's, sealed; `None` until they were looked for.
    pub names: Option<Vec<u8>>,
    /// Whether it came from the journal, carried out on a younger database than this.
    pub owed: bool,
    /// What it came to, once it is done.
    pub done: Option<ErasureDone>,
}

/// What an erasure came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasureDone {
    /// When.
    pub at: UnixMs,
    /// Records that were emptied.
    pub erased: u64,
    /// Names that the user was known under.
    pub names: u64,
    /// Webhooks among the records.
    pub webhooks: u64,
    /// Webhooks that nobody can read.
    pub unreadable: u64,
}

/// What is known of the journal beside the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStanding {
    /// Erasures in it.
    pub erasures: usize,
    /// Lines that cannot be read: whom they are about is not known, so they were not applied.
    pub unreadable: usize,
    /// How its second copy stands.
    pub copy: CopyStanding,
}

/// How the second copy of the journal stands, which outlives the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyStanding {
    /// None is kept.
    #[default]
    None,
    /// It has all that the journal has.
    Whole,
    /// It could not be written; it is tried again.
    Behind,
}

/// Erasures, in the database and in the journal beside it.
pub trait Erasures {
    /// Remembers an erasure, in the journal and then in the database. After this it is never lost,
    /// but by who takes the journal and every backup away.
    fn ask_erasure(&self, new: NewErasure) -> Answer<'_, ()>;

    /// Remembers under which names the user was found, in the journal and then in the database: a
    /// copy that is older than what joined these names needs them told. `sealed` as in
    /// [`Erasure::names`].
    fn note_erasure_names(&self, id: Uuid, sealed: Vec<u8>) -> Answer<'_, ()>;

    /// An owed erasure's rows are emptied here; what is left goes on beside sends.
    fn erasure_is_applied(&self, ids: Vec<Uuid>) -> Answer<'_, ()>;

    /// Those that are not done, oldest first, at most `limit`.
    fn open_erasures(&self, limit: u32) -> Answer<'_, Vec<Erasure>>;

    /// One erasure of an organization.
    fn erasure(&self, organization: Uuid, id: Uuid) -> Answer<'_, Option<Erasure>>;

    /// Those of an organization, newest first, at most `limit`.
    fn erasures(&self, organization: Uuid, limit: u32) -> Answer<'_, Vec<Erasure>>;

    /// An erasure is done.
    fn finish_erasure(&self, id: Uuid, done: ErasureDone) -> Answer<'_, ()>;

    /// Lets go of those that are done and were asked for before `before`: no backup is that old any
    /// more. First in the journal, then in the database. Returns how many went. A copy of the journal
    /// that is behind is tried again.
    fn forget_erasures(&self, before: UnixMs) -> Answer<'_, u64>;

    /// How the journal stands.
    fn erasure_journal(&self) -> Answer<'_, JournalStanding>;

    /// The youngest raw webhook that is kept: a pass over all of them ends there, however fast new ones
    /// come.
    fn newest_raw_webhook(&self) -> Answer<'_, Option<KeptWebhook>>;

    /// Copies the write-ahead log into the database and cuts it, so that no page stays as it was
    /// before. `false` where readers (a backup, say) kept it from being cut: try again later.
    fn cut_log(&self) -> Answer<'_, bool>;
}
