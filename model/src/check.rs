//! Explores a scenario.

use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::Scenario;

/// What an exploration found.
#[derive(Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// The longest run.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Stories of what must never be so.
    pub violations: Vec<String>,
    /// What never happened and has to.
    pub missing: Vec<&'static str>,
}

/// Explores all of a scenario, or up to its first violation.
pub fn explore(scenario: Scenario) -> Found {
    let begun = Instant::now();
    let checker =
        scenario.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let model = checker.model();
    let (mut violations, mut missing) = (Vec::new(), Vec::new());
    for property in model.properties() {
        let path = discoveries.get(property.name).cloned();
        match (&property.expectation, path) {
            (Expectation::Always, Some(path)) => violations.push(model.story(&property, path)),
            (Expectation::Sometimes, None) => missing.push(property.name),
            _ => {}
        }
    }
    Found {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        violations,
        missing,
    }
}

/// Explores a scenario in which nothing may go wrong and everything has to happen.
///
/// # Errors
/// The stories of what went wrong, and what never happened.
pub fn verdict(scenario: Scenario) -> Result<Found, String> {
    let found = explore(scenario);
    let mut complaint = found.violations.join("\n");
    if complaint.is_empty() && !found.missing.is_empty() {
        complaint = format!("never happened: {}", found.missing.join("; "));
    }
    if complaint.is_empty() { Ok(found) } else { Err(complaint) }
}
