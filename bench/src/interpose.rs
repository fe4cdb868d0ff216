//! The C library's flushes, in front of the C library: counted, and slowed where a row asks for a slow disk.
//!
//! The linker takes a function of the program before one of a shared library, so every side in this process calls these: SQLite
//! under the product, SQLite under a floor, and the bare journal.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static FLUSHES: AtomicU64 = AtomicU64::new(0);
static LATENCY_US: AtomicU64 = AtomicU64::new(0);

/// How many flushes this process has asked for.
pub(crate) fn flushes() -> u64 {
    FLUSHES.load(Ordering::Relaxed)
}

/// From now on a flush takes at least this long, as on a disk that is slow.
pub(crate) fn set_latency(latency: Duration) {
    LATENCY_US.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn flush(call: libc::c_long, descriptor: c_int) -> c_int {
    FLUSHES.fetch_add(1, Ordering::Relaxed);
    let latency = Duration::from_micros(LATENCY_US.load(Ordering::Relaxed));
    let began = Instant::now();
    // SAFETY: the kernel checks the descriptor.
    let done = unsafe { libc::syscall(call, descriptor) } as c_int;
    // This is the disk that is measured on, not a way to measure: whoever flushes waits for it.
    let left = latency.saturating_sub(began.elapsed());
    if !left.is_zero() {
        thread::sleep(left);
    }
    done
}

/// # Safety
/// As `fsync(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    flush(libc::SYS_fsync, descriptor)
}

/// # Safety
/// As `fdatasync(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    flush(libc::SYS_fdatasync, descriptor)
}
