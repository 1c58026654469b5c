//! One tier, called for several keys at once: what the wrapper does for one key, done for each.

use std::borrow::Borrow;
use std::collections::HashSet;

use super::write::Unsettled;
use super::{CacheWrapper, ObservedCall};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::expiry::Freshness;
use crate::inflight::{Lease, Origin, Permit};
use crate::telemetry::{Batch, TierOperation, TierOutcome};
use crate::tier::erased::{BatchPermit, Call, InsertResult, Read};
use crate::tier::{CacheTier, InsertOutcome};

/// An entry that is to be stored: its place in the batch, and its lease if it is promoted.
type Taken<'f, K, V> = (usize, Option<&'f Lease<'f, K, V>>, (<K as ToOwned>::Owned, CacheEntry<V>));

impl<'f, 'a: 'f, K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool>
    CacheWrapper<K, V, T, IMMEDIATE>
{
    fn begin_many(&'a self, kind: TierOperation, keys: usize, call: Call<'f, 'a, K, V>) -> ObservedCall<'f, 'a> {
        let mut observed = self.begin(kind, call);
        if let Some(report) = &mut observed.report {
            report.batch = Some(Batch { keys, hits: None });
        }
        observed
    }

    /// Owed keys are skipped, all others asked for in one call. A call of several keys has no leases: what it finds expired is
    /// removed by itself only where the tier can tell the entry from a newer one.
    pub(super) async fn read_many(&'a self, keys: &'f [&'f K], call: Call<'f, 'a, K, V>) -> Vec<Read<V>> {
        if self.debts().count() > 0 {
            let owed: Vec<bool> = keys.iter().map(|key| self.debts().owes(self.in_flight.hash(*key))).collect();
            if owed.iter().any(|owed| *owed) {
                let trusted: Vec<&K> =
                    keys.iter().zip(&owed).filter(|(_, owed)| !**owed).map(|(key, _)| *key).collect();
                let mut reads = self.read_trusted(&trusted, call).await.into_iter();
                let miss = |owed: bool| if owed { None } else { reads.next() };
                return owed.into_iter().map(miss).map(|read| read.unwrap_or(Read::Miss)).collect();
            }
        }
        self.read_trusted(keys, call).await
    }

    async fn read_trusted(&'a self, keys: &[&K], call: Call<'_, 'a, K, V>) -> Vec<Read<V>> {
        if keys.is_empty() {
            self.report_skipped(TierOperation::GetMany, call, None);
            return Vec::new();
        }
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
                    Freshness::Distrusted => Read::Miss,
                    Freshness::Expired(_) => {
                        drop(entry);
                        failure = failure.or(self.remove_if_expired(key, &mut observed).await.err());
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
        permit: BatchPermit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> Vec<InsertResult> {
        // Dropped in the reverse order: what is owed is noted before the turn ends, and nothing is reported during it.
        let mut older = None;
        let mut observed = self.begin_many(TierOperation::InsertMany, entries.len(), call);
        let mut batch = Inserts::<K>::new(entries.len());
        let (permit, leases) = match permit {
            BatchPermit::Write(permit) => (permit, None),
            BatchPermit::Promotion(leases) => (Permit::Free, Some(leases)),
        };
        if matches!(permit, Permit::Void) {
            observed.finish(batch.outcome(), None, None);
            return batch.into_results();
        }
        // Only of what is new: what is promoted is no newer than what may be there.
        let mut unsettled = Vec::new();
        if self.may_owe && permit.is_write() && !self.facts.never_inserts {
            unsettled.extend(entries.iter().map(|(key, _)| {
                let key: &K = key.borrow();
                Unsettled::new(self.debts(), self.in_flight.hash(key), key.to_owned())
            }));
        }
        // While something is being stored in a tier that has to be waited for, its key is owed there if a write begins.
        let mut storing = Vec::new();
        let mut taken = Vec::with_capacity(entries.len());
        let is_clean = self.facts.never_inserts || self.policy.is_always() && self.tier.drops_rejected();
        let may_leave_older = leases.is_none() && !is_clean;
        let decides = if may_leave_older { last_of_each::<K, V>(&entries) } else { Vec::new() };
        for (place, (key, entry)) in entries.into_iter().enumerate() {
            let lease = leases.and_then(|leases| leases.get(place).copied());
            if let Some(lease) = lease.filter(|_| !IMMEDIATE) {
                let Some(guard) = lease.store(self.number, false) else { continue };
                storing.push(guard);
            }
            // Whatever the policy's closure does, it does as part of this call.
            let accepted = observed.run_beside(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await;
            if decides.get(place) == Some(&true) && (!matches!(accepted, Ok(true)) || !self.tier.drops_rejected()) {
                batch.kept.push((place, key.clone()));
            }
            match accepted {
                Ok(true) => {
                    let origin = lease.map_or(Origin::Written(None), Origin::Promoted);
                    taken.push((place, lease, (key, self.stamped(entry, &origin))));
                }
                Ok(false) => batch.results[place] = Some(Ok(InsertOutcome::Rejected)),
                Err(error) => batch.results[place] = Some(Err(error)),
            }
        }
        if IMMEDIATE && leases.is_some() {
            self.store_in_order(taken, &mut observed, &mut batch);
        } else {
            self.store_together(taken, &mut observed, &mut batch).await;
        }
        drop(storing);
        observed.end_with(batch.outcome(), batch.failure());
        let dropped = self.drop_older_of(&batch, call, &mut observed, &mut older).await;
        if permit.is_overtaken() {
            drop(unsettled);
        } else {
            let settled = batch.settled(&dropped);
            unsettled.into_iter().zip(settled).filter(|(_, settled)| *settled).for_each(|(debt, _)| debt.settle());
        }
        drop(permit);
        drop(observed);
        drop(older);
        if batch.failure().is_none() {
            self.pay_debts().await;
        }
        batch.into_results()
    }

    /// One after the other, each under the lock that keeps newer writes of its key away.
    fn store_in_order(
        &'a self,
        entries: Vec<Taken<'f, K, V>>,
        observed: &mut ObservedCall<'f, 'a>,
        batch: &mut Inserts<K>,
    ) {
        for (place, lease, (key, entry)) in entries {
            let Some(lease) = lease else { continue };
            batch.results[place] = observed.run_under(lease, false, self.tier.insert(key, entry));
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

    /// What the tier did not take must not leave older values behind. Returns the places of the keys, and whether nothing is
    /// left of them.
    async fn drop_older_of(
        &'a self,
        batch: &Inserts<K>,
        call: Call<'f, 'a, K, V>,
        insert: &mut ObservedCall<'f, 'a>,
        older: &mut Option<ObservedCall<'f, 'a>>,
    ) -> Vec<(usize, bool)> {
        let is_left = |place: usize| !matches!(batch.results[place], Some(Ok(InsertOutcome::Accepted)));
        let left = || batch.kept.iter().filter(|(place, _)| is_left(*place));
        let keys: Vec<&K> = left().map(|(_, key)| key.borrow()).collect();
        // It is one call of the tier, with one deadline.
        if keys.is_empty() || insert.is_over() {
            return left().map(|(place, _)| (*place, false)).collect();
        }
        let observed = older.insert(self.begin_many(TierOperation::InvalidateMany, keys.len(), call));
        std::mem::swap(&mut observed.deadline, &mut insert.deadline);
        let removed = observed.run_many(keys.len(), self.tier.invalidate_many(&keys)).await;
        let removed = removed.unwrap_or_else(|error| vec![Err(error); keys.len()]);
        end_removal(observed, &removed);
        left().zip(&removed).map(|((place, _), removed)| (*place, removed.is_ok())).collect()
    }

    pub(super) async fn remove_many(
        &'a self,
        keys: &'f [&'f K],
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> Vec<Result<(), Error>> {
        if matches!(permit, Permit::Void) {
            return vec![Ok(()); keys.len()];
        }
        let mut observed = self.begin_many(TierOperation::InvalidateMany, keys.len(), call);
        let permit = permit;
        let mut unsettled = Vec::new();
        if self.may_owe && permit.is_write() {
            let debt = |key: &&K| Unsettled::new(self.debts(), self.in_flight.hash(*key), (*key).to_owned());
            unsettled.extend(keys.iter().map(debt));
        }
        let removed = observed.run_many(keys.len(), self.tier.invalidate_many(keys)).await;
        let removed = removed.unwrap_or_else(|error| vec![Err(error); keys.len()]);
        end_removal(&mut observed, &removed);
        unsettled.into_iter().zip(&removed).filter(|(_, removed)| removed.is_ok()).for_each(|(debt, _)| debt.settle());
        removed
    }
}

fn end_removal(observed: &mut ObservedCall<'_, '_>, removed: &[Result<(), Error>]) {
    let failure = removed.iter().find_map(|removed| removed.as_ref().err());
    observed.end_with(if failure.is_none() { TierOutcome::Invalidated } else { TierOutcome::Error }, failure);
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

    /// By entry, whether the tier has what was written, or nothing.
    fn settled(&self, dropped: &[(usize, bool)]) -> Vec<bool> {
        let mut settled: Vec<bool> = self.results.iter().map(|result| matches!(result, Some(Ok(_)))).collect();
        for (place, _) in &self.kept {
            settled[*place] &= matches!(self.results[*place], Some(Ok(InsertOutcome::Accepted)));
        }
        for (place, is_gone) in dropped {
            settled[*place] = *is_gone;
        }
        settled
    }

    /// What was not stored for a newer write's sake counts as rejected.
    fn into_results(self) -> Vec<InsertResult> {
        self.results.into_iter().map(|result| result.unwrap_or(Ok(InsertOutcome::Rejected))).collect()
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
