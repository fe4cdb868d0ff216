//! Relative paths end here: what reaches the library means the same in every folder and every process.

use serde_json::Value;
use steadfast::Error;

use crate::problem::{invalid, refused};

/// The path as seen from the root; an absolute one stays as it was written.
pub(crate) fn absolute(path: &str) -> Result<String, Error> {
    // An empty path would become the working folder: what reads it refuses it, and says where it stands.
    if path.is_empty() || path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let absolute = std::path::absolute(path)
        .map_err(|error| refused("the working folder can't be told", &error))?;
    absolute.into_os_string().into_string().map_err(|_| {
        invalid(format!("{path}: the working folder's name is not UTF-8"))
            .hint("give an absolute path")
    })
}

/// Makes the paths of a domain document absolute.
pub(crate) fn domain(document: &mut Value) -> Result<(), Error> {
    replace(document.pointer_mut("/boot/kernel"))?;
    replace(document.pointer_mut("/boot/initrd"))?;
    replace(document.pointer_mut("/firmware"))?;
    let devices = document.pointer_mut("/devices").and_then(Value::as_object_mut);
    devices.into_iter().flat_map(|devices| devices.values_mut()).try_for_each(device)
}

/// Makes the paths of a device document absolute.
pub(crate) fn device(document: &mut Value) -> Result<(), Error> {
    replace(document.pointer_mut("/file"))
}

fn replace(value: Option<&mut Value>) -> Result<(), Error> {
    // Whatever is no text is left for the library to refuse: it knows the place in the document.
    if let Some(Value::String(path)) = value {
        *path = absolute(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_path_of_a_document_is_absolute_and_nothing_else_changes() {
        let here =
            |name: &str| std::env::current_dir().unwrap().join(name).to_str().unwrap().to_owned();
        let mut document = json!({
            "name": "web1", "firmware": "bios.bin", "boot": { "kernel": "./k", "initrd": "/i//x", "append": "a" },
            "devices": { "a": { "file": "a.raw" }, "b": { "file": null }, "c": { "file": "" }, "d": 7 },
        });
        domain(&mut document).unwrap();
        let expected = json!({
            "name": "web1", "firmware": here("bios.bin"),
            "boot": { "kernel": here("k"), "initrd": "/i//x", "append": "a" },
            "devices": { "a": { "file": here("a.raw") }, "b": { "file": null }, "c": { "file": "" }, "d": 7 },
        });
        assert_eq!(document, expected);
        let mut nonsense = json!([{ "devices": 1 }]);
        domain(&mut nonsense).unwrap();
        assert_eq!(nonsense, json!([{ "devices": 1 }]));
    }
}
