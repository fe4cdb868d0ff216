//! Single calls of the script.

use std::collections::BTreeSet;

use steadfast_locks::{Fast, Permit, Slow};
use steadfast_protocol::{
    About, Command, Door, Entry, Generation, Id, Patience, Platform, Serial, Signal, Step, View,
};

use super::{
    recorder::Recorder,
    script::Player,
    side::{Disturbance, Side, SpecOf, Time},
};

type HoldOf<S> = <Recorder<S> as Platform>::Hold;
type MonitorOf<S> = <Recorder<S> as Platform>::Monitor;

impl<S: Side> Player<S> {
    /// Whose turn it is: the row's generation, without a line.
    pub(super) async fn generation(&self) -> Generation {
        let standing = self.side.platform(Time::Ample).peek(self.side.domain()).await;
        standing.ok().flatten().map_or(Generation(0), |standing| standing.generation)
    }

    /// A device as the record has it, without a line.
    pub(super) async fn entry(&self, number: u8) -> Option<Entry<SpecOf<S>>> {
        let id = self.side.id(number);
        let platform = self.side.platform(Time::Ample);
        let mut root = Permit::root();
        let view = View::devices([id.clone()]);
        let permit = root.enter::<Fast>();
        let read = platform
            .fast(permit, None, self.side.domain(), view, move |tx| tx.devices().get(&id).cloned());
        read.await.ok().flatten()
    }

    /// Every view there is.
    pub(super) async fn views(&self) {
        let device: Id<S::Platform> = self.side.id(1);
        let views = [View::row(), View::devices([device]), View::all()];
        for view in views {
            for view in [view.clone(), view.clone().probed(), view.probed().durable()] {
                self.fast(view).await;
            }
        }
    }

    pub(super) async fn fast(&self, view: View<Id<S::Platform>>) {
        let recorder = self.recorder(Time::Ample);
        let mut root = Permit::root();
        let permit = root.enter::<Fast>();
        // What it saw is in its line; that it failed has none, and is missed there.
        let _ = recorder.fast(permit, None, self.side.domain(), view, |_| ()).await;
    }

    pub(super) async fn peek(&self) {
        let _ = self.recorder(Time::Ample).peek(self.side.domain()).await;
    }

    pub(super) async fn slow(
        &self,
        recorder: &Recorder<S>,
        generation: Generation,
    ) -> Option<HoldOf<S>> {
        let mut root = Permit::root();
        let permit = root.enter::<Slow>();
        recorder.slow(&permit, self.side.domain(), generation).await.ok().flatten()
    }

    pub(super) async fn found(
        &self,
        recorder: &Recorder<S>,
        generation: Generation,
    ) -> Option<HoldOf<S>> {
        let mut root = Permit::root();
        let permit = root.enter::<Slow>();
        recorder.found(&permit, self.side.domain(), generation).await.ok()
    }

    pub(super) async fn connect(
        &self,
        recorder: &Recorder<S>,
        hold: &HoldOf<S>,
        generation: Generation,
    ) -> Option<MonitorOf<S>> {
        let call = recorder.call(hold, self.side.domain(), generation).await.ok()?.ok()?;
        recorder.fence(call).await.ok()?.ok()
    }

