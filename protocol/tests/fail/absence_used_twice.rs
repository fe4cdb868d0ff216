//! One absence, two removals from the record.
//!
//! expect: E0382
//! says: use of moved value: `absent`

use steadfast_protocol::{Absent, Platform};

pub async fn case<P: Platform>(absent: Absent<'_, '_, P>) {
    let _ = absent.forget().await;
    let _ = absent.forget().await;
}

fn main() {}
