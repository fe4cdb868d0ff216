//! Bytes from a file or from stdin, never more than the reader can use.

use std::fs::File;
use std::io::{self, Read};

use steadfast::Error;

use crate::printable::{clip, size};
use crate::problem::{invalid, refused};

/// The most a document may have, in bytes: a domain of a thousand devices has a fifth of it.
pub(crate) const DOCUMENT: u64 = 1 << 20;
/// The most a userdata blob may have, in bytes.
pub(crate) const BLOB: u64 = 16 << 20;

/// The file's name for messages.
pub(crate) fn name(source: &str) -> String {
    if source == "-" { "stdin".to_owned() } else { clip(source, 200) }
}

/// Reads a file, or stdin for `-`.
///
/// # Errors
/// `invalid` where there is no such file or it has more than `most` bytes, `environment` where it can't be read.
pub(crate) fn read(source: &str, most: u64) -> Result<Vec<u8>, Error> {
    let name = name(source);
    let failed = |error: io::Error| refused(format!("{name} can't be read"), &error);
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> = match source {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(File::open(path).map_err(failed)?),
    };
    // One byte more than allowed tells "too long" from "just fits", also for what has no end.
    reader.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(invalid(format!("{name} is too long: the limit is {}", size(most))));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steadfast::Kind;

    use super::*;

    #[test]
    fn a_file_may_have_just_the_limit_and_not_one_byte_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let file = folder.path().join("file");
        std::fs::write(&file, b"12345").unwrap();
        assert_eq!(read(&path(&file), 5), Ok(b"12345".to_vec()));
        assert_eq!(read(&path(&file), 4).unwrap_err().kind, Kind::Invalid);
        assert_eq!(read("/dev/zero", 4).unwrap_err().kind, Kind::Invalid);
        assert_eq!(read(&path(folder.path()), 5).unwrap_err().kind, Kind::Invalid);
        assert_eq!(read(&path(&folder.path().join("missing")), 5).unwrap_err().kind, Kind::Invalid);
    }
}
