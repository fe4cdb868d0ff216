//! Two intents open at once under one lock.
//!
//! expect: E0499
//! says: owner.describe(second, None)

use steadfast_protocol::{Id, Owner, Platform};

pub async fn case<P: Platform>(
    owner: &mut Owner<'_, P>,
    first: Vec<(Id<P>, P::Spec)>,
    second: Vec<(Id<P>, P::Spec)>,
) {
    let Ok(one) = owner.describe(first, None).await else { return };
    let two = owner.describe(second, None).await;
    let _ = one.plug().await;
    drop(two);
}

fn main() {}
