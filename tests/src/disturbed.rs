//! What a world may look like after somebody was killed in it, or raced.

use serde_json::Value;

use crate::{Result, World, ensure};

/// Whoever looks at a world that was disturbed finds at most what a dead owner left, and every QEMU has a row. Gives the
/// domains of the list.
///
/// # Errors
/// `check` finds more than that, or a QEMU runs without a row.
pub fn described(world: &World) -> Result<Vec<Value>> {
    let check = world.steadfast(&["check"])?.exits(&[0, 5])?;
    let allowed = ["pending-intent", "dead-domain"];
    let kinds = check.finding_kinds();
    ensure!(
        kinds.iter().all(|kind| allowed.contains(&kind.as_str())),
        "check says {}",
        check.stdout
    );
    let list = world.steadfast(&["list"])?.done()?;
    let domains = list.json["domains"].as_array().cloned().unwrap_or_default();
    let recorded: Vec<u64> = domains.iter().filter_map(|domain| domain["pid"].as_u64()).collect();
    let orphans: Vec<u32> = world
        .qemus()
        .iter()
        .map(|process| process.pid())
        .filter(|pid| !recorded.contains(&u64::from(*pid)))
        .collect();
    ensure!(orphans.is_empty(), "QEMUs without a row: {orphans:?}; list says {}", list.stdout);
    Ok(domains)
}
