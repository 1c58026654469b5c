//! One tier, asked about several keys in one call: what the wrapper does for one key, done for each.

use std::borrow::Borrow;
use std::collections::HashSet;

use super::{CacheWrapper, Observed};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::expiry::Freshness;
use crate::inflight::Lease;
use crate::telemetry::{Batch, TierOperation, TierOutcome};
use crate::tier::erased::{Call, Origin, Read};
use crate::tier::{CacheTier, InsertOutcome};

/// An entry that is to be stored: its place in the batch, and its lease if it is promoted.
type Taken<'f, K, V> = (usize, Option<&'f Lease<'f, K, V>>, (<K as ToOwned>::Owned, CacheEntry<V>));

impl<'f, 'a: 'f, K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool>
    CacheWrapper<K, V, T, IMMEDIATE>
{
    fn begin_many(&'a self, kind: TierOperation, keys: usize, call: Call<'f, 'a>) -> Observed<'f, 'a> {
        let mut observed = self.begin(kind, call);
        if let Some(call) = &mut observed.call {
            call.batch = Some(Batch { keys, hits: None });
        }
        observed
    }

    pub(super) async fn read_many(&'a self, keys: &'f [&'f K], call: Call<'f, 'a>) -> Vec<Read<V>> {
        let mut observed = self.begin_many(TierOperation::GetMany, keys.len(), call);
        let found = observed.run(self.tier.get_many(keys)).await;
        let now = observed.answered();
        let found = found.and_then(|found| self.one_for_each(keys.len(), found));
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                observed.finish(TierOutcome::Error, None, Some(&error));
                return keys.iter().map(|_| Read::Failed(error.clone())).collect();
            }
        };
        let (mut reads, mut hits, mut failure) = (Vec::with_capacity(keys.len()), 0, None);
        for (key, found) in keys.iter().zip(found) {
            let Some(entry) = found else {
                reads.push(Read::Miss);
                continue;
            };
            reads.push(match self.judge(key, &entry, now) {
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
            });
        }
        observed.answered();
        if let Some(call) = &mut observed.call {
            call.batch = Some(Batch { keys: keys.len(), hits: Some(hits) });
        }
        let outcome = if hits == keys.len() { TierOutcome::Hit } else { TierOutcome::Miss };
        observed.finish(outcome, None, failure.as_ref());
        reads
    }

    /// A tier of the user's may have miscounted.
    fn one_for_each<U>(&self, keys: usize, answers: Vec<U>) -> Result<Vec<U>, Error> {
        if answers.len() == keys {
            return Ok(answers);
        }
        let message = format!("it gave {} answers for {keys} keys", answers.len());
        Err(Error::msg(message).in_tier(&self.identity.name))
    }

    pub(super) async fn write_many(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        leases: Option<&'f [&'f Lease<'f, K, V>]>,
        call: Call<'f, 'a>,
    ) -> Result<Vec<InsertOutcome>, Error> {
        let mut observed = self.begin_many(TierOperation::InsertMany, entries.len(), call);
        let mut batch = Batched { outcomes: vec![InsertOutcome::Rejected; entries.len()], ..Batched::default() };
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
            let accepted = observed.run(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await?;
            if decides.get(place) == Some(&true) && (!accepted || !self.tier.drops_rejected()) {
                batch.kept.push((place, key.clone()));
            }
            if accepted {
                let origin = lease.map_or(Origin::Direct, Origin::Promoted);
                taken.push((place, lease, (key, self.stamped(entry, origin))));
            } else {
                batch.is_rejected = true;
            }
        }
        let written = if IMMEDIATE && leases.is_some() {
            self.store_in_order(taken, &mut observed, &mut batch).await
        } else {
            self.store_together(taken, &mut observed, &mut batch).await
        };
        drop(storing);
        observed.finish(batch.outcome(&written), None, written.as_ref().err());
        self.drop_older_of(&batch, written.is_err(), call).await;
        written.map(|()| batch.outcomes)
    }

    /// One after the other, each under the lock that keeps newer writes of its key away.
    async fn store_in_order(
        &'a self,
        entries: Vec<Taken<'f, K, V>>,
        observed: &mut Observed<'f, 'a>,
        batch: &mut Batched<K>,
    ) -> Result<(), Error> {
        let mut failure = Ok(());
        for (place, lease, (key, entry)) in entries {
            let Some(lease) = lease else { continue };
            let stored = observed.run_in_order(Origin::Promoted(lease), self.tier.insert(key, entry)).await;
            match stored {
                None => {}
                Some(Ok(outcome)) => batch.note(place, outcome),
                Some(Err(error)) => failure = failure.and(Err(error)),
            }
        }
        failure
    }

    async fn store_together(
        &'a self,
        entries: Vec<Taken<'f, K, V>>,
        observed: &mut Observed<'f, 'a>,
        batch: &mut Batched<K>,
    ) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let (places, entries): (Vec<_>, Vec<_>) = entries.into_iter().map(|(place, _, entry)| (place, entry)).unzip();
        let outcomes = observed.run(self.tier.insert_many(entries)).await?;
        for (place, outcome) in places.iter().zip(self.one_for_each(places.len(), outcomes)?) {
            batch.note(*place, outcome);
        }
        Ok(())
    }

    /// What the tier did not take must not leave older values behind.
    async fn drop_older_of(&'a self, batch: &Batched<K>, failed: bool, call: Call<'f, 'a>) {
        let is_left = |place: usize| failed || batch.outcomes[place] == InsertOutcome::Rejected;
        let keys: Vec<&K> =
            batch.kept.iter().filter(|(place, _)| is_left(*place)).map(|(_, key)| key.borrow()).collect();
        if !keys.is_empty() {
            // Reported like any other call; there is nobody who could do more about a failure.
            let _ = self.remove_many(&keys, call).await;
        }
    }

    pub(super) async fn remove_many(&'a self, keys: &[&K], call: Call<'_, 'a>) -> Result<(), Error> {
        let mut observed = self.begin_many(TierOperation::InvalidateMany, keys.len(), call);
        let removed = observed.run(self.tier.invalidate_many(keys)).await;
        let outcome = if removed.is_ok() { TierOutcome::Invalidated } else { TierOutcome::Error };
        observed.finish(outcome, None, removed.as_ref().err());
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

/// What has become of several entries.
struct Batched<K: Key + ?Sized> {
    outcomes: Vec<InsertOutcome>,
    /// Keys of which an older value may have to be dropped, and their places.
    kept: Vec<(usize, K::Owned)>,
    is_inserted: bool,
    is_rejected: bool,
}

impl<K: Key + ?Sized> Default for Batched<K> {
    fn default() -> Self {
        Self { outcomes: Vec::new(), kept: Vec::new(), is_inserted: false, is_rejected: false }
    }
}

impl<K: Key + ?Sized> Batched<K> {
    fn note(&mut self, place: usize, outcome: InsertOutcome) {
        self.outcomes[place] = outcome;
        match outcome {
            InsertOutcome::Accepted => self.is_inserted = true,
            InsertOutcome::Rejected => self.is_rejected = true,
        }
    }

    fn outcome(&self, written: &Result<(), Error>) -> TierOutcome {
        match written {
            Err(_) => TierOutcome::Error,
            Ok(()) if self.is_inserted => TierOutcome::Inserted,
            Ok(()) if self.is_rejected => TierOutcome::Rejected,
            // Nothing was left to store.
            Ok(()) => TierOutcome::Superseded,
        }
    }
}
