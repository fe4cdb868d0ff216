//! A write-ahead log that one flipped bit has cut short.
//!
//! SQLite takes the first frame that does not verify for the end of the log: right after a power cut, and silent about
//! damage. Each frame's checksum goes on from the one before it, so a frame that verifies again with one bit turned
//! back, and leads on to frames that were committed, was damaged and not torn. Only what is proved like that is
//! reported: behind what a killed writer left, and behind what was written since, no single bit explains the break.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::StoreError;

const HEADER: usize = 32;
const FRAME: usize = 24;
/// What of a frame's header its checksum covers: page number and size after commit.
const COVERED: usize = 8;
const MAGIC: u32 = 0x377f_0682;

/// Commits that SQLite does not see, proved to have been made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The first damaged frame, from 0.
    pub(crate) frame: usize,
    /// How many commits stand in it and behind it.
    pub(crate) commits: usize,
    page_size: usize,
    /// Pages by number, as the last of these commits left them.
    pages: BTreeMap<u32, Vec<u8>>,
    /// Pages of the database after the last of them.
    size: u32,
}

/// What the log has lost, if anything.
pub(crate) fn lost(log: &[u8]) -> Option<Lost> {
    let word = |at: usize| Some(u32::from_be_bytes(log.get(at..at + 4)?.try_into().ok()?));
    let magic = word(0)?;
    if magic & !1 != MAGIC {
        return None;
    }
    let page_size = usize::try_from(word(8)?).ok().filter(|size| size.is_power_of_two())?;
    let chain = Chain { big_endian: magic & 1 == 1 };
    let mut seed = (word(24)?, word(28)?);
    if chain.sum((0, 0), log.get(..24)?) != seed {
        return None;
    }
    let salts = log.get(16..24)?;
    let mut found = Lost { frame: 0, commits: 0, page_size, pages: BTreeMap::new(), size: 0 };
    let mut damaged = None;
    let mut open = BTreeMap::new();
    for (number, frame) in log[HEADER..].chunks_exact(FRAME + page_size).enumerate() {
        let mut frame = frame.to_vec();
        if !chain.verifies(seed, &frame, salts) {
            // Each repair is tried only where a commit behind it would be lost.
            let behind = &log[HEADER + number * (FRAME + page_size)..];
            let leads_on = behind
                .chunks_exact(FRAME + page_size)
                .any(|frame| frame[8..16] == *salts && frame[4..8] != [0; 4]);
            if !leads_on || !chain.repair(seed, &mut frame, salts) {
                break;
            }
            damaged.get_or_insert(number);
        }
        let of = |at: usize| {
            u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        seed = (of(16), of(20));
        open.insert(of(0), frame[FRAME..].to_vec());
        if of(4) != 0 {
            let committed = std::mem::take(&mut open);
            if damaged.is_some() {
                found.commits += 1;
                found.size = of(4);
                found.pages.extend(committed);
            }
        }
    }
    found.frame = damaged?;
    (found.commits > 0).then_some(found)
}

impl Lost {
    /// Puts the lost pages into a copy of the database as SQLite sees it.
    pub(crate) fn restore(&self, copy: &Path) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("write", copy, error);
        let file = OpenOptions::new().write(true).open(copy).map_err(failed)?;
        let size = self.page_size as u64;
        for (number, page) in &self.pages {
            let at = u64::from(number.saturating_sub(1)) * size;
            file.write_all_at(page, at).map_err(failed)?;
        }
        file.set_len(u64::from(self.size) * size).map_err(failed)
    }
}

struct Chain {
    big_endian: bool,
}

impl Chain {
    fn sum(&self, seed: (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let (mut one, mut two) = seed;
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| {
                let bytes = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
                if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
            };
            one = one.wrapping_add(word(0)).wrapping_add(two);
            two = two.wrapping_add(word(4)).wrapping_add(one);
        }
        (one, two)
    }

    fn verifies(&self, seed: (u32, u32), frame: &[u8], salts: &[u8]) -> bool {
        let sum = self.sum(self.sum(seed, &frame[..COVERED]), &frame[FRAME..]);
        let stored = [sum.0.to_be_bytes(), sum.1.to_be_bytes()].concat();
        frame[8..16] == *salts && frame[16..FRAME] == stored
    }

    /// Turns the one bit back that makes the frame verify.
    fn repair(&self, seed: (u32, u32), frame: &mut [u8], salts: &[u8]) -> bool {
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            if self.verifies(seed, frame, salts) {
                return true;
            }
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        false
    }
}
