//! Whoever settles what a killed verb left is killed as well, twice, and the third settles it.
//!
//! A recovery is begun by the state that the first kill left, so each state that a verb can leave (the open intents of
//! the record, and what QEMU has of them) is brought about once for every point of every recovery from it. The short form
//! takes a few points of one recovery from each.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_tests::{Failure, Output, Result, Role, ensure};

use super::case::{Case, Lasts, Scene};
use super::habit::Habit;
use super::judge::{Left, Mercy, arranged, forgive, judge};
use super::points::{Breadth, Depth, Point, Points, is_answered};
use super::row::{Row, Story, replay, wanted_points};
use super::single::{follow, undisturbed};

/// Who recovers.
#[derive(Clone, Copy)]
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
pub(crate) fn killed_in_recovery(test: &str, case: &Case) -> Result<()> {
    let row = Row::new(test, 3);
    let mut story = Story::default();
    let mut matrix = Matrix {
        case,
        scene: Scene::of(case)?,
        depth: Depth::wanted(),
        wanted: Wanted::from_environment()?,
        round: 0,
        kills: 0,
        triples: 0,
        firsts: [0, 0],
        missed: 0,
        habit: Habit::of(Vec::new()),
    };
    match matrix.run(&mut story) {
        Ok(bound) => row.holds(matrix.kills, Some(bound)),
        Err(why) => Err(row.is_violated(matrix.kills, &story, &replay(test, &story.points()), why)),
    }
}

/// The one state, and perhaps the one point of a recovery from it, that were asked for.
struct Wanted {
    first: String,
    second: Option<String>,
}

impl Wanted {
    fn from_environment() -> Result<Option<Wanted>> {
        match wanted_points().as_deref() {
            None => Ok(None),
            Some([first]) => Ok(Some(Wanted { first: first.clone(), second: None })),
            Some([first, second]) => {
                Ok(Some(Wanted { first: first.clone(), second: Some(second.clone()) }))
            }
            Some(more) => Err(Failure::new(format!(
                "{} points: the first two kills can be chosen, and the third follows from them",
                more.len()
            ))),
        }
    }
}

