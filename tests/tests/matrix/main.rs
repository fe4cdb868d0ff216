//! The crash matrix: the command is killed before and after every effect of every verb, on a real QEMU.
//!
//! The command runs under the kernel's tracing. A first run shows the effects of a verb (what it writes, syncs, renames,
//! locks, sends, signals, starts, and which method of the platform it enters); then it is killed at one after the other.
//! After each kill the record must describe all that QEMU has, `check` must find nothing but what a dead owner leaves,
//! the same verb must work, and then nothing may be left to find. Whoever settles what a kill left is killed as well. What one store to a mapped page does (the notes in a
//! lock file, the index of the log) is no call and has no point of its own.
//!
//! `STEADFAST_PROOF=deep` tries every single effect, with and without a repair in between.

mod case;
mod cases;
mod coverage;
mod habit;
mod judge;
mod points;
mod recovery;
mod row;
mod single;

use steadfast_tests::Result;

use self::case::Case;
use self::cases::{device, media, power, record, repair};
use self::points::Breadth;
use self::recovery::killed_in_recovery;
use self::single::killed_everywhere;

macro_rules! rows {
    ($($name:ident: $case:path, $breadth:ident;)*) => {
        $(
            #[test]
            #[ignore = "takes seconds to minutes: part of `cargo xtask prove`"]
            fn $name() -> Result<()> {
                killed_everywhere(stringify!($name), &$case, Breadth::$breadth)
            }
        )*

        /// All of them.
        const CASES: &[Case] = &[$($case),*];
    };
}

rows! {
    define_first: record::DEFINE_FIRST, Opening;
    define: record::DEFINE, Opening;
    define_replace: record::DEFINE_REPLACE, Own;
    undefine: record::UNDEFINE, Locks;
    userdata_put: record::USERDATA_PUT, Locks;
    userdata_put_long: record::USERDATA_PUT_LONG, Locks;
    userdata_remove: record::USERDATA_REMOVE, Own;
    backup: record::BACKUP, Opening;
    start: power::START, Locks;
    start_failing: power::START_FAILING, Own;
    stop: power::STOP, Locks;
    destroy: power::DESTROY, Locks;
    destroy_defined: power::DESTROY_DEFINED, Own;
    destroy_dead: power::DESTROY_DEAD, Own;
    pause: power::PAUSE, Locks;
    resume: power::RESUME, Own;
    reset: power::RESET, Own;
    attach_disk: device::ATTACH_DISK, Opening;
    attach_virtio_disk: device::ATTACH_VIRTIO, Own;
    attach_cdrom: device::ATTACH_CDROM, Own;
    attach_nic: device::ATTACH_NIC, Own;
    attach_rng: device::ATTACH_RNG, Own;
    attach_tablet: device::ATTACH_TABLET, Own;
    attach_plan: device::ATTACH_PLAN, Own;
    attach_refused: device::ATTACH_REFUSED, Own;
    attach_defined: device::ATTACH_DEFINED, Own;
    detach_defined: device::DETACH_DEFINED, Own;
    detach_disk: device::DETACH_DISK, Locks;
    detach_tablet: device::DETACH_TABLET, Own;
    detach_many: device::DETACH_MANY, Own;
    detach_pending: device::DETACH_PENDING, Own;
    detach_released: device::DETACH_RELEASED, Own;
    wait: device::WAIT, Locks;
    media_insert: media::INSERT, Locks;
    media_swap: media::SWAP, Own;
    media_eject: media::EJECT, Own;
    media_insert_defined: media::INSERT_DEFINED, Own;
    repair_orphan_backend: repair::ORPHAN, Locks;
    repair_stale_record: repair::STALE, Own;
    repair_adopt: repair::ADOPT, Own;
    repair_remove: repair::REMOVE, Own;
    repair_dead_domain: repair::DEAD, Own;
}

macro_rules! recovery_rows {
    ($($name:ident: $case:path;)*) => {
        $(
            #[test]
            #[ignore = "takes seconds to minutes: part of `cargo xtask prove`"]
            fn $name() -> Result<()> {
                killed_in_recovery(stringify!($name), &$case)
            }
        )*

        /// Those that leave something to recover from.
        const RECOVERED: &[Case] = &[$($case),*];
    };
}

recovery_rows! {
    recovery_start: power::START;
    recovery_start_failing: power::START_FAILING;
    recovery_stop: power::STOP;
    recovery_destroy: power::DESTROY;
    recovery_destroy_dead: power::DESTROY_DEAD;
    recovery_attach_disk: device::ATTACH_DISK;
    recovery_attach_virtio_disk: device::ATTACH_VIRTIO;
    recovery_attach_cdrom: device::ATTACH_CDROM;
    recovery_attach_nic: device::ATTACH_NIC;
    recovery_attach_rng: device::ATTACH_RNG;
    recovery_attach_tablet: device::ATTACH_TABLET;
    recovery_attach_plan: device::ATTACH_PLAN;
    recovery_attach_refused: device::ATTACH_REFUSED;
    recovery_detach_disk: device::DETACH_DISK;
    recovery_detach_tablet: device::DETACH_TABLET;
    recovery_detach_many: device::DETACH_MANY;
    recovery_detach_pending: device::DETACH_PENDING;
    recovery_detach_released: device::DETACH_RELEASED;
    recovery_wait: device::WAIT;
    recovery_media_insert: media::INSERT;
    recovery_media_swap: media::SWAP;
    recovery_media_eject: media::EJECT;
    recovery_repair_orphan_backend: repair::ORPHAN;
    recovery_repair_stale_record: repair::STALE;
    recovery_repair_adopt: repair::ADOPT;
    recovery_repair_remove: repair::REMOVE;
    recovery_repair_dead_domain: repair::DEAD;
}
