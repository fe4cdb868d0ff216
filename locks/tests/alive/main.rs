//! The alive lock against real processes: forked, exec'd, killed and recovered.

#![expect(clippy::unwrap_used, reason = "a test fails by it, in what it stands on as well")]

mod kill;
mod lock;
mod race;
mod sight;
mod support;
