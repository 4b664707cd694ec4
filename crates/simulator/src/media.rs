//! Pictures, voice notes, documents: what was uploaded, and what users sent.
//!
//! Kept in memory, the newest [`BYTES_MAX`] bytes of it. Times are simulated: a
//! URL opens for five minutes, an upload lives thirty days, what a user sent
//! seven.
//!
//! A file is tied to the user who sent it and to those whom it was sent to, so that it goes with a user
//! who is forgotten: what they sent, and what was sent to nobody else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ring::{digest, hmac};
use serde_json::{Map, Value};

use crate::forgetting::Names;

/// All media together; past this the oldest goes first.
const BYTES_MAX: usize = 512 * 1024 * 1024;

/// One file, whichever way it goes: 100 MB, as at Meta.
pub(crate) const FILE_MAX: usize = 100 * 1024 * 1024;

/// Ids of files that are gone, which are remembered.
const GONE_MAX: usize = 100_000;

/// Users of one file who are remembered. What went to more is nobody's own: a brochure, not an invoice.
const USERS_MAX: usize = 1_000;

/// How long a URL opens.
const URL_OPEN: SignedDuration = SignedDuration::from_mins(5);

/// How long what a business uploaded lives, and what a user sent.
const UPLOADED_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);
const RECEIVED_FOR: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Where files are fetched: the path at Meta's own media host.
pub(crate) const DOWNLOAD_PATH: &str = "/whatsapp_business/attachments/";

/// Where a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    Uploaded,
    /// From the user of this key ([`crate::users::Person::key`]).
    Received {
        from: &'a str,
    },
}

/// A file with its id.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) id: String,
    /// The number whose it is.
    pub(crate) phone_number_id: String,
    pub(crate) mime_type: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) bytes: Bytes,
    gone_at: Timestamp,
}

/// All files.
pub(crate) struct Media {
    key: hmac::Key,
    inner: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<String, Arc<File>>,
    /// Whose a file is, by its id; an upload that was sent to nobody has no entry.
    whose: HashMap<String, Whose>,
    order: VecDeque<String>,
    bytes: usize,
    /// Ids that are no more, so that they are not taken for a number's.
    gone: HashSet<String>,
}

/// Whose a file is.
#[derive(Default)]
struct Whose {
    /// Who sent it.
    from: Option<String>,
    /// To whom it was sent.
    to: HashSet<String>,
    /// Whether it was sent to more than are remembered.
    to_many: bool,
}

impl Media {
    /// `key` signs the URLs.
    pub(crate) fn new(key: &[u8]) -> Media {
        Media { key: hmac::Key::new(hmac::HMAC_SHA256, key), inner: Mutex::new(Kept::default()) }
    }

