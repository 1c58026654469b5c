//! Loading: what follows a miss in the compute methods, and how concurrent misses share one load.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use futures_util::FutureExt;

use super::{Finish, Inner, finish};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::flight::{Follow, Joined, Lead, LoadResult, Loading};
use crate::inflight::reentrance::Inside;
use crate::inflight::{Lease, Origin};
use crate::limit::{TimeLimit, Timer, within};
use crate::stack::{Found, Lookup};
use crate::sync::Arc;
use crate::telemetry::{CacheOperation, Completion, Operation, OperationOutcome, defer_evictions};

/// What a loader returned, in one form for all three methods.
pub(super) type Loaded<V> = Result<Option<CacheEntry<V>>, Error>;

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Begins a load in place, after an unobserved miss of the only tier. `None` if there is something to wait for, or to look
    /// at again.
    #[allow(clippy::type_complexity, reason = "a pair")]
    pub(super) fn lead_in_place<'a>(
        &'a self,
        key: &'a K,
        completions: u64,
    ) -> Option<(Lease<'a, K, V>, Option<Lead<'a, K, V, Loading>>)> {
        if self.options.time_limit.is_some() || self.options.load_timeout.is_some() {
            return None;
        }
        if !self.options.stampede_protection {
            return Some((self.in_flight.lease_to_load(key), None));
        }
        match self.in_flight.join_unobserved(key)? {
            (lease, Joined::Lead(lead)) if !lead.may_have_completed_since(completions) => Some((lease, Some(lead))),
            _ => None,
        }
    }

    /// Stores what a loader returned, in the only tier, which answers at once.
    pub(super) fn store_in_place(
        &self,
        lease: Lease<'_, K, V>,
        lead: Option<Lead<'_, K, V, Loading>>,
        mut loaded: Loaded<V>,
    ) -> Loaded<V> {
        // The caller gets the value whatever becomes of it.
        let mut entry = None;
        if let Ok(Some(loaded)) = &mut loaded {
            self.fix_deadline(loaded);
            entry = Some((lease.key.to_owned(), loaded.clone()));
        }
        match lead {
            Some(lead) if self.tiers.inserts_directly() => {
                let store = || {
                    if let Some((key, entry)) = entry {
                        let _ = self.tiers.insert_now(key, entry);
                    }
                };
                defer_evictions(|| lead.store_and_complete(lease, store, &loaded));
            }
            lead => {
                if let Some((key, entry)) = entry {
                    let _ = self.tiers.insert_into(0, key, entry, Origin::Loaded(&lease), None);
                }
                if let Some(lead) = lead {
                    lead.complete_load(&loaded, None);
                }
            }
        }
        loaded
    }

    /// After a miss of the first tier: asks the others, then loads.
    pub(super) async fn compute<'a>(
        &'a self,
        kind: CacheOperation,
        key: &'a K,
        mut operation: Option<Box<Operation<'a>>>,
        mut lookup: Lookup<'a, V>,
        completions: u64,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Loaded<V> {
        let work = async {
            let operation = operation.as_deref();
            let lease = self.in_flight.lease(key);
            if let Some(found) = self.find(&mut lookup, &lease, operation).await {
                return Ok(Computed::Found(found));
            }
            let has_failed = lookup.failure.is_some();
            let computed = match lookup.failure.take() {
                Some(error) if self.options.fail_closed => Err(error),
                _ if self.options.stampede_protection => {
                    self.load_once(kind, &lease, completions, operation, load).await
                }
                _ => {
                    let lease = self.in_flight.lease_to_load(key);
                    self.load(&lease, None, operation, load).await.map(Computed::Loaded)
                }
            };
            match computed {
                // Not every source has answered: what is stale may yet be wanted.
                Ok(Computed::Loaded(None)) if has_failed => computed,
                computed => self.or_stale(&lease, computed, lookup.stale, operation).await,
            }
        };
        let computed = self.limited(work).await;
        finish(operation.as_deref_mut(), computed)
    }

    /// Everything has been tried: an expired entry may be better than an error.
    async fn or_stale<'f, 'a: 'f>(
        &'a self,
        lease: &'f Lease<'f, K, V>,
        computed: Result<Computed<'a, V>, Error>,
        stale: Vec<Found<'a, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Computed<'a, V>, Error> {
        match computed {
            Err(error) if !error.is_reentrant() => {
                self.stale_or(lease, stale, error, operation).await.map(Computed::Found)
            }
            Ok(Computed::Loaded(None)) => {
                self.tiers.evict_stale(lease, &stale, operation).await;
                Ok(Computed::Loaded(None))
            }
            computed => computed,
        }
    }

    /// Runs the loader, unless another operation is loading the key: then waits for that.
    async fn load_once<'f, 'a: 'f>(
        &'a self,
        kind: CacheOperation,
        asked: &Lease<'f, K, V>,
        completions: u64,
        operation: Option<&'f Operation<'a>>,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Result<Computed<'a, V>, Error> {
        let (in_flight, me) = (&self.in_flight, || operation.map(Operation::as_leader));
        let mut patience = Patience::new(self.options.follower_timeout.as_ref());
        let mut joined = in_flight.join::<Loading>(asked, me());
        loop {
            let follow = match joined {
                Joined::Reentrant => return Err(Error::reentrant()),
                Joined::Lead(lead) => {
                    // Between the lookup and now, another load may have been completed: its very value may be there.
                    if lead.may_have_completed_since(completions) {
                        let lease = in_flight.lease(asked.key);
                        let mut lookup = Lookup::from_the_first();
                        if let Some(found) = self.find_alone(&mut lookup, &lease, operation).await {
                            let outcome = found.completion().outcome;
                            lead.complete_load(&Ok(Some(found.entry.clone())), Some(outcome));
                            return Ok(Computed::Found(found));
                        }
                    }
                    let lease = in_flight.lease_to_load(asked.key);
                    let load = self.load(&lease, Some(&lead), operation, caught(load));
                    let loaded = match lead.in_progress() {
                        Some(in_progress) => Inside::new(in_progress, load).await,
                        None => load.await,
                    };
                    Operation::run_in(operation, || lead.complete_load(&loaded, None));
                    return loaded.map(Computed::Loaded);
                }
                Joined::Follow(follow) => follow,
            };
            if let (Some(operation), Some(leader)) = (operation, &follow.leader) {
                operation.follows(leader);
            }
            let (flight, is_usable) = (follow.flight, follow.is_usable);
            let waited = patience.wait_for(follow).await;
            if let Some(operation) = operation {
                operation.mark_waited();
            }
            // The leader's method may do with nothing; this one may not.
            let takes_nothing = kind == CacheOperation::OptionallyGetOrInsert;
            match waited {
                Waited::Completed(load) if is_usable && (takes_nothing || !matches!(load.result, Ok(None))) => {
                    let result = Operation::run_in(operation, || load.result.clone());
                    return result.map(|entry| match load.found {
                        Some(outcome) => Computed::Followed(entry, outcome),
                        None => Computed::Loaded(entry),
                    });
                }
                Waited::Failed(error) => return Err(error),
                _ => {}
            }
            // Nothing that could be used: whatever comes now is this operation's own work.
            if let Some(operation) = operation {
                operation.clear_leader();
            }
            // Of all who have waited for it, the first leads, and the others follow that one. The flight may still be there:
            // when its limit has passed, or when its result is published but not stored.
            joined = in_flight.replace(asked, flight, me());
        }
    }

    /// Runs the loader, and stores what it returns.
    async fn load<'f, 'a: 'f>(
        &'a self,
        lease: &'f Lease<'f, K, V>,
        lead: Option<&Lead<'_, K, V, Loading>>,
        operation: Option<&'f Operation<'a>>,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Loaded<V> {
        let load = async { within(self.options.load_timeout.as_ref(), load).await? };
        let loaded = match operation {
            Some(operation) => operation.load(load, load_outcome).await,
            None => load.await,
        };
        let Ok(Some(mut entry)) = loaded else { return loaded };
        self.fix_deadline(&mut entry);
        // The caller gets the value whatever becomes of it; failures are reported by the tiers.
        let (key, stored) = Operation::run_in(operation, || (lease.key.to_owned(), entry.clone()));
        let storing = self.tiers.insert(key, stored, Origin::Loaded(lease), operation);
        let mut storing = pin!(storing);
        let mut unpublished = lead;
        let _ = poll_fn(|cx| {
            let stored = storing.as_mut().poll(cx);
            if let (Poll::Pending, Some(lead)) = (&stored, unpublished.take()) {
                // The tiers that answer at once have it. Followers do not wait for the others.
                Operation::run_in(operation, || {
                    lead.publish(|| LoadResult { result: Ok(Some(entry.clone())), found: None });
                });
            }
            stored
        })
        .await;
        Ok(Some(entry))
    }
}

