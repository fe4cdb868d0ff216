//! The end of a run: somebody alone waits for the domain, and nothing goes wrong any more.

use crate::{Act, Choice, Ending, Faults, Request, Slot, State, Verb};

/// More steps than any such wait takes.
const ENOUGH: usize = 200;

impl State {
    /// Runs a wait to its end. What QEMU does by itself it has done before anybody gives up on it.
    pub(crate) fn come_to_rest(&mut self) -> Ending {
        let at = self.slots.len();
        self.world.faults = Faults::default();
        self.slots.push(Slot::new([Verb::Wait]));
        for _ in 0..ENOUGH {
            let Some(run) = &self.slots[at].run else { break };
            let choice = self.world.choices(at, run, None).first().copied();
            let patient =
                !matches!(run.request, Request::Watch(..)) && choice == Some(Choice::Over);
            match (choice, self.by_itself()) {
                (Some(choice), None) => self.step(at, choice, None),
                (Some(choice), Some(_)) if !patient => self.step(at, choice, None),
                (_, Some(act)) => self.act(act, None),
                (None, None) => break,
            }
        }
        let slot = self.slots.pop();
        slot.and_then(|slot| slot.endings.into_iter().next()).unwrap_or_else(|| {
            self.world.break_rule("the wait at the end does not end");
            Ending::Killed
        })
    }

    fn by_itself(&self) -> Option<Act> {
        self.world.qemus.iter().find_map(|(generation, qemu)| {
            if !qemu.wire.is_empty() {
                return Some(Act::Execute(*generation));
            }
            if qemu.doomed {
                return Some(Act::Die(*generation));
            }
            qemu.busy.keys().next().map(|serial| Act::Finalize(*generation, *serial))
        })
    }
}
