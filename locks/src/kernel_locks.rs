//! Who holds which flock, as the kernel tells it in `/proc/locks`. Reading it disturbs nobody, which cannot be said of
//! trying a lock to see whether it is free.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::sync::kernel;

/// The exclusive flocks that were held when the list was read.
#[derive(Debug, Default)]
pub(crate) struct KernelLocks(Vec<Flock>);

#[derive(Debug, PartialEq, Eq)]
struct Flock {
    pid: u32,
    major: u32,
    minor: u32,
    inode: u64,
}

impl KernelLocks {
    pub(crate) fn read() -> io::Result<Self> {
        Ok(Self::parse(&kernel::locks()?))
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Flock::parse).collect())
    }

    /// The process that locked this file. It may be dead, with a child of its that has not exec'd holding on.
    pub(crate) fn holder(&self, file: &Metadata) -> Option<u32> {
        self.0.iter().find(|flock| flock.is_on(file)).map(|flock| flock.pid)
    }

    /// Whether this process is listed with this file. Asked per process because the device of a file cannot be compared
    /// exactly everywhere, so that two files may look like one.
    pub(crate) fn is_held_by(&self, file: &Metadata, pid: u32) -> bool {
        self.0.iter().any(|flock| flock.pid == pid && flock.is_on(file))
    }
}

impl Flock {
    /// A line is `ID: KIND MODE ACCESS PID MAJOR:MINOR:INODE START END`, device numbers in hexadecimal. A waiter has
    /// `->` in the place of the kind.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        if words.next()? != "FLOCK" || words.next().is_none() || words.next()? != "WRITE" {
            return None;
        }
        let pid = words.next()?.parse().ok()?;
        let mut place = words.next()?.split(':');
        Some(Self {
            pid,
            major: u32::from_str_radix(place.next()?, 16).ok()?,
            minor: u32::from_str_radix(place.next()?, 16).ok()?,
            inode: place.next()?.parse().ok()?,
        })
    }

    /// A file system without a device of its own may show one minor number in stat and another one here (btrfs does,
    /// for each subvolume), so among those the inode decides.
    fn is_on(&self, file: &Metadata) -> bool {
        let (major, minor) = (libc::major(file.dev()), libc::minor(file.dev()));
        self.inode == file.ino() && self.major == major && (self.minor == minor || major == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: &str = "\
1: OFDLCK ADVISORY  WRITE -1 fe:00:77 1099511627777 1099511627777
2: FLOCK  ADVISORY  WRITE 4711 fe:0a:1234 0 EOF
2: -> FLOCK  ADVISORY  WRITE 4712 fe:0a:1234 0 EOF
3: FLOCK  ADVISORY  READ  4713 fe:00:99 0 EOF
4: POSIX  ADVISORY  WRITE 4714 fe:00:98 0 EOF
";

    #[test]
    fn only_holders_of_exclusive_flocks_are_listed() {
        let locks = KernelLocks::parse(LOCKS).0;
        assert_eq!(locks, [Flock { pid: 4711, major: 0xfe, minor: 0xa, inode: 1234 }]);
    }

    #[test]
    fn a_file_of_the_same_number_on_another_device_is_not_meant() {
        let file = tempfile::tempfile().unwrap().metadata().unwrap();
        let (major, minor) = (libc::major(file.dev()), libc::minor(file.dev()));
        let flock = |major, minor| Flock { pid: 1, major, minor, inode: file.ino() };
        assert!(flock(major, minor).is_on(&file));
        assert!(!flock(major + 1, minor).is_on(&file));
        assert_eq!(flock(major, minor + 1).is_on(&file), major == 0, "there the inode decides");
        assert!(!Flock { inode: file.ino() + 1, ..flock(major, minor) }.is_on(&file));
    }
}
