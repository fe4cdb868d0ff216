//! R17: every verb that changes a running domain first settles what a dead one left.
//!
//! The verbs are read from the command's own help: one that nobody sorted here fails the test.

use std::collections::BTreeMap;

use steadfast_tests::{Cut, Document, Failure, Result, Side, Victim, World, ensure};

/// What a verb does about an open intent of its domain.
enum Duty {
    /// It settles it: run like this on the domain `vm`, it may end with these codes.
    Settles(&'static [&'static str], &'static [i32]),
    /// It does not: why not.
    Exempt(&'static str),
}

fn duties() -> BTreeMap<&'static str, Duty> {
    use Duty::{Exempt, Settles};
    let reads = || Exempt("it changes nothing");
    BTreeMap::from([
        ("define", Exempt("it refuses a domain that runs")),
        ("undefine", Exempt("it refuses a domain that runs")),
        ("start", Exempt("it refuses a domain that runs")),
        ("userdata", Exempt("it changes no device and needs no QEMU")),
        ("pause", Settles(&["pause", "vm"], &[0])),
        ("resume", Settles(&["resume", "vm"], &[0])),
        ("reset", Settles(&["reset", "vm"], &[0])),
        ("stop", Settles(&["stop", "vm", "--timeout", "0"], &[0])),
        ("destroy", Settles(&["destroy", "vm"], &[0])),
        ("attach", Settles(&["attach", "vm", "kbd", "keyboard"], &[0])),
        ("detach", Settles(&["detach", "vm", "tab"], &[0])),
        ("media", Settles(&["media", "eject", "vm", "cd0"], &[0])),
        ("wait", Settles(&["wait", "vm"], &[0])),
        ("check", Settles(&["check", "vm", "--repair"], &[0])),
        ("list", reads()),
        ("show", reads()),
        ("locks", reads()),
        ("log", reads()),
        ("export", reads()),
        ("backup", reads()),
        ("schema", reads()),
        ("completions", reads()),
        ("man", reads()),
        ("help", reads()),
    ])
}

/// A domain with an attach that was killed before it could settle.
fn open_intent(world: &World) -> Result<()> {
    let document =
        Document::new("vm").cdrom("cd0").device("tab", serde_json::json!({"class": "tablet"}));
    world.started(&document)?;
    let spec = format!("disk,bus=scsi,file={},format=raw", world.image("d.raw", 1 << 20)?);
    let dry = world.followed(&["attach", "vm", "dry", &spec], None)?;
    dry.output.done()?;
    world.steadfast(&["detach", "vm", "dry"])?.done()?;
    let sent = dry.effects.into_iter().find(|effect| effect.what.contains("device_add"));
    let effect = sent.ok_or_else(|| Failure::new("nothing sends device_add"))?;
    // Nothing of the settle is written yet.
    let cut = Cut { effect, side: Side::After, victim: Victim::Command };
    let killed = world.followed(&["attach", "vm", "data", &spec], Some(&cut))?;
    ensure!(killed.hit, "the attach was not killed: {}", killed.output.ending());
    Ok(())
}

#[test]
fn every_verb_settles_what_a_dead_one_left() -> Result<()> {
    let duties = duties();
    let known: Vec<String> = World::new()?.verbs()?;
    ensure!(known.len() > 15, "the help lists only {known:?}");
    for verb in &known {
        ensure!(
            duties.contains_key(verb.as_str()),
            "nobody said what `{verb}` does about an open intent"
        );
    }
    for verb in &known {
        let (arguments, codes) = match &duties[verb.as_str()] {
            Duty::Settles(arguments, codes) => (*arguments, *codes),
            Duty::Exempt(why) => {
                println!("{verb}: {why}");
                continue;
            }
        };
        let world = World::new()?;
        open_intent(&world)?;
        let phase = world.phase("vm", "data")?;
        ensure!(phase.as_deref() == Some("adding"), "{verb}: the killed attach left {phase:?}");
        let found = world.steadfast(&["check"])?.exits(&[5])?;
        ensure!(found.finding_kinds() == ["pending-intent"], "{verb}: {}", found.stdout);
        world.steadfast(arguments)?.exits(codes)?;
        world.is_clean().map_err(|failure| Failure::new(format!("after `{verb}`: {failure}")))?;
        println!("{verb}: settled");
    }
    Ok(())
}