    /// Keeps a file under this id.
    pub(crate) fn keep(
        &self,
        id: String,
        phone_number_id: &str,
        mime_type: &str,
        bytes: Bytes,
        origin: Origin<'_>,
        at: Timestamp,
    ) -> Arc<File> {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        let lives = if origin == Origin::Uploaded { UPLOADED_FOR } else { RECEIVED_FOR };
        let file = Arc::new(File {
            id: id.clone(),
            phone_number_id: phone_number_id.to_owned(),
            mime_type: mime_type.to_owned(),
            sha256,
            bytes,
            gone_at: at.checked_add(lives).unwrap_or(Timestamp::MAX),
        });
        let mut kept = self.lock();
        kept.bytes += file.bytes.len();
        kept.by_id.insert(id.clone(), Arc::clone(&file));
        if let Origin::Received { from } = origin {
            kept.whose.insert(id.clone(), Whose { from: Some(from.to_owned()), ..Whose::default() });
        }
        kept.order.push_back(id);
        while kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.drop_file(&oldest);
        }
        file
    }

    /// The file of this id, while it lives.
    pub(crate) fn find(&self, id: &str, at: Timestamp) -> Option<Arc<File>> {
        self.lock().by_id.get(id).filter(|file| at < file.gone_at).cloned()
    }

    /// Whether there was ever a file of this id, as far as is remembered.
    pub(crate) fn knew(&self, id: &str) -> bool {
        let kept = self.lock();
        kept.by_id.contains_key(id) || kept.gone.contains(id)
    }

    /// Takes a file away.
    pub(crate) fn remove(&self, id: &str) {
        self.lock().drop_file(id);
    }

    /// Ties every file that a message names by its id to the user of the key `to`, whom it is sent to.
    pub(crate) fn sent(&self, message: &Map<String, Value>, to: impl FnOnce() -> String) {
        let mut kept = self.lock();
        // A simulator to which nothing is uploaded looks at no message.
        if !kept.by_id.is_empty() {
            let to = to();
            message.values().for_each(|part| kept.tie_all(part, &to));
        }
    }

    /// Ties one file to the user of this key.
    pub(crate) fn is_shared_with(&self, id: &str, user: &str) {
        self.lock().tie(id, user);
    }

    /// Takes away what a user sent, and what was sent to nobody else; how many files that were. What went
    /// to others too stays theirs, and is this user's no more.
    pub(crate) fn forget(&self, names: &Names) -> usize {
        let mut kept = self.lock();
        let mut own = Vec::new();
        for (id, whose) in &mut kept.whose {
            let before = whose.to.len();
            whose.to.retain(|user| !names.are(user));
            let was_only_theirs = whose.to.len() < before && whose.to.is_empty() && !whose.to_many && whose.from.is_none();
            if was_only_theirs || whose.from.as_deref().is_some_and(|from| names.are(from)) {
                own.push(id.clone());
            }
        }
        for id in &own {
            kept.drop_file(id);
        }
        own.len()
    }

    /// Where a file can be fetched for the next five minutes.
    pub(crate) fn url(&self, base_url: &str, file: &File, at: Timestamp) -> String {
        let until = at.checked_add(URL_OPEN).unwrap_or(at).as_second();
        format!("{base_url}{DOWNLOAD_PATH}?mid={}&source=getMedia&ext={until}&hash={}", file.id, self.hash(&file.id, until))
    }

    /// The file that a URL's query names, while the URL opens.
    pub(crate) fn fetch(&self, query: &str, at: Timestamp) -> Option<Arc<File>> {
        let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let (id, until, hash) = (of("mid")?, of("ext")?.parse::<i64>().ok()?, of("hash")?);
        if hash != self.hash(id, until) || at.as_second() >= until {
            return None;
        }
        self.find(id, at)
    }

    fn hash(&self, id: &str, until: i64) -> String {
        hex::encode(&hmac::sign(&self.key, format!("{id} {until}").as_bytes()).as_ref()[..16])
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn tie_all(&mut self, part: &Value, user: &str) {
        match part {
            Value::Object(members) => {
                if let Some(id) = members.get("id").and_then(Value::as_str) {
                    self.tie(id, user);
                }
                members.values().for_each(|member| self.tie_all(member, user));
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.tie_all(element, user)),
            _ => {}
        }
    }

    fn tie(&mut self, id: &str, user: &str) {
        if !self.by_id.contains_key(id) {
            return;
        }
        let whose = self.whose.entry(id.to_owned()).or_default();
        if whose.to.len() < USERS_MAX {
            whose.to.insert(user.to_owned());
        } else if !whose.to.contains(user) {
            whose.to_many = true;
        }
    }

    fn drop_file(&mut self, id: &str) {
        self.whose.remove(id);
        if let Some(file) = self.by_id.remove(id) {
            self.bytes -= file.bytes.len();
            if self.gone.len() < GONE_MAX {
                self.gone.insert(id.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_opens_for_five_minutes_and_for_its_file_only() {
        let media = Media::new(b"key");
        let at = Timestamp::from_second(1_790_000_000).expect("a date of this century");
        let file = media.keep("1".to_owned(), "1001", "image/png", Bytes::from_static(b"x"), Origin::Uploaded, at);
        media.keep("2".to_owned(), "1001", "image/png", Bytes::from_static(b"y"), Origin::Received { from: "905321234567" }, at);
        let url = media.url("http://h", &file, at);
        let query = url.split_once('?').expect("a query").1.to_owned();
        assert!(media.fetch(&query, at + SignedDuration::from_secs(299)).is_some());
        assert!(media.fetch(&query, at + SignedDuration::from_secs(300)).is_none());
        assert!(media.fetch(&query.replace("mid=1", "mid=2"), at).is_none());
        let day = |n: i64| at + SignedDuration::from_hours(24 * n);
        assert!(media.find("1", day(29)).is_some() && media.find("1", day(30)).is_none());
        assert!(media.find("2", day(6)).is_some() && media.find("2", day(7)).is_none());
        media.remove("1");
        assert!(media.find("1", at).is_none());
    }

    #[test]
    fn a_forgotten_users_files_go_and_what_others_have_too_stays_theirs() {
        let media = Media::new(b"key");
        let at = Timestamp::from_second(1_790_000_000).expect("a date of this century");
        let keep = |id: &str, origin| drop(media.keep(id.to_owned(), "1001", "image/png", Bytes::from_static(b"x"), origin, at));
        let there = |id: &str| media.find(id, at).is_some();
        let (ada, ben) = ("905321234567", "905321234568");
        keep("from ada", Origin::Received { from: ada });
        keep("from ben", Origin::Received { from: ben });
        for id in ["invoice", "brochure", "for many", "unsent"] {
            keep(id, Origin::Uploaded);
        }
        let sent = |message: Value, to: &str| media.sent(message.as_object().expect("a message"), || to.to_owned());
        sent(json!({"document": {"id": "invoice"}}), ada);
        let parameters = json!([{"type": "image", "image": {"id": "brochure"}}]);
        for user in [ada, ben] {
            sent(json!({"template": {"components": [{"type": "header", "parameters": parameters}]}}), user);
        }
        for n in 0..=USERS_MAX {
            sent(json!({"image": {"id": "for many"}}), &format!("1{n:010}"));
        }
        let names = |name: &str| Names::of(&crate::users::Users::default(), name);
        assert_eq!(media.forget(&names(ada)), 2, "what Ada sent, and what only she was sent");
        assert!(!there("from ada") && !there("invoice") && media.knew("invoice"));
        assert!(["from ben", "brochure", "for many", "unsent"].into_iter().all(there));
        assert_eq!(media.forget(&names(ada)), 0);
        assert_eq!(media.forget(&names(ben)), 2, "now the brochure was only Ben's");
        for n in 0..USERS_MAX {
            media.forget(&names(&format!("1{n:010}")));
        }
        assert!(there("for many") && there("unsent"), "what went to more than are remembered is nobody's own");
    }
}
