//! How a race is played under loom.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use steadfast_locks::lockdep;
use steadfast_model::{
    Act, Choice, Scenario,
    live::{Blow, Director, Obedient, Offer, Show, Stage},
};
use steadfast_proof::{Proof, Verdict, is_deep};

steadfast_model::shared! {
    /// For loom's threads.
    Loom, loom::sync
}

/// The first process is killed at its so-manieth call; so many of the commands it was sending stay on the wire. Where it
/// sends fewer there, it lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Killed {
    pub(crate) call: usize,
    pub(crate) sent: usize,
}

impl Director for Killed {
    fn strike(&mut self, offer: &Offer<'_>) -> Option<Blow> {
        let first = offer.at == 0 && offer.state.endings(0).is_empty();
        let is_it = first && offer.number == self.call && offer.sending >= self.sent;
        is_it.then_some(Blow::Kill(self.sent))
    }

    fn answer(&mut self, offer: &Offer<'_>) -> Option<Choice> {
        Obedient.answer(offer)
    }

    fn act(&mut self, acts: &[Act]) -> Option<Act> {
        Obedient.act(acts)
    }
}

/// Counts how often it strikes.
#[derive(Clone, Debug)]
struct Counted {
    kill: Killed,
    struck: Arc<AtomicUsize>,
}

impl Director for Counted {
    fn strike(&mut self, offer: &Offer<'_>) -> Option<Blow> {
        let blow = self.kill.strike(offer);
        self.struck.fetch_add(usize::from(blow.is_some()), Ordering::Relaxed);
        blow
    }

    fn answer(&mut self, offer: &Offer<'_>) -> Option<Choice> {
        self.kill.answer(offer)
    }

    fn act(&mut self, acts: &[Act]) -> Option<Act> {
        self.kill.act(acts)
    }
}

/// A race, and what has to come of it.
struct Race {
    name: &'static str,
    scenario: fn() -> Scenario,
    /// One part of the exploration for each.
    kills: Vec<Option<Killed>>,
    /// In a negative control: the rule that has to be found broken.
    expected: Option<&'static str>,
}

/// Nobody is killed.
pub(crate) fn race(name: &'static str, scenario: fn() -> Scenario) {
    Race { name, scenario, kills: vec![None], expected: None }.play();
}

/// The first process is killed, at each of these calls in turn.
pub(crate) fn killed(name: &'static str, kills: &[(usize, usize)], scenario: fn() -> Scenario) {
    let kills = kills.iter().map(|(call, sent)| Some(Killed { call: *call, sent: *sent }));
    Race { name, scenario, kills: kills.collect(), expected: None }.play();
}

/// A rule is broken on purpose, and that this is not so has to be found.
pub(crate) fn found(
    (name, rule): (&'static str, &'static str),
    kill: Option<Killed>,
    scenario: fn() -> Scenario,
) {
    Race { name, scenario, kills: vec![kill], expected: Some(rule) }.play();
}

/// How far a race is explored.
struct Reach {
    preemptions: usize,
    time: Duration,
}

impl Reach {
    fn of_this_run() -> Self {
        if is_deep() {
            Self { preemptions: 3, time: Duration::from_secs(1200) }
        } else {
            Self { preemptions: 2, time: Duration::from_secs(6) }
        }
    }

    /// loom looks at the clock only now and then.
    const GLANCE: usize = 200;
}

