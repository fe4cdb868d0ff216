//! What can go wrong on the way to a running QEMU.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why QEMU was not started. The text fits after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No such program in `PATH`: the host lacks QEMU.
    #[error("find {name}: QEMU is not installed: apt-get install qemu-system-x86")]
    NotInstalled {
        /// The program that was looked for.
        name: String,
    },
    /// The run folder's path is too long for the sockets in it.
    #[error("listen on {}: the path has {length} bytes, and that of a socket may have {limit}", path.display())]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The most that the kernel takes.
        limit: usize,
    },
    /// A monitor socket could not be made: it exists, or the folder is missing or not writable.
    #[error("listen on {}", path.display())]
    Listen {
        /// Where the socket should be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The log could not be opened: the folder is missing or not writable, or the disk is full.
    #[error("open the log {}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An argument calls a descriptor that the order doesn't have: a bug in who made it.
    #[error("make QEMU's command line: no descriptor is called {name:?}")]
    UnknownDescriptor {
        /// The name.
        name: String,
    },
    /// Two descriptors of the order have one name: a bug in who made it.
    #[error("make QEMU's command line: two descriptors are called {name:?}")]
    DuplicateDescriptor {
        /// The name.
        name: String,
    },
    /// A path or an argument holds a zero byte, which no program can be given.
    #[error("make QEMU's command line: {text:?} holds a zero byte")]
    ZeroByte {
        /// The path or argument.
        text: String,
    },
    /// A step failed before the program ran. Nothing runs.
    #[error("{step}{}", program.as_ref().map(|program| format!(" {}", program.display())).unwrap_or_default())]
    Step {
        /// Which one.
        step: Step,
        /// The program or file that the step is about.
        program: Option<PathBuf>,
        /// What the kernel said.
        source: io::Error,
    },
    /// A process on the way to QEMU was killed from outside. QEMU may be about to run or may not: only its alive lock
    /// tells, and the row's next verb finds out.
    #[error("learn whether QEMU started: the process starting it was killed")]
    Lost,
}

/// A step between the decision to start and the running program. Its text fits after "failed to …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Step {
    /// Descriptors, memory or a process were not to be had in the spawner.
    Prepare,
    /// The first or second process could not be made, or had no session.
    Detach,
    /// The alive file is gone (recovery abandoned the generation), is another one, or is held.
    TakeAlive,
    /// Output and inherited descriptors could not be put in their places.
    PlaceDescriptors,
    /// The process could not become the unprivileged user.
    DropPrivileges,
    /// The program could not be executed: missing, no program, or not allowed to that user.
    Execute,
}

impl Step {
    pub(super) const ALL: [Self; 6] = [
        Self::Prepare,
        Self::Detach,
        Self::TakeAlive,
        Self::PlaceDescriptors,
        Self::DropPrivileges,
        Self::Execute,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare QEMU's process",
            Self::Detach => "detach QEMU's process from this one",
            Self::TakeAlive => "take the alive file",
            Self::PlaceDescriptors => "hand QEMU its descriptors",
            Self::DropPrivileges => "drop QEMU's privileges",
            Self::Execute => "execute",
        })
    }
}
