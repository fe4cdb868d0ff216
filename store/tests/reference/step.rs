//! One thing that is done to a store.

use proptest::prelude::*;

/// Names are few, so that steps meet.
pub(crate) type Name = u8;

/// One section, or what is done to the store as a whole. Handles are numbers: which of the open ones does it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A section of one domain whose parts are done in order; the last says whether it is kept.
    Section { handle: u8, domain: Name, parts: Vec<Part>, end: End },
    /// Another handle opens, or this one anew.
    Open { handle: u8 },
    /// The store is copied.
    Backup { handle: u8 },
    /// Every handle closes, and the copy takes the store's place.
    Restore,
}

/// How a section ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Keep,
    Refuse,
    Panic,
}

/// One call of a section.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    PutDomain { name: Name, revision: u8 },
    RemoveDomain,
    Named { name: Name },
    PutDevice { id: Name, phase: Name, text: String },
    RemoveDevice { id: Name },
    Claim { id: Name, claims: Vec<Name> },
    PutUserdata { key: String, value: Vec<u8> },
    RemoveUserdata { key: String },
    Note { text: String },
    ForgetHistory,
    Draw,
    Advance { by: u8 },
}

pub(crate) fn arbitrary() -> impl Strategy<Value = Step> {
    let section = (0..3_u8, 0..3_u8, proptest::collection::vec(part(), 1..6), end());
    prop_oneof![
        12 => section.prop_map(|(handle, domain, parts, end)| Step::Section { handle, domain, parts, end }),
        1 => (0..3_u8).prop_map(|handle| Step::Open { handle }),
        1 => (0..3_u8).prop_map(|handle| Step::Backup { handle }),
        1 => Just(Step::Restore),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![8 => Just(End::Keep), 2 => Just(End::Refuse), 1 => Just(End::Panic)]
}

fn part() -> impl Strategy<Value = Part> {
    let key = || prop_oneof![3 => "[ab]", 1 => ".{0,6}"];
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    let long = proptest::collection::vec(any::<u8>(), 5000..6000);
    prop_oneof![
        5 => (0..4_u8, 0..9_u8).prop_map(|(name, revision)| Part::PutDomain { name, revision }),
        1 => Just(Part::RemoveDomain),
        1 => (0..4_u8).prop_map(|name| Part::Named { name }),
        4 => (0..3_u8, 0..3_u8, ".{0,12}").prop_map(|(id, phase, text)| Part::PutDevice { id, phase, text }),
        2 => (0..3_u8).prop_map(|id| Part::RemoveDevice { id }),
        3 => (0..3_u8, proptest::collection::vec(0..5_u8, 0..4)).prop_map(|(id, claims)| Part::Claim { id, claims }),
        3 => (key(), prop_oneof![9 => value, 1 => long]).prop_map(|(key, value)| Part::PutUserdata { key, value }),
        2 => key().prop_map(|key| Part::RemoveUserdata { key }),
        2 => ".{0,12}".prop_map(|text| Part::Note { text }),
        1 => Just(Part::ForgetHistory),
        2 => Just(Part::Draw),
        1 => (0..9_u8).prop_map(|by| Part::Advance { by }),
    ]
}
