//! Who was served before whom, of those who asked for one thing at one time.

use rustix::time::{ClockId, clock_gettime};

/// One who asked and was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When it asked, in nanoseconds of a clock that all processes share.
    pub(crate) asked: u64,
    /// How many were served before it, since the beginning.
    pub(crate) served: u64,
}

impl Turn {
    /// This instant, for `asked`.
    pub(crate) fn now() -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
    }
}

/// By how many one of them was overtaken at most: they asked later and were served before.
pub(crate) fn overtaken(turns: &[Turn]) -> usize {
    let mut asked: Vec<u64> = turns.iter().map(|turn| turn.asked).collect();
    asked.sort_unstable();
    let mut in_order = turns.to_vec();
    in_order.sort_unstable_by_key(|turn| turn.served);
    // How many of those that were served so far asked at each place, in a tree of partial sums.
    let mut sums = vec![0; asked.len() + 1];
    let mut most = 0;
    for (before, turn) in in_order.iter().enumerate() {
        let place = asked.partition_point(|other| *other < turn.asked) + 1;
        let (mut at, mut earlier) = (place, 0);
        while at > 0 {
            earlier += sums[at];
            at &= at - 1;
        }
        most = most.max(before - earlier);
        let mut at = place;
        while at < sums.len() {
            sums[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(asked: &[u64]) -> Vec<Turn> {
        (0..).zip(asked).map(|(served, asked)| Turn { asked: *asked, served }).collect()
    }

    #[test]
    fn who_asked_earlier_and_is_served_earlier_overtakes_nobody() {
        assert_eq!(overtaken(&[]), 0);
        assert_eq!(overtaken(&turns(&[10, 20, 30, 40])), 0);
    }

    #[test]
    fn everybody_who_asked_later_and_came_first_is_counted() {
        // The first to ask is served last; before it came three who asked later.
        assert_eq!(overtaken(&turns(&[20, 30, 40, 10, 50])), 3);
        // In any order of the list itself.
        let mut shuffled = turns(&[20, 30, 40, 10, 50, 45]);
        shuffled.reverse();
        assert_eq!(overtaken(&shuffled), 3);
    }
}
