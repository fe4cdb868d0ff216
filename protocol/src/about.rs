//! What a look is about.

use crate::{DevicePhase, Entry, Serial, Sight, Spec};

/// What a look is about. What it was not asked is unknown, which is not absent (R19): nobody may conclude from a sight that
/// something is gone that the look was not about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About<S> {
    /// Everything of ours.
    All,
    /// These and nothing else.
    These(Vec<Topic<S>>),
}

/// A device that is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic<S> {
    /// Of its front end.
    pub serial: Serial,
    /// Its class, and names that are not ours.
    pub spec: S,
    /// The back ends that are looked for, by the serials in their names, and what each is of.
    pub backs: Vec<(Serial, S)>,
}

impl<S: Spec> About<S> {
    /// Front ends, and what is in them, alone.
    pub fn fronts<'e>(entries: impl IntoIterator<Item = &'e Entry<S>>) -> Self
    where
        S: 'e,
    {
        Self::These(entries.into_iter().map(|entry| topic(entry, Vec::new())).collect())
    }

    /// Front ends and back ends, of a medium that is changed those of both.
    pub fn devices<'e>(entries: impl IntoIterator<Item = &'e Entry<S>>) -> Self
    where
        S: 'e,
    {
        let whole = |entry: &Entry<S>| {
            let mut backs = vec![(entry.medium, entry.spec.clone())];
            if let DevicePhase::Changing(change) = &entry.phase {
                backs.push((change.serial, entry.spec.with_medium(change.medium.clone())));
            }
            topic(entry, backs)
        };
        Self::These(entries.into_iter().map(whole).collect())
    }

    /// The part of a sight that this is about.
    #[must_use]
    pub fn narrow(&self, mut sight: Sight) -> Sight {
        let Self::These(topics) = self else { return sight };
        sight.fronts.retain(|serial, _| topics.iter().any(|topic| topic.serial == *serial));
        sight.backs.retain(|(serial, _)| {
            topics.iter().flat_map(|topic| &topic.backs).any(|(back, _)| back == serial)
        });
        sight
    }
}

fn topic<S: Spec>(entry: &Entry<S>, backs: Vec<(Serial, S)>) -> Topic<S> {
    Topic { serial: entry.serial, spec: entry.spec.clone(), backs }
}
