//! A slow lock inside a slow lock.
//!
//! expect: E0277
//! says: several locks of one level are acquired all at once

use steadfast_locks::Slow;
use steadfast_protocol::{Domain, Generation, Platform, Session};

pub async fn case<P: Platform>(mut session: Session<'_, P, Slow>) {
    let _ = session.slow(Domain(1), Generation(1)).await;
}

fn main() {}
