//! What a device is, said once per class.
//!
//! A class states its fields in one table; from it come the record's JSON, the `CLASS,key=value`
//! text of the command line, the JSON Schema, the help text, and what is done to QEMU:
//!
//! ```text
//! text ─┐                      ┌─ plug / unplug ── Action … (a running QEMU)
//! JSON ─┴─ Spec ── place ──────┼─ cold ────────── ColdArg … (a start)
//!                              └─ compare ─────── Difference … (what QEMU says of it)
//! ```
//!
//! Nothing here does I/O, reads a clock or draws random numbers: files are opened by the caller and
//! passed by descriptor, queries are returned as data and their answers parsed.
#![forbid(unsafe_code)]

mod action;
mod adopt;
mod arguments;
mod class;
mod cold;
mod datum;
mod document;
mod error;
mod glimpse;
mod mac;
mod name;
mod observe;
mod place;
mod plug;
mod record;
mod serial;
mod sight;
mod size;
mod spec;
mod tree;

pub use action::{Access, Action, Backend, Descriptor};
pub use adopt::{Adopted, adopt};
pub use class::{
    Bus, Cache, Cdrom, CdromBus, Class, Controller, ControllerModel, Discard, Disk, Format,
    Keyboard, Medium, Network, Nic, NicModel, Rng, RngSource, Spec, Tablet, UsbBus, device_schema,
};
pub use cold::{ColdArg, ColdValue, Recorded, cold, machine_args, user_args};
pub use document::{Accel, Accelerator, Boot, Document, Layout, SerialPort, Settings};
pub use error::{Error, Problem};
pub use glimpse::{Glimpse, Part};
pub use mac::Mac;
pub use name::{
    CpuModel, DeviceName, DomainName, DriveSerial, FilePath, Forward, InterfaceName,
    KernelArguments, QemuArgument,
};
pub use observe::{Aspect, Difference, Observed, compare, inquire};
pub use place::{Claim, Machine, Place, Pool, place};
pub use plug::{
    Door, Plug, Step, Unplug, medium_backends, medium_change, medium_removal, plug, unplug,
};
pub use record::Field;
pub use serial::{Layer, Serial, device_id, layer_of_name, serial_of_device};
pub use sight::{Drive, Foreign, Front, InDrive, Netdev, Node, Query, Sight};
pub use size::Size;
pub use spec::FileUse;
pub use tree::Tree;
