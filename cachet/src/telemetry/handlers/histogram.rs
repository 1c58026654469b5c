//! `Histogram`: a distribution of durations in a fixed number of buckets.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::nanos;

/// A distribution of durations from a nanosecond to centuries, in a fixed 4 KiB.
///
/// Each power of two has eight buckets, so the error of a quantile is at most 6.25 %. Recording is one atomic addition; no value is
/// dropped or rescaled.
///
/// ```
/// use cachet::telemetry::Histogram;
/// use std::time::Duration;
///
/// let histogram = Histogram::new();
/// assert_eq!(histogram.quantile(0.5), None);
/// for millis in 1..=100 {
///     histogram.record(Duration::from_millis(millis));
/// }
/// assert_eq!(histogram.count(), 100);
/// let median = histogram.quantile(0.5).unwrap().as_secs_f64();
/// assert!((median / 0.050 - 1.0).abs() <= 0.0625);
/// ```
pub struct Histogram([AtomicU64; BUCKETS]);

/// Each power of two has `1 << PRECISION` buckets; below that, every nanosecond has its own.
const PRECISION: u32 = 3;
const BUCKETS: usize = ((64 - PRECISION as usize) + 1) << PRECISION;

impl Histogram {
    /// Creates an empty histogram.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Records a duration.
    pub fn record(&self, duration: Duration) {
        self.0[bucket_of(nanos(duration))].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of recorded durations.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Returns a quantile of the recorded durations: 0.5 is the median, 0.99 the 99th percentile. `None` while the histogram is empty;
    /// the argument is clamped to the range from 0 to 1.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is between zero and the count; beyond 2^53 recordings it is off by one in 2^53"
    )]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = ((share.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut below = 0;
        counts.iter().enumerate().find_map(|(bucket, count)| {
            below += count;
            (below >= rank).then(|| Duration::from_nanos(middle_of(bucket)))
        })
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .finish()
    }
}

/// The exponent above the precision, then the three bits below the leading one.
#[allow(clippy::cast_possible_truncation, reason = "both are below 512")]
const fn bucket_of(nanos: u64) -> usize {
    if nanos < 1 << PRECISION {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - PRECISION;
    (((shift as usize) + 1) << PRECISION) + ((nanos >> shift) & ((1 << PRECISION) - 1)) as usize
}

const fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let row = bucket >> PRECISION;
    if row == 0 {
        return bucket;
    }
    let shift = row - 1;
    let lowest = ((1 << PRECISION) + (bucket & ((1 << PRECISION) - 1))) << shift;
    lowest + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_a_bucket_whose_middle_is_near() {
        for exponent in 0..64 {
            for offset in [0, 1, 3, 7] {
                let base = 1_u64 << exponent;
                let nanos = base + base / 8 * offset;
                let bucket = bucket_of(nanos);
                assert!(bucket < BUCKETS, "{nanos}");
                let middle = middle_of(bucket);
                let error = middle.abs_diff(nanos);
                assert!(error <= nanos / 16 + 1, "{nanos} is counted as {middle}");
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_grow_with_the_duration() {
        let mut last = 0;
        for nanos in (0..100_000).chain((1..60).map(|exponent| 1 << exponent).filter(|nanos| *nanos > 100_000)) {
            let bucket = bucket_of(nanos);
            assert!(bucket >= last);
            last = bucket;
        }
    }
}
