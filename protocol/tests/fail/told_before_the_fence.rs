//! Commands in a session that QEMU has not answered in yet.
//!
//! expect: E0308
//! says: platform.tell(&mut call, commands)

use steadfast_protocol::{Command, Platform};

pub async fn case<P: Platform>(platform: &P, mut call: P::Call, commands: Vec<Command<P::Spec>>) {
    let _ = platform.tell(&mut call, commands).await;
}

fn main() {}
