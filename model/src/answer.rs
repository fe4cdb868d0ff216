//! What a request is answered.

use std::collections::BTreeSet;

use steadfast_protocol::{
    Generation, Heard, Lost, Patience, Phase, Reply, Serial, Signal, Step, View,
};

use crate::{Answer, Choice, Holder, Place, Qemu, Request, Rule, Run, World};

impl World {
    /// Answers the request; `None`: a command of a batch was executed, and there are more.
    pub(crate) fn answer(
        &mut self,
        slot: usize,
        run: &mut Run,
        choice: Choice,
        broken: Option<Rule>,
    ) -> Option<Answer> {
        match (&run.request, choice) {
            (_, Choice::Refuse) => self.faults.refusals -= 1,
            (_, Choice::Lose(_)) => self.faults.unknowns -= 1,
            (_, Choice::Silent) => self.faults.silences -= 1,
            (_, Choice::Doubt) => self.faults.doubts -= 1,
            (_, Choice::Fail) => self.faults.failures -= 1,
            (Request::Exited(_, Patience::Kernel | Patience::Last), Choice::Over) => {
                self.faults.delays -= 1;
            }
            _ => {}
        }
        let plain = choice == Choice::Plain;
        Some(match run.request.clone() {
            Request::Peek => Answer::Standing(self.standing()),
            Request::Slow(generation) => match self.places.get_mut(&generation) {
                Some(place) => {
                    place.holder = Some(slot);
                    run.holds.insert(generation);
                    Answer::Flag(true)
                }
                None => Answer::Flag(false),
            },
            Request::Found(generation) => {
                let place = Place { holder: Some(slot), ..Place::default() };
                if self.places.insert(generation, place).is_some() {
                    self.break_rule("a generation was drawn twice");
                }
                run.holds.insert(generation);
                Answer::Flag(true)
            }
            Request::Clear(generation) => {
                self.places.remove(&generation);
                Answer::Flag(true)
            }
            Request::Sweep(generation) => {
                if let Some(place) = self.places.get_mut(&generation) {
                    place.over = true;
                    self.take_away(generation);
                }
                Answer::Flag(true)
            }
            Request::Fast(view) => {
                if let Some((view, tx)) = run.late.take() {
                    self.commit(slot, run, &view, tx);
                }
                Answer::Record(Box::new(self.load(&view, choice, broken)))
            }
            Request::Launch => {
                self.fast = (broken != Some(Rule::SpawnUnderFast)).then_some(slot);
                Answer::Record(Box::new(self.load(&View::row(), choice, broken)))
            }
            Request::Prepare(generation, devices) => {
                if let Some(place) = self.places.get_mut(&generation) {
                    place.prepared = Some(devices);
                }
                Answer::Flag(plain)
            }
            Request::Spawn(generation) => {
                if plain {
                    self.spawn(generation);
                }
                self.fast = None;
                Answer::Flag(plain)
            }
            Request::Connect(generation) => {
                run.began.get_or_insert(generation);
                Answer::Session(match self.qemus.get_mut(&generation) {
                    None => Err(Lost::Absent),
                    Some(_) if !plain => Err(Lost::Silent),
                    Some(qemu) => {
                        let (deleted, rejected, moved) = Default::default();
                        qemu.session = Some(Holder { slot, deleted, rejected, moved });
                        Ok(())
                    }
                })
            }
            Request::Tell(generation, commands) => {
                let Some(qemu) = self.qemus.get_mut(&generation) else {
                    run.told.resize(commands.len(), Reply::Unknown);
                    return Some(Answer::Replies(std::mem::take(&mut run.told)));
                };
                if let Choice::Lose(sent) = choice {
                    let from = run.told.len();
                    qemu.wire.extend(commands[from..from + sent].iter().cloned());
                    qemu.session = None;
                    run.told.resize(commands.len(), Reply::Unknown);
                } else {
                    let command = &commands[run.told.len()];
                    let reply = if plain { qemu.execute(command) } else { Reply::Refused(()) };
                    if command.step == Step::Unplug
                        && !run.asked.insert(command.serial)
                        && !run.presses()
                    {
                        self.break_rule("one owner asked QEMU twice for one removal (R16)");
                    }
                    run.told.push(reply);
                    if run.told.len() < commands.len() {
                        return None;
                    }
                }
                Answer::Replies(std::mem::take(&mut run.told))
            }
            Request::Signal(generation, signal) => {
                let reply = match self.qemus.get_mut(&generation) {
                    None => Reply::Unknown,
                    Some(qemu) => {
                        match signal {
                            Signal::Reset => qemu.reset(),
                            Signal::Powerdown => qemu.drowsy = true,
                            Signal::Pause | Signal::Resume => {}
                        }
                        Reply::Done
                    }
                };
                Answer::Replies(vec![reply])
            }
            Request::Look(generation) => {
                let qemu = self.qemus.get(&generation).filter(|_| plain);
                Answer::Sight(qemu.map(Qemu::sight))
            }
            Request::Listen(generation, serials) => {
                let mut heard = Heard { over: !plain, ..Heard::default() };
                let qemu = self.qemus.get_mut(&generation);
                if let Some(session) = qemu.and_then(|qemu| qemu.session.as_mut()) {
                    let about = |told: &mut BTreeSet<Serial>| {
                        let all = std::mem::take(told);
                        let (ours, rest) = all.into_iter().partition(|one| serials.contains(one));
                        *told = rest;
                        ours
                    };
                    (heard.deleted, heard.rejected) =
                        (about(&mut session.deleted), about(&mut session.rejected));
                }
                if !plain {
                    (heard.deleted, heard.rejected) = Default::default();
                }
                Answer::Heard(heard)
            }
            Request::ListenTray(generation, serial) => {
                let qemu = self.qemus.get_mut(&generation);
                if let Some(session) = qemu.and_then(|qemu| qemu.session.as_mut()) {
                    session.moved.remove(&serial);
                }
                Answer::Flag(plain)
            }
            Request::Watch(generation, serials) => {
                let gone = |serial: &&Serial| {
                    !self
                        .qemus
                        .get(&generation)
                        .is_some_and(|qemu| qemu.fronts.contains_key(serial))
                };
                let deleted = serials.iter().filter(gone).copied().collect();
                let rejected = std::mem::take(&mut run.rejected);
                Answer::Heard(Heard { deleted, rejected, over: !plain })
            }
            Request::Kill(generation) => {
                for (of, qemu) in &mut self.qemus {
                    if *of == generation || broken == Some(Rule::KillByGeneration) {
                        qemu.doomed = true;
                        let row = self.row.as_ref();
                        if row.is_some_and(|row| row.generation == *of && row.phase == Phase::Live)
                        {
                            self.broken.get_or_insert(
                                "a generation was killed that nobody had marked (R14)",
                            );
                        }
                    }
                }
                Answer::Flag(true)
            }
            Request::Exited(..) => Answer::Flag(plain),
        })
    }

    fn spawn(&mut self, generation: Generation) {
        let prepared = self.places.get(&generation).and_then(|place| place.prepared.clone());
        match prepared {
            Some(devices) => {
                self.qemus.insert(generation, Qemu::with(&devices));
            }
            None => self.break_rule("a generation was spawned that nobody had prepared"),
        }
    }
}
