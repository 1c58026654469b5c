//! Reading: `get` and `contains`, and how every read begins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::frame::{Frame, Method, Next, Rest};
use super::{Cache, Finish, Inner, finish};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::flight::{Joined, LookingUp};
use crate::inflight::reentrance::Inside;
use crate::inflight::{Lease, Origin};
use crate::stack::{Answer, Found, Lookup};
use crate::telemetry::{CacheOperation, Completion, Operation, OperationOutcome};
use crate::tier::erased::{GetResult, MaybeReady, OnMiss, poll_once, ready_or_await};

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Looks up an entry in each tier in order, until a tier has it. A hit in a lower tier is promoted into the tiers above it.
    ///
    /// An expired entry counts as a miss, and is removed; in a storage that other processes use as well only
    /// [some time later](crate::Tier::clock_tolerance). A hit in a first memory tier does not allocate.
    ///
    /// # Errors
    ///
    /// Returns the error of the first tier that failed if no tier has the entry. Otherwise a failing tier is skipped and
    /// reported.
    #[doc(alias = "lookup")]
    #[doc(alias = "fetch")]
    #[inline]
    pub fn get<'a>(&'a self, key: &'a K) -> Get<'a, K, V> {
        Get(Frame::new(&self.0, key, GetMethod))
    }

    /// Returns whether [`get`](Self::get) would return an entry, without cloning its value or promoting it.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`get`](Self::get).
    #[doc(alias = "contains_key")]
    pub async fn contains(&self, key: &K) -> Result<bool, Error> {
        let found = ready_or_await!(self.start_contains(key));
        found.map(|entry| entry.is_some())
    }

    fn start_contains<'a>(&'a self, key: &'a K) -> MaybeReady<'a, GetResult<()>> {
        let inner = &*self.0;
        let mut operation = inner.observe(CacheOperation::Contains, Some(key));
        inner.run(false, async move {
            let answer = inner.limited(inner.look_for(key, operation.as_ref())).await;
            finish(operation.as_mut(), answer)
        })
    }

    /// Returns the approximate number of entries in the first tier, expired ones included; `Ok(None)` if it does not count them.
    ///
    /// # Errors
    ///
    /// Returns the error of the first tier if it failed.
    pub async fn len(&self) -> Result<Option<u64>, Error> {
        ready_or_await!(self.start_len())
    }

    fn start_len(&self) -> MaybeReady<'_, Result<Option<u64>, Error>> {
        let inner = &*self.0;
        let mut operation = inner.observe(CacheOperation::Len, None);
        inner.run(false, async move {
            let counted = inner.limited(inner.tiers.len(operation.as_ref())).await;
            finish(operation.as_mut(), counted.map(Counted))
        })
    }
}

/// The future of [`Cache::get`].
///
/// A type of its own, and small, so that a hit is inlined into its caller.
#[must_use = "futures do nothing unless awaited"]
pub struct Get<'a, K: Key + ?Sized, V: Value>(Frame<'a, K, V, GetMethod>);

struct GetMethod;

impl<'a, K: Key + ?Sized, V: Value> Method<'a, K, V> for GetMethod {
    type Output = GetResult<V>;
    const COMPUTES: bool = false;

    #[inline]
    fn kind(&self) -> CacheOperation {
        CacheOperation::Get
    }

    #[inline]
    fn ask(cache: &'a Inner<K, V>, key: &K, on_miss: OnMiss<'_, GetResult<V>>) -> Poll<GetResult<V>> {
        cache.tiers.hit(key, on_miss)
    }

    #[inline]
    fn entry(output: &GetResult<V>) -> Option<&CacheEntry<V>> {
        output.as_ref().ok()?.as_ref()
    }

    #[inline]
    fn output(looked: GetResult<V>) -> GetResult<V> {
        looked
    }

    fn ask_below(cache: &'a Inner<K, V>, key: &K) -> Poll<GetResult<V>> {
        cache.tiers.hit_below(key, &cache.in_flight)
    }

