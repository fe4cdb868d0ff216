//! What a user may leave out of a device, made once and recorded.

use std::{
    fmt::Display,
    io::{self, Read},
    path::Path,
};

use steadfast_device::{Document, Format, Mac, Spec};

use crate::{
    error::{Error, Kind},
    wire::open_image,
};

/// How a qcow2 image begins.
const QCOW2: [u8; 4] = *b"QFI\xfb";

/// Probes the format of an image where it is not given (QEMU never guesses one), makes the address of a card, and
/// looks whether the images are there. A card whose address is left out is like `recorded`, where that is one.
pub(crate) fn complete(spec: &mut Spec, at: &str, recorded: Option<&Spec>) -> Result<(), Error> {
    let known = match recorded {
        Some(Spec::Nic(nic)) => nic.mac,
        _ => None,
    };
    spec.fill_defaults(&mut || known.unwrap_or_else(|| Mac::local(random_bytes())));
    let mut found = None;
    for file in spec.files() {
        let path = Path::new(file.path.as_str());
        if !path.is_absolute() {
            return Err(Error::new(
                Kind::Invalid,
                format!("at {at}.file: the path is not absolute"),
            ));
        }
        let probed =
            probe(path).map_err(|error| unusable(format_args!("{at}.file"), path, &error))?;
        if file.format.is_none() {
            found = Some(probed);
        }
    }
    if let Some(format) = found {
        spec.set_format(format);
    }
    Ok(())
}

/// Looks whether what a domain boots from is there, so that it is not only its start that says so.
pub(crate) fn boot(document: &Document) -> Result<(), Error> {
    let settings = &document.settings;
    let boot = settings.boot.as_ref();
    let files = [
        ("boot.kernel", boot.map(|boot| &boot.kernel)),
        ("boot.initrd", boot.and_then(|boot| boot.initrd.as_ref())),
        ("firmware", settings.firmware.as_ref()),
    ];
    for (at, path) in files.into_iter().filter_map(|(at, path)| Some((at, path?))) {
        let path = Path::new(path.as_str());
        open_image(path, steadfast_device::Access::ReadOnly).map_err(|error| {
            unusable(at, path, &error).hint("give the path of a file that exists")
        })?;
    }
    Ok(())
}

/// Bytes of a qcow2 header up to and including its feature bits.
const HEADER: usize = 80;

fn probe(path: &Path) -> io::Result<Format> {
    let mut file = open_image(path, steadfast_device::Access::ReadOnly)?;
    let mut head = [0; HEADER];
    let mut read = 0;
    while read < head.len() {
        match file.read(&mut head[read..])? {
            0 => break,
            n => read += n,
        }
    }
    if head[..QCOW2.len()] != QCOW2 {
        return Ok(Format::Raw);
    }
    // QEMU would open what such an image refers to by path, in a node without a name: it may not, and we must not let it.
    let long = |at: usize| head[at..at + 8].iter().any(|byte| *byte != 0);
    let other = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("the image has {what}"));
    if long(8) {
        return Err(other("a backing file, which QEMU without privileges cannot open"));
    }
    let version = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    if version >= 3 && head[79] & 4 != 0 {
        return Err(other("an external data file, which QEMU without privileges cannot open"));
    }
    Ok(Format::Qcow2)
}

fn unusable(at: impl Display, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::Environment,
        _ => Kind::Invalid,
    };
    Error::new(kind, format!("at {at}: cannot use {}", path.display()))
        .because(error)
        .hint("give the path of an image that exists and stands alone")
}

/// Three bytes nobody can foresee: the host part of a local address.
fn random_bytes() -> [u8; 3] {
    let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
    [a, b, c]
}
