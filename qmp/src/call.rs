//! A connection between its greeting and its first answer.

use std::{fmt, path::Path};

use crate::{
    ConnectOptions, Monitor, QmpError,
    dial::{self, Negotiated},
    sync::UnixStream,
};

/// A connection that QEMU has greeted and that was asked for its first answer. No command can be sent on it.
///
/// Dropping it closes the connection.
pub struct Call {
    called: Negotiated,
    options: ConnectOptions,
}

impl Call {
    /// Connects to the socket at `path`, waits for the greeting and asks for the first answer. The caller may do other
    /// things until it has come.
    ///
    /// # Errors
    /// Those of [`Monitor::connect`] that come before the first answer.
    ///
    /// # Cancel safety
    /// Safe: the socket is closed, and no command of a caller was sent.
    pub async fn begin(path: impl AsRef<Path>, options: ConnectOptions) -> Result<Self, QmpError> {
        let stream = dial::dial(path.as_ref(), options.deadline).await?;
        Self::on(stream, options).await
    }

    pub(crate) async fn on(stream: UnixStream, options: ConnectOptions) -> Result<Self, QmpError> {
        let called = dial::call(stream, options.deadline, options.limits).await?;
        Ok(Self { called, options })
    }

    /// Waits for the first answer: the fence that [`Monitor::connect`] tells of.
    ///
    /// # Errors
    /// Those of [`Monitor::connect`] that come with the first answer, or in its place.
    ///
    /// # Cancel safety
    /// Safe: the socket is closed, and no command of a caller was sent.
    pub async fn answered(self) -> Result<Monitor, QmpError> {
        let Self { called, options } = self;
        let negotiated = dial::answered(called, options.deadline).await?;
        Ok(Monitor::of(negotiated, options.limits))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("version", &self.called.version).finish_non_exhaustive()
    }
}
