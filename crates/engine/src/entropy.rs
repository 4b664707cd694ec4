//! Chance, as a thing one is given.
//!
//! Attempt tokens, message ids, keys and the jitter of retries all draw from an [`Entropy`], so a
//! simulation with a seed repeats itself. [`SystemEntropy`] is fit for secrets: each thread has a
//! ChaCha20 generator of its own, seeded by the operating system and seeded anew at intervals,
//! because a system call per attempt token would cost more than the rest of the token.

use std::cell::RefCell;

use parking_lot::Mutex;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Gives unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// Fills `buf`.
    fn fill(&self, buf: &mut [u8]);

    /// A number below `bound`, for jitter (the bias of a 64-bit remainder is of no matter there);
    /// 0 where `bound` is 0.
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }
}

/// Bytes after which a thread's generator is seeded anew: what leaked from one seed tells at most
/// these, and the system call is paid once in several thousand tokens.
const RESEED_AFTER_BYTES: usize = 64 * 1024;

struct Generator {
    rng: ChaCha20Rng,
    left: usize,
}

thread_local! {
    static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

/// The operating system's randomness, stretched per thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buf: &mut [u8]) {
        GENERATOR.with_borrow_mut(|slot| {
            let generator = match slot {
                Some(generator) if generator.left >= buf.len() => generator,
                _ => slot.insert(Generator { rng: ChaCha20Rng::from_seed(system_seed()), left: RESEED_AFTER_BYTES.max(buf.len()) }),
            };
            generator.left -= buf.len();
            generator.rng.fill_bytes(buf);
        });
    }
}

/// # Panics
/// Where the operating system has no randomness: nothing that we would make without it is safe.
fn system_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    seed
}

/// A sequence decided by a seed. For tests and simulations only.
#[derive(Debug)]
pub struct SeededEntropy {
    rng: Mutex<ChaCha20Rng>,
}

impl SeededEntropy {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SeededEntropy {
        SeededEntropy { rng: Mutex::new(ChaCha20Rng::seed_from_u64(seed)) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buf: &mut [u8]) {
        self.rng.lock().fill_bytes(buf);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (mut first, mut second, mut other) = ([0; 40], [0; 40], [0; 40]);
        SeededEntropy::new(7).fill(&mut first);
        SeededEntropy::new(7).fill(&mut second);
        SeededEntropy::new(8).fill(&mut other);
        assert_eq!(first, second);
        assert_ne!(first, other);
    }

    #[test]
    fn tokens_do_not_repeat_within_or_across_threads_and_reseeding() {
        let draw = || {
            (0..20_000)
                .map(|_| {
                    let mut token = [0; 12];
                    SystemEntropy.fill(&mut token);
                    token
                })
                .collect::<Vec<_>>()
        };
        let elsewhere = std::thread::spawn(draw);
        let mut seen: HashSet<[u8; 12]> = draw().into_iter().collect();
        seen.extend(elsewhere.join().expect("the thread only draws"));
        assert_eq!(seen.len(), 40_000);
    }

    #[test]
    fn a_buffer_larger_than_a_seeds_share_is_filled() {
        let mut large = vec![0; RESEED_AFTER_BYTES * 2];
        SystemEntropy.fill(&mut large);
        assert!(large.chunks(64).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }

    #[test]
    fn a_number_below_a_bound_stays_below_it_and_below_nothing_is_nothing() {
        let chance = SeededEntropy::new(1);
        assert!((0..1_000).all(|_| chance.below(10) < 10));
        assert!((0..1_000).map(|_| chance.below(10)).collect::<HashSet<_>>().len() == 10);
        assert_eq!(chance.below(0), 0);
    }
}
