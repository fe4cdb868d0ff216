//! A section with write access to the transaction, which the verbs keep to themselves.
//!
//! expect: E0624
//! says: method `fast` is private

use steadfast_protocol::{Domain, Platform, Session, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let _ = session.fast(Domain(1), View::all(), |_tx| ()).await;
}

fn main() {}
