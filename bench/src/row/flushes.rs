//! Flushes of whole processes, counted by strace.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;
use steadfast_bench::Result;

use crate::bench::{Bench, run};
use crate::outcome::{Figure, Limit, Outcome};
use crate::scene::disk_folder;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let verbs = bench.times(1000);
    let folder = disk_folder()?;
    let (state, run_folder) = (folder.path().join("state"), folder.path().join("run"));
    let document = folder.path().join("vm.json");
    fs::write(&document, json!({"name": "vm", "accel": "tcg"}).to_string())?;
    let command = |words: &[&str]| {
        let mut command = Command::new(&bench.command);
        command.arg("--state").arg(&state).arg("--run").arg(&run_folder).args(words);
        command.stdin(Stdio::null());
        command
    };
    run(&mut command(&["define", &document.display().to_string()]))?;
    // The first one pays for the log that begins with it.
    let value = document.display().to_string();
    let put = command(&["userdata", "put", "vm", "key", &value]);
    run(&mut command(&["userdata", "put", "vm", "key", &value]))?;

    let log = folder.path().join("strace");
    let mut traced = Command::new("strace");
    traced.args([
        "--follow-forks",
        "--seccomp-bpf",
        "--decode-fds=path",
        "--trace=fsync,fdatasync",
    ]);
    traced.arg("--output").arg(&log);
    // Nobody else has the store open: each of them opens it and leaves it as one would on a host at rest.
    let script = "i=0; while [ $i -lt \"$0\" ]; do \"$@\" >/dev/null || exit 1; i=$((i+1)); done";
    traced.args(["sh", "-c", script, &verbs.to_string()]);
    traced.arg(put.get_program()).args(put.get_args());
    run(&mut traced)?;

    let by_file = by_file(&fs::read_to_string(&log)?);
    let all: u64 = by_file.values().sum();
    let allowed = 3.0 * (verbs as f64 / 500.0).ceil();
    let what = format!("flushes beyond one for each of {verbs} processes");
    let mut figures = vec![Figure::new(what, all as f64 - verbs as f64, Limit::AtMost(allowed))];
    for (file, count) in by_file {
        figures.push(Figure::new(format!("flushes of {file}"), count as f64, Limit::Told));
    }
    Ok(vec![Outcome::of_figures("flushes, one-shot processes", figures)])
}

/// How often each file was flushed, by its name.
fn by_file(trace: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in trace.lines() {
        let Some((_, rest)) = line.split_once("sync(") else { continue };
        let path = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let Some((path, _)) = path else { continue };
        let name = path.rsplit('/').next().unwrap_or(path);
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_counted_by_the_name_of_their_file() {
        let trace = "12 fsync(5</x/state/steadfast.db-wal>) = 0\n\
                     12 fdatasync(4</x/state>)               = 0\n\
                     13 fsync(5</x/state/steadfast.db-wal>) = 0\n\
                     13 +++ exited with 0 +++\n";
        let expected = [("state".to_owned(), 1), ("steadfast.db-wal".to_owned(), 2)];
        assert_eq!(by_file(trace), BTreeMap::from(expected));
    }
}
