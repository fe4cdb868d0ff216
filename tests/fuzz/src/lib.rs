//! Inputs that nobody would think of, against everything that reads input.
//!
//! ```text
//! corpus/TARGET/* ──┐
//!                   ├── Hunt ── input ── Subject ── a panic anywhere = a broken promise ── corpus/TARGET/found-*
//! Mutator <── new branch?  <── Coverage (where built with counters)
//! ```
//!
//! A [`target::Target`] is one way in: text, JSON, a monitor's bytes, a damaged file. Its subject does not only ask that nothing
//! panics: what was accepted can be written and read back, what was refused is said with a place, memory is bounded, and a
//! wrong answer is never given for a right one.
//!
//! Three lengths: `cargo test` tries the kept inputs and some thousands made of them with a fixed seed; `cargo run --package
//! steadfast-fuzz` hunts for some seconds; the same with `STEADFAST_PROOF=deep` and the crates built with counters
//! (`tests/fuzz/instrument`) follows the branches of the code for as long as it is given. The counters are the compiler's own and
//! the hunt is ours, so that no tool has to be installed and the toolchain is the one the product is built with.

pub mod allocation;
pub mod corpus;
pub mod coverage;
pub mod hunt;
mod mutation;
mod proof;
pub mod random;
pub mod target;
mod witness;

pub use proof::Proof;
