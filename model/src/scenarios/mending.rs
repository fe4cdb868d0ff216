//! `check --repair`, against whoever is at work.

use steadfast_protocol::Door;

use super::{Set, Trial};
use crate::{Came, Gadget, Scenario, Slot, Verb, World};

pub(super) const TRIALS: &[Trial] = &[Trial::new(
    "media-insert-x-repair-of-its-node",
    Set::Short,
    "what is described is nobody's orphan",
    orphan_that_is_none,
)];

fn orphan_that_is_none() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(None))]),
        slots: vec![Slot::new([Verb::Media(1, Some(8), Door::Ask)]), Slot::new([Verb::Strip(3)])],
        sometimes: vec![("left alone", |_, state| state.says(99, Came::Unchanged))],
        ..Scenario::default()
    }
}
