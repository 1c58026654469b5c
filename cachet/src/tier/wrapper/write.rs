//! Writing to one tier: policy, insertion time, order among writes, and what is owed if it fails.

use std::borrow::Borrow;
use std::iter::once;
use std::sync::Arc;

use super::{CacheWrapper, ObservedCall};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::{Error, WriteState};
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
    #[inline]
    pub(super) fn store(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult {
        match poll_once(self.tier.insert(key, entry)) {
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(error)) => Err(self.not_stored(Error::from(error))),
            None => Err(self.not_stored(Error::not_immediate())),
        }
    }

    /// The error of an insert, which may be the only one of its write.
    #[cold]
    fn not_stored(&self, error: Error) -> Error {
        error.in_tier(self.name()).with_writes(once((Arc::clone(self.name()), WriteState::Unknown)))
    }

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
        let insert = || self.store(key, entry);
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
        // Dropped in the reverse order: what is owed is noted before the turn ends, and nothing is reported during it.
        let mut older = None;
        let mut observed = self.begin(TierOperation::Insert, call);
        let permit = permit;
        if matches!(permit, Permit::Void) {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        }
        let may_leave_older = !self.facts.never_inserts;
        let unsettled = if may_leave_older { self.unsettled(&permit, key.borrow()) } else { None };
        // What is stored under a lease is current, so it pays what is owed as well as a write does.
        let payment = match permit {
            Permit::Lease(..) | Permit::Store(_) if self.debts().count() > 0 => {
                self.debts().begin_payment(self.in_flight.hash(key.borrow()))
            }
            _ => None,
        };
        // Whatever the policy's closure does, it does as part of this call.
        let accepted = observed.run_beside(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await?;
        let kept = (may_leave_older && (!accepted || !self.tier.drops_rejected())).then(|| key.clone());
        let inserted = if accepted {
            let entry = self.stamped(entry, &origin);
            let insert = async { self.tier.insert(key, entry).await };
            match permit {
                Permit::Lease(lease, newest) => observed.run_under(lease, newest, insert),
                _ => Some(observed.run(insert).await),
            }
        } else {
            Some(Ok(InsertOutcome::Rejected))
        };
        let Some(inserted) = inserted else {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        };
        let is_accepted = matches!(inserted, Ok(InsertOutcome::Accepted));
        observed.end(if is_accepted { TierOutcome::Inserted } else { TierOutcome::Rejected }, &inserted);
        // What is promoted is no newer than what the tier had: nothing, or something it could not read.
        let mut is_clean = true;
        if let Some(key) = kept.filter(|_| !is_accepted && !matches!(origin, Origin::Promoted(_))) {
            is_clean = self.drop_older(key.borrow(), &permit, call, &mut observed, &mut older).await;
            if !is_clean && unsettled.is_none() && self.may_owe {
                self.debts().owe(self.in_flight.hash(Borrow::<K>::borrow(&key)), key);
            }
        }
        is_clean &= !permit.is_overtaken();
        if let Some(payment) = payment.filter(|_| is_accepted) {
            self.debts().settle(payment);
        }
        match unsettled {
            Some(unsettled) if is_clean => unsettled.settle(),
            unsettled => drop(unsettled),
        }
        drop(permit);
        drop(observed);
        drop(older);
        if is_clean && inserted.is_ok() {
            self.pay_debts().await;
        }
        inserted
    }

    /// What keeps a record of a write in this tier until it has succeeded.
    fn unsettled(&self, permit: &Permit<'_, K, V>, key: &K) -> Option<Unsettled<'_, K::Owned>> {
        (self.may_owe && permit.is_write())
            .then(|| Unsettled::new(self.debts(), self.in_flight.hash(key), key.to_owned()))
    }

    /// A tier that did not take an entry must not go on serving the one it had before. Returns whether it does not.
    async fn drop_older<'f, 'a: 'f>(
        &'a self,
        key: &K,
        permit: &Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
        insert: &mut ObservedCall<'f, 'a>,
        older: &mut Option<ObservedCall<'f, 'a>>,
    ) -> bool {
        // It is one call of the tier, with one deadline.
        if insert.is_over() {
            return false;
        }
        let observed = older.insert(self.begin(TierOperation::Invalidate, call));
        std::mem::swap(&mut observed.deadline, &mut insert.deadline);
        let invalidate = async { self.tier.invalidate(key).await };
        let removed = match permit {
            Permit::Lease(lease, _) => observed.run_under(lease, false, invalidate),
            _ => Some(observed.run(invalidate).await),
        };
        let Some(removed) = removed else {
            // A newer write has put something there meanwhile, and that has to stay.
            older.take().into_iter().for_each(ObservedCall::withdraw);
            return true;
        };
        observed.end(TierOutcome::Invalidated, &removed);
        removed.is_ok()
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
        let permit = permit;
        let unsettled = self.unsettled(&permit, key);
        let removed = observed.run(async { self.tier.invalidate(key).await }).await;
        observed.end(TierOutcome::Invalidated, &removed);
        if let Some(unsettled) = unsettled.filter(|_| removed.is_ok()) {
            unsettled.settle();
        }
        drop(permit);
        drop(observed);
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
        if !self.may_remove(&expired) {
            return Ok(());
        }
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
        let _turn = permit;
        let mut uncleared = Uncleared(self.may_owe.then(|| self.debts()));
        let cleared = observed.run(async { self.tier.clear().await }).await;
        observed.end(TierOutcome::Cleared, &cleared);
        if cleared.is_ok() {
            uncleared.0 = None;
        }
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
        if self.may_owe
            && let Some(until) = self.debts().distrusted_until()
        {
            entry.stamp_after(until);
        }
        entry
    }
}
