//! Sockets that listen before QEMU exists.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::LaunchError;

/// The longest path of a unix socket, in bytes (`sun_path` less the zero byte at its end).
pub const SOCKET_PATH_LIMIT: usize = 107;

/// How many connects may wait until QEMU comes to take them.
const BACKLOG: i32 = 8;

/// Binds a unix socket with mode 0600 at `path`, and listens. Given to QEMU as a descriptor, it needs no polling: who
/// connects early is answered when QEMU is ready, and one that dies first closes the connection.
///
/// # Errors
/// [`LaunchError::SocketPathTooLong`] and [`LaunchError::Listen`]; a socket that exists already is left alone.
pub fn listen(path: &Path) -> Result<OwnedFd, LaunchError> {
    let length = path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH_LIMIT {
        return Err(LaunchError::SocketPathTooLong {
            path: path.to_owned(),
            length,
            limit: SOCKET_PATH_LIMIT,
        });
    }
    bind(path).map_err(|source| LaunchError::Listen { path: path.to_owned(), source })
}

fn bind(path: &Path) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // Before the bind: the name is made with the mode of the socket, so there is no instant in which it is open to all.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    if let Err(errno) = rustix::net::listen(&socket, BACKLOG) {
        // Made by the line above, and nobody was told of it yet.
        let _ = std::fs::remove_file(path);
        return Err(errno.into());
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_takes_connects_at_once_and_is_open_to_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("command");
        let socket = listen(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        assert!(matches!(listen(&path), Err(LaunchError::Listen { .. })));
        UnixStream::connect(&path).unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap_err();
    }

    #[test]
    fn a_path_too_long_is_said_with_its_length_and_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let room = SOCKET_PATH_LIMIT - folder.path().as_os_str().len() - 1;
        listen(&folder.path().join("x".repeat(room))).unwrap();
        let path = folder.path().join("x".repeat(room + 1));
        let error = listen(&path).unwrap_err();
        let text = format!(
            "listen on {}: the path has 108 bytes, and that of a socket may have 107",
            path.display()
        );
        assert_eq!(error.to_string(), text);
    }
}
