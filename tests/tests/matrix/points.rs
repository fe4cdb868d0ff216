//! Where a verb is killed, chosen from what it did when nobody killed it.

use std::collections::BTreeMap;
use std::fmt;

use steadfast_tests::{Cut, Effect, Role, Side, Victim};

/// How much is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Of like effects within one call of the platform the first and the last.
    Short,
    /// Every effect.
    Deep,
}

impl Depth {
    /// As the environment says.
    pub(crate) fn wanted() -> Depth {
        if steadfast_proof::is_deep() { Depth::Deep } else { Depth::Short }
    }
}

/// How much of what is the same for many verbs is tried with this one, in the short form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breadth {
    /// What only some verbs have: the locks are another verb's to try.
    Own,
    /// The locks too, in the first call of each method of the platform.
    Locks,
    /// What comes before the first call of the platform too: the opening of the store.
    Opening,
}

impl Breadth {
    fn tries(self, context: &Context) -> bool {
        let is_lock =
            ["lock ", "share ", "unlock "].iter().any(|word| context.what.starts_with(word));
        match self {
            Breadth::Opening => !is_lock || context.is_in_first_call(),
            Breadth::Locks => context.call != OPENING && (!is_lock || context.is_in_first_call()),
            Breadth::Own => context.call != OPENING && !is_lock,
        }
    }
}

/// A kind of effect within a run: in which call of the platform, by whom, and what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Context {
    pub(crate) call: String,
    pub(crate) role: Role,
    pub(crate) what: String,
}

impl Context {
    fn is_in_first_call(&self) -> bool {
        self.call == OPENING || self.call.ends_with(" 1")
    }
}

/// Which of the effects of one context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    First,
    Last,
    Number(usize),
}

/// A point to kill at. In another run the same point may be another number of the same call: a page more was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) context: Context,
    pub(crate) place: Place,
    pub(crate) side: Side,
    pub(crate) victim: Victim,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { call, role, what } = &self.context;
        let victim = if self.victim == Victim::Child { "only the child, " } else { "" };
        let side = if self.side == Side::Before { "before" } else { "after" };
        write!(f, "{victim}{side} {role}: {what}, in {call}")?;
        match self.place {
            Place::First => Ok(()),
            Place::Last => f.write_str(", the last"),
            Place::Number(number) => write!(f, ", number {number}"),
        }
    }
}

/// Before the first call of the platform.
pub(crate) const OPENING: &str = "the opening";

/// The effects of a run, by context.
pub(crate) fn in_context(effects: &[Effect]) -> Vec<(Context, &Effect)> {
    let mut call = OPENING.to_owned();
    let mut told = Vec::new();
    for effect in effects {
        if effect.is_platform() {
            call = format!("{} {}", effect.what, effect.nth);
        }
        let (role, what) = (effect.role.clone(), effect.what.clone());
        told.push((Context { call: call.clone(), role, what }, effect));
    }
    told
}

impl Point {
    /// Where this is in a run that had these effects.
    pub(crate) fn in_run(&self, effects: &[Effect]) -> Option<Cut> {
        let told = in_context(effects);
        let mut same = told.iter().filter(|(context, _)| *context == self.context);
        let (_, effect) = match self.place {
            Place::First => same.next(),
            Place::Last => same.next_back(),
            Place::Number(number) => same.nth(number - 1),
        }?;
        Some(Cut { effect: (*effect).clone(), side: self.side, victim: self.victim })
    }
}

/// The points of a verb.
pub(crate) struct Points {
    /// In the order of the effects.
    pub(crate) points: Vec<Point>,
    /// How many effects the verb has.
    effects: usize,
    /// How many of them have a point.
    covered: usize,
}

impl Points {
    /// Chooses.
    pub(crate) fn of(effects: &[Effect], depth: Depth, breadth: Breadth) -> Points {
        let told = in_context(effects);
        let has_calls = told.iter().any(|(context, _)| context.call != OPENING);
        let mut seen: BTreeMap<&Context, usize> = BTreeMap::new();
        let mut totals: BTreeMap<&Context, usize> = BTreeMap::new();
        told.iter().for_each(|(context, _)| *totals.entry(context).or_default() += 1);
        let lasts: BTreeMap<&Role, usize> =
            told.iter().enumerate().map(|(at, (context, _))| (&context.role, at)).collect();
        let mut points = Vec::new();
        let mut covered = 0;
        for (at, (context, _)) in told.iter().enumerate() {
            let number = seen.entry(context).or_default();
            *number += 1;
            let is_tried = depth == Depth::Deep || !has_calls || breadth.tries(context);
            let place = match depth {
                Depth::Deep => Some(Place::Number(*number)),
                Depth::Short if *number == 1 => Some(Place::First),
                Depth::Short if *number == totals[context] => Some(Place::Last),
                Depth::Short => None,
            };
            let Some(place) = place.filter(|_| is_tried) else { continue };
            covered += 1;
            points.extend(
                sides(context, depth, lasts[&context.role] == at)
                    .into_iter()
                    .map(|(side, victim)| Point { context: context.clone(), place, side, victim }),
            );
        }
        Points { points, effects: effects.len(), covered }
    }

    /// What the choice left out, in words.
    pub(crate) fn bound(&self) -> Option<String> {
        let (covered, effects) = (self.covered, self.effects);
        (covered < effects).then(|| {
            format!(
                "{covered} of {effects} effects: first and last of their like in each platform call, what is alike in many verbs with one"
            )
        })
    }
}

/// Before it, and after it.
///
/// After an effect is before the next one, whichever thread has that: the two are the same instant unless the calls
/// overlap. So the short form kills after an effect only where somebody else answers to it, where a name appears or goes
/// (others that look for the name may be in a call of theirs), and after the last of a thread, which has no next.
/// The end of a process has nothing after it.
fn sides(context: &Context, depth: Depth, is_last: bool) -> Vec<(Side, Victim)> {
    let is_child = matches!(context.role, Role::Child(_));
    let names = ["rename ", "unlink "].iter().any(|verb| context.what.starts_with(verb));
    let is_after = match depth {
        Depth::Deep => true,
        Depth::Short => names || (!is_child && (is_last || is_answered(context))),
    };
    let mut victims = vec![Victim::Command];
    if is_child {
        victims.push(Victim::Child);
    }
    let after = (is_after && context.what != "end").then_some(Side::After);
    let sides = [Side::Before].into_iter().chain(after);
    sides.flat_map(|side| victims.iter().map(move |victim| (side, *victim))).collect()
}

/// Whether it reaches beyond the files of the store and the run folder.
pub(crate) fn is_answered(context: &Context) -> bool {
    let verbs = ["send ", "hang up", "connect", "fork", "answer", "complain", "sync "];
    verbs.iter().any(|verb| context.what.starts_with(verb))
}
