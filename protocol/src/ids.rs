//! Numbers that name things for ever.
//!
//! Generations and serials come from one store-wide counter that is never reused (R10), so equal numbers
//! mean the same thing and nothing else, across undefine, re-define and restore.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    };
}

number! {
    /// A domain, by the 128 bits of its uuid.
    Domain(u128)
}
number! {
    /// One life of a domain's QEMU. Zero: never started.
    Generation(u64)
}
number! {
    /// One attach, detach or medium change. Zero: no effect was ever intended.
    Serial(u64)
}
number! {
    /// How often a domain's record has changed.
    Revision(u64)
}
