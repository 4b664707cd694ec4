//! Pictures, voice notes, documents: what was uploaded, and what users sent.
//!
//! Kept in memory, the newest [`BYTES_MAX`] bytes of it. Times are simulated: a
//! URL opens for five minutes, an upload lives thirty days, what a user sent
//! seven.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ring::{digest, hmac};

/// All media together; past this the oldest goes first.
const BYTES_MAX: usize = 512 * 1024 * 1024;

/// One file, whichever way it goes: 100 MB, as at Meta.
pub(crate) const FILE_MAX: usize = 100 * 1024 * 1024;

/// How long a URL opens.
const URL_OPEN: SignedDuration = SignedDuration::from_mins(5);

/// How long what a business uploaded lives, and what a user sent.
const UPLOADED_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);
const RECEIVED_FOR: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Where files are fetched: the path at Meta's own media host.
pub(crate) const DOWNLOAD_PATH: &str = "/whatsapp_business/attachments/";

/// Where a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Uploaded,
    Received,
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
    order: VecDeque<String>,
    bytes: usize,
}

impl Media {
    /// `key` signs the URLs.
    pub(crate) fn new(key: &[u8]) -> Media {
        Media { key: hmac::Key::new(hmac::HMAC_SHA256, key), inner: Mutex::new(Kept::default()) }
    }

    /// Keeps a file under this id.
    pub(crate) fn keep(&self, id: String, phone_number_id: &str, mime_type: &str, bytes: Bytes, origin: Origin, at: Timestamp) -> Arc<File> {
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

    /// Takes a file away.
    pub(crate) fn remove(&self, id: &str) {
        self.lock().drop_file(id);
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
    fn drop_file(&mut self, id: &str) {
        if let Some(file) = self.by_id.remove(id) {
            self.bytes -= file.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_opens_for_five_minutes_and_for_its_file_only() {
        let media = Media::new(b"key");
        let at = Timestamp::from_second(1_790_000_000).expect("a date of this century");
        let file = media.keep("1".to_owned(), "1001", "image/png", Bytes::from_static(b"x"), Origin::Uploaded, at);
        media.keep("2".to_owned(), "1001", "image/png", Bytes::from_static(b"y"), Origin::Received, at);
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
}
