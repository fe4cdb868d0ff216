//! Everything a start needs before QEMU is forked: images opened, sockets bound, the command line made.

use std::{
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use steadfast_device::{
    Accel, Accelerator, Access, ColdValue, Descriptor, Document, Recorded, cold, machine_args,
    user_args,
};
use steadfast_locks::alive::{AliveFile, AliveIdentity};

use crate::{
    berth::Berth,
    error::{Error, Kind},
    launch::{self, Arg, Credentials, Inherited, LaunchError, LaunchOrder},
    problem,
    wire::open_image,
};

/// Whether the guest runs when its QEMU does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Boot {
    /// At once.
    #[default]
    Run,
    /// After `resume`.
    Paused,
}

const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
const SOCKETS: [&str; 3] = ["command", "query", "monitor"];

/// Makes the order for one generation. Blocks on files.
pub(crate) fn order(
    program: PathBuf,
    berth: &Berth,
    document: &Document,
    devices: &[Recorded],
    boot: Boot,
) -> Result<(LaunchOrder, AliveIdentity), Error> {
    let unprivileged = Credentials::fitting();
    let accelerator = accelerator(document.settings.accel, unprivileged);
    let mut args = vec![Arg::from("-sandbox"), Arg::from(SANDBOX)];
    let mut descriptors = Vec::new();
    for (name, path) in SOCKETS.iter().zip([berth.command(), berth.query(), berth.monitor()]) {
        descriptors.push(Inherited {
            name: (*name).to_owned(),
            fd: launch::listen(&path).map_err(refused)?,
        });
        args.push(Arg::from("-chardev"));
        args.push(
            Arg::from(format!("socket,id=sf-{name},fd="))
                .descriptor(*name)
                .text(",server=on,wait=off"),
        );
        args.push(Arg::from("-mon"));
        args.push(Arg::from(format!("chardev=sf-{name},mode=control")));
    }
    if boot == Boot::Paused {
        args.push(Arg::from("-S"));
    }
    let devices =
        cold(devices).map_err(|error| Error::new(Kind::Invalid, format!("failed to {error}")))?;
    for cold in machine_args(document, accelerator).iter().chain(&devices) {
        args.push(Arg::from(cold.option));
        match &cold.value {
            None => {}
            Some(ColdValue::Text(text)) => args.push(Arg::from(text.as_str())),
            Some(ColdValue::Descriptor { before, descriptor, after }) => {
                let name = format!("cold-{}", descriptors.len());
                let fd = open(descriptor, berth)?;
                descriptors.push(Inherited { name: name.clone(), fd });
                args.push(Arg::from(before.as_str()).descriptor(name).text(after.as_str()));
            }
        }
    }
    args.extend(user_args(document).into_iter().map(Arg::from));
    let identity = AliveFile::create(&berth.alive())
        .map_err(|error| environment("make the alive file", &berth.alive(), &error))?;
    let order = LaunchOrder {
        program,
        args,
        alive: berth.alive(),
        identity: identity.clone(),
        log: berth.log(),
        descriptors,
        unprivileged,
        sandbox: true,
    };
    Ok((order, identity))
}

fn environment(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(Kind::Environment, format!("failed to {what} {}", path.display())).because(error)
}

pub(crate) fn refused(error: LaunchError) -> Error {
    let kind = match error {
        LaunchError::Lost => Kind::Unknown,
        LaunchError::UnknownDescriptor { .. } | LaunchError::DuplicateDescriptor { .. } => {
            Kind::Internal
        }
        LaunchError::ZeroByte { .. } => Kind::Invalid,
        _ => Kind::Environment,
    };
    let hint = match &error {
        LaunchError::SocketPathTooLong { .. } => Some("give a shorter --run folder"),
        LaunchError::NotInstalled { .. } => Some("install it: apt-get install qemu-system-x86"),
        _ => None,
    };
    problem::with_sources(kind, &error).hinted(hint)
}

fn open(descriptor: &Descriptor, berth: &Berth) -> Result<OwnedFd, Error> {
    let failed = |path: &Path, error: &io::Error| {
        Error::new(Kind::Failed, format!("failed to open {}", path.display())).because(error)
    };
    match descriptor {
        Descriptor::File { path, access } => {
            let path = Path::new(path);
            open_image(path, *access).map(OwnedFd::from).map_err(|error| failed(path, &error))
        }
        Descriptor::Copy { path } => {
            let path = Path::new(path);
            copy(path).map_err(|error| failed(path, &error))
        }
        Descriptor::Tap { ifname } => crate::tap::open(ifname).map_err(|error| {
            Error::new(Kind::Failed, format!("failed to open tap {ifname}")).because(error)
        }),
        Descriptor::SerialLog => {
            let path = berth.serial_log();
            File::options()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
                .map(OwnedFd::from)
                .map_err(|error| environment("open the serial log", &path, &error))
        }
        other => Err(Error::new(Kind::Internal, format!("failed to open {other:?}"))),
    }
}

/// A sealed copy in memory, which QEMU can open by path whatever its user.
fn copy(path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let mut from = open_image(path, Access::ReadOnly)?;
    let name = path.file_name().unwrap_or_default();
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut to = File::from(memory);
    io::copy(&mut from, &mut to)?;
    to.flush()?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&to, seals)?;
    Ok(to.into())
}

/// `auto` is tried with the rights QEMU will have, not assumed.
fn accelerator(wanted: Accel, credentials: Option<Credentials>) -> Accelerator {
    match wanted {
        Accel::Kvm => Accelerator::Kvm,
        Accel::Tcg => Accelerator::Tcg,
        Accel::Auto if kvm_opens_for(credentials) => Accelerator::Kvm,
        Accel::Auto => Accelerator::Tcg,
    }
}

fn kvm_opens_for(credentials: Option<Credentials>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = Path::new("/dev/kvm");
    let Ok(file) = File::options().read(true).write(true).open(device) else {
        return false;
    };
    let Some(credentials) = credentials else {
        return true;
    };
    file.metadata().is_ok_and(|of| {
        let shift = match (of.uid() == credentials.uid, of.gid() == credentials.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        (of.mode() >> shift) & 0o6 == 0o6
    })
}
