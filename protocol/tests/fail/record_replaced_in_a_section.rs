//! A record of one's own in the place of the one that was read.
//!
//! expect: E0594
//! says: cannot assign to `*tx`

use steadfast_protocol::{Domain, Loaded, Platform, Session, Tx, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>, record: Loaded<P::Spec>) {
    let replace = move |tx: &Tx<P::Spec>| *tx = Tx::load(record);
    let _ = session.inspect(Domain(1), View::all(), replace).await;
}

fn main() {}
