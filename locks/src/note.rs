//! A note in a lock file: who holds the lock, since when and what for.
//!
//! ```text
//! word  0   pid               2   since when, in nanoseconds of the wall clock
//!       1   start time        3   the lengths of the four texts, 16 bits each
//!    4- 5   level           6-13  domain        14-17  verb        18-21  stage
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::process::ProcessId;

/// How many words a note has.
pub(crate) const WORDS: usize = 22;

/// How many bytes of a domain's name a note keeps.
const DOMAIN: usize = 64;
/// How many bytes are kept of the level, the domain, the verb and the stage.
const TEXTS: [usize; 4] = [16, DOMAIN, 32, 32];
const STAGE: usize = 3;

const AT_LENGTHS: usize = 3;
const AT_TEXTS: usize = 4;

/// A note, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) process: ProcessId,
    pub(crate) since: SystemTime,
    pub(crate) level: String,
    pub(crate) domain: String,
    pub(crate) verb: String,
    pub(crate) stage: String,
}

impl Note {
    /// `None` for a cleared note, and for one that no version of this code writes.
    pub(crate) fn decode(words: &[u64]) -> Option<Self> {
        let pid = u32::try_from(words[0]).ok().filter(|pid| *pid != 0)?;
        let lengths = words[AT_LENGTHS].to_ne_bytes();
        let bytes: Vec<u8> = words[AT_TEXTS..].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut fields = lengths.as_chunks::<2>().0.iter().zip(TEXTS);
        let mut texts = &bytes[..];
        let mut text = || {
            let (length, most) = fields.next()?;
            let (field, rest) = texts.split_at_checked(most)?;
            texts = rest;
            let field = field.get(..usize::from(u16::from_ne_bytes(*length)))?;
            std::str::from_utf8(field).ok().map(str::to_owned)
        };
        Some(Self {
            process: ProcessId { pid, started: words[1] },
            since: UNIX_EPOCH + Duration::from_nanos(words[2]),
            level: text()?,
            domain: text()?,
            verb: text()?,
            stage: text()?,
        })
    }
}

/// A note, as it is written: encoded once, whatever is done with it.
#[derive(Clone, Debug)]
pub(crate) struct Slip([u64; WORDS]);

impl Slip {
    /// What is written where there is no note.
    pub(crate) const CLEARED: Self = Self([0; WORDS]);

    /// The texts are level, domain, verb and stage.
    pub(crate) fn new(process: ProcessId, since: SystemTime, texts: [&str; 4]) -> Self {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut slip = Self::CLEARED;
        slip.0[0] = u64::from(process.pid);
        slip.0[1] = process.started;
        slip.0[2] = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        for (field, text) in texts.into_iter().enumerate() {
            slip.put(field, text);
        }
        slip
    }

    /// The same with another stage.
    pub(crate) fn set_stage(&mut self, stage: &str) {
        self.put(STAGE, stage);
    }

    pub(crate) fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    fn put(&mut self, field: usize, text: &str) {
        let text = kept(text, TEXTS[field]);
        let mut lengths = self.0[AT_LENGTHS].to_ne_bytes();
        lengths.as_chunks_mut::<2>().0[field] = (text.len() as u16).to_ne_bytes();
        self.0[AT_LENGTHS] = u64::from_ne_bytes(lengths);
        let start = AT_TEXTS + TEXTS[..field].iter().sum::<usize>() / 8;
        let place = &mut self.0[start..][..TEXTS[field] / 8];
        for (at, word) in place.iter_mut().enumerate() {
            let part = text.as_bytes().get(at * 8..).unwrap_or_default();
            let part = &part[..part.len().min(8)];
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            *word = u64::from_ne_bytes(bytes);
        }
    }
}

/// The longest whole characters of `text` within `most` bytes.
fn kept(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slip(domain: &str, stage: &str) -> Slip {
        let process = ProcessId { pid: 4711, started: 99 };
        let since = UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123);
        Slip::new(process, since, ["slow", domain, "attach", stage])
    }

    #[test]
    fn a_note_is_read_as_written() {
        let read = Note::decode(slip("web1", "effect").words()).unwrap();
        assert_eq!(read.process, ProcessId { pid: 4711, started: 99 });
        assert_eq!(read.since, UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123));
        let texts = [read.level, read.domain, read.verb, read.stage];
        assert_eq!(texts, ["slow", "web1", "attach", "effect"]);
        assert_eq!(Note::decode(Slip::CLEARED.words()), None);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let read = Note::decode(slip(&format!("x{}", "ä".repeat(100)), "effect").words()).unwrap();
        assert_eq!(read.domain, format!("x{}", "ä".repeat(DOMAIN / 2 - 1)));
    }

    #[test]
    fn of_a_stage_before_nothing_is_left() {
        let mut slip = slip("web1", "a stage with a long name");
        slip.set_stage("b");
        assert_eq!(slip.words(), self::slip("web1", "b").words());
    }

    #[test]
    fn the_words_are_where_processes_of_other_versions_look_for_them() {
        let slip = slip("web1", "effect");
        let word = |text: &[u8; 8]| u64::from_ne_bytes(*text);
        let starts = [4, 6, 14, 18].map(|at| slip.words()[at]);
        assert_eq!(
            starts,
            [
                word(b"slow\0\0\0\0"),
                word(b"web1\0\0\0\0"),
                word(b"attach\0\0"),
                word(b"effect\0\0")
            ]
        );
        let lengths = slip.words()[3].to_ne_bytes().as_chunks::<2>().0.to_vec();
        assert_eq!(lengths, [4_u16, 4, 6, 6].map(u16::to_ne_bytes));
        assert_eq!(slip.words()[..3], [4711, 99, 1_234_567_890_123]);
    }
}
