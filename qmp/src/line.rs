//! Bytes into lines.

use std::ops::Range;

use memchr::memchr;

/// How much is read at a time at least, and kept between lines.
const CHUNK: usize = 64 << 10;

/// What was read and not yet taken, cut at line feeds. It never holds much more than one line of
/// the limit: a line without an end is refused while it is read.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Everything before it was taken.
    start: usize,
    /// No line feed is between `start` and here.
    searched: usize,
    limit: usize,
}

/// A line that is longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, limit }
    }

    /// Where to append what is read next; it has room.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * CHUNK {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(CHUNK);
        &mut self.buffer
    }

    /// Takes the next whole line, without the line feed and the carriage return that QEMU sends
    /// before it; `None` where it is not whole yet.
    pub(crate) fn take(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let found = memchr(b'\n', &self.buffer[self.searched..]);
        let end = found.map_or(self.buffer.len(), |offset| self.searched + offset);
        if end - self.start > self.limit {
            return Err(TooLong);
        }
        if found.is_none() {
            self.searched = end;
            return Ok(None);
        }
        let line: Range<usize> = self.start..end;
        self.start = end + 1;
        self.searched = self.start;
        let line = &self.buffer[line];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(lines: &mut Lines) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| lines.take().unwrap().map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn lines_are_the_same_wherever_the_reads_fall() {
        let text = b"{\"a\":1}\r\n\n\r\nx\ry\r\n\xff\nend\r\ntail";
        let whole: [&[u8]; 6] = [b"{\"a\":1}", b"", b"", b"x\ry", b"\xff", b"end"];
        for step in 1..=text.len() {
            let mut lines = Lines::new(16);
            let mut seen = Vec::new();
            for part in text.chunks(step) {
                lines.room().extend_from_slice(part);
                seen.extend(take_all(&mut lines));
            }
            assert_eq!(seen, whole, "in steps of {step}");
        }
    }

    #[test]
    fn a_line_of_the_limit_is_taken_and_one_byte_more_is_refused() {
        let mut lines = Lines::new(4);
        lines.room().extend_from_slice(b"1234\n12345\n");
        assert_eq!(lines.take(), Ok(Some(&b"1234"[..])));
        assert_eq!(lines.take(), Err(TooLong));
    }

    #[test]
    fn a_line_without_an_end_is_refused_before_it_ends() {
        let mut lines = Lines::new(4);
        lines.room().extend_from_slice(b"1234");
        assert_eq!(lines.take(), Ok(None));
        lines.room().extend_from_slice(b"5");
        assert_eq!(lines.take(), Err(TooLong));
    }

    #[test]
    fn the_room_of_a_long_line_is_given_back() {
        let mut lines = Lines::new(64 << 20);
        lines.room().extend_from_slice(&vec![b'x'; 32 << 20]);
        lines.room().push(b'\n');
        assert_eq!(lines.take().unwrap().map(<[u8]>::len), Some(32 << 20));
        assert!(lines.room().capacity() <= 4 * CHUNK);
    }
}