    fn rest(self: Pin<&mut Self>, rest: Rest<'_, 'a, K, V>) -> Next<'a, V> {
        let Rest { cache, key, operation, lookup } = rest;
        match cache.search_rest(key, operation, lookup) {
            MaybeReady::Ready(answer) => Next::Ready(answer),
            MaybeReady::Boxed(future) => Next::Boxed(future),
        }
    }
}

impl<K: Key + ?Sized, V: Value> Future for Get<'_, K, V> {
    type Output = GetResult<V>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for Get<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Asks the tiers for an entry without its value.
    async fn look_for<'f, 'a: 'f>(&'a self, key: &'f K, operation: Option<&'f Operation<'a>>) -> Answer<'a, ()> {
        let (mut lookup, lease) = (Lookup::from_the_first(), self.in_flight.lease(key));
        let ask = self.tiers.ask(&mut lookup, &lease, operation, |tier, call| tier.contains(key, call));
        match (ask.await, lookup.failure.take()) {
            // No entry was served, so there is nothing to refresh.
            (Some(found), _) => Ok(Some(Found { refresh_due: false, ..found })),
            (None, Some(error)) => match lookup.stale.into_iter().next().filter(|_| lease.is_valid()) {
                Some(stale) => Ok(Some(stale.masking(error))),
                None => Err(error),
            },
            (None, None) => {
                self.tiers.evict_stale(&lease, &lookup.stale, operation).await;
                Ok(None)
            }
        }
    }

    /// A lookup that the first tier did not answer.
    #[inline(never)]
    fn search_rest<'a>(
        &'a self,
        key: &'a K,
        operation: &mut Option<Operation<'a>>,
        lookup: Lookup<'a, V>,
    ) -> MaybeReady<'a, GetResult<V>> {
        if self.tiers.is_end(lookup.next) && lookup.stale.is_empty() {
            return MaybeReady::Ready(finish(operation.as_mut(), lookup.failure.map_or(Ok(None::<Found<'_, V>>), Err)));
        }
        if self.tiers.immediate() {
            let answer = poll_once(self.search(key, lookup, operation.as_ref()));
            let answer = answer.unwrap_or_else(|| Err(Error::not_immediate()));
            return MaybeReady::Ready(finish(operation.as_mut(), answer));
        }
        let mut operation = operation.take().map(Box::new);
        MaybeReady::Boxed(Box::pin(async move {
            let answer = self.limited(self.search(key, lookup, operation.as_deref())).await;
            finish(operation.as_deref_mut(), answer)
        }))
    }

    /// Asks the other tiers, and gives up if none of them has the entry.
    async fn search<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        mut lookup: Lookup<'a, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Answer<'a, V> {
        let lease = self.in_flight.lease(key);
        match self.find(&mut lookup, &lease, operation).await {
            Some(found) => Ok(Some(found)),
            None => self.not_found(&lease, lookup, operation).await,
        }
    }

    /// Asks the other tiers, and promotes what one of them has. With stampede protection, concurrent misses of a key share one
    /// lookup of the tiers that have to be waited for.
    pub(super) async fn find<'f, 'a: 'f>(
        &'a self,
        lookup: &mut Lookup<'a, V>,
        lease: &'f Lease<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Option<Found<'a, V>> {
        if !self.options.stampede_protection || self.tiers.immediate() || self.tiers.is_end(lookup.next) {
            return self.find_alone(lookup, lease, operation).await;
        }
        let me = || operation.map(Operation::as_leader);
        let mut joined = self.in_flight.join::<LookingUp>(lease, me());
        loop {
            let follow = match joined {
                Joined::Reentrant => return self.find_alone(lookup, lease, operation).await,
                Joined::Lead(lead) => {
                    let ask = self.tiers.ask(lookup, lease, operation, |tier, call| tier.get(lease.key, call));
                    let found = match lead.in_progress() {
                        Some(in_progress) => Inside::new(in_progress, ask).await,
                        None => ask.await,
                    };
                    // Followers do not wait for the promotion.
                    Operation::run_in(operation, || lead.complete(|| lookup.result(found.as_ref())));
                    return self.promote(found?, lease, operation).await;
                }
                // Written since: it may have read what is outdated by now, and nothing has to wait for it.
                Joined::Follow(follow) if !follow.is_usable => {
                    joined = self.in_flight.replace(lease, follow.flight, me());
                    continue;
                }
                Joined::Follow(follow) => follow,
            };
            if let (Some(operation), Some(leader)) = (operation, &follow.leader) {
                operation.follows(leader);
            }
            let result = follow.await;
            if let Some(operation) = operation {
                operation.mark_waited();
            }
            let followed = || result.as_ref().and_then(|result| self.tiers.followed(lookup, result));
            let found = Operation::run_in(operation, followed);
            if let (Some(operation), None) = (operation, &found) {
                // Whatever comes now is this operation's own work.
                operation.clear_leader();
            }
            if result.is_some() {
                return found;
            }
            joined = self.in_flight.join(lease, me());
        }
    }

    /// The same for this operation alone.
    pub(super) async fn find_alone<'f, 'a: 'f>(
        &'a self,
        lookup: &mut Lookup<'a, V>,
        lease: &'f Lease<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Option<Found<'a, V>> {
        let found = self.tiers.ask(lookup, lease, operation, |tier, call| tier.get(lease.key, call)).await?;
        self.promote(found, lease, operation).await
    }

    async fn promote<'f, 'a: 'f>(
        &'a self,
        found: Found<'a, V>,
        lease: &'f Lease<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Option<Found<'a, V>> {
        // A failed promotion does not fail the read.
        let _ = self.tiers.promote(&found, Origin::Promoted(lease), operation).await;
        if found.refresh_due {
            self.refresh(lease.key, found.depth, operation);
        }
        Some(found)
    }

    /// What a lookup comes to that has found nothing.
    pub(super) async fn not_found<'f, 'a: 'f>(
        &'a self,
        lease: &'f Lease<'f, K, V>,
        lookup: Lookup<'a, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Answer<'a, V> {
        let Lookup { failure, stale, .. } = lookup;
        if let Some(error) = failure {
            return self.stale_or(lease, stale, error, operation).await.map(Some);
        }
        self.tiers.evict_stale(lease, &stale, operation).await;
        Ok(None)
    }

    /// Serves an expired entry in place of an error, unless the key has been written since the entry was found: then looks
    /// again.
    pub(super) async fn stale_or<'f, 'a: 'f>(
        &'a self,
        lease: &'f Lease<'f, K, V>,
        stale: Vec<Found<'a, V>>,
        error: Error,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Found<'a, V>, Error> {
        let Some(stale) = stale.into_iter().next() else { return Err(error) };
        if lease.is_valid() {
            return Ok(stale.masking(error));
        }
        drop(stale);
        let lease = self.in_flight.lease(lease.key);
        let found = self.find_alone(&mut Lookup::from_the_first(), &lease, operation).await.ok_or(error)?;
        if let Some(operation) = operation {
            // Not what the leader brought, if there was one.
            operation.clear_leader();
        }
        Ok(found)
    }
}

impl<'a, U> Found<'a, U> {
    pub(super) fn completion(&self) -> Completion<'a, '_> {
        let outcome = if self.is_stale() { OperationOutcome::Stale } else { OperationOutcome::Hit };
        Completion { outcome, hit_tier: Some(self.tier), age: self.age, error: self.masked_error.as_ref() }
    }
}

impl<'a, U> Finish<'a> for Option<Found<'a, U>> {
    type Output = Option<CacheEntry<U>>;

    fn completion(&self) -> Completion<'a, '_> {
        self.as_ref().map_or_else(|| OperationOutcome::Miss.into(), Found::completion)
    }

    fn into_output(self) -> Self::Output {
        self.map(|found| found.entry)
    }
}

struct Counted(Option<u64>);

impl<'a> Finish<'a> for Counted {
    type Output = Option<u64>;

    fn completion(&self) -> Completion<'a, '_> {
        OperationOutcome::Counted.into()
    }

    fn into_output(self) -> Option<u64> {
        self.0
    }
}
