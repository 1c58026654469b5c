//! Refreshing: an entry that is due is served at once, and brought up to date in the background.

use std::borrow::Borrow;
use std::hash::BuildHasher;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};

use super::table::{Permit, RefreshTable};
use crate::bounds::{Key, Value};
use crate::cache::{Finish, Inner, finish};
use crate::error::{Error, Limited};
use crate::inflight::Origin;
use crate::limit::{TimeLimit, within};
use crate::runtime::{RuntimeFuture, Spawner};
use crate::stack::{Found, Lookup};
use crate::telemetry::{Completion, Operation, OperationOutcome, PendingRefresh};
use crate::tier::InsertOutcome;

/// What it takes to refresh.
pub(crate) struct RefreshScheduler<K: Key + ?Sized, V: Value> {
    pub(in crate::cache) refreshes: RefreshTable,
    spawner: Spawner,
    time_limit: TimeLimit,
    /// The cache, without keeping it.
    cache: Weak<Inner<K, V>>,
    /// Reads ask for no `'static` types; a task needs them, and they were known when the cache was built.
    run: fn(Task<K, V>) -> RuntimeFuture,
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> RefreshScheduler<K, V> {
    pub(crate) fn new(refreshes: RefreshTable, time_limit: Duration, spawner: Spawner) -> Self {
        let time_limit = TimeLimit::new(Limited::Refresh, time_limit, &spawner);
        Self { refreshes, spawner, time_limit, cache: Weak::new(), run: |task| Box::pin(task.run()) }
    }
}

impl<K: Key + ?Sized, V: Value> RefreshScheduler<K, V> {
    pub(in crate::cache) fn of(self, cache: &Weak<Inner<K, V>>) -> Self {
        Self { cache: Weak::clone(cache), ..self }
    }
}

/// A refresh that may begin, if it is granted, and has not. Dropped, it makes room for the next one of its key.
struct PermitGuard<'c, K: Key + ?Sized, V: Value> {
    cache: &'c Inner<K, V>,
    refreshes: &'c RefreshTable,
    hash: u64,
    tier: usize,
    is_granted: bool,
}

impl<K: Key + ?Sized, V: Value> PermitGuard<'_, K, V> {
    /// There is a [`Task`] now, which does it.
    fn disarm(mut self) {
        self.is_granted = false;
    }
}

impl<K: Key + ?Sized, V: Value> Drop for PermitGuard<'_, K, V> {
    fn drop(&mut self) {
        if self.is_granted {
            self.refreshes.end(self.hash, self.tier, false, self.cache.telemetry.clock.now());
        }
    }
}

/// One refresh. Dropped, it makes room for the next one of its key, whatever became of it.
struct Task<K: Key + ?Sized, V: Value> {
    cache: Arc<Inner<K, V>>,
    key: K::Owned,
    hash: u64,
    /// The number of the tier whose entry is due.
    tier: usize,
    /// Until the task runs.
    pending: Option<PendingRefresh>,
    found_nothing: bool,
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Has an entry of a tier brought up to date in the background, unless that is being done, or was in vain a short
    /// while ago.
    #[cold]
    pub(in crate::cache) fn refresh(&self, key: &K, tier: usize, trigger: Option<&Operation<'_>>) {
        let Some(scheduler) = &self.scheduler else { return };
        let refreshes = &scheduler.refreshes;
        let hash = refreshes.hasher().hash_one(key);
        let (abort, registration) = AbortHandle::new_pair();
        let permit = refreshes.begin(hash, self.telemetry.clock.now(), &abort);
        if permit == Permit::Denied {
            return;
        }
        // Until there is a task: a key's text, or its clone, may panic.
        let permit_guard = PermitGuard { cache: self, refreshes, hash, tier, is_granted: permit == Permit::Granted };
        let pending = self
            .observed()
            .then(|| PendingRefresh::refresh(&self.telemetry, self.options.record_keys.text(key), trigger));
        let start = |pending| Operation::start_pending(&self.telemetry, pending);
        if permit == Permit::Suppressed {
            if let Some(pending) = pending {
                start(pending).complete(OperationOutcome::Suppressed);
            }
            return;
        }
        // Unless the cache is being dropped.
        let Some(cache) = scheduler.cache.upgrade() else { return };
        let mut task = Task { cache, key: key.to_owned(), hash, tier, pending, found_nothing: false };
        permit_guard.disarm();
        if let Err(error) = scheduler.spawner.check() {
            task.found_nothing = true;
            if let Some(pending) = task.pending.take() {
                start(pending).complete(&error);
            }
            return;
        }
        let task = Abortable::new((scheduler.run)(task), registration);
        // A runtime that refuses drops the task, which then reports that it was cancelled.
        let _ = scheduler.spawner.spawn(Box::pin(task.map(drop)));
    }

