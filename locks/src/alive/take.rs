//! The child's side: taking the lock between fork and exec.

use std::ffi::CStr;
use std::os::fd::RawFd;

use super::identity::{AliveIdentity, LENGTH, written};

/// How often a lock that only probes hold is tried again, a millisecond apart. A probe holds it for microseconds; one
/// that was stopped in just that moment costs the claim.
const PATIENCE: u32 = 1000;

/// Takes the lock for the calling process, for as long as it lives, through exec: opens the file without close-on-exec,
/// locks it, writes the own pid into it and makes it descriptor 0. Whatever was descriptor 0 is closed.
///
/// The error is an errno: `ENOENT` or `ECANCELED` where recovery abandoned the generation, `ESTALE` where the name
/// belongs to another file, `EWOULDBLOCK` where somebody holds the lock, `EBUSY` where a stopped probe reads it.
/// The caller then ends without exec; the lock falls with it.
///
/// # Safety
/// For a child between fork and exec, which runs no other code: it replaces descriptor 0 of the whole process. It makes
/// system calls only, and allocates nothing.
pub unsafe fn take(path: &CStr, identity: &AliveIdentity) -> Result<(), i32> {
    // SAFETY: `path` is a C string. No O_CLOEXEC: living through exec is what this descriptor is for.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NOCTTY) };
    if fd < 0 {
        return Err(errno());
    }
    claim(fd)?;
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `fd` is open, `status` is writable.
    if unsafe { libc::fstat(fd, &raw mut status) } != 0 {
        return Err(errno());
    }
    if status.st_nlink == 0 {
        return Err(libc::ECANCELED);
    }
    let mut content = [0u8; LENGTH];
    // SAFETY: the buffer is as long as is said.
    let length = unsafe { libc::pread(fd, content.as_mut_ptr().cast(), LENGTH, 0) };
    if length < 0 {
        return Err(errno());
    }
    let is_ours = length == LENGTH.cast_signed() && identity.is_in(&content) == Some(true);
    if !is_ours || (status.st_dev, status.st_ino) != identity.place() {
        return Err(libc::ESTALE);
    }
    // SAFETY: takes nothing, can't fail.
    let digits = written(unsafe { libc::getpid() }.cast_unsigned());
    // SAFETY: the buffer is as long as is said.
    if unsafe { libc::pwrite(fd, digits.as_ptr().cast(), digits.len(), 0) }
        != digits.len().cast_signed()
    {
        return Err(errno());
    }
    // A spawner without descriptor 0 has it here already.
    if fd != 0 {
        // SAFETY: the caller has left descriptor 0 to us; a duplicate has close-on-exec off, and shares the lock, so
        // closing the first one frees nothing.
        unsafe {
            if libc::dup2(fd, 0) < 0 {
                return Err(errno());
            }
            libc::close(fd);
        }
    }
    Ok(())
}

/// Locks exclusively without waiting for a holder, but past readers: a probe holds the lock shared for an instant, and
/// that must fail neither a start nor a recovery. System calls only.
pub(super) fn claim(fd: RawFd) -> Result<(), i32> {
    for _ in 0..PATIENCE {
        if flock(fd, libc::LOCK_EX)? {
            return Ok(());
        }
        if !flock(fd, libc::LOCK_SH)? {
            return Err(libc::EWOULDBLOCK);
        }
        // Only readers. Kept, our own shared lock would hold up another who claims just so.
        flock(fd, libc::LOCK_UN)?;
        // SAFETY: waits a millisecond on no descriptor.
        unsafe { libc::poll(std::ptr::null_mut(), 0, 1) };
    }
    Err(libc::EBUSY)
}

fn flock(fd: RawFd, operation: i32) -> Result<bool, i32> {
    loop {
        // SAFETY: a plain system call on a number; a closed one is an error.
        if unsafe { libc::flock(fd, operation | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        match errno() {
            libc::EINTR => {}
            libc::EWOULDBLOCK => return Ok(false),
            errno => return Err(errno),
        }
    }
}

fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