    /// Lock, session, and every command that QEMU can be told, where it can be done and where it can't.
    pub(super) async fn every_command(&self) {
        let generation = self.generation().await;
        let (Some(disk), Some(drive)) = (self.entry(1).await, self.entry(4).await) else { return };
        let recorder = self.recorder(Time::Ample);
        let Some(hold) = self.slow(&recorder, generation).await else { return };
        let Some(mut session) = self.connect(&recorder, &hold, generation).await else { return };
        let hasty = self.recorder(Time::Short);
        let second = self.connect(&hasty, &hold, generation).await;
        drop(second);
        let _ = recorder.look(&mut session, &About::All).await;
        let stranger = |entry: &Entry<SpecOf<S>>| {
            let serial = Serial(entry.serial.0 + FAR);
            Entry { serial, medium: serial, intent: serial, ..entry.clone() }
        };
        let tried = [
            command(&disk, Step::AddLayer(0)),
            command(&disk, Step::Plug),
            command(&disk, Step::RemoveLayer(0)),
            command(&stranger(&disk), Step::Unplug),
            command(&stranger(&disk), Step::Plug),
            command(&stranger(&disk), Step::RemoveLayer(0)),
        ];
        for step in tried {
            let _ = recorder.tell(&mut session, vec![step]).await;
        }
        let _ = recorder.look(&mut session, &About::All).await;
        // Its own image would be locked; a drive's can be opened twice. Its place is taken.
        let other = stranger(&drive);
        let steps = [
            Step::AddLayer(0),
            Step::Plug,
            Step::PutMedium,
            Step::RemoveLayer(0),
            Step::RemoveLayer(0),
        ];
        let _ = recorder.tell(&mut session, steps.map(|step| command(&other, step)).into()).await;
        let _ = recorder.look(&mut session, &About::All).await;
        let steps = [
            Step::TakeMedium,
            Step::PutMedium,
            Step::CloseTray,
            Step::OpenTray(Door::Ask),
            Step::OpenTray(Door::Force),
            Step::PutMedium,
            Step::RemoveLayer(0),
            Step::TakeMedium,
            Step::TakeMedium,
        ];
        let _ = recorder.tell(&mut session, steps.map(|step| command(&drive, step)).into()).await;
        let _ = recorder.look(&mut session, &About::All).await;
        let steps = [Step::PutMedium, Step::PutMedium, Step::CloseTray];
        let _ = recorder.tell(&mut session, steps.map(|step| command(&drive, step)).into()).await;
        let _ = recorder.look(&mut session, &About::All).await;
        // In one go: a guest that boots may shut the tray at any time.
        for door in [Door::Ask, Door::Force] {
            let steps = [Step::OpenTray(door), Step::TakeMedium, Step::PutMedium, Step::CloseTray];
            let told = steps.map(|step| command(&drive, step)).into();
            let _ = recorder.tell(&mut session, told).await;
        }
        let _ = recorder.look(&mut session, &About::All).await;
        for signal in [Signal::Pause, Signal::Pause, Signal::Resume, Signal::Resume] {
            let _ = recorder.signal(&mut session, signal).await;
        }
        drop(session);
        let again = self.connect(&recorder, &hold, generation).await;
        drop(again);
        drop(hold);
    }

    /// A device of the guest's: asked for, asked for again, and let go at the next reset.
    pub(super) async fn a_guest_that_does_not_let_go(&self) {
        let generation = self.generation().await;
        let Some(card) = self.entry(2).await else { return };
        let serials = BTreeSet::from([card.serial]);
        let (domain, recorder) = (self.side.domain(), self.recorder(Time::Ample));
        let Some(hold) = self.slow(&recorder, generation).await else { return };
        let Some(mut session) = self.connect(&recorder, &hold, generation).await else { return };
        let unplug = || vec![command(&card, Step::Unplug)];
        let _ = recorder.tell(&mut session, unplug()).await;
        let _ = recorder.look(&mut session, &About::All).await;
        let _ = recorder.tell(&mut session, unplug()).await;
        let _ = self.recorder(Time::Short).watch(domain, generation, &serials).await;
        let _ = recorder.signal(&mut session, Signal::Reset).await;
        self.listen(&recorder, &mut session, &serials).await;
        let _ = recorder.look(&mut session, &About::All).await;
        let _ = recorder.tell(&mut session, unplug()).await;
        let _ = self.recorder(Time::Short).watch(domain, generation, &serials).await;
        let hasty = self.recorder(Time::Short);
        let _ = hasty.exited(domain, generation, Patience::Guest).await;
    }

    /// Listens until something came, or for as long as QEMU needs.
    async fn listen(
        &self,
        recorder: &Recorder<S>,
        session: &mut MonitorOf<S>,
        serials: &BTreeSet<Serial>,
    ) {
        while let Ok(heard) = recorder.listen(session, serials).await {
            if heard.over || !heard.deleted.is_empty() || !heard.rejected.is_empty() {
                break;
            }
        }
    }

