//! A few words that one writes while others read, and the seal by which a reader knows them for whole.
//!
//! ```text
//! word 0   sequence: zero before the first write, odd during one
//!      1   checksum over the sequence and the body
//!      2-  body
//! ```
//!
//! A writer stores word by word and calls nobody; it may be killed in the middle. A reader takes the words in any order
//! at all, so the sequence alone would prove nothing: it is the checksum that does.

use std::sync::atomic::Ordering;

use crate::sync::{SharedWord, fence};

/// How many words stand before the body.
pub(crate) const BODY: usize = 2;

const SEQUENCE: usize = 0;
const CHECKSUM: usize = 1;

/// A word that is shared.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
}

impl Word for SharedWord {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
}

/// What was read is not what one write left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Torn;

/// Writes a body as long as the words leave room for. By one thread at a time; two at once leave a torn one.
pub(crate) fn write<W: Word>(words: &[W], body: &[u64]) {
    debug_assert_eq!(words.len(), BODY + body.len());
    let before = words[SEQUENCE].load(Ordering::Relaxed);
    // Odd, whatever a writer that was killed half way has left.
    let during = before.wrapping_add(2) | 1;
    let after = during.wrapping_add(1);
    words[SEQUENCE].store(during, Ordering::Relaxed);
    fence(Ordering::Release);
    for (word, value) in words[BODY..].iter().zip(body) {
        word.store(*value, Ordering::Relaxed);
    }
    words[CHECKSUM].store(checksum(after, body), Ordering::Relaxed);
    words[SEQUENCE].store(after, Ordering::Release);
}

/// The body among the words that were read, or `None` where none was ever written.
pub(crate) fn read(words: &[u64]) -> Result<Option<&[u64]>, Torn> {
    let (sequence, body) = (words[SEQUENCE], &words[BODY..]);
    if sequence == 0 {
        return Ok(None);
    }
    if sequence % 2 == 1 || words[CHECKSUM] != checksum(sequence, body) {
        return Err(Torn);
    }
    Ok(Some(body))
}

/// FNV-1a over words: against tearing, not against malice.
fn checksum(sequence: u64, body: &[u64]) -> u64 {
    std::iter::once(&sequence).chain(body).fold(0xcbf2_9ce4_8422_2325, |sum: u64, word| {
        (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
    })
}
