//! Looking up in one tier: fresh entries are distinguished from expired ones, which are removed.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::{CacheWrapper, ObservedCall};
use crate::bounds::{Key, Value};
use crate::clock::Tick;
use crate::entry::{Age, CacheEntry};
use crate::error::{Error, TierError};
use crate::expiry::Freshness;
use crate::inflight::Lease;
use crate::inflight::reentrance::Inside;
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
            Some(Ok(Some(entry))) if self.hits_are_plain && !entry.has_ttl() => Poll::Ready(R::from_hit(entry)),
            Some(Ok(None)) => on_miss(NotAHit::Miss),
            Some(Ok(Some(entry))) => self.judged_hit(key, entry, on_miss),
            Some(Err(error)) => on_miss(NotAHit::Failed(Error::from(error).in_tier(self.name()))),
            None => on_miss(NotAHit::Failed(self.not_immediate())),
        }
    }

    /// A hit whose age matters, or which may be owed. Kept apart, so that it does not weigh on plain hits.
    #[cold]
    #[inline(never)]
    fn judged_hit<R: FromHit<V>>(&self, key: &K, entry: CacheEntry<V>, on_miss: OnMiss<'_, R>) -> Poll<R> {
        if self.debts().any() {
            return on_miss(NotAHit::AskAgain);
        }
        match self.judge(key, &entry, None) {
            Freshness::Fresh { refresh_due: false, .. } => Poll::Ready(R::from_hit(entry)),
            _ => on_miss(NotAHit::AskAgain),
        }
    }

    /// A lookup that is not reported by itself, and that has no more to it than [`hit_as`](Self::hit_as).
    pub(super) fn get_directly(&self, key: &K, call: Call<'_, '_, K, V>) -> Option<Read<V>> {
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
        call: Call<'f, 'a, K, V>,
    ) -> Read<U> {
        if self.debts().count() > 0 && self.debts().owes(self.in_flight.hash(key)) {
            self.report_skipped(kind, call, None);
            return Read::Miss;
        }
        let mut observed = self.begin(kind, call);
        let found = observed.run(found).await;
        let now = observed.answered();
        let read = match found {
            Ok(Some(entry)) => match self.judge(key, &entry, now) {
                Freshness::Fresh { age, refresh_due } => {
                    observed.finish(TierOutcome::Hit, age, None);
                    Read::Hit { entry, age, refresh_due }
                }
                Freshness::Distrusted => {
                    observed.finish(TierOutcome::Miss, None, None);
                    Read::Miss
                }
                Freshness::Stale(age) => {
                    observed.finish(TierOutcome::Expired, age, None);
                    Read::Stale(entry, age)
                }
                Freshness::Expired(age) => {
                    let expired = entry.metadata();
                    drop(entry);
                    let removed = match call.lease {
                        Some(lease) => self.remove_in_turn(lease, &expired, &mut observed).await,
                        None => Ok(()),
                    };
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
        };
        if !matches!(read, Read::Failed(_)) {
            self.pay_debts().await;
        }
        read
    }

    /// The tier is not called, because of a debt or an error.
    pub(super) fn report_skipped<'a>(&'a self, kind: TierOperation, call: Call<'_, 'a, K, V>, error: Option<&Error>) {
        if let Some(operation) = call.operation {
            operation.report_skipped(&self.facts.identity, kind, call.fallback, error);
        }
    }

    /// Removes an entry that was found expired some time ago: a second look, and the removal, in one turn.
    pub(super) async fn remove_if_expired(&self, key: &K, observed: &mut ObservedCall<'_, '_>) -> Result<(), Error> {
        if self.facts.read_only {
            return Ok(());
        }
        let lease = self.in_flight.lease(key);
        let removal = async {
            match self.tier.metadata(key).await? {
                Some(entry)
                    if matches!(self.judge(key, &entry, None), Freshness::Expired(_)) && self.may_remove(&entry) =>
                {
                    self.tier.invalidate_expired(key, &entry).await
                }
                _ => Ok(()),
            }
        };
        self.remove_under(&lease, removal, observed).await
    }

    /// Removes an entry that was found expired, unless its key has been written since: check and removal in one turn.
    pub(super) async fn remove_in_turn(
        &self,
        lease: &Lease<'_, K, V>,
        expired: &CacheEntry<()>,
        observed: &mut ObservedCall<'_, '_>,
    ) -> Result<(), Error> {
        if !self.may_remove(expired) {
            return Ok(());
        }
        self.remove_under(lease, self.tier.invalidate_expired(lease.key, expired), observed).await
    }

    /// Whether an expired entry can be removed for all who use the tier.
    pub(super) fn may_remove<U>(&self, expired: &CacheEntry<U>) -> bool {
        self.expiry.is_expired_for_all(expired, expired.age(&self.telemetry.clock, None))
    }

    async fn remove_under(
        &self,
        lease: &Lease<'_, K, V>,
        removal: impl Future<Output = Result<(), TierError>> + Send,
        observed: &mut ObservedCall<'_, '_>,
    ) -> Result<(), Error> {
        if self.facts.read_only {
            return Ok(());
        }
        if IMMEDIATE {
            return observed.run_under(lease, false, removal).unwrap_or(Ok(()));
        }
        match lease.begin_removal(self.number) {
            Some(turn) => Inside::new(turn.in_progress(), observed.run(removal)).await,
            None => Ok(()),
        }
    }

    /// Whether the entry's age does not matter.
    #[inline]
    fn is_untimed<U>(&self, entry: &CacheEntry<U>) -> bool {
        self.facts.untimed && !entry.has_ttl()
    }

    pub(super) fn judge<U>(&self, key: &K, entry: &CacheEntry<U>, now: Option<Tick>) -> Freshness {
        // The clock is read only where the age is of use.
        if now.is_none() && self.is_untimed(entry) && self.debts().distrusted_until().is_none() {
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
        if let Some(until) = self.debts().distrusted_until() {
            // It was stored before a write that failed, of a key that is not known any more.
            if entry.may_be_from_before(until, &self.telemetry.clock) {
                return Freshness::Distrusted;
            }
        }
        self.expiry.judge(key, entry, age)
    }
}
