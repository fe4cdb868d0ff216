//! The socket: messages in, bytes and descriptors out.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
    sync::{Arc, Weak},
};

use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown,
};
use tokio::io::Interest;

use crate::{
    Limits, QmpError,
    line::{Lines, TooLong},
    message::Message,
    sync::UnixStream,
};

/// A connected socket and what was read from it.
pub(crate) struct Wire {
    stream: Arc<UnixStream>,
    lines: Lines,
    limits: Limits,
}

/// The socket of a [`Wire`], for as long as that has it.
pub(crate) struct Socket(Weak<UnixStream>);

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    More,
    NothingYet,
}

impl Wire {
    pub(crate) fn new(stream: UnixStream, limits: Limits) -> Self {
        Self { stream: Arc::new(stream), lines: Lines::new(limits.line_bytes), limits }
    }

    pub(crate) fn socket(&self) -> Socket {
        Socket(Arc::downgrade(&self.stream))
    }

    /// The next message among what was read; `None` where its line is not whole yet.
    pub(crate) fn buffered(&mut self) -> Result<Option<Message>, QmpError> {
        let limit = self.limits.line_bytes;
        let line = self.lines.take().map_err(|TooLong| QmpError::TooLarge { limit })?;
        let Some(line) = line else { return Ok(None) };
        Message::parse(line, &self.limits).map(Some).map_err(|what| QmpError::garbled(what, line))
    }

    /// Reads once, without waiting. The end of the stream is [`QmpError::Closed`].
    pub(crate) fn fill(&mut self) -> Result<Fill, QmpError> {
        match self.stream.try_read_buf(self.lines.room()) {
            Ok(0) => Err(QmpError::Closed),
            Ok(_) => Ok(Fill::More),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Fill::NothingYet),
                _ => Err(QmpError::connection(error)),
            },
        }
    }

    /// The next message.
    ///
    /// # Cancel safety
    /// Nothing that was read is lost.
    pub(crate) async fn message(&mut self) -> Result<Message, QmpError> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            if self.fill()? == Fill::NothingYet {
                self.readable().await?;
            }
        }
    }

    /// Sends the whole line.
    ///
    /// # Cancel safety
    /// None: a prefix of the line may have been sent, so the connection has to end with it.
    pub(crate) async fn send(&self, mut line: &[u8]) -> Result<(), QmpError> {
        while !line.is_empty() {
            match self.try_send(&[IoSlice::new(line)], None) {
                Ok(sent) => line = &line[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(QmpError::connection(error)),
            }
        }
        Ok(())
    }

    /// Hands bytes to the kernel in one call, without waiting, and says how many it took.
    /// `descriptor` rides with the first of them.
    pub(crate) fn try_send(
        &self,
        bytes: &[IoSlice<'_>],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(descriptor) = descriptor.as_ref().map(std::slice::from_ref)
            && !control.push(SendAncillaryMessage::ScmRights(descriptor))
        {
            return Err(io::Error::other("no room for a descriptor in a control message"));
        }
        self.stream.try_io(Interest::WRITABLE, || {
            loop {
                match sendmsg(&*self.stream, bytes, &mut control, SendFlags::NOSIGNAL) {
                    Err(rustix::io::Errno::INTR) => {}
                    result => return result.map_err(io::Error::from),
                }
            }
        })
    }

    /// Waits until a read may bring something.
    ///
    /// # Cancel safety
    /// Safe: nothing is read.
    pub(crate) async fn readable(&self) -> Result<(), QmpError> {
        self.stream.readable().await.map_err(QmpError::connection)
    }

    /// Waits until the kernel may take something.
    ///
    /// # Cancel safety
    /// Safe: nothing is written.
    pub(crate) async fn writable(&self) -> Result<(), QmpError> {
        self.stream.writable().await.map_err(QmpError::connection)
    }
}

impl Socket {
    /// Hangs up, then and there. The descriptor stays until its [`Wire`] goes.
    pub(crate) fn hang_up(&self) {
        if let Some(stream) = self.0.upgrade() {
            // The peer may have hung up before.
            let _ = shutdown(&*stream, Shutdown::Both);
        }
    }
}
