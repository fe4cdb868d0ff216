//! tokio's Unix stream, over a real socket.

use std::future::poll_fn;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;

use crate::kernel;

/// How much is read at a time.
const CHUNK: usize = 4096;

/// A connected socket that never waits.
#[derive(Debug)]
pub struct UnixStream {
    /// `None` only while it is dropped.
    inner: Option<net::UnixStream>,
}

impl UnixStream {
    /// Takes over a socket that does not block.
    ///
    /// # Errors
    /// None.
    pub fn from_std(stream: net::UnixStream) -> io::Result<Self> {
        Ok(Self { inner: Some(stream) })
    }

    /// Connects.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let stream = kernel::change("connects", || net::UnixStream::connect(path))?;
        stream.set_nonblocking(true)?;
        Self::from_std(stream)
    }

    /// Appends what can be read.
    ///
    /// # Errors
    /// What the kernel says; `WouldBlock` where there is nothing.
    #[track_caller]
    pub fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut bytes = [0; CHUNK];
        let count = kernel::call("reads the socket", || self.inner().read(&mut bytes))?;
        buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Makes a call on the socket that others may notice.
    ///
    /// # Errors
    /// The call's.
    #[track_caller]
    pub fn try_io<R>(
        &self,
        _interest: Interest,
        attempt: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        kernel::change("writes the socket", attempt)
    }

    /// Waits until a read would bring something.
    ///
    /// # Errors
    /// None.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(PollFlags::IN).await
    }

    /// Waits until a write would take something.
    ///
    /// # Errors
    /// None.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(PollFlags::OUT).await
    }

    async fn ready(&self, flags: PollFlags) -> io::Result<()> {
        poll_fn(|context| {
            kernel::poll("waits for the socket", context, || {
                let mut polled = [PollFd::new(self.inner(), flags)];
                match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                    Ok(0) => None,
                    Ok(_) => Some(Ok(())),
                    Err(errno) => Some(Err(errno.into())),
                }
            })
        })
        .await
    }

    fn inner(&self) -> &net::UnixStream {
        self.inner.as_ref().expect("there until it is dropped")
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }
}

impl Drop for UnixStream {
    fn drop(&mut self) {
        kernel::change("closes the socket", || drop(self.inner.take()));
    }
}
