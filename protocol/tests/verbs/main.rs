//! Each verb against a host in memory: which effects it has, in which order, and what it says of them.
//!
//! The order is the protocol: what stands in these lists is what a crash can fall between. `BEGIN` is how every verb on a
//! running domain begins: look, lock, look again, call, fence. One with an intent of its own commits it before the fence,
//! where nothing is open.

mod host;
mod machine;
mod platform;
mod toy;

mod attach;
mod begin;
mod caller;
mod detach;
mod media;
mod record;
mod repair;
mod settle;
mod start;
mod stop;

pub(crate) const CALL: [&str; 4] = ["peek", "slow 1", "peek", "call 1"];
pub(crate) const BEGIN: [&str; 5] = ["peek", "slow 1", "peek", "call 1", "fence 1"];
/// Session first, lock last.
pub(crate) const END: [&str; 2] = ["hang up 1", "unlock 1"];

/// The lines of a verb on the running generation 1: how it begins, what it does, how it ends.
pub(crate) fn owning(lines: &[&'static str]) -> Vec<&'static str> {
    [&BEGIN, lines, &END].concat()
}

/// The same where nothing is open and the first of these is an intent.
pub(crate) fn intending(lines: &[&'static str]) -> Vec<&'static str> {
    let (intent, rest) = lines.split_at(1);
    [&CALL, intent, &["fence 1"], rest, &END].concat()
}
