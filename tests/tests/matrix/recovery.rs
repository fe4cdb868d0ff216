//! Whoever settles what a killed verb left is killed as well, twice, and the third settles it.
//!
//! A recovery is begun by the state that the first kill left, so each state that a verb can leave (the open intents of
//! the record, and what QEMU has of them) is brought about once for every point of every recovery from it.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_tests::{Output, Result, Role, Side, ensure};

use super::case::{Case, Lasts, Scene};
use super::habit::Habit;
use super::judge::{Left, Mercy, arranged, forgive, judge};
use super::points::{Breadth, Depth, Point, Points, is_answered};
use super::row::{Row, Story, replay, wanted_points};
use super::single::{follow, undisturbed};

/// Who recovers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Recovery {
    /// The same verb again.
    Again,
    /// `wait`, which settles and then waits for what is left.
    Wait,
    /// `check --repair`.
    Repair,
}

impl Recovery {
    fn arguments(self, case: &Case, verb: &[String]) -> Vec<String> {
        let words: &[&str] = match self {
            Recovery::Again => return verb.to_vec(),
            Recovery::Wait => &["wait", case.domain],
            Recovery::Repair => &["check", "--repair"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn ends(self, case: &Case, output: Output) -> Result<()> {
        match self {
            Recovery::Again => output.exits(&[case.ends, case.again].concat()).map(drop),
            Recovery::Wait => output.done().map(drop),
            Recovery::Repair => forgive(case, &output.done()?),
        }
    }

    fn told(self) -> &'static str {
        match self {
            Recovery::Again => "the verb again",
            Recovery::Wait => "wait",
            Recovery::Repair => "check --repair",
        }
    }
}

/// Runs the row of a case.
pub(crate) fn killed_in_recovery(test: &str, case: &Case, recoveries: &[Recovery]) -> Result<()> {
    let row = Row::new(test, 3);
    let mut story = Story::default();
    let mut matrix = Matrix {
        case,
        scene: Scene::of(case)?,
        round: 0,
        kills: 0,
        left_out: 0,
        quiet: 0,
        missed: 0,
        habit: Habit::of(Vec::new()),
    };
    match matrix.run(recoveries, &mut story) {
        Ok(bound) => row.holds(matrix.kills, bound),
        Err(why) => Err(row.is_violated(matrix.kills, &story, &replay(test, &story.points()), why)),
    }
}

struct Matrix<'c> {
    case: &'c Case,
    scene: Scene,
    round: usize,
    kills: usize,
    /// Points that another recovery of the same verb has had.
    left_out: usize,
    /// Points at effects that nobody else sees.
    quiet: usize,
    /// Points that come by chance and did not come.
    missed: usize,
    /// What the verb does when nobody kills it.
    habit: Habit,
}

/// One way to recover from one state.
struct Way<'w> {
    first: &'w Point,
    recovery: Recovery,
    /// What the recovery does when nobody kills it.
    habit: Habit,
}

/// How far three kills came.
enum Hit {
    All,
    /// The verb was not killed where it was to be.
    NotFirst,
    NotSecond,
    NotThird,
}

