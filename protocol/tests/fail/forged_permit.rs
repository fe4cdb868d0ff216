//! A place in the hierarchy out of nothing.
//!
//! expect: E0451
//! says: of struct `Permit` are private

use std::marker::PhantomData;
use steadfast_locks::{Fast, Permit};

pub fn case() -> Permit<'static, Fast> {
    Permit { trace: unreachable!(), place: PhantomData }
}

fn main() {}
