//! Template definitions, replaced a WABA at a time.

use rusqlite::{Connection, params};
use turnpike_domain::time::UnixMs;

use super::SqliteStore;
use super::cells::unreadable;
use super::failure::{Failure, corrupt};
use crate::Answer;
use crate::templates::{SyncedTemplates, TemplateRow, Templates};

impl Templates for SqliteStore {
    fn replace_templates(&self, synced: SyncedTemplates) -> Answer<'_, ()> {
        Box::pin(self.control(move |connection| replace(connection, &synced)))
    }

    fn templates(&self) -> Answer<'_, Vec<SyncedTemplates>> {
        Box::pin(self.read(all))
    }
}

fn replace(connection: &Connection, synced: &SyncedTemplates) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO template_syncs (waba_id, synced_at) VALUES (?1, ?2)
             ON CONFLICT (waba_id) DO UPDATE SET synced_at = excluded.synced_at",
        )?
        .execute(params![synced.waba_id, synced.synced_at.0])?;
    connection.prepare_cached("DELETE FROM templates WHERE waba_id = ?1")?.execute([&synced.waba_id])?;
    // Meta's pages can repeat a template that was edited between two of them: the later one is newer.
    let mut insert = connection.prepare_cached(
        "INSERT INTO templates (waba_id, name, language, definition) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (waba_id, name, language) DO UPDATE SET definition = excluded.definition",
    )?;
    for template in &synced.templates {
        insert.execute(params![synced.waba_id, template.name, template.language, template.definition])?;
    }
    Ok(())
}

fn all(connection: &Connection) -> Result<Vec<SyncedTemplates>, Failure> {
    // A WABA without templates is known too: its row has nulls on the right.
    let mut statement = connection.prepare_cached(
        "SELECT s.waba_id, s.synced_at, t.name, t.language, t.definition
         FROM template_syncs s
         LEFT JOIN templates t ON t.waba_id = s.waba_id
         ORDER BY s.waba_id, t.name, t.language",
    )?;
    let mut rows = statement.query([])?;
    let mut synced: Vec<SyncedTemplates> = Vec::new();
    while let Some(row) = rows.next()? {
        let waba_id: String = row.get(0).map_err(|error| unreadable(error, || corrupt("template_syncs", "waba_id", "?")))?;
        let text = |place: usize, column: &'static str| {
            row.get::<_, Option<String>>(place).map_err(|error| unreadable(error, || corrupt("templates", column, &waba_id)))
        };
        let (name, language, definition) = (text(2, "name")?, text(3, "language")?, text(4, "definition")?);
        if synced.last().is_none_or(|last| last.waba_id != waba_id) {
            let synced_at = row.get(1).map_err(|error| unreadable(error, || corrupt("template_syncs", "synced_at", &waba_id)))?;
            synced.push(SyncedTemplates { waba_id: waba_id.clone(), synced_at: UnixMs(synced_at), templates: Vec::new() });
        }
        if let (Some(name), Some(language), Some(definition), Some(last)) = (name, language, definition, synced.last_mut()) {
            last.templates.push(TemplateRow { waba_id, name, language, definition });
        }
    }
    Ok(synced)
}
