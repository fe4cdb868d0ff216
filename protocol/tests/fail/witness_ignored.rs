//! An intent committed and forgotten.
//!
//! expect: unused_must_use
//! says: the intent is committed
#![deny(unused_must_use)]

use steadfast_protocol::{Error, Id, Owner, Platform};

pub async fn case<P: Platform>(
    owner: &mut Owner<'_, P>,
    wanted: Vec<(Id<P>, P::Spec)>,
) -> Result<(), Error<P>> {
    owner.describe(wanted, None).await?;
    Ok(())
}

fn main() {}
