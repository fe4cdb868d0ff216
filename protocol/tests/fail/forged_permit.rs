//! A place in the hierarchy out of nothing. It names the fields as they are, so it is to follow them.
//!
//! expect: E0451
//! says: of struct `Permit` are private

use std::marker::PhantomData;
use steadfast_locks::{Fast, Permit};

pub fn case() -> Permit<'static, Fast> {
    Permit { _trace: unreachable!(), place: PhantomData }
}

fn main() {}
