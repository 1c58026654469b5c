//! Expiry in one tier: when an entry is fresh, due for a refresh, stale or expired.

use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Duration;

use foldhash::fast::{FixedState, RandomState};

use crate::entry::{Age, CacheEntry};

/// The time settings of one tier.
/// The default tolerance for the clocks of other processes.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    pub(crate) ttl: Option<Duration>,
    pub(crate) jitter: Option<Jitter>,
    pub(crate) refresh_after: Option<Duration>,
    /// The maximum age of an expired entry that is kept for stale-if-error.
    pub(crate) serve_stale: Option<Duration>,
    /// How far the clock of another process may be ahead or behind.
    pub(crate) clock_tolerance: Duration,
}

impl Default for Expiry {
    fn default() -> Self {
        Self { ttl: None, jitter: None, refresh_after: None, serve_stale: None, clock_tolerance: CLOCK_TOLERANCE }
    }
}

/// The state of an entry at its age.
pub(crate) enum Freshness {
    Fresh {
        age: Option<Duration>,
        /// Old enough to be refreshed.
        refresh_due: bool,
    },
    /// Expired, but kept for stale-if-error.
    Stale(Option<Duration>),
    Expired(Option<Duration>),
    /// It may be outdated, or its time of insertion is far in the future: a miss, which stays where it is.
    Distrusted,
}

impl Expiry {
    /// The entry's own time to live overrides the tier's, whether shorter or longer.
    pub(crate) fn judge<K: Hash + ?Sized, U>(&self, key: &K, entry: &CacheEntry<U>, age: Age) -> Freshness {
        let age = match age {
            Age::Future(by) if by <= self.clock_tolerance => Age::Known(Duration::ZERO),
            Age::Future(_) if entry.ttl().or(self.ttl).is_some() => return Freshness::Distrusted,
            age => age,
        };
        // An entry of unknown age exceeds every limit.
        let is_past = |limit: Duration| age.known().is_none_or(|age| age > limit);
        let is_expired = |ttl: Duration| {
            is_past(ttl)
                || self.jitter.filter(|_| !entry.has_ttl()).is_some_and(|it| is_past(it.shorten(ttl, key, entry)))
        };
        if entry.ttl().or(self.ttl).is_some_and(is_expired) {
            return match self.serve_stale {
                Some(max_age) if !is_past(max_age) => Freshness::Stale(age.known()),
                _ => Freshness::Expired(age.known()),
            };
        }
        let refresh_due = self.refresh_after.is_some_and(|after| age.known().is_none_or(|age| age >= after));
        Freshness::Fresh { age: age.known(), refresh_due }
    }
}

/// Shortens times to live by different amounts, so that entries that were inserted together expire at different times.
///
/// The amount is computed from the key and the time of insertion, so it is not stored.
impl Expiry {
    /// Whether an entry that is expired by the clock of this process is so by those of others too, and can be removed.
    pub(crate) fn is_expired_for_all<U>(&self, entry: &CacheEntry<U>, age: Age) -> bool {
        let (Some(ttl), true) = (entry.ttl().or(self.ttl), entry.is_stored()) else { return true };
        age.known().is_some_and(|age| age > ttl.saturating_add(self.clock_tolerance))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Jitter {
    max: Duration,
    seed: u64,
}

impl Jitter {
    /// A random seed and no jitter.
    pub(crate) fn random() -> Self {
        Self { max: Duration::ZERO, seed: RandomState::default().hash_one(0) }
    }

    pub(crate) fn up_to(self, max: Duration) -> Self {
        Self { max, ..self }
    }

    pub(crate) fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    fn shorten<K: Hash + ?Sized, U>(&self, ttl: Duration, key: &K, entry: &CacheEntry<U>) -> Duration {
        let mut hasher = FixedState::with_seed(self.seed).build_hasher();
        key.hash(&mut hasher);
        entry.inserted().hash(&mut hasher);
        // 32 bits as a fraction of the maximum.
        let share = u128::from(hasher.finish() >> 32);
        // Limited to the ttl: a larger maximum would expire most entries at once.
        let nanos = (self.max.min(ttl).as_nanos() * share) >> 32;
        ttl.saturating_sub(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const JITTER: Duration = Duration::from_secs(10);

    fn lifetimes(seed: u64) -> Vec<Duration> {
        let jitter = Jitter::random().up_to(JITTER).with_seed(seed);
        (0..1000_u32).map(|key| jitter.shorten(MINUTE, &key, &CacheEntry::new(()))).collect()
    }

    #[test]
    fn jitter_spreads_lifetimes_evenly_below_the_ttl_and_repeats_with_its_seed() {
        let spread = lifetimes(7);
        assert_eq!(spread, lifetimes(7));
        assert_ne!(spread, lifetimes(8));
        assert!(spread.iter().all(|ttl| *ttl <= MINUTE && *ttl + JITTER >= MINUTE));
        for second in 50..60 {
            let share = spread.iter().filter(|ttl| ttl.as_secs() == second).count();
            assert!((60..140).contains(&share), "{share} of 1000 entries live {second} s");
        }
    }

    #[test]
    fn jitter_longer_than_the_ttl_counts_as_the_ttl() {
        let lifetimes = |max| {
            let jitter = Jitter::random().up_to(max).with_seed(1);
            (0..100).map(|key| jitter.shorten(MINUTE, &key, &CacheEntry::new(()))).collect::<Vec<_>>()
        };
        assert_eq!(lifetimes(Duration::MAX), lifetimes(MINUTE));
    }
}
