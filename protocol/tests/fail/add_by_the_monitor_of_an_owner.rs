//! Commands past the witnesses.
//!
//! expect: E0616
//! says: field `monitor` of struct `Owner` is private

use steadfast_protocol::{Command, Owner, Platform};

pub async fn case<P: Platform>(
    platform: &P,
    owner: &mut Owner<'_, P>,
    commands: Vec<Command<P::Spec>>,
) {
    let _ = platform.tell(&mut owner.monitor, commands).await;
}

fn main() {}
