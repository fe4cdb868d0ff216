//! Taking a device out of the record that QEMU has (R4).
//!
//! expect: E0599
//! says: method not found in `Plugged<'_, '_, P>`

use steadfast_protocol::{Platform, Plugged};

pub async fn case<P: Platform>(plugged: Plugged<'_, '_, P>) {
    let _ = plugged.forget().await;
}

fn main() {}
