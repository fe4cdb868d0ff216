//! The command followed from effect to effect, and cut off at one of them.
//!
//! strace counts the calls of each thread by name. Here an effect is found again by who does it and what it is, so
//! that a kill hits the one that is meant although another thread makes the same call, and it can be hit on its way out
//! as well: done, with nothing after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use crate::effect::{Caller, Effect, Role, Sockets};
use crate::ptrace::{self, Stop};
use crate::running::{PATIENCE, Streams};
use crate::{Failure, Output, Process, Result};

/// Where a run of the command is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The effect.
    pub effect: Effect,
    /// On which side of it.
    pub side: Side,
    /// Who is killed.
    pub victim: Victim,
}

/// Before or after an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It is asked for and not done.
    Before,
    /// It is done, and its caller does not hear of it.
    After,
}

/// Who is killed with SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The command. A child that it has made goes on.
    Command,
    /// The process whose effect it is: a child of the command, which itself goes on.
    Child,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        let whose = match self.victim {
            Victim::Command => "",
            Victim::Child => "the child alone, ",
        };
        write!(f, "{whose}{side} `{}`", self.effect)
    }
}

/// What a followed run has done.
#[derive(Debug)]
pub struct Followed {
    /// Its end.
    pub output: Output,
    /// Its effects, in their order.
    pub effects: Vec<Effect>,
    /// Whether it was cut off where it was to be.
    pub hit: bool,
}

struct Task {
    role: Option<Role>,
    depth: u8,
    /// The call it is in, where that has an effect.
    calls: Option<Effect>,
    age: Age,
}

/// A new task stops once before its first instruction, before or after its maker tells of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Told of, and yet to stop.
    Announced,
    /// Stopped, and yet to be told of: nobody knows who it is.
    Unknown,
    Grown,
}

struct Follower<'f> {
    command: u32,
    root: &'f Path,
    cut: Option<&'f Cut>,
    tasks: BTreeMap<u32, Task>,
    sockets: Sockets,
    counts: BTreeMap<(Role, String), usize>,
    effects: Vec<Effect>,
    hit: bool,
    /// Stands still until the command has ended.
    held: Option<u32>,
    status: Option<i32>,
}

/// Runs the command to its end, or to the cut.
///
/// # Errors
/// It can't be started or followed, or hangs.
pub(crate) fn follow(
    mut command: Command,
    described: String,
    root: &Path,
    cut: Option<&Cut>,
) -> Result<Followed> {
    let streams = Streams::of(&mut command)?;
    ptrace::be_traced(&mut command);
    let child = command.spawn()?;
    let process = Process::open(child.id())?;
    let (over, is_over) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let hangs = is_over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        hangs && process.kill().is_ok()
    });
    let mut follower = Follower::new(child.id(), root, cut);
    let followed = ptrace::begin(child.id())
        .and_then(|()| ptrace::go_on(child.id(), 0))
        .map_err(Failure::from)
        .and_then(|()| follower.run());
    drop(over);
    if watch.join().unwrap_or(true) {
        return Err(Failure::new(format!("`steadfast {described}` hung for {PATIENCE:?}")));
    }
    followed?;
    let status = follower.status.ok_or_else(|| Failure::new("the command's end was not seen"))?;
    let output =
        streams.output(described, std::os::unix::process::ExitStatusExt::from_raw(status))?;
    Ok(Followed { output, effects: follower.effects, hit: follower.hit })
}