/// How long a follower waits.
struct Patience<'o> {
    limit: Option<&'o TimeLimit>,
    timer: Option<Timer<'o>>,
    /// The flight that it has waited for from the beginning: only that one can be said to take too long when the limit passes
    /// for the first time. Without this, all who wait would replace each other's flights.
    first: Option<u64>,
    /// How often the limit has passed: after the second time, the operation fails.
    passed: u8,
}

/// What became of a follower's wait.
enum Waited<V> {
    Completed(Arc<LoadResult<V>>),
    /// The leader brings nothing.
    Abandoned,
    /// The limit has passed.
    TooLong,
    /// The limit has passed for the second time, or there is no runtime to wait with.
    Failed(Error),
}

impl<'o> Patience<'o> {
    fn new(limit: Option<&'o TimeLimit>) -> Self {
        Self { limit, timer: limit.map(Timer::new), first: None, passed: 0 }
    }

    /// Waits for a leader; the time of earlier waits counts too.
    async fn wait_for<V>(&mut self, mut follow: Follow<LoadResult<V>>) -> Waited<V> {
        let is_first = *self.first.get_or_insert(follow.flight) == follow.flight;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(completed) = Pin::new(&mut follow).poll(cx) {
                    return Poll::Ready(completed.map_or(Waited::Abandoned, Waited::Completed));
                }
                let (Some(limit), Some(timer)) = (self.limit, &mut self.timer) else { return Poll::Pending };
                if let Err(error) = ready!(timer.poll(cx)) {
                    return Poll::Ready(Waited::Failed(error));
                }
                self.passed += 1;
                match self.passed {
                    1 if is_first => return Poll::Ready(Waited::TooLong),
                    1 => {}
                    _ => return Poll::Ready(Waited::Failed(limit.error(2))),
                }
            }
        })
        .await
    }
}

