//! What can be known by one who may not look everywhere, and of a lock whose taker is gone.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Stdio;

use rustix::fs::FlockOperation;
use steadfast_locks::alive::{Fate, holder, kill, scan};

use crate::support::{Generation, Running, fork_and};

/// How little a process may look.
#[derive(Clone, Copy)]
enum Sight {
    /// It may list the descriptors of others of its user, and follow none.
    WithoutCapabilities,
    /// It may not even list them.
    AsNobody,
}

/// In a process that may look so little: whether this holds.
fn holds(sight: Sight, check: impl Fn() -> bool) -> bool {
    let status = fork_and(|| {
        let header: [u32; 2] = [0x2008_0522, 0];
        let none = [0u32; 6];
        // SAFETY: both structures are as long as this version of the call wants them; the raw calls change this process alone.
        let confined = unsafe {
            match sight {
                Sight::WithoutCapabilities => {
                    libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr())
                }
                Sight::AsNobody => libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534),
            }
        };
        if confined == 0 && check() { 0 } else { 1 }
    });
    status == 0
}

/// Not even the superuser may look into everything on every host.
fn unreadable(generation: &Generation) -> usize {
    scan(generation.folder.path()).unwrap().unreadable
}

#[test]
fn processes_that_may_not_be_looked_into_are_counted_and_no_others() {
    let generation = Generation::new();
    let _running = generation.start();
    let others = [(); 8].map(|()| Running::bystander(Stdio::null()));
    assert!(unreadable(&generation) < others.len());
    for sight in [Sight::WithoutCapabilities, Sight::AsNobody] {
        assert!(holds(sight, || {
            let seen = scan(generation.folder.path()).unwrap();
            seen.found.is_empty() && seen.unreadable > others.len()
        }));
        assert!(holds(sight, || {
            holder(&generation.identity, None)
                .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        }));
    }
}

/// Whoever recovers a generation and is killed may leave the lock to a child that has not come to its exec.
#[test]
fn a_lock_that_a_dead_process_left_to_its_child_is_not_the_generations() {
    let generation = Generation::new();
    let (reader, writer) = io::pipe().unwrap();
    let child = fork_and(|| {
        let file = File::options().read(true).write(true).open(&generation.path).unwrap();
        rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
        // SAFETY: the child waits and exits, by system calls alone.
        match unsafe { libc::fork() } {
            0 => {
                let mut byte = 0u8;
                // SAFETY: one byte is writable. The end of the pipe is all that comes.
                unsafe {
                    libc::close(writer.as_raw_fd());
                    libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1);
                    libc::_exit(0)
                }
            }
            _ => 0,
        }
    });
    assert_eq!(child, 0);
    assert_eq!(generation.probe(), steadfast_locks::alive::Alive::Held, "the lock is held");
    assert_eq!(generation.resolve(None), Fate::Living(None), "nobody can say by whom");
    let is_doubt = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match kill(&generation.identity, None) {
        Ok(killed) => assert!(killed.is_none()),
        Err(error) => assert!(is_doubt(&error) && unreadable(&generation) > 0, "{error}"),
    }
    drop((reader, writer));
}
