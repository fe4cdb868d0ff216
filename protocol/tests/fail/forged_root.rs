//! A session that begins inside.
//!
//! expect: E0599
//! says: no function or associated item named `root` found for struct `Permit<'_, Fast>`

use steadfast_locks::{Fast, Permit};

pub fn case() -> Permit<'static, Fast> {
    Permit::<Fast>::root()
}

fn main() {}