impl<'f> Follower<'f> {
    fn new(command: u32, root: &'f Path, cut: Option<&'f Cut>) -> Follower<'f> {
        let main = Task { role: Some(Role::Main), depth: 0, calls: None, age: Age::Grown };
        Follower {
            command,
            root,
            cut,
            tasks: BTreeMap::from([(command, main)]),
            sockets: Sockets::default(),
            counts: BTreeMap::new(),
            effects: Vec::new(),
            hit: false,
            held: None,
            status: None,
        }
    }

    /// Until nobody is traced any more: a child that outlives a killed command is followed to its exec.
    fn run(&mut self) -> Result<()> {
        while !self.tasks.is_empty() {
            let Some((task, stop)) = ptrace::next()? else { break };
            let signal = match stop {
                Stop::Entry { number, arguments } => {
                    if self.enters(task, number, arguments)? {
                        continue;
                    }
                    0
                }
                Stop::Exit { result } => {
                    if self.leaves(task, result)? {
                        continue;
                    }
                    0
                }
                Stop::Made { task: made } => {
                    self.is_made(task, made)?;
                    0
                }
                Stop::Executed if task == self.command => {
                    self.leaves(task, 0)?;
                    0
                }
                Stop::Executed => {
                    self.leaves(task, 0)?;
                    ptrace::let_go(task)?;
                    self.tasks.remove(&task);
                    continue;
                }
                Stop::Signal(signal) => {
                    if signal == libc::SIGSTOP && self.is_stopped(task)? {
                        continue;
                    }
                    signal
                }
                Stop::Ended(status) => {
                    self.ends(task, status)?;
                    continue;
                }
            };
            ptrace::go_on(task, signal)?;
        }
        Ok(())
    }

    /// Says whether the task stays where it is.
    fn is_stopped(&mut self, task: u32) -> Result<bool> {
        let unknown = Task { role: None, depth: 0, calls: None, age: Age::Unknown };
        let entry = self.tasks.entry(task).or_insert(unknown);
        match entry.age {
            Age::Unknown => Ok(true),
            Age::Announced => {
                entry.age = Age::Grown;
                ptrace::go_on(task, 0)?;
                Ok(true)
            }
            Age::Grown => Ok(false),
        }
    }

    fn is_made(&mut self, maker: u32, made: u32) -> Result<()> {
        let depth = self.tasks.get(&maker).map_or(0, |maker| maker.depth);
        let process = if depth == 0 { self.command } else { maker };
        let is_thread = Path::new(&format!("/proc/{process}/task/{made}")).exists();
        let depth = if is_thread { depth } else { depth + 1 };
        let role = (!is_thread).then_some(Role::Child(depth));
        let has_stopped = self.tasks.get(&made).is_some_and(|task| task.age == Age::Unknown);
        let age = if has_stopped { Age::Grown } else { Age::Announced };
        self.tasks.insert(made, Task { role, depth, calls: None, age });
        if has_stopped { Ok(ptrace::go_on(made, 0)?) } else { Ok(()) }
    }

    /// Says whether the task stays where it is.
    fn enters(&mut self, task: u32, number: i64, arguments: [u64; 6]) -> Result<bool> {
        let Some(entry) = self.tasks.get_mut(&task) else { return Ok(false) };
        let role = entry.role.clone().unwrap_or_else(|| Role::Thread(name_of(task)));
        let caller = Caller { task, role: &role, root: self.root };
        let what = caller.effect_of(number, arguments, &mut self.sockets);
        let Some(what) = what else { return Ok(false) };
        let nth = self.counts.get(&(role.clone(), what.clone())).map_or(1, |count| count + 1);
        let effect = Effect { role, what, nth };
        if self.is_cut(&effect, Side::Before) {
            return self.cut_off(task, &effect);
        }
        if number == libc::SYS_exit_group {
            self.has_done(effect);
        } else if let Some(entry) = self.tasks.get_mut(&task) {
            entry.calls = Some(effect);
        }
        Ok(false)
    }

    fn leaves(&mut self, task: u32, result: i64) -> Result<bool> {
        let effect = self.tasks.get_mut(&task).and_then(|entry| entry.calls.take());
        let Some(effect) = effect.filter(|_| result >= 0) else { return Ok(false) };
        let is_cut = self.is_cut(&effect, Side::After);
        self.has_done(effect.clone());
        if is_cut { self.cut_off(task, &effect) } else { Ok(false) }
    }

    fn has_done(&mut self, effect: Effect) {
        *self.counts.entry((effect.role.clone(), effect.what.clone())).or_default() += 1;
        self.effects.push(effect);
    }

    fn is_cut(&self, effect: &Effect, side: Side) -> bool {
        !self.hit && self.cut.is_some_and(|cut| cut.side == side && cut.effect == *effect)
    }

    /// Kills. A child in whose call the command is killed waits for the command's end, and then goes on.
    fn cut_off(&mut self, task: u32, effect: &Effect) -> Result<bool> {
        self.hit = true;
        let victim = self.cut.map_or(Victim::Command, |cut| cut.victim);
        let is_child = matches!(effect.role, Role::Child(_));
        let killed = if victim == Victim::Child { task } else { self.command };
        Process::open(killed)?.kill()?;
        if victim == Victim::Command && is_child {
            self.held = Some(task);
        }
        Ok(true)
    }

    fn ends(&mut self, task: u32, status: i32) -> Result<()> {
        self.tasks.remove(&task);
        if task == self.command {
            self.status = Some(status);
            let unknown = self.tasks.iter().filter(|(_, task)| task.age == Age::Unknown);
            for task in unknown.map(|(task, _)| *task).chain(self.held.take()) {
                ptrace::go_on(task, 0)?;
            }
        }
        Ok(())
    }
}