/// With stampede protection a panic of the loader is an error, for leader and followers.
fn caught<V>(load: impl Future<Output = Loaded<V>> + Send) -> impl Future<Output = Loaded<V>> + Send {
    let caught = AssertUnwindSafe(load).catch_unwind();
    caught.map(|loaded| loaded.unwrap_or_else(|payload| Err(Error::caught(payload))))
}

/// What the span of a loader says of its end.
fn load_outcome<V>(loaded: &Loaded<V>) -> (OperationOutcome, Option<&Error>) {
    match loaded {
        Ok(Some(_)) => (OperationOutcome::Computed, None),
        Ok(None) => (OperationOutcome::None, None),
        Err(error) if error.is_panic() => (OperationOutcome::Panicked, Some(error)),
        Err(error) => (OperationOutcome::Error, Some(error)),
    }
}

enum Computed<'a, V> {
    Found(Found<'a, V>),
    /// What the leader of the flight had found, and how its lookup ended.
    Followed(Option<CacheEntry<V>>, OperationOutcome),
    Loaded(Option<CacheEntry<V>>),
}

impl<'a, V> Finish<'a> for Computed<'a, V> {
    type Output = Option<CacheEntry<V>>;

    fn completion(&self) -> Completion<'a, '_> {
        match self {
            Self::Found(found) => found.completion(),
            Self::Followed(_, outcome) => (*outcome).into(),
            Self::Loaded(Some(_)) => OperationOutcome::Computed.into(),
            Self::Loaded(None) => OperationOutcome::None.into(),
        }
    }

    fn into_output(self) -> Self::Output {
        match self {
            Self::Found(found) => Some(found.entry),
            Self::Followed(entry, _) | Self::Loaded(entry) => entry,
        }
    }
}
