//! The session itself while its slow lock is held: the inner permit is the guard's.
//!
//! expect: E0499
//! says: session.inspect(

use steadfast_protocol::{Domain, Generation, Platform, Session, View};

pub async fn case<P: Platform>(mut session: Session<'_, P>) {
    let guard = session.slow(Domain(1), Generation(1)).await;
    let _ = session.inspect(Domain(1), View::row(), |_| ()).await;
    drop(guard);
}

fn main() {}