struct Matrix<'c> {
    case: &'c Case,
    scene: Scene,
    depth: Depth,
    wanted: Option<Wanted>,
    round: usize,
    /// All, those included that only look for the states.
    kills: usize,
    /// A verb, its recovery and the recovery of both, each killed where it was to be.
    triples: usize,
    /// Points of the verb that were looked at for the states they leave, of how many.
    firsts: [usize; 2],
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
    /// Where it can be killed.
    points: Vec<Point>,
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
    fn run(&mut self, story: &mut Story) -> Result<String> {
        let states = self.states(story)?;
        ensure!(!states.is_empty(), "the verb leaves nothing to recover from");
        let mut ways = Vec::new();
        for (first, recovery) in self.chosen(&states) {
            ways.extend(self.recovers(first, recovery, story)?);
        }
        let pairs = self.pairs(&ways);
        for (way, number) in &pairs {
            let way = &mut ways[*way];
            *story = Story::of(way.told(&way.points[*number]).to_vec());
            self.kill_thrice(way, *number, story)?;
            if self.wanted.is_some() {
                println!("\n{}", story.text());
            }
        }
        ensure!(self.triples > 0, "none of {} pairs of kills came to a third", pairs.len());
        Ok(self.bound(states.len(), &ways, pairs.len()))
    }

    /// What was done, of what there is to do.
    fn bound(&self, states: usize, ways: &[Way<'_>], pairs: usize) -> String {
        let [firsts, all] = self.firsts;
        let mut bound = format!(
            "{} complete triples, one third kill for each second; {states} states after {firsts} of {all} first kills",
            self.triples,
        );
        if self.depth == Depth::Short {
            let kinds: usize = ways.iter().map(|way| kinds(&way.points).len()).sum();
            let ways = ways.len();
            bound += &format!(
                "; one recovery from {ways} of them, killed at {pairs} of {kinds} kinds of points"
            );
        }
        if self.missed > 0 {
            bound += &format!("; {} that come by chance were not hit", self.missed);
        }
        bound
    }

    /// Every recovery from every state; in the short form one from each of a few, in turn.
    fn chosen<'s>(&self, states: &'s BTreeMap<Left, Point>) -> Vec<(&'s Point, Recovery)> {
        let recoveries = self.case.recoveries;
        let firsts: Vec<&Point> = states.values().collect();
        if self.depth == Depth::Deep || self.wanted.is_some() {
            let all = |first| recoveries.iter().map(move |recovery| (first, *recovery));
            return firsts.into_iter().flat_map(all).collect();
        }
        let few = spread(firsts.len(), PAIRS).map(|at| firsts[at]);
        few.zip(recoveries.iter().cycle()).map(|(first, recovery)| (first, *recovery)).collect()
    }

    /// Each way with each of its points; in the short form so few, spread over the ways and over each from its beginning
    /// to its end.
    fn pairs(&self, ways: &[Way<'_>]) -> Vec<(usize, usize)> {
        if self.depth == Depth::Deep || self.wanted.is_some() {
            let all = ways.iter().enumerate().flat_map(|(way, of)| {
                of.points
                    .iter()
                    .enumerate()
                    .map(move |(number, point)| (way, number, of.told(point)))
            });
            let second = self.wanted.as_ref().and_then(|wanted| wanted.second.as_ref());
            return all
                .filter(|(_, _, [_, told])| second.is_none_or(|second| second == told))
                .map(|(way, number, _)| (way, number))
                .collect();
        }
        let pairs: BTreeSet<(usize, usize)> = (0..PAIRS)
            .filter(|_| !ways.is_empty())
            .filter_map(|slot| {
                let way = slot % ways.len();
                let kinds = kinds(&ways[way].points);
                Some((way, *kinds.get((2 * slot + 1) * kinds.len() / (2 * PAIRS))?))
            })
            .collect();
        pairs.into_iter().collect()
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
        let mut points = Points::of(self.habit.last(), self.depth, Breadth::Own).points;
        let all = points.len();
        if let Some(Wanted { first, .. }) = &self.wanted {
            points.retain(|point| point.to_string() == *first);
            ensure!(!points.is_empty(), "no point of the verb is called `{first}`");
        } else if self.depth == Depth::Short {
            points.retain(|point| is_seen(point) && !only_asks(point));
            points = spread(points.len(), FIRSTS).map(|at| points[at].clone()).collect();
        }
        self.firsts = [points.len(), all];
        let mut states = BTreeMap::new();
        for point in points {
            *story = Story::of(vec![point.to_string()]);
            let Some(verb) = self.first_kill(&point, story)? else { continue };
            let left = judge(&self.scene, self.case, Mercy::Killed)?;
            story.tell(format!("record and QEMU: {left}"));
            // What must hold then is the verb's own row to see.
            self.again(&verb)?;
            (self.case.clear)(&self.scene, self.round)?;
            if left.is_open {
                states.entry(left).or_insert(point);
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
                (self.case.rests)(&self.scene)?;
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

    fn again(&self, verb: &[String]) -> Result<()> {
        run(&self.scene, verb)?.exits(&[self.case.ends, self.case.again].concat()).map(drop)
    }

    /// The verb again, and all that must hold then.
    fn complete(&self, verb: &[String], story: &Story) -> Result<()> {
        let (scene, case) = (&self.scene, self.case);
        story.tell(format!("`steadfast {}`, again", verb.join(" ")));
        self.again(verb)?;
        (case.holds)(scene, self.round)?;
        story.tell(format!("record and QEMU: {}", judge(scene, case, Mercy::Settled)?));
        (case.clear)(scene, self.round)
    }

    /// What the recovery does when nobody kills it.
    fn recovers<'s>(
        &mut self,
        first: &'s Point,
        recovery: Recovery,
        story: &mut Story,
    ) -> Result<Option<Way<'s>>> {
        *story = Story::of(vec![first.to_string()]);
        let Some(verb) = self.first_kill(first, story)? else { return Ok(None) };
        let arguments = recovery.arguments(self.case, &verb);
        story.tell(format!("`steadfast {}`", arguments.join(" ")));
        let ran = follow(&self.scene, &arguments, None)?;
        recovery.ends(self.case, ran.output)?;
        story.tell(format!("record and QEMU: {}", judge(&self.scene, self.case, Mercy::Settled)?));
        self.complete(&verb, story)?;
        let habit = Habit::of(ran.effects);
        let mut points = Points::of(habit.last(), self.depth, Breadth::Own).points;
        if self.depth == Depth::Short {
            points.retain(is_seen);
        }
        Ok(Some(Way { first, recovery, habit, points }))
    }

    /// Kills the verb, then the recovery at the second point, then the next recovery at the third.
    fn kill_thrice(&mut self, way: &mut Way<'_>, number: usize, story: &Story) -> Result<()> {
        let second = &way.points[number].clone();
        // The third kill is first aimed by a recovery from another state: that of the first kill. Where it fails, that
        // run shows what a recovery does from the state that the second kill left.
        let mut third = third_of(&way.points, number).clone();
        let mut later: Option<Habit> = None;
        let mut misses = [0, 0];
        loop {
            match self.try_thrice(way, &mut later, [second, &third], story)? {
                Hit::All => {
                    self.triples += 1;
                    return Ok(());
                }
                Hit::NotFirst => return Ok(()),
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
                    let mut points = Points::of(habit.last(), self.depth, Breadth::Own).points;
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
                (self.case.rests)(&self.scene)?;
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
        way.recovery.ends(self.case, run(&self.scene, &arguments)?)?;
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

/// So many points of the verb does the short form look at for the states they leave.
const FIRSTS: usize = 6;

/// So many pairs of a first and a second kill has a row in its short form.
const PAIRS: usize = 4;

/// So many of so many numbers, or all: at like distances, the middle of each.
fn spread(of: usize, most: usize) -> impl Iterator<Item = usize> {
    let most = most.min(of);
    (0..most).map(move |slot| (2 * slot + 1) * of / (2 * most))
}

/// Runs a verb to its end.
fn run(scene: &Scene, arguments: &[String]) -> Result<Output> {
    scene.world.steadfast(&arguments.iter().map(String::as_str).collect::<Vec<&str>>())
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

/// Whether it is a word with QEMU that changes nothing there: what is so then, is so at the next point.
fn only_asks(point: &Point) -> bool {
    let words = ["connect", "hang up", "send qmp_capabilities", "send query-"];
    words.iter().any(|word| point.context.what.starts_with(word))
}

/// The first of each kind of points, by their numbers: the same effect in the same method of the platform, whichever call
/// of it.
fn kinds(points: &[Point]) -> Vec<usize> {
    let mut had = BTreeSet::new();
    let kind = |point: &Point| {
        let context = &point.context;
        let method = context.call.trim_end_matches(|letter: char| letter.is_ascii_digit());
        (method.to_owned(), context.role.clone(), context.what.clone(), point.side)
    };
    (0..points.len()).filter(|number| had.insert(kind(&points[*number]))).collect()
}
