//! What processes ask of the kernel, as strace writes it down: flushes and locks, by the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use steadfast_bench::Result;

use crate::bench::run;

/// The flushes and the locks of a process and of all that it starts.
pub(crate) struct Trace(String);

impl Trace {
    /// Runs it to its end under strace, which writes into this file.
    pub(crate) fn of(command: &Command, log: &Path) -> Result<Self> {
        let mut traced = Command::new("strace");
        traced.args(["--follow-forks", "--seccomp-bpf", "--decode-fds=path"]);
        traced.arg("--trace=fsync,fdatasync,flock").arg("--output").arg(log);
        traced.arg(command.get_program()).args(command.get_args());
        run(&mut traced)?;
        Ok(Self(std::fs::read_to_string(log)?))
    }

    /// All flushes.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes_by_file().values().sum()
    }

    /// How often each file was flushed, by its name.
    pub(crate) fn flushes_by_file(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in self.0.lines().filter(|line| line.contains("sync(")) {
            if let Some(name) = file(line) {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// How often a lock file of this name was taken for itself alone.
    pub(crate) fn locks(&self, name: &str) -> usize {
        let is_taken = |line: &&str| {
            line.contains("flock(") && line.contains("LOCK_EX") && line.trim_end().ends_with("= 0")
        };
        self.0.lines().filter(is_taken).filter(|line| file(line) == Some(name)).count()
    }
}

/// The name of the file that a call is about.
fn file(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    path.rsplit('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_and_locks_are_counted_by_the_name_of_their_file() {
        let trace = Trace(
            "12 fsync(5</x/state/steadfast.db-wal>) = 0\n\
             12 fdatasync(4</x/state>)               = 0\n\
             12 flock(6</x/run/slow>, LOCK_EX|LOCK_NB) = -1 EAGAIN (Resource temporarily unavailable)\n\
             12 flock(6</x/run/slow>, LOCK_EX|LOCK_NB) = 0\n\
             12 flock(6</x/run/slow>, LOCK_UN)         = 0\n\
             13 fsync(5</x/state/steadfast.db-wal>) = 0\n\
             13 +++ exited with 0 +++\n"
                .to_owned(),
        );
        let expected = [("state".to_owned(), 1), ("steadfast.db-wal".to_owned(), 2)];
        assert_eq!(trace.flushes_by_file(), BTreeMap::from(expected));
        assert_eq!((trace.flushes(), trace.locks("slow"), trace.locks("fast")), (3, 1, 0));
    }
}
