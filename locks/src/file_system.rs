//! Where file locks may lie.

use std::os::fd::AsFd;
use std::path::Path;

use crate::error::LockError;

/// File systems on which flock is emulated by record locks, or is not seen by other hosts, by their magic numbers.
const REFUSED: [(u64, &str); 5] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9p"),
];

/// Refuses a file system on which neither flock nor the write-ahead log of the store can be relied on.
///
/// # Errors
/// [`LockError::FileSystem`] for NFS, CIFS, SMB and 9p; [`LockError::Io`] where the path cannot be asked about.
pub fn check_file_system(path: &Path) -> Result<(), LockError> {
    let found = rustix::fs::statfs(path).map_err(|errno| LockError::io(path, errno.into()))?;
    judge(path, magic(&found))
}

/// The same for an open file.
pub(crate) fn check_file(path: &Path, file: impl AsFd) -> Result<(), LockError> {
    let found = rustix::fs::fstatfs(file).map_err(|errno| LockError::io(path, errno.into()))?;
    judge(path, magic(&found))
}

/// The magic number is 32 bits wide; where the field is wider and signed the upper half is a sign or nothing.
fn magic(found: &rustix::fs::StatFs) -> u64 {
    u64::from(found.f_type as u32)
}

fn judge(path: &Path, magic: u64) -> Result<(), LockError> {
    match REFUSED.iter().find(|(refused, _)| *refused == magic) {
        Some(&(_, kind)) => Err(LockError::FileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_by_name() {
        for (magic, name) in
            [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB"), (0x0102_1997, "9p")]
        {
            let text = judge(Path::new("/mnt/x"), magic).expect_err("refused").to_string();
            assert!(text.contains(name) && text.contains("/mnt/x"), "{text}");
        }
    }

    #[test]
    fn the_magic_number_is_read_as_the_kernel_has_it() {
        assert_eq!(magic(&rustix::fs::statfs("/proc").unwrap()), 0x9fa0);
    }

    #[test]
    fn local_file_systems_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        check_file_system(folder.path()).unwrap();
        check_file_system(Path::new("/dev/shm")).unwrap();
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_and_no_verdict() {
        assert!(matches!(
            check_file_system(Path::new("/nonexistent/x")),
            Err(LockError::Io { .. })
        ));
    }
}
