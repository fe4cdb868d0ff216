//! Whatever the embedding program does with signals, children and standard output.
//!
//! Each case runs in a process of its own, this test program again with the name of a case in its environment: signal
//! handling, and who reaps whose children, are a matter of the whole process.

use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::process::Signal;
use steadfast::launch::{LaunchError, Step};
use steadfast_locks::alive::Alive;
use steadfast_locks::process::{Pidfd, ProcessId};

use crate::support::{Run, args, launch, status};

/// Runs a case as the only test of a new process.
fn in_a_process_of_its_own(name: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads", "1"])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn passes_in_a_process_of_its_own(case: &str) {
    let output = in_a_process_of_its_own(case);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Ends the other thread of a case, also when the case fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A launch that works, and one whose program is none.
fn both_ways() {
    for _ in 0..20 {
        let run = Run::new();
        let process = run.launch(run.order("/bin/sleep", args(["600"]))).unwrap().unwrap();
        assert_eq!(run.probe(), Alive::Held);
        // Nothing of the embedding program's: blocked 0, ignored 0.
        for set in ["SigBlk", "SigIgn", "SigPnd", "ShdPnd"] {
            assert_eq!(status(process, set), "0000000000000000", "{set}");
        }
        let missing = Run::new();
        let error = launch(missing.order("/nosuch", [])).unwrap_err();
        assert!(matches!(error, LaunchError::Step { step: Step::Execute, .. }), "{error:?}");
        assert_eq!(missing.probe(), Alive::Free);
    }
}

#[test]
fn an_embedder_that_ignores_its_children_can_launch() {
    passes_in_a_process_of_its_own("embedder::ignored_children");
}

#[test]
#[ignore = "changes signal handling: run by another test, in a process of its own"]
fn ignored_children() {
    for signal in [libc::SIGCHLD, libc::SIGPIPE, libc::SIGHUP, libc::SIGUSR1, libc::SIGRTMAX()] {
        // SAFETY: ignores a signal.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    both_ways();
}

#[test]
fn an_embedder_that_blocks_all_signals_can_launch() {
    passes_in_a_process_of_its_own("embedder::blocked_signals");
}

#[test]
#[ignore = "changes signal handling: run by another test, in a process of its own"]
fn blocked_signals() {
    // SAFETY: fills a set and blocks it for this thread; zeroes are a valid set.
    let before = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
        both_ways();
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &raw mut before);
        before
    };
    // SAFETY: reads a set.
    let blocked = unsafe { libc::sigismember(&raw const before, libc::SIGTERM) };
    assert_eq!(blocked, 1, "the mask is as it was");
}

#[test]
fn an_embedder_that_reaps_everything_can_launch_and_sees_nothing_of_it() {
    passes_in_a_process_of_its_own("embedder::reaping_thread");
}

#[test]
#[ignore = "reaps all children: run by another test, in a process of its own"]
fn reaping_thread() {
    static SIGNALS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: i32) {
        SIGNALS.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handler does one atomic addition.
    unsafe { libc::signal(libc::SIGCHLD, count as *const () as libc::sighandler_t) };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reaper = scope.spawn(|| {
            let mut reaped = 0;
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: reaps whatever child there is.
                reaped += u32::from(
                    unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0,
                );
                std::thread::yield_now();
            }
            reaped
        });
        let at_end = StopAtEnd(&stop);
        both_ways();
        drop(at_end);
        assert_eq!((reaper.join().unwrap(), SIGNALS.load(Ordering::SeqCst)), (0, 0));
    });
    // SAFETY: asks for children of any kind.
    let child = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
    assert_eq!(child, -1);
}

#[test]
fn an_embedder_that_forks_meanwhile_and_never_execs_does_not_hang_the_launch() {
    passes_in_a_process_of_its_own("embedder::forking_thread");
}

#[test]
#[ignore = "forks all the time: run by another test, in a process of its own"]
fn forking_thread() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let forker = scope.spawn(|| {
            let mut children = Vec::new();
            while !stop.load(Ordering::Relaxed) && children.len() < 200 {
                // SAFETY: the child only sleeps, with all that it inherited, until this thread has ended.
                match unsafe { libc::fork() } {
                    0 => loop {
                        // SAFETY: asks for a signal, and sleeps.
                        unsafe {
                            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                            libc::pause();
                        }
                    },
                    child => children.push(child),
                }
            }
            children
        });
        let at_end = StopAtEnd(&stop);
        both_ways();
        drop(at_end);
        for child in forker.join().unwrap() {
            // SAFETY: a child that was not reaped yet, so the pid is still its own.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
        }
    });
}

#[test]
fn an_embedder_without_standard_descriptors_can_launch() {
    passes_in_a_process_of_its_own("embedder::closed_descriptors");
}

#[test]
#[ignore = "closes standard input: run by another test, in a process of its own"]
fn closed_descriptors() {
    // SAFETY: nothing in this process reads its standard input.
    unsafe { libc::close(0) };
    both_ways();
    let run = Run::new();
    // Descriptor 0 is now one that the launch inherits.
    let file = tempfile::tempfile().unwrap();
    assert_eq!(file.as_raw_fd(), 0);
    let told = run.told_by("echo from the script >&3; cat /proc/self/fd/3", |order| {
        order.descriptors = vec![crate::support::inherited("file", file)];
    });
    assert_eq!(told, "from the script\n");
}

#[test]
fn what_an_embedder_means_to_hand_down_does_not_arrive() {
    passes_in_a_process_of_its_own("embedder::inheritable_privileges");
}

#[test]
#[ignore = "changes privileges: run by another test, in a process of its own"]
fn inheritable_privileges() {
    const CHOWN: u32 = 1;
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut sets = [0u32; 6];
    // SAFETY: structures of version 3, for this thread, which is the one that launches.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, &raw const header, &raw mut sets), 0);
        sets[2] |= CHOWN;
        assert_eq!(libc::syscall(libc::SYS_capset, &raw const header, &raw const sets), 0);
        assert_eq!(libc::setgroups(2, [1, 2].as_ptr()), 0);
        assert_eq!(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, 0, 0, 0), 0);
    }
    let run = Run::new();
    let mut order = run.order("/bin/sleep", args(["600"]));
    order.unprivileged = crate::support::NOBODY;
    let process = run.launch(order).unwrap().unwrap();
    assert_eq!(status(process, "Groups"), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(process, set), "0000000000000000", "{set}");
    }
}

#[test]
fn who_waits_for_the_output_of_the_tool_does_not_wait_for_the_process() {
    // `output` reads until the last copy of the pipe is closed, as `$(tool start)` does.
    let output = in_a_process_of_its_own("embedder::process_left_behind");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split("left ").nth(1)).unwrap();
    let (pid, started) = line.split_once(' ').unwrap();
    let process = ProcessId { pid: pid.parse().unwrap(), started: started.parse().unwrap() };
    assert!(process.is_running());
    let pidfd = Pidfd::open(process).unwrap().unwrap();
    pidfd.signal(Signal::KILL).unwrap();
}

#[test]
#[ignore = "leaves a process behind: run by another test, which ends it"]
fn process_left_behind() {
    let run = Run::new();
    let process = run.launch(run.order("/bin/sleep", args(["600"]))).unwrap().unwrap();
    println!("left {} {}", process.pid, process.started);
    std::mem::forget(run);
}
