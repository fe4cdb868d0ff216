//! Explores a scenario, breadth first: the first violation found has the fewest acts.
//!
//! Own code and not a library's, because three things decide how far it gets: processes and QEMUs are shared between
//! states, not copied; a verb is run again once for each log and not once for each state; and of a state that was
//! expanded only its fingerprint stays, with its parent's and the number of the act between.
//!
//! Every act makes a log longer, executes something, or uses something up. So no run comes back to a state it has left, and
//! an exploration that finished has seen every run end: that "every verb ends" needs no fairness and no search for cycles.

use std::{
    collections::{HashMap, hash_map},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::{
    Act, Scenario, State,
    print::{Print, print},
    properties::{ALWAYS, STUCK, is_stuck},
};

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Threads. One finds the same first violation each time.
    pub threads: usize,
    /// States.
    pub states: usize,
    /// Time.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, states: usize::MAX, time: Duration::MAX }
    }
}

/// A way into a state in which something is not so.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What is not so.
    pub property: &'static str,
    /// What was done.
    pub acts: Vec<Act>,
}

/// What an exploration found.
#[derive(Debug, Default)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// States in which a run ended.
    pub ends: usize,
    /// The longest run.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// How long all cores together worked, whatever else this machine did.
    pub worked: Duration,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Stories of what must never be so.
    pub violations: Vec<String>,
    /// What never happened and has to.
    pub missing: Vec<&'static str>,
    /// Which bound stopped it; `None`: it finished.
    pub bound: Option<String>,
}

/// Where a state was first reached from.
#[derive(Clone, Copy)]
struct Origin {
    parent: u64,
    act: u16,
}

const SHARDS: usize = 64;
const CHUNK: usize = 128;

struct Seen(Vec<Mutex<HashMap<u64, Origin, Print>>>);

impl Seen {
    fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    fn shard(&self, print: u64) -> MutexGuard<'_, HashMap<u64, Origin, Print>> {
        let shard = (print >> 58) as usize % SHARDS;
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, print: u64, origin: Origin) -> bool {
        match self.shard(print).entry(print) {
            hash_map::Entry::Occupied(_) => false,
            hash_map::Entry::Vacant(entry) => {
                entry.insert(origin);
                true
            }
        }
    }
}

/// What threads share while one level is expanded.
struct Level<'a> {
    scenario: &'a Scenario,
    seen: &'a Seen,
    frontier: Mutex<Vec<Vec<(u64, State)>>>,
    count: &'a AtomicUsize,
    bounds: Bounds,
    until: Option<Instant>,
}

/// What one thread found on one level.
#[derive(Default)]
struct Part {
    next: Vec<Vec<(u64, State)>>,
    violation: Option<(&'static str, u64)>,
    happened: Vec<bool>,
    ends: usize,
    bound: Option<String>,
}

/// Explores all of a scenario, or up to its first violation.
pub fn explore(scenario: Scenario) -> Found {
    explore_within(&scenario, Bounds::default())
}

/// The same, within bounds.
pub fn explore_within(scenario: &Scenario, bounds: Bounds) -> Found {
    let (begun, idle) = (Instant::now(), worked());
    let seen = Seen::new();
    let first = scenario.first();
    let root = print(&first);
    seen.insert(root, Origin { parent: root, act: 0 });
    let count = AtomicUsize::new(1);
    let mut happened = vec![false; scenario.sometimes.len()];
    let mut found = Found::default();
    let mut violation = scenario.judge(&first, &mut happened).map(|property| (property, root));
    let mut frontier = vec![vec![(root, first)]];
    while violation.is_none() && found.bound.is_none() && !frontier.is_empty() {
        let level = Level {
            scenario,
            seen: &seen,
            frontier: Mutex::new(frontier),
            count: &count,
            bounds,
            until: begun.checked_add(bounds.time),
        };
        let parts: Vec<Part> = if bounds.threads == 1 {
            vec![level.expand()]
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..bounds.threads).map(|_| scope.spawn(|| level.expand())).collect();
                threads
                    .into_iter()
                    .map(|thread| match thread.join() {
                        Ok(part) => part,
                        Err(panic) => std::panic::resume_unwind(panic),
                    })
                    .collect()
            })
        };
        frontier = Vec::new();
        for part in parts {
            frontier.extend(part.next);
            violation = violation.or(part.violation);
            found.bound = found.bound.or(part.bound);
            found.ends += part.ends;
            for (all, one) in happened.iter_mut().zip(part.happened) {
                *all |= one;
            }
        }
        found.depth += usize::from(!frontier.is_empty());
    }
    found.states = count.load(Relaxed);
    if let Some((property, print)) = violation {
        let acts = scenario.path(&seen, root, print);
        found.violations.push(scenario.story(property, &acts));
        found.violation = Some(Violation { property, acts });
        found.bound = None;
    }
    let named = scenario.sometimes.iter().map(|(name, _)| *name);
    found.missing = named.zip(happened).filter(|(_, so)| !so).map(|(name, _)| name).collect();
    found.took = begun.elapsed();
    found.worked = worked().saturating_sub(idle);
    found
}