impl Matrix<'_> {
    fn run(&mut self, recoveries: &[Recovery], story: &mut Story) -> Result<Option<String>> {
        let states = self.states(story)?;
        ensure!(!states.is_empty(), "the verb leaves nothing to recover from");
        let depth = Depth::wanted();
        let wanted = wanted_points();
        let mut had = BTreeSet::new();
        for (first, recovery) in ways(&states, recoveries, depth) {
            let Some(habit) = self.recovers(first, recovery, story)? else { continue };
            let mut way = Way { first, recovery, habit };
            let mut points = Points::of(way.habit.last(), depth, Breadth::Own).points;
            if depth == Depth::Short && wanted.is_none() {
                let all = points.len();
                points.retain(is_seen);
                self.quiet += all - points.len();
            }
            for (number, second) in points.iter().enumerate() {
                let texts = way.told(second);
                if wanted.as_ref().is_some_and(|wanted| wanted[..] != texts[..wanted.len().min(2)])
                {
                    continue;
                }
                if !had.insert(kind_of(second)) && depth == Depth::Short && wanted.is_none() {
                    self.left_out += 1;
                    continue;
                }
                let third = third_of(&points, number);
                *story = Story::of(texts.to_vec());
                self.kill_thrice(&mut way, number, [second, third], story)?;
                if wanted.is_some() {
                    println!("\n{}", story.text());
                }
            }
        }
        let bounds = [
            (depth == Depth::Short).then(|| {
                let (states, left_out, quiet) = (states.len(), self.left_out, self.quiet);
                format!(
                    "one recovery from each of {states} states; {left_out} points had in another; {quiet} that only files of ours see"
                )
            }),
            (self.missed > 0).then(|| format!("{} that come by chance were not hit", self.missed)),
        ];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        Ok((!bounds.is_empty()).then(|| bounds.join("; ")))
    }

    fn next_round(&mut self) -> Result<()> {
        self.round += 1;
        if self.case.world == Lasts::OneKill && self.round > 1 {
            self.scene = Scene::of(self.case)?;
        }
        Ok(())
    }

    /// Each state that a kill of the verb leaves to be settled, with a point that leaves it.
    fn states(&mut self, story: &mut Story) -> Result<BTreeMap<Left, Point>> {
        self.next_round()?;
        self.habit = Habit::of(undisturbed(&self.scene, self.case, self.round)?);
        let points = Points::of(self.habit.last(), Depth::Short, Breadth::Own).points;
        let mut states = BTreeMap::new();
        for point in points.iter().filter(|point| is_seen(point)) {
            *story = Story::of(vec![point.to_string()]);
            let Some(verb) = self.first_kill(point, story)? else { continue };
            let is_open = self.scene.world.steadfast(&["check"])?.code == Some(5);
            let left = judge(&self.scene, self.case, Mercy::Killed)?;
            self.complete(&verb, story)?;
            if is_open {
                states.entry(left).or_insert_with(|| point.clone());
            }
        }
        Ok(states)
    }

    /// Brings about the state; none, and counted, where the verb has no such point this time.
    fn first_kill(&mut self, point: &Point, story: &Story) -> Result<Option<Vec<String>>> {
        let mut tries = 0;
        while !self.habit.is_missed(point, tries) {
            self.next_round()?;
            let verb = arranged(&self.scene, self.case, self.round)?;
            let cut = self.habit.aim(point);
            let killed = follow(&self.scene, &verb, cut.as_ref())?;
            if killed.hit {
                self.kills += 1;
                story.tell(format!("`steadfast {}` is killed {point}", verb.join(" ")));
                return Ok(Some(verb));
            }
            tries += 1;
            killed.output.exits(self.case.ends)?;
            (self.case.clear)(&self.scene, self.round)?;
            self.habit.came_to_its_end(killed.effects);
        }
        self.missed += by_chance(&self.habit, point)?;
        Ok(None)
    }

    /// The verb again, and all that must hold then.
    fn complete(&self, verb: &[String], story: &Story) -> Result<()> {
        let (scene, case) = (&self.scene, self.case);
        story.tell(format!("`steadfast {}`, again", verb.join(" ")));
        let again = follow(scene, verb, None)?;
        again.output.exits(&[case.ends, case.again].concat())?;
        (case.holds)(scene, self.round)?;
        story.tell(format!("record and QEMU: {}", judge(scene, case, Mercy::Settled)?));
        (case.clear)(scene, self.round)
    }

    /// What the recovery does when nobody kills it.
    fn recovers(
        &mut self,
        first: &Point,
        recovery: Recovery,
        story: &mut Story,
    ) -> Result<Option<Habit>> {
        *story = Story::of(vec![first.to_string()]);
        let Some(verb) = self.first_kill(first, story)? else { return Ok(None) };
        let arguments = recovery.arguments(self.case, &verb);
        story.tell(format!("`steadfast {}`", arguments.join(" ")));
        let ran = follow(&self.scene, &arguments, None)?;
        recovery.ends(self.case, ran.output)?;
        story.tell(format!("record and QEMU: {}", judge(&self.scene, self.case, Mercy::Settled)?));
        self.complete(&verb, story)?;
        Ok(Some(Habit::of(ran.effects)))
    }

    /// Kills the verb, then the recovery at the second point, then the next recovery at the third.
    fn kill_thrice(
        &mut self,
        way: &mut Way<'_>,
        number: usize,
        [second, third]: [&Point; 2],
        story: &Story,
    ) -> Result<()> {
        // The third kill is first aimed by a recovery from another state: that of the first kill. Where it fails, that
        // run shows what a recovery does from the state that the second kill left.
        let mut third = third.clone();
        let mut later: Option<Habit> = None;
        let mut misses = [0, 0];
        loop {
            match self.try_thrice(way, &mut later, [second, &third], story)? {
                Hit::All | Hit::NotFirst => return Ok(()),
                Hit::NotSecond => {
                    misses[0] += 1;
                    if way.habit.is_missed(second, misses[0]) {
                        self.missed += by_chance(&way.habit, second)?;
                        return Ok(());
                    }
                }
                Hit::NotThird => {
                    let Some(habit) = &later else { continue };
                    misses[1] += 1;
                    // Any point will do for the third, so it is one that does not come by chance.
                    let mut points = Points::of(habit.last(), Depth::wanted(), Breadth::Own).points;
                    points.retain(|point| habit.has_always(point));
                    ensure!(!points.is_empty(), "no recovery after {second} is like another");
                    third = third_of(&points, number).clone();
                    ensure!(!habit.is_missed(&third, misses[1]), "no kill hit: {third}");
                }
            }
        }
    }

    fn try_thrice(
        &mut self,
        way: &mut Way<'_>,
        later: &mut Option<Habit>,
        [second, third]: [&Point; 2],
        story: &Story,
    ) -> Result<Hit> {
        let Some(verb) = self.first_kill(way.first, story)? else { return Ok(Hit::NotFirst) };
        let arguments = way.recovery.arguments(self.case, &verb);
        let words = arguments.join(" ");
        let mut hit = Hit::All;
        let aims = [way.habit.aim(second), later.as_ref().unwrap_or(&way.habit).aim(third)];
        for (place, (point, cut)) in [second, third].into_iter().zip(aims).enumerate() {
            let killed = follow(&self.scene, &arguments, cut.as_ref())?;
            if killed.hit {
                self.kills += 1;
                story.tell(format!("`steadfast {words}` is killed {point}"));
                let left = judge(&self.scene, self.case, Mercy::Killed)?;
                story.tell(format!("record and QEMU: {left}"));
                continue;
            }
            story.tell(format!("`steadfast {words}` comes to its end"));
            way.recovery.ends(self.case, killed.output)?;
            if place == 0 {
                hit = Hit::NotSecond;
                way.habit.came_to_its_end(killed.effects);
            } else {
                hit = Hit::NotThird;
                match later {
                    Some(habit) => habit.came_to_its_end(killed.effects),
                    None => *later = Some(Habit::of(killed.effects)),
                }
            }
            break;
        }
        story.tell(format!("`steadfast {words}`, to its end"));
        let ended = follow(&self.scene, &arguments, None)?;
        way.recovery.ends(self.case, ended.output)?;
        let left = judge(&self.scene, self.case, Mercy::Settled)?;
        story.tell(format!("record and QEMU: {left}"));
        self.complete(&verb, story)?;
        Ok(hit)
    }
}

