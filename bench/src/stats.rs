//! Percentiles and medians: what many slices say together.
//!
//! A figure is the median over rounds, and a ratio is taken inside a round before its median is:
//! what the machine does to one round it does to both sides of the ratio.

/// The value below which `share` (0 to 1) of the sorted values lie: the nearest rank, so that it is
/// always one that was measured. 0 of nothing.
pub(crate) fn percentile(sorted: &[u64], share: f64) -> u64 {
    debug_assert!(sorted.is_sorted(), "percentiles are read off sorted values");
    let Some(last) = sorted.len().checked_sub(1) else { return 0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is a small whole number, clamped to the slice")]
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted[rank.saturating_sub(1).min(last)]
}

/// The middle value; of an even number of values the mean of the two in the middle. NaN of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// First and third quartile: how far half of the rounds lie apart. NaN of nothing.
pub(crate) fn quartiles(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let sorted = sorted(values);
    let Some(last) = sorted.len().checked_sub(1) else { return (f64::NAN, f64::NAN) };
    let quarter = sorted.len() / 4;
    (sorted[quarter.min(last)], sorted[last - quarter.min(last)])
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 0.5), 50);
        assert_eq!(percentile(&hundred, 0.99), 99);
        assert_eq!(percentile(&hundred, 1.0), 100);
        assert_eq!(percentile(&hundred, 0.0), 1);
        assert_eq!(percentile(&[7], 0.99), 7);
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn one_slow_request_in_a_thousand_is_above_the_99th_percentile() {
        let mut times = vec![100u64; 999];
        times.push(9_000);
        assert_eq!(percentile(&times, 0.99), 100);
        assert_eq!(percentile(&times, 0.9995), 9_000);
    }

    #[test]
    fn a_median_is_not_moved_by_one_wild_round() {
        assert!((median([3.0, 900.0, 1.0]) - 3.0).abs() < f64::EPSILON);
        assert!((median([1.0, 2.0, 4.0, 900.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median([]).is_nan());
    }

    #[test]
    fn quartiles_enclose_the_middle_half() {
        assert_eq!(quartiles([5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 4.0));
        assert_eq!(quartiles([1.0]), (1.0, 1.0));
        assert!(quartiles([]).0.is_nan());
    }
}
