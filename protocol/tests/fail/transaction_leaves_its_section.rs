//! The transaction as the result of its section.
//!
//! expect: none
//! says: lifetime may not live long enough

use steadfast_protocol::{Domain, Platform, Session, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let leaked = session.inspect(Domain(1), View::row(), |tx| tx).await;
    drop(leaked);
}

fn main() {}
