//! Paying debts: invalidating the keys of which a tier may hold something outdated.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::task::Poll;

use super::CacheWrapper;
use crate::bounds::{Key, Value};
use crate::inflight::reentrance::Inside;
use crate::inflight::turns::Turn;
use crate::telemetry::{CacheOperation, Operation, OperationOutcome, TierOperation, TierOutcome};
use crate::tier::CacheTier;
use crate::tier::erased::Call;
use crate::tier::layers::breaker::Breaker;

/// How many debts are paid after one call of the tier.
const AT_ONCE: usize = 8;

impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool> CacheWrapper<K, V, T, IMMEDIATE> {
    /// Pays some of what is owed, after a call that has shown that the tier works.
    pub(super) async fn pay_debts(&self) {
        if self.debts().count() == 0 {
            return;
        }
        let mut after = 0;
        for _ in 0..AT_ONCE {
            let Some((number, hash, key)) = self.debts().payable(after) else { return };
            after = number;
            if !self.pay(hash, key.borrow()).await {
                return;
            }
        }
    }

    /// Invalidates a key, if it is its turn, as an operation of its own. Returns `false` if the tier has failed.
    async fn pay(&self, hash: u64, key: &K) -> bool {
        if self.breaker.as_ref().is_some_and(Breaker::refuses) {
            return false;
        }
        let Some(write) = self.in_flight.begin_payment(hash, self.number) else { return false };
        // What is queued before it will pay too, if it succeeds; and no operation waits for the sake of another's key.
        let turn = poll_fn(|cx| Poll::Ready(write.poll_turn(self.number, cx))).await;
        let Poll::Ready(Ok(Turn::Granted)) = turn else { return true };
        let Some(payment) = self.debts().begin_payment(hash) else { return true };
        let observed = self.telemetry.observed();
        let mut operation = observed.then(|| Operation::start_root(&self.telemetry, CacheOperation::Repay));
        let call = Call::of(operation.as_ref());
        let mut observed = self.begin(TierOperation::Invalidate, call);
        let removal = observed.run(async { self.tier.invalidate(key).await });
        let removed = Inside::new(write.in_progress(), removal).await;
        if removed.is_ok() {
            self.debts().settle(payment);
        }
        drop(write);
        let outcome = if removed.is_ok() { TierOutcome::Invalidated } else { TierOutcome::Error };
        observed.finish(outcome, None, removed.as_ref().err());
        if let Some(operation) = &mut operation {
            match &removed {
                Ok(()) => operation.complete(OperationOutcome::Invalidated),
                Err(error) => operation.complete(error),
            }
        }
        removed.is_ok()
    }
}
