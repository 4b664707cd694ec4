//! A filter that says "certainly not" without reading anything.
//!
//! A Bloom filter cut into cache lines: an entry sets a few bits of one line, so that a look-up
//! touches one line whatever the filter's size. Bits are set and read without a lock, because the
//! request path asks on every keyed request.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits per entry. With [`PROBES`] bits of one line set for each, about one look-up in five
/// thousand is a false "maybe" in a full filter: a false one costs a read, memory costs 3 bytes.
const BITS_PER_ENTRY: usize = 24;

/// Bits per entry of a narrow filter: half the memory, and about one "maybe" in a hundred is false.
const NARROW_BITS_PER_ENTRY: usize = 12;

/// Bits that an entry sets in its line.
const PROBES: u32 = 7;

/// Bits of a cache line.
const LINE_BITS: usize = 512;
const LINE_WORDS: usize = LINE_BITS / 64;

/// A set of 64-bit hashes that can only answer "certainly not" or "maybe".
pub(super) struct Filter {
    words: Vec<AtomicU64>,
    lines: u64,
}

impl Filter {
    /// A filter for about `entries` entries; more only make "maybe" more frequent.
    pub(super) fn for_entries(entries: usize) -> Filter {
        Filter::of_bits(entries * BITS_PER_ENTRY)
    }

    /// A narrow filter for about `entries` entries: for filters that there are many of.
    pub(super) fn narrow_for_entries(entries: usize) -> Filter {
        Filter::of_bits(entries * NARROW_BITS_PER_ENTRY)
    }

    /// The filter that [`Filter::to_bytes`] gave; `None` where these can be no filter's bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Filter> {
        let words: Vec<AtomicU64> =
            bytes.chunks_exact(8).map(|word| AtomicU64::new(u64::from_le_bytes(word.try_into().unwrap_or_default()))).collect();
        let lines = (words.len() / LINE_WORDS) as u64;
        (lines > 0 && bytes.len() == words.len() * 8 && words.len().is_multiple_of(LINE_WORDS)).then_some(Filter { words, lines })
    }

    /// Its bits, for the disk.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
    }

    fn of_bits(bits: usize) -> Filter {
        let lines = bits.div_ceil(LINE_BITS).max(1);
        let words = std::iter::repeat_with(AtomicU64::default).take(lines * LINE_WORDS).collect();
        Filter { words, lines: lines as u64 }
    }

    /// Adds a hash.
    pub(super) fn insert(&self, hash: u64) {
        for (word, mask) in self.places(hash) {
            self.words[word].fetch_or(mask, Ordering::Relaxed);
        }
    }

    /// False means that the hash was never added.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        self.places(hash).all(|(word, mask)| self.words[word].load(Ordering::Relaxed) & mask != 0)
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        // The high half of the product picks the line, evenly for any number of lines.
        let line = usize::try_from((u128::from(hash) * u128::from(self.lines)) >> 64).unwrap_or(0);
        let bits = spread(hash);
        (0..PROBES).map(move |probe| {
            let bit = usize::try_from((bits >> (9 * probe)) & (LINE_BITS as u64 - 1)).unwrap_or(0);
            (line * LINE_WORDS + bit / 64, 1 << (bit % 64))
        })
    }
}

/// Mixes 64 bits so that every output bit depends on every input bit (the finaliser of SplitMix64).
pub(super) fn spread(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_never_denied_and_what_was_not_mostly_is() {
        let filter = Filter::for_entries(10_000);
        for n in 0..10_000u64 {
            filter.insert(spread(n + 1));
        }
        assert!((0..10_000).all(|n| filter.may_contain(spread(n + 1))));
        let false_maybes = (0..100_000).filter(|n| filter.may_contain(spread(1_000_000 + n))).count();
        assert!(false_maybes < 200, "{false_maybes} of 100,000");
    }

    #[test]
    fn a_narrow_filter_comes_back_from_its_bytes_and_denies_most() {
        let filter = Filter::narrow_for_entries(10_000);
        (0..10_000u64).for_each(|n| filter.insert(spread(n + 1)));
        let back = Filter::from_bytes(&filter.to_bytes()).expect("its own bytes");
        assert!((0..10_000).all(|n| back.may_contain(spread(n + 1))));
        let false_maybes = (0..100_000).filter(|n| back.may_contain(spread(1_000_000 + n))).count();
        assert!(false_maybes < 2_000, "{false_maybes} of 100,000");
        for length in [0, 7, 8, 63, 65] {
            assert!(Filter::from_bytes(&vec![0; length]).is_none(), "{length}");
        }
    }
}
