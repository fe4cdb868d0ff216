//! A level of one's own.
//!
//! expect: E0277
//! says: Sealed` is not satisfied

pub enum Rogue {}

impl steadfast_locks::Level for Rogue {
    const NAME: &'static str = "rogue";
    const DEPTH: usize = 0;
}

fn main() {}
