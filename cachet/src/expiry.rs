//! How long an entry lives in one tier: when it is fresh, when it is due for a refresh, when it is expired.

use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Duration;

use foldhash::fast::{FixedState, RandomState};

use crate::entry::{Age, CacheEntry};

/// The times that are set on one tier.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expiry {
    pub(crate) ttl: Option<Duration>,
    pub(crate) jitter: Option<Jitter>,
    pub(crate) refresh_after: Option<Duration>,
    /// Up to which age an expired entry is kept, to be served if nobody else answers.
    pub(crate) serve_stale: Option<Duration>,
}

/// What an entry is at its age.
pub(crate) enum Freshness {
    Fresh {
        age: Option<Duration>,
        /// Old enough to be refreshed.
        refresh_due: bool,
    },
    /// Expired, but worth keeping.
    Stale(Option<Duration>),
    Expired(Option<Duration>),
    /// It may be outdated, whatever its age.
    Distrusted,
}

impl Expiry {
    /// An entry's own time to live beats the tier's, in both directions.
    pub(crate) fn judge<K: Hash + ?Sized, U>(&self, key: &K, entry: &CacheEntry<U>, age: Age) -> Freshness {
        // Of an age that nobody knows, an entry is too old for everything.
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

/// Lets entries that were inserted together expire at different times.
///
/// By how much an entry's time is shortened follows from its key and the time of its insertion, so it need not be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jitter {
    max: Duration,
    seed: u64,
}

impl Jitter {
    /// With a random seed, and no jitter yet.
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
        // 32 bits of it, as a share of the whole.
        let share = u128::from(hasher.finish() >> 32);
        // Longer than the time to live, it would take all of it from most entries.
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
