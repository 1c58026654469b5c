//! Looking up in one tier: fresh entries are told apart from expired ones, which are removed.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::CacheWrapper;
use crate::bounds::{Key, Value};
use crate::clock::Tick;
use crate::entry::{Age, CacheEntry};
use crate::error::{Error, TierError};
use crate::expiry::Freshness;
use crate::telemetry::{Operation, TierOperation, TierOutcome};
use crate::tier::CacheTier;
use crate::tier::erased::{Call, EntryResult, GetResult, NotAHit, OnMiss, Read, poll_once};

/// A form in which a hit is returned.
pub(super) trait FromHit<V> {
    fn from_hit(entry: CacheEntry<V>) -> Self;
}

impl<V> FromHit<V> for GetResult<V> {
    #[inline]
    fn from_hit(entry: CacheEntry<V>) -> Self {
        Ok(Some(entry))
    }
}

impl<V> FromHit<V> for EntryResult<V> {
    #[inline]
    fn from_hit(entry: CacheEntry<V>) -> Self {
        Ok(entry)
    }
}

impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool> CacheWrapper<K, V, T, IMMEDIATE> {
    /// See [`ErasedTier::hit`](crate::tier::erased::ErasedTier::hit); for every form in which a hit is returned.
    #[inline]
    pub(super) fn hit_as<R: FromHit<V>>(&self, key: &K, on_miss: OnMiss<'_, R>) -> Poll<R> {
        if !IMMEDIATE {
            return on_miss(NotAHit::AskAgain);
        }
        match poll_once(self.tier.get(key)) {
            Some(Ok(Some(entry))) if self.is_untimed(&entry) => Poll::Ready(R::from_hit(entry)),
            Some(Ok(None)) => on_miss(NotAHit::Miss),
            Some(Ok(Some(entry))) => self.timed_hit(key, entry, on_miss),
            Some(Err(error)) => on_miss(NotAHit::Failed(Error::from(error).in_tier(self.name()))),
            None => on_miss(NotAHit::Failed(self.not_immediate())),
        }
    }

    /// A hit whose age matters. Kept apart, so that it does not weigh on the hits for which it does not.
    #[cold]
    #[inline(never)]
    fn timed_hit<R: FromHit<V>>(&self, key: &K, entry: CacheEntry<V>, on_miss: OnMiss<'_, R>) -> Poll<R> {
        match self.judge(key, &entry, None) {
            Freshness::Fresh { refresh_due: false, .. } => Poll::Ready(R::from_hit(entry)),
            _ => on_miss(NotAHit::AskAgain),
        }
    }

    /// A lookup that is not reported by itself, and that has no more to it than [`hit_as`](Self::hit_as).
    pub(super) fn get_directly(&self, key: &K, call: Call<'_, '_>) -> Option<Read<V>> {
        if call.operation.is_some_and(Operation::wants_tiers) {
            return None;
        }
        let _scope = call.operation.map(Operation::enter);
        let mut why = NotAHit::AskAgain;
        let hit: Poll<EntryResult<V>> = self.hit_as(key, &mut |not_a_hit| {
            why = not_a_hit;
            Poll::Pending
        });
        match (hit, why) {
            (Poll::Ready(Ok(entry)), _) => Some(Read::Hit { entry, age: None, refresh_due: false }),
            (Poll::Ready(Err(error)), _) | (_, NotAHit::Failed(error)) => Some(Read::Failed(error)),
            (_, NotAHit::Miss) => Some(Read::Miss),
            (_, NotAHit::AskAgain) => None,
        }
    }

    /// A lookup: awaits the tier, and judges what it returns.
    pub(super) async fn read<'f, 'a: 'f, U: Send>(
        &'a self,
        kind: TierOperation,
        key: &'f K,
        found: impl Future<Output = Result<Option<CacheEntry<U>>, TierError>> + Send,
        call: Call<'f, 'a>,
    ) -> Read<U> {
        let mut observed = self.begin(kind, call);
        let found = observed.run(found).await;
        let now = observed.answered();
        match found {
            Ok(Some(entry)) => match self.judge(key, &entry, now) {
                Freshness::Fresh { age, refresh_due } => {
                    observed.finish(TierOutcome::Hit, age, None);
                    Read::Hit { entry, age, refresh_due }
                }
                Freshness::Stale(age) => {
                    observed.finish(TierOutcome::Expired, age, None);
                    Read::Stale(entry, age)
                }
                Freshness::Expired(age) => {
                    let removed = observed.run(self.tier.invalidate_expired(key, &entry.metadata())).await;
                    observed.answered();
                    observed.finish(TierOutcome::Expired, age, removed.as_ref().err());
                    Read::Miss
                }
            },
            Ok(None) => {
                observed.finish(TierOutcome::Miss, None, None);
                Read::Miss
            }
            Err(error) => {
                observed.finish(TierOutcome::Error, None, Some(&error));
                Read::Failed(error)
            }
        }
    }

    /// Whether the entry's age does not matter.
    #[inline]
    fn is_untimed<U>(&self, entry: &CacheEntry<U>) -> bool {
        self.facts.untimed && !entry.has_ttl()
    }

    pub(super) fn judge<U>(&self, key: &K, entry: &CacheEntry<U>, now: Option<Tick>) -> Freshness {
        // The clock is read only where the age is of use.
        if now.is_none() && self.is_untimed(entry) {
            return Freshness::Fresh { age: None, refresh_due: false };
        }
        let age = entry.age(&self.telemetry.clock, now);
        if age == Age::Unknown && !self.is_untimed(entry) && !self.warned.swap(true, Ordering::Relaxed) {
            let name = &**self.name();
            self.telemetry.logs.warn(
                &self.telemetry.name,
                name,
                format_args!(
                    "tier `{name}` returned an entry without the time of its insertion, so it counts as expired; keep the whole \
                     `CacheEntry`, or restore it with `CacheEntry::restore` (reported once per tier)"
                ),
            );
        }
        self.expiry.judge(key, entry, age)
    }
}
