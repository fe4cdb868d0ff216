//! Power cuts, full disks and I/O errors under the production store.
//!
//! ```text
//! Watching    a VFS and three functions of the C library, over the folder of a store: a tape of what was done, or a fault
//! Workload    all verbs on a real QEMU, and what each of them told
//! Disk        the tape again, up to a moment: what may be on the disk when the power goes
//! Judge       a store of such a disk: whole, one that existed, not older than what was told
//! recover     the product on it, in another boot, without QEMU
//! ```
//! What is on the disk is decided by a model, not by this machine: a write is there when its file was flushed after it, and
//! before that in part, sector by sector; a file's name when its folder was flushed.

mod content;
mod disk;
mod fault;
mod interpose;
mod judge;
mod loss;
mod methods;
pub mod proof;
mod recovery;
mod scene;
mod sweep;
mod tape;
mod trial;
mod vfs;
mod watch;
mod workload;

pub use content::Content;
pub use disk::{Disk, Image};
pub use fault::{Call, Done, FAULTS, Fault, Lasts};
pub use interpose::reboot;
pub use judge::Judge;
pub use loss::{Choice, Loss};
pub use recovery::{RunFolder, Trial, recover};
pub use scene::{Scene, machine, soon};
pub use sweep::{Sweep, sweep};
pub use tape::Event;
pub use trial::{Sight, Verb, arrange, settled};
pub use watch::Watching;
pub use workload::{Deed, Told, Workload};
