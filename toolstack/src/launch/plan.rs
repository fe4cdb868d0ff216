//! A process that is ready to be started: everything that needs memory or can be slow was done.

use std::collections::HashMap;
use std::ffi::{CString, OsString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use steadfast_locks::alive::AliveIdentity;

use super::child::{self, FIRST_INHERITED};
use super::order::Piece;
use super::report::Report;
use super::{Arg, Credentials, LaunchError, LaunchOrder, Prepared, QemuLauncher, Step};

/// All that the child needs, in the form that it needs it in.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) program: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    pub(super) alive: CString,
    pub(super) identity: AliveIdentity,
    /// Like `descriptors`, numbered above all the numbers that the child uses, so that no move hits one yet to come.
    pub(super) log: OwnedFd,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) credentials: Option<Credentials>,
    pub(super) no_new_privileges: bool,
    pub(super) report: Report,
}

impl Plan {
    pub(super) fn new(order: LaunchOrder) -> Result<Self, LaunchError> {
        let mut numbers = HashMap::new();
        for (number, inherited) in (FIRST_INHERITED..).zip(&order.descriptors) {
            if numbers.insert(inherited.name.clone(), number).is_some() {
                return Err(LaunchError::DuplicateDescriptor { name: inherited.name.clone() });
            }
        }
        let absolute = |path: &Path| std::path::absolute(path).map_err(prepare);
        let program = zero_ended(absolute(&order.program)?.into_os_string())?;
        let mut argv = vec![program.clone()];
        for arg in &order.args {
            argv.push(zero_ended(spelled_out(arg, &numbers)?)?);
        }
        let envp = QemuLauncher::ENVIRONMENT
            .map(|(name, value)| zero_ended(format!("{name}={value}").into()));
        let envp = envp.into_iter().collect::<Result<Vec<_>, _>>()?;
        let alive = zero_ended(absolute(&order.alive)?.into_os_string())?;
        let log =
            open_log(&order.log).map_err(|source| LaunchError::Log { path: order.log, source })?;
        let above = FIRST_INHERITED + order.descriptors.len() as i32;
        let descriptors = order.descriptors.iter().map(|inherited| moved(&inherited.fd, above));
        Ok(Self {
            program,
            argv,
            envp,
            alive,
            identity: order.identity,
            log: moved(log, above)?,
            descriptors: descriptors.collect::<Result<_, _>>()?,
            credentials: order.unprivileged,
            no_new_privileges: order.sandbox || order.unprivileged.is_some(),
            report: Report::new().map_err(prepare)?,
        })
    }

    fn about(&self, step: Step) -> Option<PathBuf> {
        let path = match step {
            Step::Execute => &self.program,
            Step::TakeAlive => &self.alive,
            _ => return None,
        };
        Some(OsString::from_vec(path.as_bytes().to_vec()).into())
    }
}

impl Prepared for Plan {
    fn spawn(self: Box<Self>) -> Result<(), LaunchError> {
        let argv = pointers(&self.argv);
        let envp = pointers(&self.envp);
        // SAFETY: both lists end with a null pointer, and they and what they point to live until the call returns,
        // which is after the child has copied its memory.
        unsafe { child::spawn(&self, &argv, &envp) }.map_err(|source| LaunchError::Step {
            step: Step::Detach,
            program: None,
            source,
        })?;
        match self.report.read() {
            Err((step, source)) => {
                Err(LaunchError::Step { step, program: self.about(step), source })
            }
            // Having come as far as the exec, it holds its alive lock: the caller may go on, and hears from the monitor.
            Ok(true) => Ok(()),
            Ok(false) => Err(LaunchError::Lost),
        }
    }
}

fn prepare(source: io::Error) -> LaunchError {
    LaunchError::Step { step: Step::Prepare, program: None, source }
}

fn spelled_out(arg: &Arg, numbers: &HashMap<String, i32>) -> Result<OsString, LaunchError> {
    let mut text = OsString::new();
    for piece in &arg.pieces {
        match piece {
            Piece::Text(piece) => text.push(piece),
            Piece::Descriptor(name) => {
                let number = numbers
                    .get(name)
                    .ok_or_else(|| LaunchError::UnknownDescriptor { name: name.clone() })?;
                text.push(number.to_string());
            }
        }
    }
    Ok(text)
}

fn zero_ended(text: OsString) -> Result<CString, LaunchError> {
    CString::new(text.as_bytes())
        .map_err(|_| LaunchError::ZeroByte { text: text.to_string_lossy().into_owned() })
}

fn pointers(list: &[CString]) -> Vec<*const c_char> {
    list.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
}

fn open_log(path: &Path) -> io::Result<OwnedFd> {
    // NONBLOCK, for a pipe in its place would keep us waiting for a reader.
    let flags = (OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
    let file =
        File::options().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file.into())
}

/// A copy with a number of at least `above`, and close-on-exec: in this process nothing of it may be inherited.
fn moved(fd: impl AsFd, above: i32) -> Result<OwnedFd, LaunchError> {
    rustix::io::fcntl_dupfd_cloexec(fd, above).map_err(|errno| prepare(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_in_arguments_become_the_numbers_of_the_child() {
        let numbers = HashMap::from([("command".to_owned(), 3), ("disk".to_owned(), 4)]);
        let arg = Arg::from("a{command}=").descriptor("command").text(",b=").descriptor("disk");
        assert_eq!(spelled_out(&arg, &numbers).unwrap(), "a{command}=3,b=4");
        let unknown = spelled_out(&Arg::from("").descriptor("none"), &numbers).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "make QEMU's command line: no descriptor is called \"none\""
        );
    }

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        let error = zero_ended("a\0b".into()).unwrap_err();
        assert_eq!(error.to_string(), "make QEMU's command line: \"a\\0b\" holds a zero byte");
    }
}
