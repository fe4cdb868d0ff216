//! What a command does whenever it comes to its end, and what it does only by chance.

use std::collections::BTreeMap;

use steadfast_tests::{Cut, Effect};

use super::points::{Context, Place, Point, in_context};

/// How often a point is aimed at before it counts as missed.
const TRIES: usize = 8;

/// How often a command has to come to its end without an effect for it to be one that comes by chance.
const ABSENCES: usize = 2;

/// Runs of one command from one state that came to their end.
pub(crate) struct Habit {
    /// The last of them: the next kill is aimed by it.
    last: Vec<Effect>,
    /// How many of each kind all of them had.
    steady: BTreeMap<Context, usize>,
}

impl Habit {
    /// Of a first run.
    pub(crate) fn of(effects: Vec<Effect>) -> Habit {
        Habit { steady: counts(&effects), last: effects }
    }

    /// Another run came to its end.
    pub(crate) fn came_to_its_end(&mut self, effects: Vec<Effect>) {
        let had = counts(&effects);
        self.steady.retain(|context, count| {
            *count = (*count).min(had.get(context).copied().unwrap_or(0));
            *count > 0
        });
        self.last = effects;
    }

    /// What the last run did.
    pub(crate) fn last(&self) -> &[Effect] {
        &self.last
    }

    /// Where the point is, by the last run.
    pub(crate) fn aim(&self, point: &Point) -> Option<Cut> {
        point.in_run(&self.last)
    }

    /// Whether a point that was aimed at so often counts as missed.
    pub(crate) fn is_missed(&self, point: &Point, tries: usize) -> bool {
        tries >= TRIES || (tries >= ABSENCES && self.aim(point).is_none())
    }

    /// Whether every run had the point: it does not come by chance, so that a kill must hit it.
    pub(crate) fn has_always(&self, point: &Point) -> bool {
        let least = match point.place {
            Place::First | Place::Last => 1,
            Place::Number(number) => number,
        };
        self.steady.get(&point.context).is_some_and(|count| *count >= least)
    }
}

fn counts(effects: &[Effect]) -> BTreeMap<Context, usize> {
    let mut counts = BTreeMap::new();
    for (context, _) in in_context(effects) {
        *counts.entry(context).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use steadfast_tests::{Role, Side, Victim};

    use super::*;
    use crate::points::OPENING;

    fn run(syncs: usize) -> Vec<Effect> {
        let sync = |nth| Effect { role: Role::Main, what: "sync file".to_owned(), nth };
        (1..=syncs).map(sync).collect()
    }

    #[test]
    fn what_every_run_had_must_be_hit_and_the_rest_comes_by_chance() {
        let mut habit = Habit::of(run(3));
        habit.came_to_its_end(run(2));
        habit.came_to_its_end(run(3));
        let context =
            Context { call: OPENING.to_owned(), role: Role::Main, what: "sync file".to_owned() };
        let number = |number| Point {
            context: context.clone(),
            place: Place::Number(number),
            side: Side::Before,
            victim: Victim::Command,
        };
        let always = [1, 2, 3].map(|place| habit.has_always(&number(place)));
        assert_eq!(always, [true, true, false]);
        assert!(!habit.is_missed(&number(3), TRIES - 1) && habit.is_missed(&number(3), TRIES));
        habit.came_to_its_end(run(2));
        assert!(!habit.is_missed(&number(3), 1) && habit.is_missed(&number(3), ABSENCES));
    }
}
