//! What can be wrong with a document, a plan or a reply.

use crate::{Claim, Pool};

/// Why this crate refused something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A document or text that cannot be. Likely a typing mistake of the user.
    #[error("at {at}: {problem}")]
    Invalid {
        /// Keys from the top of the document, joined by dots; never longer than a line.
        at: String,
        /// What is wrong there.
        problem: Problem,
    },
    /// The domain has no free place of the kind the device needs.
    #[error("find a free {pool}: all {size} are taken")]
    NoRoom {
        /// What ran out.
        pool: Pool,
        /// How many the domain has.
        size: usize,
    },
    /// Another device of the domain holds what must be unique in it.
    #[error("claim {claim}: another device of the domain has it")]
    Taken {
        /// The contested claim.
        claim: Claim,
    },
    /// QEMU's answer does not have the shape its schema promises. Never read as "nothing there" (R19).
    #[error("read the reply to {command}: {problem}")]
    Reply {
        /// The command that was answered.
        command: String,
        /// What was expected and where.
        problem: String,
    },
    /// A device of the running QEMU that no class describes.
    #[error("describe {device}: {reason}")]
    NotOurs {
        /// QEMU's name of the device.
        device: String,
        /// Why it maps to no class.
        reason: String,
    },
}

/// What is wrong at one place of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A key that the document does not have.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key as given, clipped.
        key: String,
        /// The known key it was probably meant to be.
        nearest: Option<&'static str>,
        /// All keys known there.
        known: Vec<&'static str>,
    },
    /// A word outside a closed list.
    #[error("unknown value `{word}`")]
    UnknownWord {
        /// The word as given, clipped.
        word: String,
        /// The known word it was probably meant to be.
        nearest: Option<&'static str>,
        /// All words known there.
        known: Vec<&'static str>,
    },
    /// A required key is not there.
    #[error("missing, and it has no default")]
    Missing,
    /// The same key twice.
    #[error("given twice")]
    Twice,
    /// Another JSON type.
    #[error("expected {expected}")]
    WrongType {
        /// What was expected.
        expected: &'static str,
    },
    /// A string beyond its limit.
    #[error("{length} bytes long, the limit is {limit}")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// The length given, in bytes.
        length: usize,
    },
    /// NUL, newline, escape or another control character.
    #[error("contains a control character")]
    Control,
    /// The right type, but not of the right form.
    #[error("`{given}` is not {expected}")]
    Malformed {
        /// The value as given, clipped.
        given: String,
        /// The form expected.
        expected: &'static str,
    },
    /// Well-formed by itself, but not together with the rest.
    #[error("{0}")]
    Rule(String),
}

impl Error {
    /// An [`Error::Invalid`].
    pub(crate) fn invalid(at: &str, problem: Problem) -> Self {
        Self::Invalid { at: if at.is_empty() { "top".into() } else { at.into() }, problem }
    }

    /// An [`Error::Invalid`] for a rule between several keys.
    pub(crate) fn rule(at: &str, text: impl Into<String>) -> Self {
        Self::invalid(at, Problem::Rule(text.into()))
    }

    /// The next step for a person, if one can be named.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::Invalid { problem, .. } = self else { return None };
        match problem {
            Problem::UnknownKey { nearest, known, .. }
            | Problem::UnknownWord { nearest, known, .. } => Some(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known here: {}", known.join(", ")),
            }),
            _ => None,
        }
    }
}

/// A printable piece of untrusted input, short enough for one line.
pub(crate) fn clip(text: &str) -> String {
    const LIMIT: usize = 48;
    let mut out: String = text.chars().take(LIMIT).flat_map(char::escape_debug).collect();
    if text.chars().nth(LIMIT).is_some() {
        out.push('…');
    }
    out
}

/// A place one key below another.
pub(crate) fn below(at: &str, key: &str) -> String {
    if at.is_empty() { clip(key) } else { format!("{at}.{}", clip(key)) }
}

/// The known word nearest to `given`, if it is near enough to be a slip of the hand.
pub(crate) fn nearest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    if given.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|word| (distance(given, word), *word))
        .filter(|(distance, word)| *distance <= (word.len().max(given.len()) / 2).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edit distance where a swap of neighbours counts one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_word() {
        assert_eq!(nearest("scis", &["usb", "scsi", "virtio"]), Some("scsi"));
        assert_eq!(nearest("raedonly", &["readonly", "file"]), Some("readonly"));
        assert_eq!(nearest("zzzzzz", &["usb", "scsi"]), None);
    }

    #[test]
    fn untrusted_text_is_clipped_and_escaped() {
        let text = clip(&"\u{1b}".repeat(1_000_000));
        assert!(text.len() < 400 && !text.contains('\u{1b}'));
    }
}
