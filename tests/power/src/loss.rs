//! How much a power cut takes.

/// A way to lose what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// All of it.
    All,
    /// Nothing.
    Nothing,
    /// Some of it, chosen by a seed.
    Torn(u64),
}

/// How a torn write is torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    All,
    Nothing,
    /// Everything up to a moment.
    Until(usize),
    /// Only what came after a moment.
    Since(usize),
    /// Any version of each page.
    Pages,
    /// Any version of each sector.
    Sectors,
}

/// The choices of one power cut.
#[derive(Debug)]
pub struct Choice {
    style: Style,
    state: u64,
}

impl Loss {
    /// The choices at a moment of the tape; `since` is how far back something may be unsynced.
    pub fn at(self, moment: usize, since: usize) -> Choice {
        let mut choice = Choice { style: Style::All, state: 0 };
        choice.style = match self {
            Self::All => Style::All,
            Self::Nothing => Style::Nothing,
            Self::Torn(seed) => {
                choice.state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ moment as u64;
                choice.next();
                let between = since + choice.below(moment.saturating_sub(since) + 1);
                match seed % 4 {
                    0 => Style::Sectors,
                    1 => Style::Since(between),
                    2 => Style::Pages,
                    _ => Style::Until(between),
                }
            }
        };
        choice
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => out.write_str("all that was not synced is lost"),
            Self::Nothing => out.write_str("nothing is lost"),
            Self::Torn(seed) => write!(out, "torn by seed {seed}"),
        }
    }
}

impl Choice {
    /// A number below `count`: how many of so many steps in order have happened.
    pub(crate) fn among(&mut self, count: usize) -> usize {
        match self.style {
            Style::All => 0,
            Style::Nothing => count - 1,
            _ => self.below(count),
        }
    }

    /// Which of the versions that came at these moments is there; `None`: the one of before.
    pub(crate) fn version(
        &mut self,
        moments: impl Iterator<Item = usize> + Clone,
    ) -> Option<usize> {
        let count = moments.clone().count();
        match self.style {
            Style::All => None,
            Style::Nothing => count.checked_sub(1),
            Style::Until(moment) => moments.take_while(|at| *at < moment).count().checked_sub(1),
            Style::Since(moment) => {
                count.checked_sub(1).filter(|_| moments.last().is_some_and(|at| at >= moment))
            }
            Style::Pages | Style::Sectors => self.below(count + 1).checked_sub(1),
        }
    }

    /// Whether the sectors of a page share their fate.
    pub(crate) fn is_whole(&self) -> bool {
        self.style != Style::Sectors
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }
}
