//! The kernel's own fair lock, with nothing around it: a System V semaphore serves who waits in the order of the asking, and takes
//! back what a killed process held. It knows no owner, no deadline and no name in a folder.

use std::ffi::{c_int, c_short};
use std::io;

use super::Result;

/// One lock, known to other processes by its number.
pub struct Semaphore(c_int);

impl Semaphore {
    /// Makes one that nobody holds. Where this user may, in a namespace of this process and of those that it starts, with which it
    /// ends however they end.
    ///
    /// # Errors
    /// The kernel has no more of them.
    pub fn create() -> Result<Self> {
        // SAFETY: no memory of ours is touched. Who may not is given a semaphore all the same.
        let _ = unsafe { libc::unshare(libc::CLONE_NEWIPC) };
        // SAFETY: no memory of ours is touched.
        let id = unsafe { libc::semget(libc::IPC_PRIVATE, 1, libc::IPC_CREAT | 0o600) };
        let made = Self(done(id)?);
        made.change(1, 0)?;
        Ok(made)
    }

    /// The one of this number.
    #[must_use]
    pub fn of(number: c_int) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> c_int {
        self.0
    }

    /// Waits for it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn lock(&self) -> Result<()> {
        self.change(-1, libc::SEM_UNDO)
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn unlock(&self) -> Result<()> {
        self.change(1, libc::SEM_UNDO)
    }

    /// Removes it for everybody.
    ///
    /// # Errors
    /// It is removed already.
    pub fn remove(self) -> Result<()> {
        // SAFETY: this command takes no further argument.
        done(unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) }).map(drop)
    }

    fn change(&self, by: c_short, flags: c_int) -> Result<()> {
        let flags = c_short::try_from(flags)?;
        let mut change = libc::sembuf { sem_num: 0, sem_op: by, sem_flg: flags };
        // SAFETY: one change is given, and one is said.
        done(unsafe { libc::semop(self.0, &raw mut change, 1) }).map(drop)
    }
}

fn done(code: c_int) -> Result<c_int> {
    if code < 0 { Err(io::Error::last_os_error().into()) } else { Ok(code) }
}
