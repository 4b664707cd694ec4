//! Template definitions as Meta last gave them.

use turnpike_domain::time::UnixMs;

use crate::Answer;

/// One definition, as Meta's read form, kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateRow {
    /// The WABA that owns it.
    pub waba_id: String,
    /// Its name.
    pub name: String,
    /// Its language code.
    pub language: String,
    /// Meta's JSON of it.
    pub definition: String,
}

/// What a WABA had when it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedTemplates {
    /// The WABA.
    pub waba_id: String,
    /// When Meta was asked.
    pub synced_at: UnixMs,
    /// All its templates.
    pub templates: Vec<TemplateRow>,
}

/// Reads and writes of definitions. They belong to a WABA, which belongs to applications; the
/// engine asks only for WABAs of the caller's application.
pub trait Templates {
    /// Replaces everything known of a WABA.
    fn replace_templates(&self, synced: SyncedTemplates) -> Answer<'_, ()>;
    /// Everything known, of every WABA: the engine keeps it in memory.
    fn templates(&self) -> Answer<'_, Vec<SyncedTemplates>>;
}
