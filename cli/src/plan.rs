//! A plan: devices that come together, by id.

use serde_json::Value;
use steadfast::Error;

use crate::absolute;
use crate::problem::invalid;

/// The devices of a plan in the order they stand there, their paths absolute.
///
/// # Errors
/// `invalid` for what is no object or names no device.
pub fn devices(document: Value) -> Result<Vec<(String, Value)>, Error> {
    let Value::Object(devices) = document else {
        return Err(invalid("at top: expected an object").hint("a plan is {\"ID\": DOC, …}"));
    };
    if devices.is_empty() {
        return Err(invalid("the plan names no device"));
    }
    let mut devices: Vec<_> = devices.into_iter().collect();
    devices.iter_mut().try_for_each(|(_, device)| absolute::device(device))?;
    Ok(devices)
}
