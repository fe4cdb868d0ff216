//! A decision of the protocol's, called by somebody else.
//!
//! expect: E0624
//! says: method `erase` is private

use steadfast_protocol::{Domain, Platform, Session, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let _ = session.inspect(Domain(1), View::all(), |tx| tx.erase()).await;
}

fn main() {}
