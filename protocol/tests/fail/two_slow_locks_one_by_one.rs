//! Two slow locks, one after another, in one session.
//!
//! expect: E0499
//! says: session.slow(Domain(2), Generation(2))

use steadfast_protocol::{Domain, Generation, Platform, Session};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let first = session.slow(Domain(1), Generation(1)).await;
    let second = session.slow(Domain(2), Generation(2)).await;
    drop((first, second));
}

fn main() {}
