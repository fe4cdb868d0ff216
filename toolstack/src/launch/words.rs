//! What QEMU said before it ended.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// How much of the log is quoted, in bytes.
const MOST: usize = 2048;

/// The end of a log, at most 2 KB, from the beginning of a line where it can be. What is no UTF-8, and what would
/// control a terminal, is shown as `\u{FFFD}`: QEMU is not trusted. A log that can't be read is said to be so.
#[must_use]
pub fn last_words(log: &Path) -> String {
    match tail(log) {
        Ok((bytes, cut)) => readable(&bytes, cut),
        Err(error) => format!("(its log {} could not be read: {error})", log.display()),
    }
}

/// The last bytes, and whether there were more before them.
fn tail(log: &Path) -> io::Result<(Vec<u8>, bool)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(log)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(MOST as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::with_capacity(MOST);
    file.take(MOST as u64).read_to_end(&mut bytes)?;
    Ok((bytes, start > 0))
}

fn readable(bytes: &[u8], cut: bool) -> String {
    let whole_lines = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) if cut && end + 1 < bytes.len() => &bytes[end + 1..],
        _ => bytes,
    };
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
    };
    let text: String = String::from_utf8_lossy(whole_lines).trim().chars().map(shown).collect();
    // A replacement is longer than what it stands for.
    let surplus = text.len().saturating_sub(MOST);
    text[text.ceil_char_boundary(surplus)..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(log: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, log).unwrap();
        last_words(&path)
    }

    #[test]
    fn a_short_log_is_quoted_whole() {
        assert_eq!(words(b"qemu: bad option\n  try -help\n\n"), "qemu: bad option\n  try -help");
        assert_eq!(words(b""), "");
    }

    #[test]
    fn a_long_log_is_cut_at_a_line_and_bounded_whatever_it_holds() {
        let log = "one line of thirty characters.\n".repeat(1000);
        let quoted = words(log.as_bytes());
        assert!(quoted.len() <= MOST && quoted.len() > MOST - 64 && quoted.starts_with("one line"));
        let garbage = words(&[0xff; 100_000]);
        assert!(garbage.len() <= MOST && garbage.len() > MOST - 4);
    }

    #[test]
    fn a_log_cannot_control_the_terminal_it_is_shown_on() {
        assert_eq!(words(b"a\x1b[2Jb\x07\tc\xc2\x9bd"), "a\u{FFFD}[2Jb\u{FFFD}\tc\u{FFFD}d");
    }

    #[test]
    fn a_log_that_cannot_be_read_is_said_to_be_so() {
        let folder = tempfile::tempdir().unwrap();
        assert!(last_words(&folder.path().join("none")).contains("could not be read"));
    }
}