    /// Somebody's last words reach QEMU before the next session does.
    pub(super) async fn a_sender_that_is_gone(&self) {
        let generation = self.generation().await;
        let Some(disk) = self.entry(1).await else { return };
        let unplug = vec![command(&disk, Step::Unplug)];
        self.side.disturb(Disturbance::Abandon(generation, unplug));
        let recorder = self.recorder(Time::Ample);
        let Some(hold) = self.slow(&recorder, generation).await else { return };
        let Some(mut session) = self.connect(&recorder, &hold, generation).await else { return };
        let _ = recorder.look(&mut session, &About::All).await;
    }

    /// QEMU is killed by somebody else under an open session.
    pub(super) async fn a_crash(&self) {
        let (generation, domain) = (self.generation().await, self.side.domain());
        let Some(disk) = self.entry(1).await else { return };
        let serials = BTreeSet::from([disk.serial]);
        let recorder = self.recorder(Time::Short);
        let Some(hold) = self.slow(&recorder, generation).await else { return };
        let Some(mut session) = self.connect(&recorder, &hold, generation).await else { return };
        self.side.disturb(Disturbance::Crash(generation));
        let steps = [Step::Unplug, Step::RemoveLayer(0)];
        let _ = recorder.tell(&mut session, steps.map(|step| command(&disk, step)).into()).await;
        let _ = recorder.signal(&mut session, Signal::Reset).await;
        let _ = recorder.look(&mut session, &About::All).await;
        self.listen(&recorder, &mut session, &serials).await;
        drop(session);
        let again = self.connect(&recorder, &hold, generation).await;
        drop((again, hold));
        let _ = recorder.watch(domain, generation, &serials).await;
        let _ = recorder.exited(domain, generation, Patience::Guest).await;
        let _ = recorder.exited(domain, generation, Patience::Kernel).await;
        let _ = recorder.kill(domain, generation).await;
        self.views().await;
    }

    /// Places made and taken away, by their holder and by others.
    pub(super) async fn places(&self) {
        let domain = self.side.domain();
        let generation = Generation(self.generation().await.0 + FAR);
        let recorder = self.recorder(Time::Ample);
        drop(self.slow(&recorder, generation).await);
        let _ = recorder.sweep(domain, generation).await;
        let Some(hold) = self.found(&recorder, generation).await else { return };
        let _ = recorder.clear(hold, domain, generation).await;
        drop(self.slow(&recorder, generation).await);
        let Some(hold) = self.found(&recorder, generation).await else { return };
        let _ = recorder.sweep(domain, generation).await;
        let absent = self.connect(&recorder, &hold, generation).await;
        drop((absent, hold));
        drop(self.slow(&recorder, generation).await);
        let Some(hold) = self.found(&recorder, generation).await else { return };
        drop(hold);
        drop(self.slow(&recorder, generation).await);
        let _ = recorder.sweep(domain, generation).await;
        drop(self.slow(&recorder, generation).await);
    }

    /// A launch whose section decides against it.
    pub(super) async fn a_launch_declined(&self) {
        let generation = self.generation().await;
        let recorder = self.recorder(Time::Ample);
        let Some(hold) = self.slow(&recorder, generation).await else { return };
        let mut root = Permit::root();
        let permit = root.enter::<Fast>();
        let _ = recorder.launch(permit, &hold, self.side.domain(), |_| false).await;
        drop(hold);
    }

    /// What is asked about a generation that is over.
    pub(super) async fn the_past(&self, generation: Generation) {
        let domain = self.side.domain();
        let recorder = self.recorder(Time::Short);
        self.peek().await;
        drop(self.slow(&recorder, generation).await);
        let _ = recorder.kill(domain, generation).await;
        let _ = recorder.exited(domain, generation, Patience::Guest).await;
        let _ = recorder.exited(domain, generation, Patience::Kernel).await;
        let _ = recorder.sweep(domain, generation).await;
        let _ = recorder.watch(domain, generation, &BTreeSet::from([Serial(FAR)])).await;
        self.views().await;
    }
}

/// Farther than the script counts: numbers that nobody has drawn.
const FAR: u64 = 1000;

fn command<S: steadfast_protocol::Spec>(entry: &Entry<S>, step: Step) -> Command<S> {
    let Entry { spec, place, serial, medium, .. } = entry.clone();
    Command { step, serial, medium, spec, place }
}
