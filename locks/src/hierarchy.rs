//! The lock hierarchy, whole, in one place. Read the `hierarchy!` line at the end of the list aloud: what stands
//! further left may be held while something further right is acquired, and never the reverse (R6).
//!
//! | level | one per | held across | guards |
//! |---|---|---|---|
//! | [`Unlocked`] | session | anything | nothing: where every session begins |
//! | [`Slow`] | generation of a domain | commands to QEMU | what those commands add and remove |
//! | [`Monitor`] | generation of a domain | one round of queries | the turn on the query socket |
//! | [`Ctx`] | host object | memory accesses | the in-memory tables of the host |
//! | [`Fast`] | domain | one section of the record | decisions on the record and writes to it (R2) |
//! | [`Gate`] | store | one database transaction | the turn to write |
//!
//! A [`Permit`] proves *order* only: that nothing at the same level or further in is held by this session.
//! *Possession* is proved by guards, which are made of a permit and a lock. Two things are beyond types, and are left to
//! the check in debug builds ([`lockdep`](crate::lockdep)): a second root session of the same task, and a permit that
//! is leaked.

use std::fmt;
use std::marker::PhantomData;

use crate::lockdep::Trace;

mod sealed {
    pub trait Sealed {}
}

/// A level of the hierarchy. Sealed: the list in this file is complete.
pub trait Level: sealed::Sealed + Send + Sync + 'static {
    /// The name of the level in lower case, as errors and owner notes spell it.
    const NAME: &'static str;
    /// How far in the level lies; the outermost is 0.
    const DEPTH: usize;
}

/// `Self` may be held while a lock at level `Inner` is acquired.
#[diagnostic::on_unimplemented(
    message = "lock order violation: level `{Inner}` cannot be entered from level `{Self}`",
    label = "this session is already at level `{Self}`",
    note = "the order is Unlocked > Slow > Monitor > Ctx > Fast > Gate; several locks of one level are acquired all at once"
)]
pub trait Outside<Inner: Level>: Level {}

macro_rules! hierarchy {
    ($($level:ident)>+) => {
        hierarchy!(@levels 0; $($level)+);
        hierarchy!(@pairs $($level)+);
    };
    (@levels $depth:expr;) => {};
    (@levels $depth:expr; $level:ident $($inner:ident)*) => {
        #[doc = concat!("The level `", stringify!($level), "`; the table of this module says what it guards.")]
        #[derive(Debug)]
        pub enum $level {}
        impl sealed::Sealed for $level {}
        impl Level for $level {
            const NAME: &'static str = {
                const SPELLED: [u8; stringify!($level).len()] = lower_case(stringify!($level).as_bytes());
                match std::str::from_utf8(&SPELLED) {
                    Ok(name) => name,
                    Err(_) => stringify!($level),
                }
            };
            const DEPTH: usize = $depth;
        }
        hierarchy!(@levels $depth + 1; $($inner)*);
    };
    (@pairs) => {};
    (@pairs $level:ident $($inner:ident)*) => {
        $( impl Outside<$inner> for $level {} )*
        hierarchy!(@pairs $($inner)*);
    };
}

hierarchy!(Unlocked > Slow > Monitor > Ctx > Fast > Gate);

/// A place in the hierarchy: whoever has it may acquire locks of level `L` if it entered that level with it, and may
/// enter any level further in.
///
/// It is linear. There is no `Clone`, and every [`enter`](Permit::enter) borrows the outer permit exclusively for as
/// long as the inner one lives, so at any instant one permit of a session is usable: the innermost.
///
/// ```
/// use steadfast_locks::{Fast, Permit, Slow, Unlocked};
/// let mut session = Permit::<Unlocked>::root();
/// let mut slow = session.enter::<Slow>();
/// let fast = slow.enter::<Fast>();
/// drop(fast);
/// ```
///
/// ```compile_fail,E0277
/// use steadfast_locks::{Fast, Permit, Slow, Unlocked};
/// let mut session = Permit::<Unlocked>::root();
/// let mut fast = session.enter::<Fast>();
/// let slow = fast.enter::<Slow>(); // lock order violation
/// ```
///
/// The outer permit is out of reach until the inner one is *dropped*; not using the inner one any more is not enough:
///
/// ```compile_fail,E0499
/// use steadfast_locks::{Permit, Slow, Unlocked};
/// let mut session = Permit::<Unlocked>::root();
/// let first = session.enter::<Slow>();
/// let second = session.enter::<Slow>();
/// ```
#[must_use = "a permit is the place in the hierarchy; dropping it leaves the level"]
pub struct Permit<'p, L: Level> {
    _trace: Trace,
    place: PhantomData<Place<'p, L>>,
}

/// `&mut` makes the lifetime exclusive; `fn() -> L` keeps the permit `Send` and `Sync` whatever the level.
type Place<'p, L> = (&'p mut (), fn() -> L);

impl Permit<'static, Unlocked> {
    /// Begins a session.
    ///
    /// # Lock order
    /// One session a task. Another one is allowed as long as the two do not both enter levels such that the later one
    /// is at the level of the earlier one or outside it; debug builds panic where they do.
    pub fn root() -> Self {
        Self { _trace: Trace::root(), place: PhantomData }
    }
}

impl<L: Level> Permit<'_, L> {
    /// Goes further in, until the returned permit is dropped.
    ///
    /// This is about order only: nothing is locked by it. Locks of level `In` are acquired after it, and their guards
    /// keep the permit, so that leaving the level without unlocking cannot be written.
    ///
    /// # Panics
    /// In debug builds, where another session of the same task is at level `In` or further in.
    pub fn enter<In: Level>(&mut self) -> Permit<'_, In>
    where
        L: Outside<In>,
    {
        Permit { _trace: Trace::enter(In::NAME, In::DEPTH), place: PhantomData }
    }
}

/// Empty, and needed: with a destructor of its own a permit, and each guard that contains one, keeps the outer permit
/// borrowed until it is dropped. Without it the borrow would end at the last *use* of a guard, with its lock still held.
impl<L: Level> Drop for Permit<'_, L> {
    fn drop(&mut self) {}
}

impl<L: Level> fmt::Debug for Permit<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", L::NAME)
    }
}

const fn lower_case<const N: usize>(name: &[u8]) -> [u8; N] {
    let mut spelled = [0; N];
    let mut at = 0;
    while at < N {
        spelled[at] = name[at].to_ascii_lowercase();
        at += 1;
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_and_counted_from_the_outside() {
        let levels = [
            (Unlocked::NAME, Unlocked::DEPTH),
            (Slow::NAME, Slow::DEPTH),
            (Monitor::NAME, Monitor::DEPTH),
            (Ctx::NAME, Ctx::DEPTH),
            (Fast::NAME, Fast::DEPTH),
            (Gate::NAME, Gate::DEPTH),
        ];
        assert_eq!(
            levels,
            [("unlocked", 0), ("slow", 1), ("monitor", 2), ("ctx", 3), ("fast", 4), ("gate", 5)]
        );
    }

    #[test]
    fn a_permit_may_cross_threads() {
        fn movable<T: Send + Sync + 'static>(_: &T) {}
        movable(&Permit::<Unlocked>::root());
    }

    #[cfg(not(debug_assertions))]
    #[test]
    fn a_permit_costs_nothing_in_release_builds() {
        assert_eq!(size_of::<Permit<'static, Slow>>(), 0);
    }
}
