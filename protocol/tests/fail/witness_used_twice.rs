//! One proof, two adds.
//!
//! expect: E0382
//! says: use of moved value: `described`

use steadfast_protocol::{Described, Platform};

pub async fn case<P: Platform>(described: Described<'_, '_, P>) {
    let _ = described.plug().await;
    let _ = described.plug().await;
}

fn main() {}
