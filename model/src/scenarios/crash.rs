//! Each verb against a destroy and a settle, where two of them are killed.

use steadfast_protocol::{Door, Press, Signal};

use super::{Set, Trial, is_gone, is_killed, is_settled, kills};
use crate::{Ending, Faults, Gadget, Scenario, Slot, Strangers, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new("define-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(World::default(), Verb::Define(vec![(1, Gadget::SCSI)]))
    }),
    Trial::new("undefine-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(World::defined([(1, Gadget::SCSI)]), Verb::Undefine)
    }),
    Trial::new("start-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(World::defined([(1, Gadget::SCSI)]), Verb::Start)
    }),
    Trial::new("stop-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Stop(Door::Ask))
    }),
    Trial::new("pause-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Tell(Signal::Pause))
    }),
    Trial::new("resume-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Tell(Signal::Resume))
    }),
    Trial::new("reset-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Tell(Signal::Reset))
    }),
    Trial::new("attach-of-two-layers-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::attach(2, Gadget::STACK))
    }),
    Trial::new("detach-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::detach(1))
    }),
    Trial::new("detach-of-pci-x-destroy-x-settle", Set::Default, SHOWS, || {
        let faults = Faults { releases: 1, ..kills(2) };
        let mut scenario = against(World::running([(1, Gadget::PCI)]), Verb::detach(1));
        // That the others try again as well is in the deep set.
        scenario.slots[1..].iter_mut().for_each(|slot| slot.remedy = None);
        Scenario { world: scenario.world.with(faults), ..scenario }
    }),
    Trial::new("detach-of-pci-x-destroy-x-settle-again", Set::Deep, SHOWS, || {
        let faults = Faults { releases: 1, ..kills(2) };
        let scenario = against(World::running([(1, Gadget::PCI)]), Verb::detach(1));
        Scenario { world: scenario.world.with(faults), ..scenario }
    }),
    Trial::new("media-x-destroy-x-settle", Set::Default, SHOWS, || {
        let drive = World::running([(1, Gadget::drive(Some(7)))]);
        against(drive, Verb::Media(1, Some(8), Door::Force))
    }),
    Trial::new("media-eject-x-destroy-x-settle", Set::Default, SHOWS, || {
        let drive = World::running([(1, Gadget::drive(Some(7)))]);
        against(drive, Verb::Media(1, None, Door::Ask))
    }),
    Trial::new("wait-x-destroy-x-settle", Set::Default, SHOWS, || against(running(), Verb::Wait)),
    Trial::new("repair-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Repair(Strangers::Adopt))
    }),
    Trial::new("repair-remove-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Repair(Strangers::Remove))
    }),
    Trial::new("destroy-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Destroy)
    }),
    Trial::new("redefine-x-destroy-x-settle", Set::Default, SHOWS, || {
        let world = World::defined([(1, Gadget::SCSI)]);
        against(world, Verb::Redefine(vec![(2, Gadget::SCSI)]))
    }),
    Trial::new("stop-force-x-destroy-x-settle", Set::Default, SHOWS, || {
        against(running(), Verb::Stop(Door::Force))
    }),
    Trial::new("detach-force-x-destroy-x-settle", Set::Default, SHOWS, || {
        let world = World::running([(1, Gadget::PCI)]);
        against(world, Verb::Detach(vec![1], Press::Force))
    }),
];

const SHOWS: &str = "two crashes, in the verb, the destroy or the settling: the next owner ends it";

fn running() -> World {
    World::running([(1, Gadget::SCSI)])
}

fn against(world: World, verb: Verb) -> Scenario {
    Scenario {
        world: world.with(kills(2)),
        slots: vec![
            Slot::new([verb.clone()]).or(verb),
            Slot::new([Verb::Destroy]).or(Verb::Destroy),
            Slot::new([Verb::Wait]).or(Verb::Wait),
        ],
        sometimes: vec![
            ("destroyed", |_, state| is_gone(state) && !is_killed(state)),
            ("killed and settled", |_, state| is_settled(state)),
            ("two killed", |_, state| state.world.faults.kills == 0 && state.rest.is_some()),
            ("ended at the second attempt", |_, state| {
                state.endings(0).len() == 2 && state.endings(0)[0] == Ending::Killed
            }),
        ],
        ..Scenario::default()
    }
}
