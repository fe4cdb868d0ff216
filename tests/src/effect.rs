//! What a verb does to the world outside its own memory, one system call at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::ptrace;

/// Who in the command makes a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Its first thread.
    Main,
    /// Another thread, by its name.
    Thread(String),
    /// A process that it made and that has executed nothing yet, by how many lie between it and the command.
    Child(u8),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Main => f.write_str("main"),
            Role::Thread(name) => f.write_str(name),
            Role::Child(depth) => write!(f, "child {depth}"),
        }
    }
}

/// One effect of a verb, told so that another run of the verb has the same: paths without what is drawn anew each
/// time, and counted among its like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Effect {
    /// Who.
    pub role: Role,
    /// What, and to what.
    pub what: String,
    /// Which of those of the same role, from 1.
    pub nth: usize,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.role, self.what)?;
        if self.nth > 1 { write!(f, " (number {})", self.nth) } else { Ok(()) }
    }
}

/// What an effect begins with that only says which method of the platform is entered.
pub(crate) const PLATFORM: &str = "platform ";

impl Effect {
    /// Whether it only says that a method of the platform is entered.
    pub fn is_platform(&self) -> bool {
        self.what.starts_with(PLATFORM)
    }
}

/// The command's sockets, by descriptor: `/proc` knows them only by number.
#[derive(Debug, Default)]
pub(crate) struct Sockets(BTreeMap<u64, String>);

/// A task at the entry of a call.
pub(crate) struct Caller<'c> {
    pub(crate) task: u32,
    pub(crate) role: &'c Role,
    pub(crate) root: &'c Path,
}

