//! The end of a run: somebody alone waits for each domain, and nothing goes wrong any more.

use std::sync::Arc;

use steadfast_protocol::Domain;

use crate::{Act, Choice, Ending, Faults, Request, Slot, State, Verb, act::When, passing};

/// More steps than any such wait takes.
const ENOUGH: usize = 200;

impl State {
    /// Runs the waits to their ends. What QEMU does by itself it has done before anybody gives up on it.
    pub(crate) fn come_to_rest(&mut self) -> Vec<Ending> {
        self.world.faults = Faults::default();
        let domains: Vec<_> = self.world.records.keys().copied().collect();
        domains.into_iter().map(|domain| self.rest_on(domain)).collect()
    }

    fn rest_on(&mut self, domain: Domain) -> Ending {
        let at = self.slots.len();
        self.slots.push(Arc::new(Slot::new([Verb::Wait.on(domain)])));
        for _ in 0..ENOUGH {
            let Some(run) = &self.slots[at].run else { break };
            let choice = self.world.choices(at, run, None, |_| false).first().copied();
            let patient =
                !matches!(*run.request, Request::Watch(..)) && choice == Some(Choice::Over);
            match (choice, self.by_itself()) {
                (Some(choice), None) => self.step(at, choice, None),
                (Some(choice), Some(_)) if !patient => self.step(at, choice, None),
                (_, Some(act)) => self.act(act, None),
                (None, None) => break,
            }
        }
        let ended = self.slots.pop().and_then(|slot| slot.endings.first().cloned());
        ended.unwrap_or_else(|| {
            self.world.break_rule(passing::REST_ENDLESS);
            Ending::Killed
        })
    }

    fn by_itself(&self) -> Option<Act> {
        self.world.qemus.iter().find_map(|(generation, qemu)| {
            if !qemu.wire.is_empty() {
                return Some(Act::Execute(*generation));
            }
            if !qemu.late.is_empty() {
                return Some(Act::Deliver(*generation));
            }
            if qemu.doomed {
                return Some(Act::Die(*generation));
            }
            qemu.busy.keys().next().map(|serial| Act::Finalize(*generation, *serial, When::Now))
        })
    }
}
