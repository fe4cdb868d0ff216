//! Which file is meant, and what is in it.
//!
//! Twenty-eight bytes: `0000004711\n`, the pid that the child wrote, or zeroes before it did; then the sixteen
//! hexadecimal digits of the nonce and a newline.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, StatxFlags};
use serde::{Deserialize, Serialize};

/// Which file is meant, wherever its name points by now. It is part of the record.
///
/// An inode number is handed out again like a pid, often to the very next file, and the time of birth is too coarse to
/// tell the two apart. The nonce keeps a late destroy of one generation from finding, and killing, the process of the
/// next (R14).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AliveIdentity {
    /// `st_dev` of the file.
    pub device: u64,
    /// `st_ino` of the file.
    pub inode: u64,
    /// What was written into it when it was made: a random number.
    pub nonce: u64,
    /// The boot it was made in; no process outlives that.
    pub boot: String,
}

/// Device and inode.
pub(super) type Place = (u64, u64);

/// How much of the file is the pid, and what it is until the child writes one: the room is made by the spawner, so
/// that a full disk is met there and not between fork and exec.
pub(super) const NO_PID: [u8; 11] = *b"0000000000\n";

/// The whole length.
pub(super) const LENGTH: usize = NO_PID.len() + 17;

impl AliveIdentity {
    pub(super) fn place(&self) -> Place {
        (self.device, self.inode)
    }

    /// Whether the content is that of this file. `None` where it is no content of any alive file, which says nothing.
    /// For the child, too: no allocation.
    pub(super) fn is_in(&self, content: &[u8]) -> Option<bool> {
        nonce_in(content).map(|nonce| nonce == self.nonce)
    }
}

/// What a new file holds.
pub(super) fn content(nonce: u64) -> [u8; LENGTH] {
    let mut content = [b'\n'; LENGTH];
    content[..NO_PID.len()].copy_from_slice(&NO_PID);
    for (position, digit) in content[NO_PID.len()..LENGTH - 1].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(nonce >> (60 - 4 * position)) as usize & 0xf];
    }
    content
}

pub(super) fn nonce_in(content: &[u8]) -> Option<u64> {
    let digits = content.strip_suffix(b"\n").filter(|content| content.len() == LENGTH - 1)?;
    digits[NO_PID.len()..].iter().try_fold(0, |nonce, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(nonce << 4 | u64::from(value))
    })
}

/// The pid in the content; `None` where it is not that of an alive file.
pub(super) fn pid_in(content: &[u8]) -> Option<u32> {
    nonce_in(content)?;
    let (digits, newline) = content[..NO_PID.len()].split_at(NO_PID.len() - 1);
    let whole = newline == b"\n" && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| whole)?.parse().ok()
}

/// The pid as the eleven bytes that begin the content. For the child: no allocation.
pub(super) fn written(mut pid: u32) -> [u8; 11] {
    let mut digits = NO_PID;
    for digit in digits[..10].iter_mut().rev() {
        *digit = b'0' + (pid % 10) as u8;
        pid /= 10;
    }
    digits
}

/// All that is in the file, or what there is room for and one byte more.
pub(super) fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut content = vec![0; LENGTH + 1];
    let length = file.read_at(&mut content, 0)?;
    content.truncate(length);
    Ok(content)
}

pub(super) fn place_of(file: &File) -> io::Result<Place> {
    let status = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
    Ok((rustix::fs::makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino))
}

pub(super) fn fresh_nonce() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer is as long as is said. So few bytes come in one piece.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len().cast_signed() {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for nonce in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            for pid in [0, 1, 4711, u32::MAX] {
                let mut content = content(nonce);
                content[..11].copy_from_slice(&written(pid));
                assert_eq!((nonce_in(&content), pid_in(&content)), (Some(nonce), Some(pid)));
            }
        }
        assert_eq!(&content(0xab), b"0000000000\n00000000000000ab\n");
    }

    #[test]
    fn damaged_content_says_nothing() {
        let good = content(7);
        let with = |position: usize, byte: u8| {
            let mut bad = good;
            bad[position] = byte;
            bad
        };
        let longer = [&good[..], b"x"].concat();
        for bad in [&[], &good[..11], &good[..27], &longer[..], &with(27, b' '), &with(20, b'g')] {
            assert_eq!((nonce_in(bad), pid_in(bad)), (None, None));
        }
        for bad in [with(0, b'-'), with(0, b'+'), with(10, b'0'), with(0, b'9')] {
            assert_eq!(pid_in(&bad), None);
        }
    }

    #[test]
    fn two_files_of_one_number_are_told_apart_by_what_is_in_them() {
        let nonces = [(); 3].map(|()| fresh_nonce().unwrap());
        assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2]);
        let identity = AliveIdentity { device: 1, inode: 2, nonce: nonces[0], boot: String::new() };
        assert_eq!(identity.place(), (1, 2));
        assert_eq!(identity.is_in(&content(nonces[0])), Some(true));
        assert_eq!(identity.is_in(&content(nonces[1])), Some(false));
        assert_eq!(identity.is_in(b"something else"), None);
    }
}