/// How long this process's threads have worked.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap_or(0))
}

/// Explores a scenario in which nothing may go wrong and everything has to happen.
///
/// # Errors
/// The stories of what went wrong, what never happened, or the bound that stopped it.
pub fn verdict(scenario: Scenario) -> Result<Found, String> {
    let found = explore(scenario);
    let mut complaint = found.violations.join("\n");
    if complaint.is_empty() && !found.missing.is_empty() {
        complaint = format!("never happened: {}", found.missing.join("; "));
    }
    if complaint.is_empty() { Ok(found) } else { Err(complaint) }
}

impl Level<'_> {
    fn expand(&self) -> Part {
        let mut part =
            Part { happened: vec![false; self.scenario.sometimes.len()], ..Part::default() };
        let mut next = Vec::with_capacity(CHUNK);
        while part.violation.is_none() && part.bound.is_none() {
            let chunk = self.frontier.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(chunk) = chunk else { break };
            for (print, state) in chunk {
                self.expand_one(print, &state, &mut part, &mut next);
                if next.len() >= CHUNK {
                    part.next.push(std::mem::replace(&mut next, Vec::with_capacity(CHUNK)));
                }
                if part.violation.is_some() {
                    break;
                }
            }
            part.bound = self.bound();
        }
        part.next.push(next);
        part.next.retain(|chunk| !chunk.is_empty());
        part
    }

    fn expand_one(
        &self,
        parent: u64,
        state: &State,
        part: &mut Part,
        next: &mut Vec<(u64, State)>,
    ) {
        let acts = self.scenario.acts(state);
        if acts.is_empty() {
            part.ends += 1;
            if is_stuck(state) && self.scenario.is_judged(STUCK) {
                part.violation = Some((STUCK, parent));
            }
        }
        for (number, act) in acts.into_iter().enumerate() {
            let after = self.scenario.after(state, act);
            let print = print(&after);
            let act = u16::try_from(number).unwrap_or(u16::MAX);
            if !self.seen.insert(print, Origin { parent, act }) {
                continue;
            }
            self.count.fetch_add(1, Relaxed);
            if let Some(property) = self.scenario.judge(&after, &mut part.happened) {
                part.violation = Some((property, print));
                return;
            }
            next.push((print, after));
        }
    }

    fn bound(&self) -> Option<String> {
        if self.count.load(Relaxed) >= self.bounds.states {
            return Some(format!("{} states", self.bounds.states));
        }
        let is_late = self.until.is_some_and(|until| Instant::now() >= until);
        is_late.then(|| format!("{} s", self.bounds.time.as_secs()))
    }
}

impl Scenario {
    /// What is not so in this state; and what has to happen somewhere and is so here.
    pub(crate) fn judge(&self, state: &State, happened: &mut [bool]) -> Option<&'static str> {
        if let Some(broken) = state.world.broken {
            return Some(broken);
        }
        for ((_, happens), so) in self.sometimes.iter().zip(happened) {
            *so = *so || happens(self, state);
        }
        let all = ALWAYS.iter().chain(&self.always);
        let mut judged = all.filter(|(name, _)| self.is_judged(name));
        judged.find(|(_, holds)| !holds(self, state)).map(|(name, _)| *name)
    }

    /// The acts between the first state and that one.
    fn path(&self, seen: &Seen, root: u64, mut print: u64) -> Vec<Act> {
        let mut numbers = Vec::new();
        while print != root {
            let Some(origin) = seen.shard(print).get(&print).copied() else { break };
            numbers.push(usize::from(origin.act));
            print = origin.parent;
        }
        let mut state = self.first();
        let mut path = Vec::new();
        for number in numbers.into_iter().rev() {
            let act = self.acts(&state)[number];
            state = self.after(&state, act);
            path.push(act);
        }
        path
    }
}
