//! Medians of samples, and how sure they are.

/// Where a median lies with nine chances in ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// How often the sample is drawn from itself.
const DRAWS: usize = 400;

/// The middle of a sample; of none, zero.
pub(crate) fn median(sample: &[f64]) -> f64 {
    let sorted = sorted(sample);
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// The value that so many in a hundred do not exceed; of a small sample, its largest.
pub(crate) fn percentile(sample: &[f64], hundredth: usize) -> f64 {
    let sorted = sorted(sample);
    let rank = (sorted.len() * hundredth).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// What is drawn by chance, and the same in every run.
pub(crate) struct Lots(u64);

impl Lots {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// All numbers below this one, in some order.
    pub(crate) fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            order.swap(at, self.below(at + 1));
        }
        order
    }
}

/// By drawing the sample again and again from itself, the same way every time.
pub(crate) fn interval(sample: &[f64]) -> Interval {
    let mut lots = Lots::new();
    let medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<f64> = sample.iter().map(|_| sample[lots.below(sample.len())]).collect();
            median(&drawn)
        })
        .collect();
    Interval { low: percentile(&medians, 5), high: percentile(&medians, 95) }
}

fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_of_small_samples() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(percentile(&[5.0, 1.0, 3.0], 99), 5.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 99), percentile(&hundred, 10)), (99.0, 10.0));
    }

    #[test]
    fn in_drawn_orders_everybody_comes_after_everybody_else_about_as_often() {
        let (mut lots, mut after) = (Lots::new(), [[0; 4]; 4]);
        for _ in 0..400 {
            let order = lots.order(4);
            order.windows(2).for_each(|pair| after[pair[0]][pair[1]] += 1);
        }
        for (one, row) in after.iter().enumerate() {
            for (other, times) in row.iter().enumerate() {
                assert_eq!(*times > 60, one != other, "{after:?}");
            }
        }
    }

    #[test]
    fn a_steady_sample_is_sure_and_a_wild_one_is_not() {
        let steady = interval(&[1.0; 30]);
        assert_eq!((steady.low, steady.high), (1.0, 1.0));
        let wild: Vec<f64> = (0..30).map(|at| if at % 2 == 0 { 1.0 } else { 2.0 }).collect();
        let wild = interval(&wild);
        assert!(wild.high - wild.low > 0.4, "{wild:?}");
    }
}
