//! One tier, called for several keys at once: what the wrapper does for one key, done for each.

use std::borrow::Borrow;
use std::collections::HashSet;

use super::{CacheWrapper, ObservedCall};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::expiry::Freshness;
use crate::inflight::Lease;
use crate::telemetry::{Batch, TierOperation, TierOutcome};
use crate::tier::erased::{Call, InsertResult, Origin, Read};
use crate::tier::{CacheTier, InsertOutcome};

/// An entry that is to be stored: its place in the batch, and its lease if it is promoted.
type Taken<'f, K, V> = (usize, Option<&'f Lease<'f, K, V>>, (<K as ToOwned>::Owned, CacheEntry<V>));

impl<'f, 'a: 'f, K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool>
    CacheWrapper<K, V, T, IMMEDIATE>
{
    fn begin_many(&'a self, kind: TierOperation, keys: usize, call: Call<'f, 'a>) -> ObservedCall<'f, 'a> {
        let mut observed = self.begin(kind, call);
        if let Some(report) = &mut observed.report {
            report.batch = Some(Batch { keys, hits: None });
        }
        observed
    }

    pub(super) async fn read_many(&'a self, keys: &'f [&'f K], call: Call<'f, 'a>) -> Vec<Read<V>> {
        let mut observed = self.begin_many(TierOperation::GetMany, keys.len(), call);
        let found = observed.run_many(keys.len(), self.tier.get_many(keys)).await;
        let now = observed.answered();
        let found = found.unwrap_or_else(|error| keys.iter().map(|_| Err(error.clone())).collect());
        let (mut reads, mut hits, mut failure) = (Vec::with_capacity(keys.len()), 0, None);
        for (key, found) in keys.iter().zip(found) {
            reads.push(match found {
                Ok(None) => Read::Miss,
                Err(error) => {
                    failure.get_or_insert_with(|| error.clone());
                    Read::Failed(error)
                }
                Ok(Some(entry)) => match self.judge(key, &entry, now) {
                    Freshness::Fresh { age, refresh_due } => {
                        hits += 1;
                        Read::Hit { entry, age, refresh_due }
                    }
                    Freshness::Stale(age) => Read::Stale(entry, age),
                    Freshness::Expired(_) => {
                        let removed = observed.run(self.tier.invalidate_expired(key, &entry.metadata())).await;
                        failure = failure.or(removed.err());
                        Read::Miss
                    }
                },
            });
        }
        observed.answered();
        if let Some(report) = &mut observed.report {
            report.batch = Some(Batch { keys: keys.len(), hits: Some(hits) });
        }
        let outcome = if reads.iter().any(|read| matches!(read, Read::Failed(_))) {
            TierOutcome::Error
        } else if hits == keys.len() {
            TierOutcome::Hit
        } else {
            TierOutcome::Miss
        };
        observed.finish(outcome, None, failure.as_ref());
        reads
    }

    pub(super) async fn write_many(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        leases: Option<&'f [&'f Lease<'f, K, V>]>,
        call: Call<'f, 'a>,
    ) -> Vec<InsertResult> {
        let mut observed = self.begin_many(TierOperation::InsertMany, entries.len(), call);
        let mut batch = Inserts::<K>::new(entries.len());
        // A tier that has to be waited for keeps newer writes waiting for the end of older ones.
        let mut storing = Vec::new();
        let mut taken = Vec::with_capacity(entries.len());
        // Only of what is new: what is promoted is no newer than what may be there.
        let may_leave_older = leases.is_none() && !(self.policy.is_always() && self.tier.drops_rejected());
        let decides = if may_leave_older { last_of_each::<K, V>(&entries) } else { Vec::new() };
        for (place, (key, entry)) in entries.into_iter().enumerate() {
            let lease = leases.and_then(|leases| leases.get(place).copied());
            if let Some(lease) = lease.filter(|_| !IMMEDIATE) {
                let Some(guard) = lease.store() else { continue };
                storing.push(guard);
            }
            // Whatever the policy's closure does, it does as part of this call.
            let accepted = observed.run(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await;
            if decides.get(place) == Some(&true) && (!matches!(accepted, Ok(true)) || !self.tier.drops_rejected()) {
                batch.kept.push((place, key.clone()));
            }
            match accepted {
                Ok(true) => {
                    let origin = lease.map_or(Origin::Direct, Origin::Promoted);
                    taken.push((place, lease, (key, self.stamped(entry, origin))));
                }
                Ok(false) => batch.results[place] = Some(Ok(InsertOutcome::Rejected)),
                Err(error) => batch.results[place] = Some(Err(error)),
            }
        }
        if IMMEDIATE && leases.is_some() {
            self.store_in_order(taken, &mut observed, &mut batch).await;
        } else {
            self.store_together(taken, &mut observed, &mut batch).await;
        }
        drop(storing);
        observed.finish(batch.outcome(), None, batch.failure());
        self.drop_older_of(&batch, call).await;
        // What was not stored for a newer write's sake counts as rejected.
        batch.results.into_iter().map(|result| result.unwrap_or(Ok(InsertOutcome::Rejected))).collect()
    }

    /// One after the other, each under the lock that keeps newer writes of its key away.
    async fn store_in_order(
        &'a self,
        entries: Vec<Taken<'f, K, V>>,
        observed: &mut ObservedCall<'f, 'a>,
        batch: &mut Inserts<K>,
    ) {
        for (place, lease, (key, entry)) in entries {
            let Some(lease) = lease else { continue };
            let insert = self.tier.insert(key, entry);
            batch.results[place] = observed.run_in_order(Origin::Promoted(lease), IMMEDIATE, insert).await;
        }
    }

    async fn store_together(
        &'a self,
        entries: Vec<Taken<'f, K, V>>,
        observed: &mut ObservedCall<'f, 'a>,
        batch: &mut Inserts<K>,
    ) {
        if entries.is_empty() {
            return;
        }
        let (places, entries): (Vec<_>, Vec<_>) = entries.into_iter().map(|(place, _, entry)| (place, entry)).unzip();
        match observed.run_many(places.len(), self.tier.insert_many(entries)).await {
            Ok(results) => places.iter().zip(results).for_each(|(place, result)| batch.results[*place] = Some(result)),
            Err(error) => places.iter().for_each(|place| batch.results[*place] = Some(Err(error.clone()))),
        }
    }

    /// What the tier did not take must not leave older values behind.
    async fn drop_older_of(&'a self, batch: &Inserts<K>, call: Call<'f, 'a>) {
        let is_left = |place: usize| !matches!(batch.results[place], Some(Ok(InsertOutcome::Accepted)));
        let keys: Vec<&K> =
            batch.kept.iter().filter(|(place, _)| is_left(*place)).map(|(_, key)| key.borrow()).collect();
        if !keys.is_empty() {
            // Reported like any other call; the inserts have failed already.
            let _ = self.remove_many(&keys, call).await;
        }
    }

    pub(super) async fn remove_many(&'a self, keys: &[&K], call: Call<'_, 'a>) -> Vec<Result<(), Error>> {
        let mut observed = self.begin_many(TierOperation::InvalidateMany, keys.len(), call);
        let removed = observed.run_many(keys.len(), self.tier.invalidate_many(keys)).await;
        let removed = removed.unwrap_or_else(|error| vec![Err(error); keys.len()]);
        let failure = removed.iter().find_map(|removed| removed.as_ref().err());
        let outcome = if failure.is_none() { TierOutcome::Invalidated } else { TierOutcome::Error };
        observed.finish(outcome, None, failure);
        removed
    }
}

/// Which entries are the last of their keys: these decide what is left of older values.
fn last_of_each<K: Key + ?Sized, V>(entries: &[(K::Owned, CacheEntry<V>)]) -> Vec<bool> {
    let mut later = HashSet::with_capacity(entries.len());
    let mut last: Vec<bool> = entries.iter().rev().map(|(key, _)| later.insert(Borrow::<K>::borrow(key))).collect();
    last.reverse();
    last
}

/// The inserts of one batch.
struct Inserts<K: Key + ?Sized> {
    /// `None` for what a newer write has superseded.
    results: Vec<Option<InsertResult>>,
    /// Keys of which an older value may have to be dropped, and their places.
    kept: Vec<(usize, K::Owned)>,
}

impl<K: Key + ?Sized> Inserts<K> {
    fn new(entries: usize) -> Self {
        Self { results: vec![None; entries], kept: Vec::new() }
    }

    fn failure(&self) -> Option<&Error> {
        self.results.iter().flatten().find_map(|result| result.as_ref().err())
    }

    fn outcome(&self) -> TierOutcome {
        let has = |outcome| self.results.iter().flatten().any(|result| matches!(result, Ok(it) if *it == outcome));
        if self.failure().is_some() {
            TierOutcome::Error
        } else if has(InsertOutcome::Accepted) {
            TierOutcome::Inserted
        } else if has(InsertOutcome::Rejected) {
            TierOutcome::Rejected
        } else {
            TierOutcome::Superseded
        }
    }
}
