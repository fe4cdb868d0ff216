//! An order of one's own.
//!
//! expect: E0117
//! says: only traits defined in the current crate can be implemented

use steadfast_locks::{Fast, Outside, Slow};

impl Outside<Slow> for Fast {}

fn main() {}
