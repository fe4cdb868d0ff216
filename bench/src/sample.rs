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

/// By drawing the sample again and again from itself, the same way every time.
pub(crate) fn interval(sample: &[f64]) -> Interval {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<f64> = sample.iter().map(|_| sample[draw(sample.len())]).collect();
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
    fn a_steady_sample_is_sure_and_a_wild_one_is_not() {
        let steady = interval(&[1.0; 30]);
        assert_eq!((steady.low, steady.high), (1.0, 1.0));
        let wild: Vec<f64> = (0..30).map(|at| if at % 2 == 0 { 1.0 } else { 2.0 }).collect();
        let wild = interval(&wild);
        assert!(wild.high - wild.low > 0.4, "{wild:?}");
    }
}