/// Another point of them than this number.
fn third_of(points: &[Point], number: usize) -> &Point {
    &points[(number * 7 + 3) % points.len()]
}

/// One more that was not hit, which only one that comes by chance may be.
fn by_chance(habit: &Habit, point: &Point) -> Result<usize> {
    ensure!(!habit.has_always(point), "no kill hit: {point}");
    Ok(1)
}

/// Every recovery from every state; in the short form one from each, in turn.
fn ways<'s>(
    states: &'s BTreeMap<Left, Point>,
    recoveries: &[Recovery],
    depth: Depth,
) -> Vec<(&'s Point, Recovery)> {
    let mut ways = Vec::new();
    for (number, first) in states.values().enumerate() {
        match depth {
            Depth::Deep => ways.extend(recoveries.iter().map(|recovery| (first, *recovery))),
            Depth::Short => ways.push((first, recoveries[number % recoveries.len()])),
        }
    }
    ways
}

impl Way<'_> {
    fn told(&self, second: &Point) -> [String; 2] {
        [self.first.to_string(), format!("by {}, {second}", self.recovery.told())]
    }
}

/// Whether it is a call of the platform, or an effect that reaches somebody else.
fn is_seen(point: &Point) -> bool {
    let says = point.context.what.starts_with("platform ");
    (says || is_answered(&point.context)) && !matches!(point.context.role, Role::Child(_))
}

/// The same effect in the same method of the platform, whichever call of it.
fn kind_of(point: &Point) -> (String, Role, String, Side) {
    let call = point.context.call.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let context = &point.context;
    (call.to_owned(), context.role.clone(), context.what.clone(), point.side)
}
