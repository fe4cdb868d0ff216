//! A fast section is the inner lock: whoever is in one cannot wait for a slow one.
//!
//! expect: E0277
//! says: lock order violation: level `Slow` cannot be entered from level `Fast`

use steadfast_locks::Fast;
use steadfast_protocol::{Domain, Generation, Platform, Session};

pub async fn case<P: Platform>(mut session: Session<'_, P, Fast>) {
    let _ = session.slow(Domain(1), Generation(1)).await;
}

fn main() {}