impl Race {
    fn play(&self) {
        let (begun, reach) = (Instant::now(), Reach::of_this_run());
        let executions = Arc::new(AtomicUsize::new(0));
        let mut cut = Vec::new();
        let mut verdict = Verdict::Holds;
        let share = reach.time / u32::try_from(self.kills.len()).unwrap_or(u32::MAX);
        for kill in &self.kills {
            let each = Instant::now();
            let kill = kill.map(|kill| Counted { kill, struck: Arc::default() });
            if let Err(broken) = self.explore(kill.as_ref(), &reach, share, &executions) {
                let is_meant = self.expected.is_some_and(|rule| broken.starts_with(rule));
                verdict = if is_meant { Verdict::Found } else { Verdict::Violated };
                break;
            }
            if each.elapsed() >= share {
                cut.push(each.elapsed().as_secs_f64());
            }
            // Whoever is never killed makes it a race like any other. What time cuts off has had hundreds of executions.
            let idle = kill.filter(|kill| kill.struck.load(Ordering::Relaxed) == 0);
            if let Some(Counted { kill, .. }) = idle {
                println!("{}: in no execution anybody was {kill:?}", self.name);
                verdict = Verdict::Violated;
                break;
            }
        }
        let mut bound = format!("preemption bound {}", reach.preemptions);
        if let Some(longest) = cut.iter().copied().reduce(f64::max) {
            let (cut, parts) = (cut.len(), self.kills.len());
            bound += &format!(", {cut} of {parts} parts stopped after {longest:.1} s at most");
        }
        let proof = Proof {
            name: self.name,
            engine: "loom",
            processes: Some((self.scenario)().slots.len()),
            crashes: Some(usize::from(self.kills.iter().any(Option::is_some))),
            explored: executions.load(Ordering::Relaxed) as u64,
            unit: "executions",
            bound: Some(&bound),
            took: begun.elapsed(),
            verdict,
            expected: self.expected.map_or(Verdict::Holds, |_| Verdict::Found),
        };
        println!("{}", proof.line());
        assert!(proof.is_as_expected(), "{}", self.name);
    }

    /// What goes wrong is played once more, and told: schedules come in the same order each time.
    ///
    /// # Errors
    /// What a thread panicked with: the story of a broken rule, or something that is no story.
    fn explore(
        &self,
        kill: Option<&Counted>,
        reach: &Reach,
        time: Duration,
        executions: &Arc<AtomicUsize>,
    ) -> Result<(), String> {
        let before = executions.load(Ordering::Relaxed);
        let first = AssertUnwindSafe(|| self.check(kill, reach, Some(time), executions, None));
        if catch_unwind(first).is_ok() {
            return Ok(());
        }
        let failed = executions.load(Ordering::Relaxed) - before;
        println!("{}: execution {failed}, {:?}", self.name, kill.map(|kill| kill.kill));
        let again = Arc::new(AtomicUsize::new(0));
        let told = AssertUnwindSafe(|| self.check(kill, reach, None, &again, Some(failed)));
        match catch_unwind(told) {
            Ok(()) => panic!("what was found is not found again"),
            Err(panic) => Err(words(panic.as_ref())),
        }
    }

    fn check(
        &self,
        kill: Option<&Counted>,
        reach: &Reach,
        time: Option<Duration>,
        executions: &Arc<AtomicUsize>,
        told: Option<usize>,
    ) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(reach.preemptions);
        builder.max_branches = 100_000;
        builder.max_duration = time;
        builder.checkpoint_interval = Reach::GLANCE;
        let (scenario, executions) = (self.scenario, Arc::clone(executions));
        let kill = kill.cloned();
        lockdep::unchecked(|| {
            builder.check(move || {
                let number = executions.fetch_add(1, Ordering::Relaxed) + 1;
                let stage = match kill.clone() {
                    Some(kill) => Stage::new(scenario(), kill),
                    None => Stage::new(scenario(), Obedient),
                };
                play(if told == Some(number) { stage.telling() } else { stage });
            });
        });
    }
}

fn play(stage: Stage) {
    let show = Show::<Loom<Stage>>::new(stage);
    let mut parts = show.parts();
    let qemu = parts.pop();
    let processes: Vec<_> = parts.into_iter().map(loom::thread::spawn).collect();
    if let Some(qemu) = qemu {
        qemu();
    }
    for process in processes {
        process.join().expect("a process does not panic");
    }
    if let Some(story) = show.verdict().broken {
        println!("{story}");
        panic!("{story}");
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| panic.downcast_ref::<&str>().copied().unwrap_or_default().to_owned())
}
