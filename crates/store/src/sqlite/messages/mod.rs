//! Messages on SQLite: what the writer does with them, and what readers find.

mod admit;
mod list;
mod recall;
mod record;
mod resolve;
mod retention;
mod settle;

pub(super) use admit::KEY_KEPT_MS;
pub(super) use list::{Page, by_wamid, one, page, recent, usage};
pub(super) use recall::{Question, recall};
pub(super) use record::{Standing, exists, standing, statuses};
pub(super) use retention::{Forgotten, oldest_table};
