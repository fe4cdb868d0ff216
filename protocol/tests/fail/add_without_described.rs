//! An add without a record that describes it (R3).
//!
//! expect: E0599
//! says: method not found in `&mut Owner<'_, P>`

use steadfast_protocol::{Owner, Platform};

pub async fn case<P: Platform>(owner: &mut Owner<'_, P>) {
    let _ = owner.plug().await;
}

fn main() {}
