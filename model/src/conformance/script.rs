//! The script.

use std::sync::{Arc, Mutex};

use steadfast_protocol::{Press, Signal};

use super::{
    names::Transcript,
    recorder::lock,
    side::{Disturbance, Side, Time},
};
use crate::Gadget;

/// Who performs it on one side.
pub(super) struct Player<S> {
    pub(super) side: Arc<S>,
    pub(super) transcript: Arc<Mutex<Transcript>>,
}

const DISK: Gadget = Gadget::SCSI;
const CARD: Gadget = Gadget::PCI;

/// Performs all of it.
pub async fn perform<S: Side>(side: Arc<S>) -> Transcript {
    let player = Player::new(side);
    player.beginnings().await;
    player.devices().await;
    player.media().await;
    player.accidents().await;
    player.endings().await;
    lock(&player.transcript).clone()
}

impl<S: Side> Player<S> {
    fn scene(&self, title: &str) {
        lock(&self.transcript).title(&format!("== {title}"));
    }

    async fn beginnings(&self) {
        self.scene("a domain is defined");
        self.peek().await;
        self.views().await;
        self.define(&[(1, DISK), (2, CARD)]).await;
        self.define(&[(1, DISK)]).await;
        self.peek().await;
        self.views().await;
        self.scene("an image is missing");
        self.side.disturb(Disturbance::LoseImages);
        self.start().await;
        self.side.disturb(Disturbance::RestoreImages);
        self.peek().await;
        self.scene("nothing is spawned");
        self.side.disturb(Disturbance::FailSpawn);
        self.start().await;
        self.peek().await;
        self.scene("QEMU ends before it answers");
        self.side.disturb(Disturbance::Stillbirth);
        self.start().await;
        self.peek().await;
        self.scene("it starts");
        self.start().await;
        self.peek().await;
        self.views().await;
        self.start().await;
        self.undefine().await;
        self.scene("places");
        self.places().await;
        self.a_launch_declined().await;
    }

    async fn devices(&self) {
        self.scene("devices come");
        self.attach(&[(3, Gadget::drive(None)), (4, Gadget::drive(Some(7)))], Time::Ample).await;
        self.attach(&[(1, DISK)], Time::Ample).await;
        self.scene("every command");
        self.every_command().await;
        self.scene("an image is missing");
        // A guest that stands still lets nothing go, but at a reset.
        self.signal(Signal::Pause).await;
        self.side.disturb(Disturbance::LoseImages);
        self.attach(&[(5, DISK)], Time::Ample).await;
        self.attach(&[(5, DISK), (6, CARD)], Time::Short).await;
        self.side.disturb(Disturbance::RestoreImages);
        self.peek().await;
        self.scene("the guest has to let go");
        self.wait(Time::Short).await;
        self.signal(Signal::Reset).await;
        self.wait(Time::Ample).await;
        self.detach(2, Press::Wait, Time::Short).await;
        self.detach(2, Press::Force, Time::Short).await;
        self.signal(Signal::Reset).await;
        self.wait(Time::Ample).await;
        self.peek().await;
        self.attach(&[(2, CARD)], Time::Ample).await;
        self.a_guest_that_does_not_let_go().await;
        self.detach(2, Press::Wait, Time::Ample).await;
        self.signal(Signal::Resume).await;
        self.scene("the same id again");
        self.detach(1, Press::Wait, Time::Ample).await;
        self.attach(&[(1, DISK)], Time::Ample).await;
        self.peek().await;
    }

    async fn media(&self) {
        self.scene("media");
        self.media_changes().await;
        self.scene("a medium is missing");
        self.side.disturb(Disturbance::LoseImages);
        self.change_medium(4, Some(7)).await;
        self.side.disturb(Disturbance::RestoreImages);
        self.change_medium(3, None).await;
        self.change_medium(1, None).await;
        self.detach(3, Press::Wait, Time::Ample).await;
    }

    async fn media_changes(&self) {
        for (number, medium) in [(4, Some(8)), (4, None), (4, Some(7)), (3, Some(9)), (3, Some(9))]
        {
            self.change_medium(number, medium).await;
        }
    }

    async fn accidents(&self) {
        self.scene("a sender that is gone");
        self.a_sender_that_is_gone().await;
        self.detach(1, Press::Wait, Time::Ample).await;
        self.attach(&[(1, DISK), (2, CARD)], Time::Ample).await;
        self.scene("a QEMU that stands still");
        let frozen = self.generation().await;
        self.side.disturb(Disturbance::Freeze(frozen));
        self.attach(&[(5, DISK)], Time::Short).await;
        self.detach(1, Press::Wait, Time::Short).await;
        self.wait(Time::Short).await;
        self.peek().await;
        self.side.disturb(Disturbance::Thaw(frozen));
        self.attach(&[(5, DISK)], Time::Ample).await;
        self.detach(5, Press::Wait, Time::Ample).await;
        self.scene("a crash");
        let crashed = self.generation().await;
        self.a_crash().await;
        self.attach(&[(5, DISK)], Time::Ample).await;
        self.detach(1, Press::Wait, Time::Ample).await;
        self.start().await;
        self.the_past(crashed).await;
    }

    async fn endings(&self) {
        self.scene("it is stopped");
        let stopped = self.generation().await;
        self.stop().await;
        self.stop().await;
        self.the_past(stopped).await;
        self.attach(&[(5, DISK)], Time::Ample).await;
        self.detach(5, Press::Wait, Time::Ample).await;
        self.scene("it is destroyed");
        self.start().await;
        let destroyed = self.generation().await;
        self.destroy().await;
        self.destroy().await;
        self.the_past(destroyed).await;
        self.scene("another of the same name");
        self.define(&[(1, DISK)]).await;
        self.start().await;
        self.destroy().await;
        self.define(&[(1, DISK)]).await;
        self.undefine().await;
        self.undefine().await;
    }
}
