//! Where QEMU is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{LaunchError, QemuLauncher};

/// Finds the program: in `PATH`, or at `name` itself if that is a path. Relative entries of `PATH` are passed over,
/// since the process is started elsewhere than here.
///
/// # Errors
/// [`LaunchError::NotInstalled`].
pub fn find_qemu(name: &str) -> Result<PathBuf, LaunchError> {
    let [(_, usual), ..] = QemuLauncher::ENVIRONMENT;
    let path = std::env::var_os("PATH").unwrap_or_else(|| usual.into());
    find_in(name, &path).ok_or_else(|| LaunchError::NotInstalled { name: name.to_owned() })
}

fn find_in(name: &str, path: &OsStr) -> Option<PathBuf> {
    if name.contains('/') {
        return std::path::absolute(name).ok().filter(|path| is_program(path));
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|f| f.join(name))
        .find(|p| is_program(p))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_missing_qemu_is_said_with_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find_in("qemu-system-x86_64", folder.path().as_os_str()), None);
        let error = find_qemu("qemu-system-nosuch").unwrap_err();
        let text =
            "find qemu-system-nosuch: QEMU is not installed: apt-get install qemu-system-x86";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn only_what_can_be_executed_is_found_and_not_below_a_relative_folder() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("qemu");
        std::fs::write(&program, "").unwrap();
        let find = |path: &OsStr| find_in("qemu", path);
        assert_eq!(find(folder.path().as_os_str()), None);
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find(folder.path().as_os_str()), Some(program.clone()));
        let relative = pathdiff(folder.path());
        assert!(is_program(&relative.join("qemu")));
        assert_eq!(find(relative.as_os_str()), None);
        assert_eq!(find_in(program.to_str().unwrap(), OsStr::new("")), Some(program));
    }

    /// The folder as seen from the working folder.
    fn pathdiff(folder: &Path) -> PathBuf {
        let depth = std::env::current_dir().unwrap().components().count() - 1;
        let up: PathBuf = std::iter::repeat_n("..", depth).collect();
        up.join(folder.strip_prefix("/").unwrap())
    }
}
