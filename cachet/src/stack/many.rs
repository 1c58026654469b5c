//! Several tiers, asked about several keys: one call of a tier for all keys that are still open.

use std::future::poll_fn;

use futures_util::future::join_all;

use super::{Found, Lookup, TierStack, merge};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::{InFlight, Lease, Origin, Permit, Write};
use crate::telemetry::Operation;
use crate::tier::InsertOutcome;
use crate::tier::erased::{BatchPermit, Call, ErasedTier, InsertResult, MaybeReady};

impl<'f, 'a: 'f, K: Key + ?Sized, V: Value> TierStack<K, V> {
    /// Asks the tiers, one after the other, for whatever has not been found yet, and promotes what a later one has. The
    /// result has a place for each key.
    pub(crate) async fn ask_many(
        &'a self,
        keys: &'f [&'f K],
        in_flight: &'f InFlight<K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Vec<Result<Found<'a, V>, Lookup<'a, V>>> {
        let mut answers: Vec<_> = keys.iter().map(|_| Err(Lookup::from_the_first())).collect();
        let mut open: Vec<usize> = (0..keys.len()).collect();
        let mut leases: Vec<Option<Lease<'f, K, V>>> = Vec::new();
        for (depth, tier) in self.iter().enumerate() {
            if open.is_empty() {
                break;
            }
            if depth == 1 {
                // What is found from here on is promoted, unless a newer write of its key gets in the way.
                leases.resize_with(keys.len(), || None);
                for place in &open {
                    leases[*place] = Some(in_flight.lease(keys[*place]));
                }
            }
            if let (Some(operation), 1..) = (operation, depth) {
                operation.mark_fallback();
            }
            let asked: Vec<&K> = open.iter().map(|place| keys[*place]).collect();
            let call = Call { operation, fallback: depth > 0, lease: None };
            let reads = tier.get_many(&asked, call).resolve().await;
            let mut found = Vec::new();
            for (place, read) in std::mem::take(&mut open).into_iter().zip(reads) {
                let Err(lookup) = &mut answers[place] else { continue };
                match lookup.absorb(read, &tier.facts().identity.name, depth) {
                    Some(entry) => {
                        answers[place] = Ok(entry);
                        found.push(place);
                    }
                    None => open.push(place),
                }
            }
            if let (Some(operation), 0, false) = (operation, depth, open.is_empty()) {
                operation.open_late_span();
            }
            if depth > 0 && !found.is_empty() {
                self.promote_many(keys, &found, &answers, &leases, operation).await;
            }
        }
        answers
    }

    /// Puts what a later tier had into the earlier ones. Whatever comes of it is reported, and fails no operation.
    async fn promote_many(
        &'a self,
        keys: &'f [&'f K],
        places: &[usize],
        answers: &[Result<Found<'a, V>, Lookup<'a, V>>],
        leases: &[Option<Lease<'f, K, V>>],
        operation: Option<&Operation<'a>>,
    ) {
        let promoted = || {
            places.iter().filter_map(|place| {
                let (found, lease) = (answers[*place].as_ref().ok()?, leases[*place].as_ref()?);
                Some(((keys[*place].to_owned(), found.entry.clone()), (found.depth, lease)))
            })
        };
        let (depths, leases): (Vec<_>, Vec<_>) = promoted().map(|(_, with)| with).unzip();
        for tier in self.iter().take(depths.first().copied().unwrap_or(0)) {
            let entries = promoted().map(|(entry, _)| entry).collect();
            let _ = tier.insert_many(entries, BatchPermit::Promotion(&leases), Call::of(operation)).resolve().await;
        }
    }

    /// Makes one call of each tier, in the write's turn there. A tier in which it does not get its turn owes the keys.
    async fn in_turn<T: Clone + Send>(
        &'a self,
        write: Option<&'f Write<'f, K, V>>,
        keys: &(dyn Fn() -> Vec<K::Owned> + Send + Sync),
        call: impl Fn(&'a dyn ErasedTier<K, V>, Permit<'f, K, V>) -> MaybeReady<'f, Vec<Result<T, Error>>> + Send + Sync,
    ) -> Vec<Vec<Result<T, Error>>> {
        let (call, origin) = (&call, Origin::Written(write));
        let calls = self.iter().enumerate().map(|(number, tier)| async move {
            let queued = QueuedMany { number, origin, keys: Some(keys) };
            match poll_fn(|cx| origin.poll_permit(number, tier.facts().immediate, cx)).await {
                Ok(permit) => {
                    queued.take();
                    call(tier, permit).resolve().await
                }
                Err(error) => vec![Err(error); keys().len()],
            }
        });
        join_all(calls).await
    }

    /// Inserts into all tiers at once. Returns one result for each entry.
    pub(crate) async fn insert_many(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        write: Option<&'f Write<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Vec<InsertResult>
    where
        K::Owned: 'f,
    {
        let mut results = vec![Ok(InsertOutcome::Rejected); entries.len()];
        if !entries.is_empty() {
            let keys = || entries.iter().map(|(key, _)| key.clone()).collect();
            let insert = |tier: &'a dyn ErasedTier<K, V>, permit| {
                tier.insert_many(entries.clone(), BatchPermit::Write(permit), Call::of(operation))
            };
            for of_tier in self.in_turn(write, &keys, insert).await {
                merge_each(&mut results, of_tier, merge);
            }
        }
        results
    }

    /// Removes keys from all tiers at once. Returns one result for each key.
    pub(crate) async fn invalidate_many(
        &'a self,
        keys: &'f [&'f K],
        write: Option<&'f Write<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Vec<Result<(), Error>> {
        let mut results = vec![Ok(()); keys.len()];
        if !keys.is_empty() {
            let owned = || keys.iter().map(|key| (*key).to_owned()).collect();
            let invalidate =
                |tier: &'a dyn ErasedTier<K, V>, permit| tier.invalidate_many(keys, permit, Call::of(operation));
            for of_tier in self.in_turn(write, &owned, invalidate).await {
                merge_each(&mut results, of_tier, Result::and);
            }
        }
        results
    }
}

/// A batch that waits for its turn in a tier. Dropped like this, it does not happen there.
struct QueuedMany<'s, 'f, K: Key + ?Sized, V: Value> {
    number: usize,
    origin: Origin<'f, K, V>,
    keys: Option<&'s (dyn Fn() -> Vec<K::Owned> + Send + Sync)>,
}

impl<K: Key + ?Sized, V: Value> QueuedMany<'_, '_, K, V> {
    /// The turn has come.
    fn take(mut self) {
        self.keys = None;
    }
}

impl<K: Key + ?Sized, V: Value> Drop for QueuedMany<'_, '_, K, V> {
    fn drop(&mut self) {
        for key in self.keys.take().into_iter().flat_map(|keys| keys()) {
            self.origin.give_up(self.number, key);
        }
    }
}

/// Adds what one tier did for each key to what those before it did.
fn merge_each<T: Copy, F>(results: &mut [Result<T, Error>], of_tier: Vec<Result<T, Error>>, merge: F)
where
    F: Fn(Result<T, Error>, Result<T, Error>) -> Result<T, Error>,
{
    for (result, of_tier) in results.iter_mut().zip(of_tier) {
        *result = merge(result.clone(), of_tier);
    }
}
