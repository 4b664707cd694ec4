//! Chance that can be replayed: every id and every dice throw is a hash of the
//! seed, a label and a counter.
//!
//! With [`crate::Config::seed`] set, two runs that get the same requests in the
//! same order give the same wamids; without it the seed comes from the system.

use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

/// A seeded source of ids, shared by all connections.
pub(crate) struct Chance {
    seed: [u8; 32],
    wamids: AtomicU64,
    inbound: AtomicU64,
    requests: AtomicU64,
    throws: AtomicU64,
}

/// The system could not give a random seed.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source gave nothing")]
pub struct NoEntropy;

impl Chance {
    /// `issued` is how many wamids may have been given before a restart, so
    /// that a fixed seed does not give them again.
    pub(crate) fn new(seed: Option<u64>, issued: u64) -> Result<Chance, NoEntropy> {
        let mut bytes = [0; 32];
        match seed {
            Some(seed) => bytes[..8].copy_from_slice(&seed.to_be_bytes()),
            None => SystemRandom::new().fill(&mut bytes).map_err(|_| NoEntropy)?,
        }
        Ok(Chance {
            seed: bytes,
            wamids: AtomicU64::new(issued),
            inbound: AtomicU64::new(issued),
            requests: AtomicU64::new(issued),
            throws: AtomicU64::new(0),
        })
    }

    /// Nine bytes: the 18 hex digits inside a business wamid.
    pub(crate) fn wamid_id(&self) -> [u8; 9] {
        let drawn = self.draw("wamid", self.wamids.fetch_add(1, Ordering::Relaxed));
        let mut id = [0; 9];
        id.copy_from_slice(&drawn[..9]);
        id
    }

    /// Nine bytes: the last 18 hex digits inside a user's wamid, a media id, a challenge.
    pub(crate) fn inbound_id(&self) -> [u8; 9] {
        let drawn = self.draw("inbound", self.inbound.fetch_add(1, Ordering::Relaxed));
        let mut id = [0; 9];
        id.copy_from_slice(&drawn[..9]);
        id
    }

    /// 16 digits that do not repeat, and do not begin as the ids do that do not exist (`404`).
    pub(crate) fn digits(&self) -> u64 {
        let drawn = self.inbound_id();
        let mut high = [0; 8];
        high.copy_from_slice(&drawn[..8]);
        1_000_000_000_000_000 + u64::from_be_bytes(high) % 3_000_000_000_000_000
    }

    /// A key for what only we verify, such as links to media.
    pub(crate) fn key(&self, label: &str) -> [u8; 32] {
        self.draw(label, 0)
    }

    /// 32 bytes for the trace headers of one answer.
    pub(crate) fn trace(&self) -> [u8; 32] {
        self.draw("trace", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// A throw in `0.0..1.0`, for a rule with a probability.
    pub(crate) fn fraction(&self) -> f64 {
        let drawn = self.draw("throw", self.throws.fetch_add(1, Ordering::Relaxed));
        let mut high = [0; 4];
        high.copy_from_slice(&drawn[..4]);
        f64::from(u32::from_be_bytes(high)) / (f64::from(u32::MAX) + 1.0)
    }

    /// A stable decimal id of 16 digits for a named thing, such as a template.
    pub(crate) fn stable_id(parts: &[&str]) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        let drawn = context.finish();
        let mut high = [0; 8];
        high.copy_from_slice(&drawn.as_ref()[..8]);
        let id = 1_000_000_000_000_000 + u64::from_be_bytes(high) % 3_000_000_000_000_000;
        id.to_string()
    }

    fn draw(&self, label: &str, count: u64) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.seed);
        context.update(label.as_bytes());
        context.update(&count.to_be_bytes());
        let mut drawn = [0; 32];
        drawn.copy_from_slice(context.finish().as_ref());
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_goes_on_after_a_restart() {
        let first = Chance::new(Some(7), 0).expect("a given seed needs no entropy");
        let again = Chance::new(Some(7), 0).expect("a given seed needs no entropy");
        assert_eq!(first.wamid_id(), again.wamid_id());
        let second = first.wamid_id();
        let restarted = Chance::new(Some(7), 1).expect("a given seed needs no entropy");
        assert_eq!(restarted.wamid_id(), second);
    }

    #[test]
    fn a_throw_stays_inside_its_range() {
        let chance = Chance::new(Some(1), 0).expect("a given seed needs no entropy");
        let throws: Vec<f64> = (0..1_000).map(|_| chance.fraction()).collect();
        assert!(throws.iter().all(|throw| (0.0..1.0).contains(throw)));
        let mean = throws.iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "mean {mean}");
    }
}
