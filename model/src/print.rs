//! Fingerprints: 64 bits that stand for a state, the same in every run and on every machine of one word size.
//!
//! Among n states two share one with a probability of about n² / 2⁶⁵: for ten million, one in 370,000. A collision would
//! hide a state, never invent one.

use std::hash::{BuildHasher, Hash, Hasher};

/// The fingerprint of a value.
pub(crate) fn print(value: &impl Hash) -> u64 {
    let mut hasher = Fold(SEED);
    value.hash(&mut hasher);
    hasher.finish()
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// Multiplies into 128 bits and folds both halves.
struct Fold(u64);

impl Fold {
    fn take(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        let [low, high] = [product & u128::from(u64::MAX), product >> 64];
        self.0 = (low ^ high) as u64 ^ self.0.rotate_left(23).wrapping_add(SEED);
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        let mut last = Fold(self.0);
        last.take(SEED);
        last.take(FACTOR);
        last.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.take(u64::from_le_bytes(word));
        }
        self.take(bytes.len() as u64);
    }

    fn write_u8(&mut self, word: u8) {
        self.take(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.take(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.take(word);
    }

    fn write_u128(&mut self, word: u128) {
        self.take(word as u64);
        self.take((word >> 64) as u64);
    }

    fn write_usize(&mut self, word: usize) {
        self.take(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.take(word as u64);
    }
}

/// For tables whose keys are fingerprints.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Print;

impl BuildHasher for Print {
    type Hasher = Same;

    fn build_hasher(&self) -> Same {
        Same(0)
    }
}

/// The key itself.
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.is_empty(), "a fingerprint is one word");
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::print;

    #[test]
    fn neighbours_have_different_fingerprints() {
        let all: HashSet<u64> = (1..=200_000u64)
            .flat_map(|n| [print(&n), print(&(n, 0u8)), print(&(0u8, n)), print(&vec![n])])
            .collect();
        assert_eq!(all.len(), 800_000);
    }
}
