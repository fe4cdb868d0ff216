//! What a request is answered.

use std::{collections::BTreeSet, sync::Arc};

use steadfast_protocol::{Generation, Heard, Lost, Phase, Reply, Serial, Signal, Step, View};

use crate::{Answer, Choice, Holder, Place, Qemu, Request, Rule, Run, World, passing};

impl World {
    /// Answers the request; `None`: a command of a batch was executed, and there are more.
    pub(crate) fn answer(
        &mut self,
        slot: usize,
        run: &mut Run,
        choice: Choice,
        broken: Option<Rule>,
    ) -> Option<Answer> {
        let answer = self.reply(slot, run, choice, broken)?;
        run.learn(choice, &answer);
        Some(answer)
    }

    fn reply(
        &mut self,
        slot: usize,
        run: &mut Run,
        choice: Choice,
        broken: Option<Rule>,
    ) -> Option<Answer> {
        self.spend(run, choice);
        let request = Arc::clone(&run.request);
        if choice == Choice::Err {
            return Some(Answer::Failed);
        }
        let plain = choice == Choice::Plain;
        let is_late = matches!(choice, Choice::Over | Choice::Miss);
        Some(match &*request {
            Request::Peek(domain) => Answer::Standing(self[*domain].standing()),
            Request::Read(domain) => {
                Answer::Read(self.records.get(domain).cloned().unwrap_or_default())
            }
            Request::Slow(_) | Request::Fast(..) | Request::Launch(_) if is_late => Answer::Failed,
            Request::Slow(generation) => {
                if !run.holds.is_empty() {
                    self.break_rule(passing::TWO_SLOW);
                }
                match self.places.get_mut(generation) {
                    Some(place) => {
                        place.holder = Some(slot);
                        run.holds.insert(*generation);
                        Answer::Flag(true)
                    }
                    None => Answer::Flag(false),
                }
            }
            Request::Found(domain, generation) => {
                let place = Place { holder: Some(slot), ..Place::of(*domain) };
                if self.places.insert(*generation, place).is_some() {
                    self.break_rule(passing::DRAWN_TWICE);
                }
                run.began = Some(*generation);
                run.holds.insert(*generation);
                Answer::Flag(true)
            }
            Request::Clear(generation) => {
                self.places.remove(generation);
                Answer::Flag(true)
            }
            Request::Sweep(generation) => {
                if let Some(place) = self.places.get_mut(generation) {
                    place.over = true;
                    self.take_away(*generation);
                }
                Answer::Flag(true)
            }
            Request::Fast(domain, view) => {
                if let Some((domain, view, tx)) = run.late.take() {
                    self.commit(slot, run, (domain, &view), tx, broken);
                }
                let record = Answer::Record(Box::new(self.load(*domain, view, choice, broken)));
                if choice == Choice::ErrAfter {
                    if let Some(tx) = run.section(record) {
                        self.commit(slot, run, (*domain, view), tx, broken);
                    }
                    return Some(Answer::Failed);
                }
                record
            }
            Request::Launch(domain) => {
                let record =
                    Answer::Record(Box::new(self.load(*domain, &View::row(), choice, broken)));
                if choice == Choice::ErrAfter {
                    if let Some(tx) = run.section(record) {
                        self.commit(slot, run, (*domain, &View::row()), tx, broken);
                    }
                    return Some(Answer::Failed);
                }
                if broken != Some(Rule::SpawnUnderFast) {
                    self[*domain].fast = Some(slot);
                }
                record
            }
            Request::Prepare(generation, devices) => {
                if let Some(place) = self.places.get_mut(generation) {
                    place.prepared = Some(devices.clone());
                }
                Answer::Flag(plain)
            }
            Request::Spawn(generation) => {
                if plain {
                    self.spawn(*generation);
                }
                self.open_fast(slot);
                Answer::Flag(plain)
            }
            Request::Call(generation) => {
                run.began.get_or_insert(*generation);
                let reached = self.endpoint(*generation, broken);
                Answer::Session(match self.qemu_mut(reached) {
                    None => Err(Lost::Absent),
                    Some(qemu) if qemu.deaf => Err(Lost::Absent),
                    Some(_) if !plain => Err(Lost::Silent),
                    Some(qemu) => {
                        qemu.session = Some(Holder::of(slot));
                        Ok(reached)
                    }
                })
            }
            Request::Fence(generation) => {
                let is_open = self.is_in_session(slot, *generation);
                Answer::Session(match self.qemu_mut(*generation).filter(|_| is_open) {
                    None => Err(Lost::Absent),
                    Some(_) if !plain => Err(Lost::Silent),
                    Some(qemu) => {
                        // What it told before it is told to nobody.
                        qemu.session = Some(Holder::of(slot));
                        Ok(*generation)
                    }
                })
            }
            Request::Tell(generation, commands) => {
                if !self.is_in_session(slot, *generation) {
                    run.told.resize(commands.len(), Reply::Unknown);
                    return Some(Answer::Replies(std::mem::take(&mut run.told)));
                }
                self.watch_effect(slot, *generation);
                run.has_told = true;
                if let Choice::Lose(sent) = choice {
                    let from = run.told.len();
                    if let Some(qemu) = self.qemu_mut(*generation) {
                        qemu.wire.extend(commands[from..from + sent].iter().cloned());
                        qemu.session = None;
                    }
                    run.told.resize(commands.len(), Reply::Unknown);
                } else {
                    let command = &commands[run.told.len()];
                    let reply = match self.qemu_mut(*generation) {
                        Some(qemu) if plain => qemu.execute(command),
                        _ => Reply::Refused(()),
                    };
                    if command.step == Step::Unplug
                        && !run.asked.insert(command.serial)
                        && !run.presses()
                    {
                        self.break_rule(passing::ASKED_TWICE);
                    }
                    run.told.push(reply);
                    if run.told.len() < commands.len() {
                        return None;
                    }
                }
                Answer::Replies(std::mem::take(&mut run.told))
            }
            Request::Signal(generation, signal) => {
                let is_open = self.is_in_session(slot, *generation);
                if is_open {
                    self.watch_effect(slot, *generation);
                }
                let reply = match self.qemu_mut(*generation).filter(|_| is_open) {
                    None => Reply::Unknown,
                    Some(qemu) if choice == Choice::Lose(0) => {
                        qemu.session = None;
                        Reply::Unknown
                    }
                    Some(_) if choice == Choice::Refuse => Reply::Refused(()),
                    Some(qemu) => {
                        match signal {
                            Signal::Reset => qemu.reset(),
                            Signal::Powerdown => qemu.drowsy = true,
                            Signal::Pause | Signal::Resume => {}
                        }
                        if plain { Reply::Done } else { Reply::Unknown }
                    }
                };
                Answer::Replies(vec![reply])
            }
            Request::Look(generation) => {
                let is_open = self.is_in_session(slot, *generation);
                let qemu = self.qemus.get(generation).filter(|_| plain && is_open);
                if qemu.is_some_and(|qemu| !qemu.wire.is_empty()) {
                    self.break_rule(passing::UNFENCED);
                }
                let sight = self.qemus.get(generation).filter(|_| plain && is_open);
                let sight = sight.map(|qemu| qemu.sight());
                Answer::Sight(match broken {
                    Some(Rule::FailureIsNotEmpty) => Some(sight.unwrap_or_default()),
                    _ => sight,
                })
            }
            Request::Glance(generation) => {
                let qemu = self.qemus.get(generation).filter(|_| plain);
                Answer::Sight(qemu.map(|qemu| qemu.sight()))
            }
            Request::Listen(generation, serials) => {
                let mut heard = Heard { over: !plain, ..Heard::default() };
                let is_open = self.is_in_session(slot, *generation);
                let qemu = self.qemu_mut(*generation).filter(|_| is_open);
                if let Some(session) = qemu.and_then(|qemu| qemu.session.as_mut()) {
                    (heard.deleted, heard.rejected) = (
                        about(serials, &mut session.deleted),
                        about(serials, &mut session.rejected),
                    );
                }
                if !plain {
                    (heard.deleted, heard.rejected) = Default::default();
                }
                Answer::Heard(heard)
            }
            Request::ListenTray(generation, serial) => {
                let qemu = self.qemu_mut(*generation);
                if let Some(session) = qemu.and_then(|qemu| qemu.session.as_mut()) {
                    session.moved.remove(serial);
                }
                Answer::Flag(plain)
            }
            Request::Watch(generation, serials) => {
                self.watch_wait(run);
                // Of a generation that has ended nothing is told.
                let gone = |serial: &&Serial| {
                    let qemu = self.qemus.get(generation);
                    qemu.is_some_and(|qemu| !qemu.fronts.contains_key(serial))
                };
                let deleted = serials.iter().filter(gone).copied().collect();
                let rejected = std::mem::take(&mut run.rejected);
                match plain {
                    true => Answer::Heard(Heard { deleted, rejected, over: false }),
                    false => Answer::Heard(Heard { over: true, ..Heard::default() }),
                }
            }
            Request::Kill(generation) => {
                for (of, qemu) in self.qemus.iter_mut() {
                    if of == generation || broken == Some(Rule::KillByGeneration) {
                        Arc::make_mut(qemu).doomed = true;
                    }
                }
                let is_unmarked = |(of, record): (&Generation, &crate::Record)| {
                    self.qemus.get(of).is_some_and(|qemu| qemu.doomed)
                        && record.row.as_ref().is_some_and(|row| row.phase == Phase::Live)
                };
                let records = self.qemus.keys().filter_map(|of| Some((of, self.describing(*of)?)));
                if records.into_iter().any(is_unmarked) {
                    self.break_rule(passing::KILLED_UNMARKED);
                }
                Answer::Flag(true)
            }
            Request::Exited(_, patience) => {
                if *patience == steadfast_protocol::Patience::Guest {
                    self.watch_wait(run);
                }
                Answer::Flag(plain || choice == Choice::Rumour)
            }
        })
    }

    fn spawn(&mut self, generation: Generation) {
        let place = self.places.get(&generation);
        let prepared = place.and_then(|place| Some((place.home, place.prepared.as_ref()?)));
        match prepared {
            Some((_, devices)) => {
                let qemu = Qemu::with(devices);
                self.qemus.insert(generation, Arc::new(qemu));
            }
            None => self.break_rule(passing::SPAWN_UNPREPARED),
        }
    }

    /// Only the owner of a generation changes its QEMU.
    fn watch_effect(&mut self, slot: usize, generation: Generation) {
        if self.places.get(&generation).is_none_or(|place| place.holder != Some(slot)) {
            self.break_rule(passing::UNLOCKED_EFFECT);
        }
    }

    fn watch_wait(&mut self, run: &Run) {
        if !run.holds.is_empty() {
            self.break_rule(passing::WAITS_HOLDING);
        }
    }
}

/// Takes out of what was told what is about these.
fn about(serials: &BTreeSet<Serial>, told: &mut BTreeSet<Serial>) -> BTreeSet<Serial> {
    let all = std::mem::take(told);
    let (ours, rest) = all.into_iter().partition(|one| serials.contains(one));
    *told = rest;
    ours
}
