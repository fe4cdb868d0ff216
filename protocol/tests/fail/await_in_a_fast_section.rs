//! Waiting in a fast section.
//!
//! expect: E0728
//! says: this is not `async`

use steadfast_protocol::{Domain, Platform, Session, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let _ = session
        .inspect(Domain(1), View::row(), |_tx| {
            std::future::ready(()).await;
        })
        .await;
}

fn main() {}
