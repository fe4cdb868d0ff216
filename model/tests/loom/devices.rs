//! Devices that come and go.

use steadfast_model::{Gadget, Rule, Scenario, Slot, Verb, World};
use steadfast_protocol::Door;

use crate::house::{Killed, found, killed, race};

fn running(slots: Vec<Slot>) -> Scenario {
    let drive = Gadget::drive(Some(7));
    let world = World::running([(1, Gadget::SCSI), (3, drive)]);
    Scenario { world, slots, ..Scenario::default() }
}

/// Its calls: peek, slow, peek, call, section, fence, commands, section.
const ATTACH: [(usize, usize); 6] = [(3, 0), (5, 0), (6, 0), (6, 1), (6, 2), (7, 0)];
/// Its calls: peek, slow, peek, call, section, fence, command, listen, command, section.
const DETACH: [(usize, usize); 5] = [(6, 0), (6, 1), (7, 0), (8, 1), (9, 0)];
/// Its calls: peek, slow, peek, call, section, fence, layers, moves, layers, section.
const MEDIA: [(usize, usize); 6] = [(6, 1), (7, 1), (7, 2), (7, 3), (8, 1), (9, 0)];

#[test]
#[ignore = "a proof: it takes its time"]
fn attach_by_destroy() {
    race("attach-by-destroy", || {
        running(vec![Slot::new([Verb::attach(2, Gadget::SCSI)]), Slot::new([Verb::Destroy])])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn attach_by_attach_of_the_same_id() {
    race("attach-by-attach-of-the-same-id", || {
        running(vec![
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
            Slot::new([Verb::attach(2, Gadget::STACK)]),
        ])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn detach_by_destroy() {
    race("detach-by-destroy", || {
        running(vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::Destroy])])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn detach_by_attach_of_the_same_id() {
    race("detach-by-attach-of-the-same-id", || {
        running(vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::attach(1, Gadget::SCSI)])])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn media_by_destroy() {
    race("media-by-destroy", || {
        running(vec![Slot::new([Verb::Media(3, Some(8), Door::Ask)]), Slot::new([Verb::Destroy])])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn attach_by_detach_by_destroy() {
    race("attach-by-detach-by-destroy", || {
        running(vec![
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
            Slot::new([Verb::detach(1)]),
            Slot::new([Verb::Destroy]),
        ])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn attach_killed_by_settle() {
    killed("attach-killed-by-settle", &ATTACH, || {
        running(vec![Slot::new([Verb::attach(2, Gadget::SCSI)]), Slot::new([Verb::Wait])])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn attach_killed_by_settle_by_destroy() {
    killed("attach-killed-by-settle-by-destroy", &ATTACH[3..4], || {
        running(vec![
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
            Slot::new([Verb::Wait]),
            Slot::new([Verb::Destroy]),
        ])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn detach_killed_by_settle() {
    killed("detach-killed-by-settle", &DETACH, || {
        running(vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::Wait])])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn media_killed_by_settle() {
    killed("media-killed-by-settle", &MEDIA, || {
        running(vec![Slot::new([Verb::Media(3, Some(8), Door::Ask)]), Slot::new([Verb::Wait])])
    });
}

#[test]
fn a_session_without_a_fence_is_found() {
    let name = "a-session-without-a-fence-is-found";
    let rule = "R11: what a dead sender sent was executed before the next owner looks";
    found((name, rule), Some(Killed { call: 6, sent: 2 }), || Scenario {
        broken: Some(Rule::Fence),
        ..running(vec![Slot::new([Verb::attach(2, Gadget::SCSI)]), Slot::new([Verb::Wait])])
    });
}