fn name_of(task: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{task}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// The platform's methods that these effects enter.
pub fn platform_calls(effects: &[Effect]) -> BTreeSet<&str> {
    let calls =
        effects.iter().filter_map(|effect| effect.what.strip_prefix(crate::effect::PLATFORM));
    calls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, cut: Option<&Cut>) -> Followed {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        follow(command, script.to_owned(), Path::new("/nowhere"), cut).unwrap()
    }

    fn answer(nth: usize, side: Side) -> Cut {
        let effect = Effect { role: Role::Main, what: "answer".to_owned(), nth };
        Cut { effect, side, victim: Victim::Command }
    }

    #[test]
    fn the_effects_are_told_in_their_order_and_the_end_is_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file").display().to_string();
        let ran = shell(&format!("echo one; echo x > {file}; echo two"), None);
        assert_eq!((ran.output.stdout.as_str(), ran.hit), ("one\ntwo\n", false));
        let told: Vec<String> = ran.effects.iter().map(Effect::to_string).collect();
        let place = |wanted: &str| told.iter().position(|told| told == wanted).unwrap();
        let order = ["main: answer", "main: answer (number 2)", "main: end"].map(place);
        assert!(order.is_sorted(), "{told:?}");
        let created = told.iter().position(|told| told.starts_with("main: create ")).unwrap();
        assert!(order[0] < created && created < order[1], "{told:?}");
    }

    #[test]
    fn before_an_effect_it_is_not_done_and_after_it_nothing_else_is() {
        for (cut, said) in [
            (answer(1, Side::Before), ""),
            (answer(1, Side::After), "one\n"),
            (answer(2, Side::Before), "one\n"),
        ] {
            let ran = shell("echo one; echo two", Some(&cut));
            assert!(ran.hit, "{cut}");
            assert_eq!((ran.output.signal, ran.output.stdout.as_str()), (Some(9), said), "{cut}");
        }
        let ran = shell("echo one; echo two", Some(&answer(3, Side::Before)));
        assert_eq!((ran.hit, ran.output.code), (false, Some(0)));
    }

    #[test]
    fn of_a_command_and_its_child_each_can_be_killed_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let script = format!("(echo x > {}); echo done", file.display());
        let dry = shell(&script, None);
        std::fs::remove_file(&file).unwrap();
        let is_made =
            |effect: &&Effect| effect.role == Role::Child(1) && effect.what.starts_with("create ");
        let effect = dry.effects.iter().find(is_made).unwrap().clone();
        let cut = Cut { effect, side: Side::Before, victim: Victim::Child };
        let ran = shell(&script, Some(&cut));
        assert_eq!((ran.hit, ran.output.stdout.as_str(), file.exists()), (true, "done\n", false));
        let cut = Cut { victim: Victim::Command, ..cut };
        let ran = shell(&script, Some(&cut));
        assert_eq!((ran.hit, ran.output.signal), (true, Some(9)));
        // The child goes on once its maker is dead, and is followed to its end.
        assert_eq!((ran.output.stdout.as_str(), file.exists()), ("", true));
    }
}
