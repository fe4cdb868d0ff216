//! A cut before and after everything on a tape.

use steadfast_tests::Result;

use crate::disk::{Disk, Image};
use crate::judge::Judge;
use crate::loss::Loss;
use crate::tape::Event;

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Moments at which the power was cut.
    pub cuts: usize,
    /// Images that were looked at, equal ones counted once for each cut.
    pub images: usize,
    /// What was wrong first, as a story.
    pub story: Vec<String>,
}

/// Cuts the power at every moment of the tape, loses in each of these ways, and judges. `found` is shown every image that
/// passed.
///
/// # Errors
/// The states that existed cannot be learnt, or `found` fails.
pub fn sweep(
    tape: &[Event],
    from: &Image,
    losses: &[Loss],
    judge: &mut Judge<'_>,
    mut found: impl FnMut(&Judge<'_>, usize, Loss, &Image) -> Result<()>,
) -> Result<Sweep> {
    let mut disk = Disk::new(from.clone());
    judge.learn(&disk.image(&mut Loss::Nothing.at(0, 0)))?;
    for (moment, event) in tape.iter().enumerate() {
        disk.apply(event);
        if matches!(event, Event::Wrote { .. } | Event::Cut { .. } | Event::Renamed { .. }) {
            judge.learn(&disk.image(&mut Loss::Nothing.at(moment + 1, 0)))?;
        }
    }
    let (mut disk, mut sweep, mut synced) = (Disk::new(from.clone()), Sweep::default(), 0);
    for moment in 0..=tape.len() {
        sweep.cuts += 1;
        for loss in losses {
            let image = disk.image(&mut loss.at(moment, synced));
            sweep.images += 1;
            let wrong = match judge.judge(moment, &image) {
                Some(wrong) => Some(wrong),
                None => found(judge, moment, *loss, &image).err().map(|error| error.to_string()),
            };
            if let Some(wrong) = wrong {
                sweep.story = story(tape, moment, *loss, &image, wrong);
                return Ok(sweep);
            }
        }
        if let Some(event) = tape.get(moment) {
            disk.apply(event);
            if let Event::Synced { began, .. } = event {
                synced = *began;
            }
        }
    }
    Ok(sweep)
}

fn story(tape: &[Event], moment: usize, loss: Loss, image: &Image, wrong: String) -> Vec<String> {
    const LAST: usize = 12;
    let from = moment.saturating_sub(LAST);
    let mut story: Vec<_> = tape[from..moment]
        .iter()
        .zip(from..)
        .map(|(event, number)| format!("event {number}: {event}"))
        .collect();
    story.push(format!("the power goes before event {moment}; {loss}"));
    let files = image.iter().map(|(name, content)| format!("{name} ({} bytes)", content.len()));
    story.push(format!("on the disk are {}", files.collect::<Vec<_>>().join(", ")));
    story.push(wrong);
    story
}
