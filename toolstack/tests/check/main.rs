//! `check` on the real QEMU: each kind made by hand, named rightly, repaired as the contract says, clean afterwards.
#![expect(clippy::unwrap_used, reason = "a helper of a test that fails is a failed test")]

mod damage;
mod devices;
mod domains;
mod drift;
mod races;
mod world;