impl Caller<'_> {
    /// What the call will do to the outside if it succeeds; none where that is nothing.
    pub(crate) fn effect_of(
        &self,
        number: i64,
        arguments: [u64; 6],
        sockets: &mut Sockets,
    ) -> Option<String> {
        let [a, b, c, d, ..] = arguments;
        let what = match number {
            libc::SYS_write | libc::SYS_pwrite64 => return self.write(a, b, c),
            libc::SYS_writev | libc::SYS_pwritev => {
                let (start, length) = *self.vectors(b, 1)?.first()?;
                return self.write(a, start, length);
            }
            libc::SYS_fsync | libc::SYS_fdatasync => format!("sync {}", self.descriptor(a)?),
            libc::SYS_rename => format!("rename {} to {}", self.path(a), self.path(b)),
            libc::SYS_renameat | libc::SYS_renameat2 => {
                format!("rename {} to {}", self.path_at(a, b)?, self.path_at(c, d)?)
            }
            libc::SYS_link => format!("link {} to {}", self.path(a), self.path(b)),
            libc::SYS_linkat => format!("link {} to {}", self.path_at(a, b)?, self.path_at(c, d)?),
            libc::SYS_unlink | libc::SYS_rmdir => format!("unlink {}", self.path(a)),
            libc::SYS_unlinkat => format!("unlink {}", self.path_at(a, b)?),
            libc::SYS_mkdir => self.unless_there(a, "make folder")?,
            libc::SYS_mkdirat => format!("make folder {}", self.path_at(a, b)?),
            libc::SYS_ftruncate => format!("set length of {}", self.descriptor(a)?),
            libc::SYS_fallocate => format!("allocate {}", self.descriptor(a)?),
            libc::SYS_fchmod | libc::SYS_fchown => format!("set rights of {}", self.descriptor(a)?),
            libc::SYS_chmod | libc::SYS_chown => format!("set rights of {}", self.path(a)),
            libc::SYS_openat if c & libc::O_CREAT as u64 != 0 => self.unless_there(b, "create")?,
            libc::SYS_openat if c & libc::O_TRUNC as u64 != 0 => format!("empty {}", self.path(b)),
            libc::SYS_connect => {
                let name = self.address(b, c)?;
                sockets.0.insert(a, name.clone());
                format!("connect {name}")
            }
            libc::SYS_bind => format!("bind {}", self.address(b, c)?),
            libc::SYS_listen => "listen".to_owned(),
            libc::SYS_sendmsg => {
                let vectors = self.vectors(self.word(b + 16)?, self.word(b + 24)?)?;
                self.send(sockets.0.get(&a)?, &vectors)
            }
            libc::SYS_sendto => self.send(sockets.0.get(&a)?, &[(b, c)]),
            libc::SYS_close => format!("hang up {}", sockets.0.remove(&a)?),
            libc::SYS_flock => format!("{} {}", flock_words(b), self.descriptor(a)?),
            libc::SYS_fcntl => format!("{} {}", self.record_lock(b, c)?, self.descriptor(a)?),
            libc::SYS_clone if a & libc::CLONE_THREAD as u64 == 0 => "fork".to_owned(),
            libc::SYS_fork | libc::SYS_vfork => "fork".to_owned(),
            libc::SYS_clone3 if self.word(a)? & libc::CLONE_THREAD as u64 == 0 => "fork".to_owned(),
            libc::SYS_execve => format!("execute {}", file_name(&self.text(a))),
            libc::SYS_pidfd_send_signal | libc::SYS_kill => format!("send signal {b}"),
            libc::SYS_copy_file_range => format!("write {}", self.descriptor(c)?),
            libc::SYS_msync => "sync memory".to_owned(),
            libc::SYS_exit_group => "end".to_owned(),
            _ => return None,
        };
        Some(what)
    }

    /// The answer is an effect as well; what wakes another thread is none.
    fn write(&self, descriptor: u64, start: u64, length: u64) -> Option<String> {
        if *self.role != Role::Child(1) && *self.role != Role::Child(2) {
            match descriptor {
                1 => return Some("answer".to_owned()),
                2 => return self.say(start, length),
                _ => {}
            }
        }
        Some(format!("write {}", self.descriptor(descriptor)?))
    }

    fn say(&self, start: u64, length: u64) -> Option<String> {
        let text = self.bytes(start, length.min(512) as usize);
        let text = String::from_utf8_lossy(&text);
        match text.split_once("call=\"") {
            Some((_, call)) => Some(format!("{PLATFORM}{}", call.split('"').next()?)),
            None if text.contains(" TRACE ") || text.contains(" DEBUG ") => None,
            None => Some("complain".to_owned()),
        }
    }

    fn send(&self, socket: &str, vectors: &[(u64, u64)]) -> String {
        let parts = vectors
            .iter()
            .flat_map(|(start, length)| self.bytes(*start, (*length).min(1 << 16) as usize));
        let text = parts.collect::<Vec<u8>>();
        let text = String::from_utf8_lossy(&text);
        let commands = text.split("\"execute\":\"").skip(1);
        let names: Vec<&str> = commands.filter_map(|rest| rest.split('"').next()).collect();
        format!("send {} to {socket}", names.join("+"))
    }

    /// SQLite's locks are told apart by their byte, tickets of a queue are not.
    fn record_lock(&self, command: u64, at: u64) -> Option<String> {
        let locks = [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];
        if !locks.iter().any(|lock| *lock as u64 == command) {
            return None;
        }
        let kind = match self.word(at)? as u16 as i16 as i32 {
            kind if kind == libc::F_RDLCK => "share",
            kind if kind == libc::F_WRLCK => "lock",
            _ => "unlock",
        };
        Some(match self.word(at + 8)? {
            byte if byte < 1 << 32 => format!("{kind} byte {byte} of"),
            _ => format!("{kind} a ticket of"),
        })
    }

    fn unless_there(&self, address: u64, verb: &str) -> Option<String> {
        let path = self.text(address);
        fs::symlink_metadata(&path).is_err().then(|| format!("{verb} {}", self.told(&path)))
    }

    fn path(&self, address: u64) -> String {
        self.told(&self.text(address))
    }

    fn path_at(&self, folder: u64, address: u64) -> Option<String> {
        let path = self.text(address);
        if path.starts_with('/') {
            return Some(self.told(&path));
        }
        Some(format!("{}/{}", self.descriptor(folder)?, self.told(&path)))
    }

    /// Only what has a path: a socket, an event counter, memory with a name are nobody else's.
    fn descriptor(&self, number: u64) -> Option<String> {
        let number = number as i32;
        let link = if number == libc::AT_FDCWD {
            format!("/proc/{}/cwd", self.task)
        } else {
            format!("/proc/{}/fd/{number}", self.task)
        };
        let path = fs::read_link(link).ok()?;
        let path = path.to_str()?;
        (path.starts_with('/') && !path.starts_with("/memfd:")).then(|| self.told(path))
    }

    fn address(&self, start: u64, length: u64) -> Option<String> {
        let raw = self.bytes(start, length.min(128) as usize);
        let family = raw.first_chunk::<2>().map(|family| u16::from_ne_bytes(*family));
        if family != Some(libc::AF_UNIX as u16) {
            return None;
        }
        let path = raw[2..].split(|byte| *byte == 0).next().unwrap_or_default();
        Some(self.socket_name(&String::from_utf8_lossy(path)))
    }

    /// A long path is gone to through a descriptor of its folder.
    fn socket_name(&self, path: &str) -> String {
        let name = file_name(path);
        if path.starts_with("/proc/") { format!("RUN/{name}") } else { self.told(path) }
    }

    fn vectors(&self, at: u64, count: u64) -> Option<Vec<(u64, u64)>> {
        (0..count.min(64))
            .map(|place| at + 16 * place)
            .map(|at| Some((self.word(at)?, self.word(at + 8)?)))
            .collect()
    }

    fn word(&self, address: u64) -> Option<u64> {
        let mut word = [0; 8];
        (ptrace::read(self.task, address, &mut word) == 8).then(|| u64::from_ne_bytes(word))
    }

    fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let count = ptrace::read(self.task, address, &mut bytes);
        bytes.truncate(count);
        bytes
    }

    /// Up to its zero, wherever in a page that is.
    fn text(&self, address: u64) -> String {
        let to_end_of_page = 4096 - (address % 4096) as usize;
        let mut bytes = self.bytes(address, to_end_of_page);
        if !bytes.contains(&0) {
            bytes.extend(self.bytes(address + to_end_of_page as u64, 4096));
        }
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// A path without what is another one each time: the world's folder, uuids, numbers.
    fn told(&self, path: &str) -> String {
        let below = path.strip_prefix(self.root.to_str().unwrap_or_default()).unwrap_or(path);
        let parts = below.trim_end_matches(" (deleted)").split('/');
        parts.map(part_told).collect::<Vec<String>>().join("/").trim_start_matches('/').to_owned()
    }
}

fn part_told(part: &str) -> String {
    if part.len() == 36 && part.bytes().filter(|byte| *byte == b'-').count() == 4 {
        return "UUID".to_owned();
    }
    let mut told = String::new();
    for letter in part.chars() {
        match letter {
            '0'..='9' if told.ends_with('N') => {}
            '0'..='9' => told.push('N'),
            other => told.push(other),
        }
    }
    told
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn flock_words(operation: u64) -> &'static str {
    match operation as i32 & !libc::LOCK_NB {
        libc::LOCK_SH => "share",
        libc::LOCK_EX => "lock",
        _ => "unlock",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_without_what_is_drawn_anew() {
        let caller = Caller { task: 1, role: &Role::Main, root: Path::new("/tmp/sf-x1") };
        let told = caller.told("/tmp/sf-x1/run/0a5e4a52-6f6b-4c0c-9b0e-6a1d6f7d8e01/17/gone.4");
        assert_eq!(told, "run/UUID/N/gone.N");
        assert_eq!(caller.told("/tmp/sf-x1/state/steadfast.db-wal"), "state/steadfast.db-wal");
    }
}
