//! The checksum of a row.

/// A 64-bit checksum over the columns of a row, in order.
///
/// It guards against bits that flip, not against people. Each step is a bijection of the state for a given word and of the word
/// for a given state, so damage confined to one word of eight bytes is *always* seen, and any other with probability
/// 1 - 2^-64. It takes eight bytes a step, where the usual byte-wise ones would cost more than the read itself. The values are
/// on disk: changing anything here needs a schema version.
pub(crate) struct Checksum(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Checksum {
    /// Starts with the table's name, so that a row moved to another table does not verify.
    pub(crate) fn new(table: &str) -> Self {
        let mut sum = Self(MULTIPLIER);
        sum.bytes(b'@', table.as_bytes());
        sum
    }

    pub(crate) fn null(&mut self) {
        self.word(u64::from(b'n'));
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.word(u64::from(b'i'));
        self.word(value.cast_unsigned());
    }

    pub(crate) fn text(&mut self, value: &[u8]) {
        self.bytes(b't', value);
    }

    pub(crate) fn blob(&mut self, value: &[u8]) {
        self.bytes(b'b', value);
    }

    /// The sum as SQLite keeps integers.
    pub(crate) fn finish(mut self) -> i64 {
        self.word(0);
        (self.0 ^ (self.0 >> 29)).cast_signed()
    }

    /// The length goes in front, so that bytes cannot move from one column to the next unseen.
    fn bytes(&mut self, kind: u8, value: &[u8]) {
        self.word(u64::from(kind) << 56 | value.len() as u64);
        let (words, rest) = value.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(MULTIPLIER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(text: &[u8], number: i64) -> i64 {
        let mut sum = Checksum::new("device");
        sum.text(text);
        sum.integer(number);
        sum.null();
        sum.finish()
    }

    #[test]
    fn every_flipped_bit_changes_the_sum() {
        let text: Vec<u8> = (0..=200).collect();
        let whole = sum(&text, -7);
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sum(&damaged, -7), whole, "bit {bit}");
        }
        for bit in 0..64 {
            assert_ne!(sum(&text, -7 ^ (1 << bit)), whole, "bit {bit} of the number");
        }
    }

    #[test]
    fn bytes_moved_between_columns_change_the_sum() {
        let split = |a: &[u8], b: &[u8]| {
            let mut sum = Checksum::new("claim");
            sum.text(a);
            sum.text(b);
            sum.finish()
        };
        assert_ne!(split(b"ab", b"c"), split(b"a", b"bc"));
        assert_ne!(split(b"", b"abc"), split(b"abc", b""));
    }

    #[test]
    fn a_row_of_another_table_does_not_verify() {
        assert_ne!(Checksum::new("device").finish(), Checksum::new("claim").finish());
    }

    #[test]
    fn sums_on_disk_stay_what_they_are() {
        assert_eq!(sum(b"{\"class\":\"disk\"}", 42), PINNED);
    }

    const PINNED: i64 = 8_214_467_216_962_273_820;
}
