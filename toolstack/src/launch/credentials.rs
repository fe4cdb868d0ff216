//! Whom QEMU runs as.

/// A user and a group without privileges. No further groups, no capabilities.
///
/// Only root can hand a process to another user. Where a guest is to use `/dev/kvm` and that is not open to all, the
/// group has to be the one that may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user id: real, effective and saved.
    pub uid: u32,
    /// The group id: real, effective and saved.
    pub gid: u32,
}

impl Credentials {
    /// The user that owns nothing.
    pub const NOBODY: Self = Self { uid: 65534, gid: 65534 };

    /// What fits the calling process: `nobody` for root, and its own user (`None`) for everybody else.
    #[must_use]
    pub fn fitting() -> Option<Self> {
        rustix::process::geteuid().is_root().then_some(Self::NOBODY)
    }
}
