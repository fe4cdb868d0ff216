//! One kill at a time: at every effect of the verb, then the judgement, a repair or none, and the verb again.

use steadfast_tests::{Cut, Effect, Failure, Followed, Result, Victim, ensure};

use super::case::{Case, Lasts, Scene};
use super::habit::Habit;
use super::judge::{Mercy, arranged, forgive, judge};
use super::points::{Breadth, Depth, Point, Points};
use super::row::{Row, Story, replay, wanted_points};

/// How a verb may end of which only a child was killed, beside how it ends.
const BEREFT: [i32; 3] = [1, 8, 9];

/// Runs the row of a case.
pub(crate) fn killed_everywhere(test: &str, case: &Case, breadth: Breadth) -> Result<()> {
    let row = Row::new(test, 1);
    let mut story = Story::default();
    let mut matrix =
        Matrix { case, scene: Scene::of(case)?, round: 0, kills: 0, habit: Habit::of(Vec::new()) };
    let ran = matrix.run(breadth, &mut story);
    let kills = matrix.kills;
    match ran {
        Ok(bound) => row.holds(kills, bound),
        Err(why) => Err(row.is_violated(kills, &story, &replay(test, &story.points()), why)),
    }
}

/// The effects of a verb that nobody kills.
pub(crate) fn undisturbed(scene: &Scene, case: &Case, round: usize) -> Result<Vec<Effect>> {
    let arguments = (case.arrange)(scene, round)?;
    let dry = follow(scene, &arguments, None)?;
    dry.output.exits(case.ends)?;
    (case.holds)(scene, round)?;
    judge(scene, case, Mercy::Settled)?;
    (case.clear)(scene, round)?;
    Ok(dry.effects)
}

/// Runs a verb up to a cut.
pub(crate) fn follow(scene: &Scene, arguments: &[String], cut: Option<&Cut>) -> Result<Followed> {
    scene.world.followed(&arguments.iter().map(String::as_str).collect::<Vec<&str>>(), cut)
}

struct Matrix<'c> {
    case: &'c Case,
    scene: Scene,
    round: usize,
    kills: usize,
    /// What the verb does when nobody kills it.
    habit: Habit,
}

impl Matrix<'_> {
    /// Kills at every point, and tells what was left out.
    fn run(&mut self, breadth: Breadth, story: &mut Story) -> Result<Option<String>> {
        let points = self.points(breadth)?;
        let wanted = wanted_points();
        for text in wanted.iter().flatten() {
            let is_known = points.points.iter().any(|point| point.to_string() == *text);
            ensure!(is_known, "no point is called `{text}`");
        }
        let (mut missed, mut unsteady) = (Vec::new(), 0);
        for (number, point) in points.points.iter().enumerate() {
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&point.to_string())) {
                continue;
            }
            *story = Story::of(vec![point.to_string()]);
            match self.kill(point, number, story)? {
                true => {}
                false if self.habit.has_always(point) => missed.push(point.to_string()),
                false => unsteady += 1,
            }
            if wanted.is_some() {
                println!("\n{}", story.text());
            }
        }
        if !missed.is_empty() {
            let why = format!("no kill hit: {}", missed.join("; "));
            *story = Story::of(missed);
            return Err(Failure::new(why));
        }
        let unsteady =
            (unsteady > 0).then(|| format!("{unsteady} that come by chance were not hit"));
        let bounds: Vec<String> = points.bound().into_iter().chain(unsteady).collect();
        Ok((!bounds.is_empty()).then(|| bounds.join("; ")))
    }

    fn points(&mut self, breadth: Breadth) -> Result<Points> {
        self.habit = Habit::of(self.dry()?);
        let second = self.dry()?;
        self.habit.came_to_its_end(second);
        Ok(Points::of(self.habit.last(), Depth::wanted(), breadth))
    }

    fn dry(&mut self) -> Result<Vec<Effect>> {
        self.next_round()?;
        undisturbed(&self.scene, self.case, self.round)
    }

    fn next_round(&mut self) -> Result<()> {
        self.round += 1;
        if self.case.world == Lasts::OneKill && self.round > 1 {
            self.scene = Scene::of(self.case)?;
        }
        Ok(())
    }

    /// Kills at the point, if need be in several runs; false where none came to it.
    fn kill(&mut self, point: &Point, number: usize, story: &Story) -> Result<bool> {
        let ways = match Depth::wanted() {
            // What the verb is to mend is not to be mended before.
            _ if !self.case.finds.is_empty() => vec![Repair::Never],
            Depth::Deep => vec![Repair::First, Repair::Never],
            Depth::Short if number.is_multiple_of(2) => vec![Repair::IfOpen],
            Depth::Short => vec![Repair::Never],
        };
        for way in ways {
            let mut tries = 0;
            while !self.try_once(point, way, story)? {
                tries += 1;
                if self.habit.is_missed(point, tries) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn try_once(&mut self, point: &Point, repair: Repair, story: &Story) -> Result<bool> {
        self.next_round()?;
        let (scene, case, round) = (&self.scene, self.case, self.round);
        let arguments = arranged(scene, case, round)?;
        let verb = arguments.join(" ");
        let cut = self.habit.aim(point);
        let killed = follow(scene, &arguments, cut.as_ref())?;
        if !killed.hit {
            killed.output.exits(case.ends)?;
            (case.clear)(scene, round)?;
            self.habit.came_to_its_end(killed.effects);
            return Ok(false);
        }
        self.kills += 1;
        (case.rests)(scene)?;
        story.tell(format!("`steadfast {verb}` is killed {point}"));
        let has_answered = killed.effects.iter().any(|effect| effect.what == "answer");
        if point.victim == Victim::Command {
            ensure!(killed.output.signal == Some(9), "it ended by {}", killed.output.ending());
        } else {
            story.tell(format!("it ends by {}", killed.output.ending()));
            killed.output.exits(&[case.ends, &BEREFT].concat())?;
        }
        let left = judge(scene, case, Mercy::Killed)?;
        story.tell(format!("record and QEMU: {left}"));
        // What it leaves is settled by somebody who is killed as well, in a row of its own; or it leaves nothing.
        ensure!(!(left.is_open && case.recoveries.is_empty()), "it leaves something to settle");
        if has_answered && point.victim == Victim::Command {
            story.tell("it had answered, so it must be so");
            (case.holds)(scene, round)?;
        }
        if repair == Repair::First || (repair == Repair::IfOpen && left.is_open) {
            story.tell("`steadfast check --repair`");
            forgive(case, &scene.run(&["check", "--repair"])?)?;
            story.tell(format!("record and QEMU: {}", judge(scene, case, Mercy::Settled)?));
        }
        story.tell(format!("`steadfast {verb}`, again"));
        let words = arguments.iter().map(String::as_str).collect::<Vec<&str>>();
        scene.world.steadfast(&words)?.exits(case.again)?;
        (case.holds)(scene, round)?;
        story.tell(format!("record and QEMU: {}", judge(scene, case, Mercy::Settled)?));
        (case.clear)(scene, round)?;
        Ok(true)
    }
}

/// Who settles what the killed verb left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// `check --repair`, before the verb runs again.
    First,
    /// As before, where there is something to settle.
    IfOpen,
    /// The verb itself.
    Never,
}
