//! A future that would see the transaction after its section.
//!
//! expect: none
//! says: lifetime may not live long enough

use steadfast_protocol::{Domain, Platform, Session, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let seen = session.inspect(Domain(1), View::row(), |tx| async { tx.counter() }).await;
    drop(seen);
}

fn main() {}
