//! Chance chooses.

use shuttle::rand::{Rng, thread_rng};
use steadfast_model::{
    Act, Choice,
    live::{Blow, Director, Offer},
};

/// Whatever is possible may happen.
#[derive(Debug)]
pub(crate) struct Chance {
    /// How many processes may still be killed or dropped.
    pub(crate) crashes: u8,
}

/// One call in so many is the last.
const RARELY: u32 = 25;
/// One answer in so many is not the plain one, where there are others.
const SOMETIMES: u32 = 6;

/// One of them.
pub(crate) fn one_of<T: Copy>(things: &[T]) -> Option<T> {
    let last = things.len().checked_sub(1)?;
    things.get(thread_rng().gen_range(0..=last)).copied()
}

/// Once in so many times.
pub(crate) fn once_in(times: u32) -> bool {
    thread_rng().gen_ratio(1, times)
}

impl Director for Chance {
    fn strike(&mut self, offer: &Offer<'_>) -> Option<Blow> {
        if self.crashes == 0 || offer.number == 0 || !once_in(RARELY) {
            return None;
        }
        self.crashes -= 1;
        let sent = thread_rng().gen_range(0..=offer.sending);
        Some(if once_in(3) { Blow::Drop(sent) } else { Blow::Kill(sent) })
    }

    fn answer(&mut self, offer: &Offer<'_>) -> Option<Choice> {
        let plain = offer.choices.first().copied().filter(|choice| *choice == Choice::Plain);
        if plain.is_some() && !once_in(SOMETIMES) {
            return plain;
        }
        // Most have patience while there is something to wait for.
        if plain.is_none() && !offer.quiet && !once_in(SOMETIMES) {
            return None;
        }
        one_of(offer.choices)
    }

    fn act(&mut self, acts: &[Act]) -> Option<Act> {
        one_of(acts)
    }
}
