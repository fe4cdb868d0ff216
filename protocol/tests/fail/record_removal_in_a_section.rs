//! Editing the record by hand.
//!
//! expect: E0596
//! says: tx.devices().clear()

use steadfast_protocol::{Domain, Platform, Session, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let _ = session.inspect(Domain(1), View::all(), |tx| tx.devices().clear()).await;
}

fn main() {}
