//! libvirt, as other people would use it in our place.
//!
//! ```text
//! api       the functions of libvirt's own library, found at run time: nothing of it is linked or shipped
//! daemon    a libvirtd of our own, in a namespace of its own, on folders of its own
//! side      what it does in a row
//! ```

#[expect(unsafe_code, reason = "functions of a C library")]
mod api;
mod daemon;
mod side;

pub(crate) use daemon::{Libvirt, supervise};
