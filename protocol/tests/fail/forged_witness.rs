//! A proof out of nothing.
//!
//! expect: E0451
//! says: of struct `Described` are private

use steadfast_protocol::{Described, Owner, Plan, Platform};

pub fn case<'o, 's, P: Platform>(owner: &'o mut Owner<'s, P>) -> Described<'o, 's, P> {
    Described { owner, things: unreachable!(), plan: Plan::Whole }
}

fn main() {}
