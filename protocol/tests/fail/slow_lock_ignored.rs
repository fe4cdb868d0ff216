//! A lock taken and dropped at once.
//!
//! expect: unused_must_use
//! says: the slow lock is released when this is dropped
#![deny(unused_must_use)]

use steadfast_protocol::{Domain, Error, Generation, Platform, Session};

pub async fn case<P: Platform>(session: &mut Session<'_, P>) -> Result<(), Error<P>> {
    session.slow(Domain(1), Generation(1)).await?;
    Ok(())
}

fn main() {}
