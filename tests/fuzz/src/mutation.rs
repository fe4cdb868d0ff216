//! One input made of another.

use std::ops::Range;

use crate::random::Random;

/// What inputs may become.
pub(crate) struct Mutator<'a> {
    /// Words of the target's language, put in whole.
    pub(crate) words: &'a [&'a str],
    /// The longest input, in bytes.
    pub(crate) longest: usize,
}

/// Numbers at which programs err.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "4294967295",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
];

/// Bytes that end something in most languages.
const MARKS: &[u8] = b"{}[]\":,= \n\r\t\\+%#/-\0\x7f\xff";

impl Mutator<'_> {
    /// `input`, changed a few times; `other` is a source of pieces.
    pub(crate) fn mutate(&self, input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
        let mut changed = input.to_vec();
        for _ in 0..1 + random.below(4) {
            self.change(&mut changed, other, random);
        }
        changed.truncate(self.longest);
        changed
    }

    fn change(&self, bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        let at = random.below(bytes.len() + 1);
        match random.below(12) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.word() as u8;
                }
            }
            2 => bytes.insert(at, *random.one_of(MARKS).unwrap_or(&b'"')),
            3 => drop(bytes.drain(span(bytes.len(), 1 + random.below(16), random))),
            4 => {
                let piece = bytes[span(bytes.len(), 1 + random.below(64), random)].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let piece = &other[span(other.len(), 1 + random.below(64), random)];
                bytes.splice(at..at, piece.iter().copied());
            }
            6 | 7 => {
                let word = random.one_of(self.words).map_or(&b""[..], |word| word.as_bytes());
                let place = if random.once_in(2) { at..at } else { token(bytes, at) };
                bytes.splice(place, word.iter().copied());
            }
            8 => {
                let number = random.one_of(&NUMBERS).map_or(&b"0"[..], |number| number.as_bytes());
                bytes.splice(number_near(bytes, at), number.iter().copied());
            }
            9 => {
                let (from, to) = (token(bytes, at), token(other, random.below(other.len() + 1)));
                bytes.splice(from, other[to].iter().copied());
            }
            10 => {
                let number = number_near(bytes, at);
                let value = std::str::from_utf8(&bytes[number.clone()]).ok();
                if let Some(value) = value.and_then(|text| text.parse::<u64>().ok()) {
                    let value = value.wrapping_add(random.below(9) as u64).wrapping_sub(4);
                    bytes.splice(number, value.to_string().into_bytes());
                }
            }
            _ => drop(bytes.drain(token(bytes, at))),
        }
    }
}

/// Some place of at most `length` bytes among `whole`.
fn span(whole: usize, length: usize, random: &mut Random) -> Range<usize> {
    let start = random.below(whole);
    start..(start + length).min(whole)
}

/// The word around a place: what stands between two marks.
fn token(bytes: &[u8], at: usize) -> Range<usize> {
    around(bytes, at, |byte| !MARKS.contains(byte))
}

/// The digits around a place, or the first behind it.
fn number_near(bytes: &[u8], at: usize) -> Range<usize> {
    let behind = bytes[at.min(bytes.len())..].iter().position(u8::is_ascii_digit);
    around(bytes, at + behind.unwrap_or(0), u8::is_ascii_digit)
}

fn around(bytes: &[u8], at: usize, belongs: impl Fn(&u8) -> bool) -> Range<usize> {
    let at = at.min(bytes.len());
    let start = bytes[..at].iter().rposition(|byte| !belongs(byte)).map_or(0, |last| last + 1);
    let end =
        bytes[at..].iter().position(|byte| !belongs(byte)).map_or(bytes.len(), |end| at + end);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_none_is_too_long() {
        let mutator = Mutator { words: &["null", "true"], longest: 40 };
        let series = |seed| {
            let mut random = Random::new(seed);
            let mut input = br#"{"a":1,"b":[2,3]}"#.to_vec();
            (0..2000)
                .map(|_| {
                    input = mutator.mutate(&input, b"class=disk,bus=17", &mut random);
                    input.clone()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(series(7), series(7));
        assert_ne!(series(7), series(8));
        assert!(series(7).iter().all(|input| input.len() <= 40));
    }

    #[test]
    fn words_and_numbers_are_found_around_a_place() {
        assert_eq!(token(b"bus=scsi,a", 6), 4..8);
        assert_eq!(number_near(b"at 4096 end", 1), 3..7);
        assert_eq!(token(b"", 0), 0..0);
    }
}
