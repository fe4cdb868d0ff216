//! Tap interfaces, opened here and handed over: QEMU runs without the right to.

use std::{
    ffi::c_char,
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// Opens the tap interface of that name, which exists already or is made by the kernel.
///
/// # Errors
/// No `/dev/net/tun`, no permission, or another program has the interface.
pub(crate) fn open(ifname: &str) -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    let bytes = ifname.as_bytes();
    if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of an interface"));
    }
    let mut name = [0 as c_char; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: i16::try_from(flags).map_err(io::Error::other)?,
        },
    };
    // SAFETY: TUNSETIFF reads one `ifreq`, which lives until the call returned; the descriptor is open.
    let set = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &request) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}
