//! `cargo xtask`: the one entry for contributors.

fn main() {}
