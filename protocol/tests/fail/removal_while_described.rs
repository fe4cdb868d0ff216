//! The entry undone while its add is under way.
//!
//! expect: E0499
//! says: owner.leave(ids, None)

use steadfast_protocol::{Id, Owner, Platform};

pub async fn case<P: Platform>(
    owner: &mut Owner<'_, P>,
    wanted: Vec<(Id<P>, P::Spec)>,
    ids: Vec<Id<P>>,
) {
    let Ok(described) = owner.describe(wanted, None).await else { return };
    let leaving = owner.leave(ids, None).await;
    let _ = described.plug().await;
    drop(leaving);
}

fn main() {}