    /// Asks the tiers below, and puts what they have above.
    async fn bring_up_to_date<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        tier: usize,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Refreshed<'a, V>, Error> {
        let lease = self.in_flight.lease(key);
        let mut lookup = Lookup::below(tier + 1);
        let Some(found) = self.tiers.ask(&mut lookup, &lease, operation, |tier, call| tier.get(key, call)).await else {
            lookup.failure.map_or(Ok(()), Err)?;
            self.tiers.evict_stale(&lease, &lookup.stale, operation).await;
            return Ok(Refreshed(None, OperationOutcome::Miss));
        };
        let stored = self.tiers.promote(&found, Origin::Refreshed(&lease), operation).await;
        let outcome = match stored {
            _ if !lease.is_valid() => OperationOutcome::Superseded,
            Ok(InsertOutcome::Accepted) => OperationOutcome::Refreshed,
            Ok(InsertOutcome::Rejected) => OperationOutcome::Rejected,
            Err(error) => return Err(error),
        };
        Ok(Refreshed(Some(found), outcome))
    }
}

impl<K: Key + ?Sized, V: Value> Task<K, V> {
    async fn run(mut self) {
        let cache = Arc::clone(&self.cache);
        let pending = self.pending.take();
        let mut operation = pending.map(|pending| Operation::start_pending(&cache.telemetry, pending));
        let key = self.key.clone();
        let key = key.borrow();
        let work = cache.bring_up_to_date(key, self.tier, operation.as_ref());
        let limit = cache.scheduler.as_ref().map(|scheduler| &scheduler.time_limit);
        let work = AssertUnwindSafe(async { within(limit, work).await? }).catch_unwind();
        let result = work.await.unwrap_or_else(|payload| Err(Error::caught(payload)));
        self.found_nothing = !matches!(
            result,
            Ok(Refreshed(_, OperationOutcome::Refreshed | OperationOutcome::Rejected | OperationOutcome::Superseded))
        );
        // What was found may be due itself, in its tier.
        let refresh_due =
            result.as_ref().ok().and_then(|Refreshed(found, _)| found.as_ref().filter(|found| found.refresh_due));
        let refresh_due = refresh_due.map(|found| found.depth);
        let _ = finish(operation.as_mut(), result);
        drop(self);
        if let Some(tier) = refresh_due {
            cache.refresh(key, tier, operation.as_ref());
        }
    }
}

impl<K: Key + ?Sized, V: Value> Drop for Task<K, V> {
    fn drop(&mut self) {
        // Never run: this reports that it was cancelled.
        drop(self.pending.take().map(|pending| Operation::start_pending(&self.cache.telemetry, pending)));
        if let Some(scheduler) = &self.cache.scheduler {
            let now = self.cache.telemetry.clock.now();
            scheduler.refreshes.end(self.hash, self.tier, self.found_nothing, now);
        }
    }
}

/// What a refresh found, and what became of it.
struct Refreshed<'a, V>(Option<Found<'a, V>>, OperationOutcome);

impl<'a, V> Finish<'a> for Refreshed<'a, V> {
    type Output = ();

    fn completion(&self) -> Completion<'a, '_> {
        let Self(found, outcome) = self;
        let found = found.as_ref();
        Completion {
            hit_tier: found.map(|found| found.tier),
            age: found.and_then(|found| found.age),
            ..(*outcome).into()
        }
    }

    fn into_output(self) {}
}
