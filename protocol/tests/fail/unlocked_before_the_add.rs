//! The slow lock released between the proof and its use.
//!
//! expect: E0505
//! says: cannot move out of `owner` because it is borrowed

use steadfast_protocol::{Id, Owner, Platform};

pub async fn case<P: Platform>(mut owner: Owner<'_, P>, wanted: Vec<(Id<P>, P::Spec)>) {
    let Ok(described) = owner.describe(wanted, None).await else { return };
    drop(owner);
    let _ = described.plug().await;
}

fn main() {}
