//! Negative controls: mistakes that stay in the model, and that the checker has to find.
//!
//! Each is explored twice, breadth first and by one thread, so that the same first violation comes each time, by the
//! fewest acts. As it should be, nothing is found; with the mistake, the property it breaks is found broken, and the
//! story of it is the one in `stories/`. `STEADFAST_STORIES=write` writes them anew: read what changed.

mod rules;
mod verbs;

use std::{env, fs, path::Path};

use steadfast_model::{ALWAYS, Bounds, Faults, Found, PASSING, Rule, Scenario, explore_within};
use steadfast_proof::{Proof, Verdict};

/// A mistake, and how it is found.
struct Control {
    /// Kebab-case; its story's name too.
    name: &'static str,
    /// Whose mistake it is, or what is missing.
    about: &'static str,
    /// The property that has to be found broken.
    breaks: &'static str,
    /// The scenario as it should be.
    sound: Scenario,
    /// The same, with the mistake.
    bad: Scenario,
}

impl Control {
    /// A mistake in the world: the verbs are those of production.
    fn of_rule(
        name: &'static str,
        about: &'static str,
        rule: Rule,
        breaks: &'static str,
        sound: Scenario,
    ) -> Self {
        let bad = Scenario { broken: Some(rule), only: Some(breaks), ..sound.clone() };
        Self { name, about, breaks, sound, bad }
    }

    /// Has it found.
    fn must_be_found(self) {
        let known = ALWAYS.iter().map(|(name, _)| name).chain(PASSING);
        let own = self.sound.always.iter().map(|(name, _)| name);
        assert!(known.chain(own).any(|name| *name == self.breaks), "no property: {}", self.breaks);
        let sound = self.explore(&self.sound, "as-it-should-be", Verdict::Holds);
        assert_eq!(sound.violations, Vec::<String>::new(), "{} as it should be", self.name);
        assert_eq!(sound.missing, Vec::<&str>::new(), "{} as it should be", self.name);
        let bad = self.explore(&self.bad, "", Verdict::Found);
        let Some(violation) = &bad.violation else { panic!("{} is not found", self.name) };
        assert_eq!(violation.property, self.breaks, "{} is found as another mistake", self.name);
        self.is_told(violation.acts.len(), &bad.violations[0]);
    }

    fn explore(&self, scenario: &Scenario, how: &str, expected: Verdict) -> Found {
        let found = explore_within(scenario, Bounds { threads: 1, ..Bounds::default() });
        let name = [self.name, how].into_iter().filter(|part| !part.is_empty());
        let verdict = match (&found.violation, expected) {
            (None, _) => Verdict::Holds,
            (Some(_), Verdict::Found) => Verdict::Found,
            (Some(_), _) => Verdict::Violated,
        };
        let proof = Proof {
            name: &name.collect::<Vec<_>>().join("-"),
            engine: "control",
            processes: Some(scenario.slots.len()),
            crashes: Some(scenario.crashes()),
            explored: found.states as u64,
            unit: "states",
            bound: found.bound.as_deref(),
            took: found.took,
            verdict,
            expected,
        };
        // The harness leaves its own words at the beginning of a line.
        println!("\n{}", proof.line());
        found
    }

    fn is_told(&self, acts: usize, story: &str) {
        let Self { name, about, breaks, .. } = self;
        let told = format!("{name}: {about}\n\nbreaks: {breaks}\nin {acts} acts\n\n{story}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/stories")
            .join(format!("{}.txt", self.name));
        if env::var("STEADFAST_STORIES").is_ok_and(|wish| wish == "write") {
            fs::write(&file, told).expect("a story is written");
            return;
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == told, "{} tells another story:\n{told}\nand not\n{kept}", file.display());
    }
}

fn kills(kills: u8) -> Faults {
    Faults { kills, ..Faults::default() }
}
