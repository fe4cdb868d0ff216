//! A proof kept for later.
//!
//! expect: E0599
//! says: method not found in `Described<'_, '_, P>`

use steadfast_protocol::{Described, Platform};

pub fn case<P: Platform>(described: Described<'_, '_, P>) {
    let _ = described.clone();
}

fn main() {}
