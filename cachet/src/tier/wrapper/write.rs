//! Inserting into one tier: policy, insertion time, order among writes, and what has to be undone if it fails.

use std::borrow::Borrow;

use super::{CacheWrapper, ObservedCall};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::Lease;
use crate::telemetry::{Operation, TierOperation, TierOutcome, defer_evictions};
use crate::tier::erased::{Call, InsertResult, MaybeReady, Origin, poll_once};
use crate::tier::{CacheTier, InsertOutcome};

impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool> CacheWrapper<K, V, T, IMMEDIATE> {
    /// An insert that is no more than the tier's own, and is not reported by itself.
    #[inline]
    pub(super) fn insert_directly(
        &self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'_, K, V>,
        call: Call<'_, '_>,
    ) -> InsertResult {
        let _scope = call.operation.map(Operation::enter);
        let entry = self.stamped(entry, origin);
        let insert = || match poll_once(self.tier.insert(key, entry)) {
            Some(inserted) => inserted.map_err(|error| Error::from(error).in_tier(self.name())),
            None => Err(self.not_immediate()),
        };
        match origin.lease() {
            None => insert(),
            Some(lease) => defer_evictions(|| lease.commit(insert)).unwrap_or(Ok(InsertOutcome::Rejected)),
        }
    }

    /// An insert of any origin, unless a newer write of the key gets in the way.
    #[inline(never)]
    pub(super) fn insert_in_order<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, InsertResult>
    where
        K::Owned: 'f,
    {
        let work = async move {
            let observed = self.begin(TierOperation::Insert, call);
            // A tier that has to be waited for keeps newer writes waiting for the end of an older one. One that answers at
            // once takes a lock instead, further down.
            let lease = origin.lease().filter(|_| !IMMEDIATE);
            let storing = lease.map(Lease::store);
            if let Some(None) = storing {
                observed.finish(TierOutcome::Superseded, None, None);
                return Ok(InsertOutcome::Rejected);
            }
            self.insert_observed(key, entry, origin, call, observed).await
        };
        self.step(work, Err)
    }

    /// Policy, insertion time, tier, and what has to be undone if it did not work out.
    async fn insert_observed<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
        mut observed: ObservedCall<'f, 'a>,
    ) -> InsertResult {
        let accepted = observed.run(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await?;
        let kept = (!accepted || !self.tier.drops_rejected()).then(|| key.clone());
        let inserted = if accepted {
            let entry = self.stamped(entry, origin);
            let insert = async { self.tier.insert(key, entry).await };
            observed.run_in_order(origin, IMMEDIATE, insert).await
        } else {
            Some(Ok(InsertOutcome::Rejected))
        };
        let Some(inserted) = inserted else {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        };
        let outcome = match inserted {
            Ok(InsertOutcome::Accepted) => TierOutcome::Inserted,
            Ok(InsertOutcome::Rejected) => TierOutcome::Rejected,
            Err(_) => TierOutcome::Error,
        };
        observed.finish(outcome, None, inserted.as_ref().err());
        if let (TierOutcome::Rejected | TierOutcome::Error, Some(key)) = (outcome, kept) {
            self.drop_older(key.borrow(), origin, call).await;
        }
        inserted
    }

    /// A tier that did not take an entry must not go on serving the one it had before.
    async fn drop_older<'f, 'a: 'f>(&'a self, key: &K, origin: Origin<'f, K, V>, call: Call<'f, 'a>) {
        // What is promoted is no newer than what the tier had: nothing, or something it could not read. And what a newer
        // write has put there meanwhile has to stay.
        let overtaken = origin.lease().is_some_and(|lease| IMMEDIATE && !lease.is_valid());
        if overtaken || matches!(origin, Origin::Promoted(_)) {
            return;
        }
        let mut observed = self.begin(TierOperation::Invalidate, call);
        // Reported like any other call; the insert has failed already.
        match observed.run_in_order(origin, IMMEDIATE, self.tier.invalidate(key)).await {
            None => observed.withdraw(),
            Some(Ok(())) => observed.finish(TierOutcome::Invalidated, None, None),
            Some(Err(error)) => observed.finish(TierOutcome::Error, None, Some(&error)),
        }
    }

    /// Stamps an entry that is about to be inserted, if its age will ever matter here.
    #[inline]
    pub(super) fn stamped(&self, mut entry: CacheEntry<V>, origin: Origin<'_, K, V>) -> CacheEntry<V> {
        // An entry with a deadline of its own was stamped when its insert began, for all tiers alike.
        let has_begun = entry.has_ttl() && matches!(origin, Origin::Direct | Origin::Computed(_));
        if !has_begun && (!IMMEDIATE || entry.is_stamped() || !self.facts.untimed) {
            entry.stamp(&self.telemetry.clock, !IMMEDIATE);
        }
        entry
    }
}
