//! One exploration: a body in all orders, counted and reported.

use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};
use steadfast_proof::{Proof, Verdict, is_deep};

use crate::sides::Sides;
use crate::story;
use crate::world::{World, settle};

/// How many preemptions an execution may have. A switch away from a thread that waits is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// All orders.
    None,
    /// All orders with at most so many preemptions; one more where the long form of the proof is asked for.
    Preemptions(usize),
}

/// More steps than any body here takes: what exceeds it goes round in circles.
const STEPS: usize = 50_000;

/// The long form of one exploration ends after this time, and says so.
const LONGEST: Duration = Duration::from_secs(1200);

/// Runs `body`, which has `threads` threads at most, in all orders within the bound, and prints the row of the proof.
///
/// # Panics
/// Where an execution fails, after it was told. Executions are the same ones in the same order each time, so running it
/// again meets the same one.
pub fn explore(
    name: &'static str,
    threads: usize,
    bound: Bound,
    body: impl Fn() + Send + Sync + 'static,
) {
    run(name, threads, bound, body, || None);
}

/// The same for a race, of which each end has to be met in some execution.
///
/// # Panics
/// As [`explore`]; and where one end was never met, for then nothing was proved of it.
pub fn explore_race(
    name: &'static str,
    threads: usize,
    bound: Bound,
    body: impl Fn(&Sides) + Send + Sync + 'static,
) {
    let sides = Sides::default();
    let seen = sides.clone();
    run(name, threads, bound, move || body(&seen), || sides.missed());
}

fn run(
    name: &'static str,
    threads: usize,
    bound: Bound,
    body: impl Fn() + Send + Sync + 'static,
    missed: impl FnOnce() -> Option<[u64; 2]>,
) {
    let is_deep = is_deep();
    let preemptions = match bound {
        Bound::None => None,
        Bound::Preemptions(most) => Some(most + usize::from(is_deep)),
    };
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = STEPS;
    builder.max_duration = is_deep.then_some(LONGEST);
    let (began, executions) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let row = Row { name, threads, preemptions, began, executions: executions.clone() };
    RUNNING.set(Some(row.clone()));
    tell_failures();
    builder.check(move || {
        executions.fetch_add(1, Ordering::Relaxed);
        story::begin();
        World::begin();
        body();
        settle();
        World::end();
    });
    RUNNING.set(None);
    let missed = missed();
    let verdict = Verdict::of(missed.is_none());
    if let Some(met) = missed {
        println!("{name}: only one end of the race was met: {met:?}");
    }
    row.print(verdict, is_deep && began.elapsed() >= LONGEST);
    assert!(missed.is_none(), "{name}: only one end of the race was met");
}

/// Runs `body` in one order, for what has to be there before an exploration begins.
pub fn prepare(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = STEPS;
    builder.max_permutations = Some(1);
    builder.check(move || {
        World::begin();
        body();
        settle();
        World::end();
    });
}

thread_local! {
    static RUNNING: RefCell<Option<Row>> = const { RefCell::new(None) };
}

/// In the hook, because unwinding takes the threads of a model down one by one, and may not come to an end.
fn tell_failures() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Coroutines end by panics of their own, without a message.
            if let Some(why) = info.payload_as_str() {
                if let Some(row) = RUNNING.take() {
                    row.print_failure(why);
                }
                before(info);
            }
        }));
    });
}

#[derive(Clone)]
struct Row {
    name: &'static str,
    threads: usize,
    preemptions: Option<usize>,
    began: Instant,
    executions: Arc<AtomicU64>,
}

impl Row {
    fn print(&self, verdict: Verdict, ended_early: bool) {
        let bound = match (self.preemptions, ended_early) {
            (None, false) => None,
            (None, true) => Some("time".to_owned()),
            (Some(most), false) => Some(format!("preemption bound {most}")),
            (Some(most), true) => Some(format!("preemption bound {most}, time")),
        };
        let executions = (self.executions.load(Ordering::Relaxed), "executions");
        let proof = Proof {
            processes: Some(self.threads),
            bound: bound.as_deref(),
            verdict,
            ..Proof::new(self.name, "loom", executions, self.began.elapsed())
        };
        println!("{}", proof.line());
    }

    fn print_failure(&self, why: &str) {
        let count = self.executions.load(Ordering::Relaxed);
        println!("{}: execution {count} fails, each time it is run: {why}", self.name);
        for line in story::lines() {
            println!("{line}");
        }
        self.print(Verdict::Violated, false);
    }
}
