//! Writing to one tier: policy, insertion time, order among writes, and what is owed if it fails.

use std::borrow::Borrow;

use super::{CacheWrapper, ObservedCall};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::debts::{Debts, Payment};
use crate::inflight::{Committed, Lease, Origin, Permit};
use crate::telemetry::{Operation, TierOperation, TierOutcome, defer_evictions};
use crate::tier::erased::{Call, InsertResult, poll_once};
use crate::tier::{CacheTier, InsertOutcome};

/// A write of a key that has not succeeded: dropped like this, the key is owed.
pub(super) struct Unsettled<'d, Q> {
    debts: &'d Debts<Q>,
    hash: u64,
    key: Option<Q>,
    /// What the write pays if it succeeds.
    payment: Option<Payment>,
}

impl<'d, Q> Unsettled<'d, Q> {
    pub(super) fn new(debts: &'d Debts<Q>, hash: u64, key: Q) -> Self {
        Self { debts, hash, key: Some(key), payment: debts.begin_payment(hash) }
    }

    /// The tier has what was written, or nothing.
    pub(super) fn settle(mut self) {
        self.key = None;
        if let Some(payment) = self.payment {
            self.debts.settle(payment);
        }
    }
}

impl<Q> Drop for Unsettled<'_, Q> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.debts.owe(self.hash, key);
        }
    }
}

impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool> CacheWrapper<K, V, T, IMMEDIATE> {
    /// An insert that is no more than the tier's own, and is not reported by itself.
    #[inline]
    pub(super) fn insert_directly(
        &self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'_, K, V>,
        permit: Permit<'_, K, V>,
        call: Call<'_, '_, K, V>,
    ) -> InsertResult {
        let _scope = call.operation.map(Operation::enter);
        let entry = self.stamped(entry, &origin);
        let insert = || match poll_once(self.tier.insert(key, entry)) {
            Some(inserted) => inserted.map_err(|error| Error::from(error).in_tier(self.name())),
            None => Err(self.not_immediate()),
        };
        match permit {
            Permit::Free => insert(),
            // Evictions are reported when the turn has ended.
            Permit::Turn(turn) => defer_evictions(|| {
                let inserted = insert();
                drop(turn);
                inserted
            }),
            Permit::Lease(lease, newest) => match defer_evictions(|| lease.commit(newest, insert)) {
                Committed::Stored(inserted) => inserted,
                Committed::Superseded => Ok(InsertOutcome::Rejected),
            },
            Permit::Store(_) | Permit::Void => Ok(InsertOutcome::Rejected),
        }
    }

    /// An insert of any origin, unless a newer write of the key gets in the way.
    pub(super) async fn insert_observed<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> InsertResult {
        let mut observed = self.begin(TierOperation::Insert, call);
        if matches!(permit, Permit::Void) {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        }
        // Whatever the policy's closure does, it does as part of this call.
        let accepted = observed.run(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await?;
        // Dropped before the turn ends.
        let unsettled = self.unsettled(&permit, key.borrow());
        let kept = (!accepted || !self.tier.drops_rejected()).then(|| key.clone());
        let inserted = if accepted {
            let entry = self.stamped(entry, &origin);
            let insert = async { self.tier.insert(key, entry).await };
            match permit {
                Permit::Lease(lease, newest) => observed.run_under(lease, newest, insert).await,
                _ => Some(observed.run(insert).await),
            }
        } else {
            Some(Ok(InsertOutcome::Rejected))
        };
        observed.answered();
        let Some(inserted) = inserted else {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        };
        let outcome = match inserted {
            Ok(InsertOutcome::Accepted) => TierOutcome::Inserted,
            Ok(_) => TierOutcome::Rejected,
            Err(_) => TierOutcome::Error,
        };
        let mut dropped = None;
        if let (TierOutcome::Rejected | TierOutcome::Error, Some(key)) = (outcome, kept) {
            dropped = self.drop_older(key.borrow(), &origin, &permit, call, &mut observed).await;
        }
        let is_clean = dropped.as_ref().is_none_or(|(_, result)| result.is_ok()) && !permit.is_overtaken();
        if let Some(unsettled) = unsettled.filter(|_| is_clean) {
            unsettled.settle();
        }
        // Nothing is reported during the turn.
        drop(permit);
        observed.finish(outcome, None, inserted.as_ref().err());
        if let Some((report, result)) = dropped {
            let outcome = if result.is_ok() { TierOutcome::Invalidated } else { TierOutcome::Error };
            report.finish(outcome, None, result.as_ref().err());
        }
        if inserted.is_ok() {
            self.pay_debts().await;
        }
        inserted
    }

    /// What keeps a record of a write in this tier until it has succeeded.
    fn unsettled(&self, permit: &Permit<'_, K, V>, key: &K) -> Option<Unsettled<'_, K::Owned>> {
        (self.may_owe && permit.is_write())
            .then(|| Unsettled::new(self.debts(), self.in_flight.hash(key), key.to_owned()))
    }

    /// A tier that did not take an entry must not go on serving the one it had before. Returns the call, to be reported.
    async fn drop_older<'f, 'a: 'f>(
        &'a self,
        key: &K,
        origin: &Origin<'f, K, V>,
        permit: &Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
        insert: &mut ObservedCall<'f, 'a>,
    ) -> Option<(ObservedCall<'f, 'a>, Result<(), Error>)> {
        // What is promoted is no newer than what the tier had: nothing, or something it could not read.
        if matches!(origin, Origin::Promoted(_)) {
            return None;
        }
        let mut observed = self.begin(TierOperation::Invalidate, call);
        // It is one call of the tier, with one deadline.
        std::mem::swap(&mut observed.deadline, &mut insert.deadline);
        let invalidate = async { self.tier.invalidate(key).await };
        let removed = match permit {
            Permit::Lease(lease, _) => observed.run_under(lease, false, invalidate).await,
            _ => Some(observed.run(invalidate).await),
        };
        observed.answered();
        match removed {
            Some(removed) => Some((observed, removed)),
            // A newer write has put something there meanwhile, and that has to stay.
            None => {
                observed.withdraw();
                None
            }
        }
    }

    pub(super) async fn invalidate<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> Result<(), Error> {
        if matches!(permit, Permit::Void) {
            return Ok(());
        }
        let mut observed = self.begin(TierOperation::Invalidate, call);
        let unsettled = self.unsettled(&permit, key);
        let removed = observed.run(async { self.tier.invalidate(key).await }).await;
        observed.answered();
        if let Some(unsettled) = unsettled.filter(|_| removed.is_ok()) {
            unsettled.settle();
        }
        drop(permit);
        let outcome = if removed.is_ok() { TierOutcome::Invalidated } else { TierOutcome::Error };
        observed.finish(outcome, None, removed.as_ref().err());
        if removed.is_ok() {
            self.pay_debts().await;
        }
        removed
    }

    /// Removes what was left as stale, now that every source has answered that there is nothing.
    pub(super) async fn remove_expired<'f, 'a: 'f>(
        &'a self,
        lease: &'f Lease<'f, K, V>,
        expired: CacheEntry<()>,
        call: Call<'f, 'a, K, V>,
    ) -> Result<(), Error> {
        let mut observed = self.begin(TierOperation::Invalidate, call);
        let removed = self.remove_in_turn(lease, &expired, &mut observed).await;
        let outcome = if removed.is_ok() { TierOutcome::Invalidated } else { TierOutcome::Error };
        observed.finish(outcome, None, removed.as_ref().err());
        removed
    }

    pub(super) async fn clear<'f, 'a: 'f>(
        &'a self,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> Result<(), Error> {
        /// A clear that has not succeeded: dropped like this, all that is older is distrusted.
        struct Uncleared<'d, Q>(Option<&'d Debts<Q>>);

        impl<Q> Drop for Uncleared<'_, Q> {
            fn drop(&mut self) {
                if let Some(debts) = self.0 {
                    debts.distrust();
                }
            }
        }

        let mut observed = self.begin(TierOperation::Clear, call);
        let mut uncleared = Uncleared(self.may_owe.then(|| self.debts()));
        let cleared = observed.run(async { self.tier.clear().await }).await;
        observed.answered();
        if cleared.is_ok() {
            uncleared.0 = None;
        }
        drop(uncleared);
        drop(permit);
        let outcome = if cleared.is_ok() { TierOutcome::Cleared } else { TierOutcome::Error };
        observed.finish(outcome, None, cleared.as_ref().err());
        cleared
    }

    /// Stamps an entry that is about to be inserted, if its age will ever matter here.
    #[inline]
    pub(super) fn stamped(&self, mut entry: CacheEntry<V>, origin: &Origin<'_, K, V>) -> CacheEntry<V> {
        // An entry with a deadline of its own was stamped when its insert began, for all tiers alike.
        let has_begun = entry.has_ttl() && matches!(origin, Origin::Written(_) | Origin::Loaded(_));
        if !has_begun && (!IMMEDIATE || entry.is_stamped() || !self.facts.untimed) {
            entry.stamp(&self.telemetry.clock, !IMMEDIATE);
        }
        entry
    }
}
