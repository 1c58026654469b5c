//! Single flight: one lookup and one loader at a time per key, whose result reaches everyone who asked meanwhile.
//!
//! The first to miss a key *leads*; who misses it while that goes on *follows*, and waits. A leader that is dropped abandons
//! its flight: its followers wake up and join again, and the first of them leads the next.
//!
//! ```text
//! lookup of the first tier ── miss ── join the lookup ── nothing ── join the load ── load ── store ── complete
//!                                      └ follow: its result          └ follow: its result
//! ```
//!
//! A result may be used by an operation if every write that had begun when the operation joined had begun when the flight
//! did (S47). So a flight that began later serves every operation, and a follower waits for two flights at most.

use std::borrow::Borrow;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::lease::{Lease, Stamp};
use super::reentrance::{InProgress, Scope, is_inside};
use super::{InFlight, KeyState, ShardState};
use crate::bounds::Key;
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::sync::{Arc, Mutex, MutexGuard, Ordering, lock};
use crate::telemetry::{Leader, OperationOutcome};

/// How many completions a shard remembers.
const REMEMBERED: usize = 16;

/// What the lookup of the tiers found that have to be waited for.
pub(crate) struct LookupResult<V> {
    pub(crate) found: Option<FoundIn<V>>,
    /// The error of the first tier that failed.
    pub(crate) failure: Option<Error>,
    /// Expired entries that are worth serving if all else fails.
    pub(crate) stale: Vec<FoundIn<V>>,
}

/// An entry, and the number of the tier that had it.
#[derive(Clone)]
pub(crate) struct FoundIn<V> {
    pub(crate) entry: CacheEntry<V>,
    pub(crate) depth: usize,
    pub(crate) age: Option<Duration>,
    pub(crate) refresh_due: bool,
}

/// What a leader's load came to.
pub(crate) struct LoadResult<V> {
    pub(crate) result: Result<Option<CacheEntry<V>>, Error>,
    /// Set if the leader loaded nothing: another load had been completed in the meantime, and this is how the lookup ended
    /// that found its value.
    pub(crate) found: Option<OperationOutcome>,
}

/// Which of the two flights of a key.
pub(crate) trait Phase<V> {
    type Result;

    /// Whether the result is a load's.
    const LOADS: bool;

    /// What is marked as being polled on this thread while the leader is at work.
    fn in_progress(table: usize, hash: u64) -> InProgress;

    fn flight<Q>(state: &mut KeyState<Q, V>) -> &mut Option<Flight<Q, Self::Result>>;
}

pub(crate) struct LookingUp;
pub(crate) struct Loading;

impl<V> Phase<V> for LookingUp {
    type Result = LookupResult<V>;
    const LOADS: bool = false;

    fn in_progress(table: usize, hash: u64) -> InProgress {
        InProgress::Lookup(table, hash)
    }

    fn flight<Q>(state: &mut KeyState<Q, V>) -> &mut Option<Flight<Q, Self::Result>> {
        &mut state.lookup
    }
}

impl<V> Phase<V> for Loading {
    type Result = LoadResult<V>;
    const LOADS: bool = true;

    fn in_progress(table: usize, hash: u64) -> InProgress {
        InProgress::Load(table, hash)
    }

    fn flight<Q>(state: &mut KeyState<Q, V>) -> &mut Option<Flight<Q, Self::Result>> {
        &mut state.load
    }
}

pub(crate) struct Flight<Q, R> {
    id: u64,
    /// Two keys of the same hash are rare, but must not get each other's values.
    key: Q,
    leader: Option<Leader>,
    stamp: Stamp,
    /// Made when the first follower comes.
    shared: Option<Arc<Mutex<Shared<R>>>>,
}

enum Shared<R> {
    Waiting(Followers),
    Completed(Arc<R>),
    Abandoned,
}

/// The wakers of the followers, each in its place, and the places of those who have left.
#[derive(Default)]
struct Followers {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Followers {
    fn add(&mut self, waker: &Waker) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        });
        self.wakers[place] = Some(waker.clone());
        place
    }

    fn remove(&mut self, place: usize) -> Option<Waker> {
        self.free.push(place);
        self.wakers[place].take()
    }
}

impl<R> Shared<R> {
    fn new() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self::Waiting(Followers::default())))
    }
}

/// The latest completions of loads in a shard: their number, and the hash of their key.
#[derive(Default)]
pub(super) struct Completions {
    latest: [(u64, u64); REMEMBERED],
    next: usize,
}

impl Completions {
    fn record(&mut self, number: u64, hash: u64) {
        self.latest[self.next] = (number, hash);
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// Whether the hash is among the completions after that of this number, or may be: only the latest are remembered.
    fn may_have(&self, hash: u64, since: u64) -> bool {
        let mut later = self.latest.iter().filter(|(number, _)| *number > since);
        later.clone().count() == REMEMBERED || later.any(|(_, completed)| *completed == hash)
    }
}

/// What an operation that missed a key is to do.
pub(crate) enum Joined<'u, K: Key + ?Sized, V, P: Phase<V>> {
    Lead(Lead<'u, K, V, P>),
    Follow(Follow<P::Result>),
    /// Nothing: the operation is part of what it would wait for.
    Reentrant,
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// The number of the latest completion, for [`Lead::may_have_completed_since`].
    #[inline]
    pub(crate) fn completions(&self) -> u64 {
        self.completions.load(Ordering::Acquire)
    }

    /// Joins the flight of a key, for an operation that holds this lease of the key.
    pub(crate) fn join<P: Phase<V>>(&self, lease: &Lease<'_, K, V>, me: Option<Leader>) -> Joined<'_, K, V, P> {
        let hash = lease.hash;
        if is_inside(InProgress::Locked(self.place())) {
            return Joined::Reentrant;
        }
        let mut shard = self.lock_shard(hash);
        self.join_in(shard.key_state(hash), lease.key, hash, lease.stamp, me)
    }

    /// Takes a lease to load and joins the flight of its key, in one step, for an unobserved operation.
    #[allow(clippy::type_complexity, reason = "a pair")]
    pub(crate) fn join_unobserved<'u>(&'u self, key: &'u K) -> Option<(Lease<'u, K, V>, Joined<'u, K, V, Loading>)> {
        let hash = self.hash(key);
        if is_inside(InProgress::Locked(self.place())) {
            return None;
        }
        self.leases.fetch_add(1, Ordering::SeqCst);
        // Declared before the lock, so dropped after it: should the key's `clone` panic, the lease is given back.
        let lease;
        let joined = {
            let mut shard = self.lock_shard(hash);
            let state = shard.key_state(hash);
            lease = self.take_lease(state, key, hash, true);
            self.join_in(state, key, hash, lease.stamp, None)
        };
        Some((lease, joined))
    }

    fn join_in<P: Phase<V>>(
        &self,
        state: &mut KeyState<K::Owned, V>,
        key: &K,
        hash: u64,
        asked: Stamp,
        me: Option<Leader>,
    ) -> Joined<'_, K, V, P> {
        match P::flight(state) {
            // Another key's, though it has the same hash: this operation loads alone.
            Some(flight) if flight.key.borrow() != key => Joined::Lead(self.lead(hash, 0, None, state)),
            Some(_) if is_inside(P::in_progress(self.place(), hash)) => Joined::Reentrant,
            Some(flight) => {
                let shared = flight.shared.get_or_insert_with(Shared::new);
                Joined::Follow(Follow {
                    place: None,
                    shared: Arc::clone(shared),
                    flight: flight.id,
                    leader: flight.leader.clone(),
                    is_usable: flight.stamp.covers(asked),
                })
            }
            flight @ None => {
                let id = next_id();
                let shared = (!P::LOADS).then(Shared::new);
                *flight = Some(Flight { id, key: key.to_owned(), leader: me, stamp: asked, shared: shared.clone() });
                Joined::Lead(self.lead(hash, id, shared, state))
            }
        }
    }

    fn lead<P: Phase<V>>(
        &self,
        hash: u64,
        id: u64,
        shared: Option<Arc<Mutex<Shared<P::Result>>>>,
        state: &mut KeyState<K::Owned, V>,
    ) -> Lead<'_, K, V, P> {
        state.users += 1;
        let now = self.stamp(state);
        if let Some(flight) = P::flight(state).as_mut().filter(|flight| flight.id == id) {
            flight.stamp = now;
        }
        Lead { in_flight: self, hash, id, shared, completed: false }
    }

    /// Leads in place of a flight that takes too long, or is of no use, unless another one has begun since. The followers of a
    /// load that is replaced join the new one; those of a lookup get its result, which they can use.
    pub(crate) fn replace<P: Phase<V>>(
        &self,
        lease: &Lease<'_, K, V>,
        replaced: u64,
        me: Option<Leader>,
    ) -> Joined<'_, K, V, P> {
        let hash = lease.hash;
        let mut shard = self.lock_shard(hash);
        let state = shard.key_state(hash);
        let shared = P::flight(state).take_if(|flight| flight.id == replaced).and_then(|flight| flight.shared);
        let joined = self.join_in(state, lease.key, hash, lease.stamp, me);
        drop(shard);
        end(shared.filter(|_| P::LOADS), Shared::Abandoned);
        joined
    }
}

/// Ends a flight for its followers, unless it has ended: what is published stays.
fn end<R>(shared: Option<Arc<Mutex<Shared<R>>>>, with: Shared<R>) {
    let Some(shared) = shared else { return };
    let mut state = lock(&shared);
    if !matches!(*state, Shared::Waiting(_)) {
        return;
    }
    let ended = mem::replace(&mut *state, with);
    drop(state);
    if let Shared::Waiting(waiting) = ended {
        // Not under a lock: a waker may do anything.
        waiting.wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The duty to bring a result for all who follow. Dropped without one, the flight is abandoned.
pub(crate) struct Lead<'u, K: Key + ?Sized, V, P: Phase<V>> {
    in_flight: &'u InFlight<K, V>,
    hash: u64,
    /// Zero if there is no flight: another key of the same hash has one.
    id: u64,
    /// The followers of a lookup, which stay with it if it is replaced. A loader's are in the table.
    shared: Option<Arc<Mutex<Shared<P::Result>>>>,
    completed: bool,
}

impl<'u, K: Key + ?Sized, V, P: Phase<V>> Lead<'u, K, V, P> {
    /// Whether a load of this key may have brought a value since the completion of this number, which a lookup before then
    /// missed.
    pub(crate) fn may_have_completed_since(&self, since: u64) -> bool {
        self.in_flight.completions() != since
            && self.in_flight.lock_shard(self.hash).completions.may_have(self.hash, since)
    }

    /// What is marked as being polled on this thread while the loader is.
    pub(crate) fn in_progress(&self) -> Option<InProgress> {
        (self.id != 0).then(|| P::in_progress(self.in_flight.place(), self.hash))
    }

    /// The result reaches all followers, those that come before the leader is done included.
    pub(crate) fn publish(&self, result: impl FnOnce() -> P::Result) {
        // Made outside of the lock: a value's `clone` may do anything.
        let result = Arc::new(result());
        let mut shard = self.in_flight.lock_shard(self.hash);
        let state = shard.keys.get_mut(&self.hash);
        let Some(flight) = state.and_then(|state| P::flight(state).as_mut()).filter(|flight| flight.id == self.id)
        else {
            return;
        };
        let published = Arc::new(Mutex::new(Shared::Completed(Arc::clone(&result))));
        let waiting = flight.shared.replace(published);
        drop(shard);
        end(waiting, Shared::Completed(result));
    }

    /// The result reaches all followers.
    pub(crate) fn complete(mut self, result: impl FnOnce() -> P::Result) {
        let shard = self.in_flight.lock_shard(self.hash);
        self.complete_in(shard, false, result);
    }

    fn has_followers(&self, shard: &mut ShardState<K::Owned, V>) -> bool {
        let flight = shard.keys.get_mut(&self.hash).and_then(|state| P::flight(state).as_ref());
        let flight = flight.filter(|flight| flight.id == self.id);
        match &self.shared {
            // Apart from this lead and the flight, if it is still there.
            Some(shared) => Arc::strong_count(shared) > 1 + usize::from(flight.is_some()),
            None => flight.is_some_and(|flight| flight.shared.is_some()),
        }
    }

    fn complete_in(
        &mut self,
        mut shard: MutexGuard<'u, ShardState<K::Owned, V>>,
        has_value: bool,
        result: impl FnOnce() -> P::Result,
    ) {
        let in_flight = self.in_flight;
        let mut with = Shared::Abandoned;
        if self.has_followers(&mut shard) {
            // A value's `clone` may do anything, so not under the lock. Should it panic, the flight is abandoned.
            drop(shard);
            with = Shared::Completed(Arc::new(result()));
            shard = in_flight.lock_shard(self.hash);
        }
        self.record(&mut shard, has_value);
        self.leave(shard, None, with);
    }

    /// A load has brought a value: operations that missed before look again.
    fn record(&self, shard: &mut ShardState<K::Owned, V>, has_value: bool) {
        if P::LOADS && has_value && self.id != 0 {
            let number = self.in_flight.completions.fetch_add(1, Ordering::AcqRel) + 1;
            shard.completions.record(number, self.hash);
        }
    }

    fn leave(
        &mut self,
        mut shard: MutexGuard<'_, ShardState<K::Owned, V>>,
        lease: Option<Lease<'_, K, V>>,
        with: Shared<P::Result>,
    ) {
        self.completed = true;
        let leases = lease.map_or(0, Lease::returned);
        let flight = shard.leave(self.hash, |state| {
            state.users -= 1 + leases;
            P::flight(state).take_if(|flight| flight.id == self.id)
        });
        drop(shard);
        if leases > 0 {
            self.in_flight.leases.fetch_sub(leases, Ordering::SeqCst);
        }
        end(self.shared.take().or_else(|| flight?.shared), with);
    }
}

impl<K: Key + ?Sized, V: Clone> Lead<'_, K, V, Loading> {
    /// The value reaches all followers, and is known to whoever looks again.
    pub(crate) fn complete_load(
        mut self,
        result: &Result<Option<CacheEntry<V>>, Error>,
        found: Option<OperationOutcome>,
    ) {
        let shard = self.in_flight.lock_shard(self.hash);
        let has_value = matches!(result, Ok(Some(_)));
        self.complete_in(shard, has_value, || LoadResult { result: result.clone(), found });
    }

    /// The same, and stores the value under the lease in the same step, in a tier that answers at once. Lease and lead are
    /// given back together.
    pub(crate) fn store_and_complete(
        mut self,
        lease: Lease<'_, K, V>,
        store: impl FnOnce(),
        result: &Result<Option<CacheEntry<V>>, Error>,
    ) {
        let in_flight = self.in_flight;
        let mut shard = in_flight.lock_shard(self.hash);
        let (mut is_valid, mut has_followers) = (false, false);
        if let Some(state) = shard.keys.get_mut(&self.hash) {
            is_valid = lease.is_valid_for(state);
            if is_valid {
                lease.mark(state);
            }
            has_followers = state.load.as_ref().is_some_and(|flight| flight.id == self.id && flight.shared.is_some());
        }
        if is_valid {
            let _inside = Scope::enter(InProgress::Locked(in_flight.place()));
            store();
        }
        let mut with = Shared::Abandoned;
        if has_followers {
            drop(shard);
            with = Shared::Completed(Arc::new(LoadResult { result: result.clone(), found: None }));
            shard = in_flight.lock_shard(self.hash);
        }
        self.record(&mut shard, matches!(result, Ok(Some(_))));
        self.leave(shard, Some(lease), with);
    }
}

impl<K: Key + ?Sized, V, P: Phase<V>> Drop for Lead<'_, K, V, P> {
    fn drop(&mut self) {
        if !self.completed {
            let in_flight = self.in_flight;
            self.leave(in_flight.lock_shard(self.hash), None, Shared::Abandoned);
        }
    }
}

/// Waits for what the leader brings; `None` if it brings nothing, and the follower is to join again.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Follow<R> {
    /// Its place among the followers, once it waits.
    place: Option<usize>,
    shared: Arc<Mutex<Shared<R>>>,
    /// The number of the flight.
    pub(crate) flight: u64,
    pub(crate) leader: Option<Leader>,
    /// Whether the result may be used: no write has begun between the flight and the follower.
    pub(crate) is_usable: bool,
}

impl<R> Future for Follow<R> {
    type Output = Option<Arc<R>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = Arc::clone(&self.shared);
        match &mut *lock(&shared) {
            Shared::Completed(result) => Poll::Ready(Some(Arc::clone(result))),
            Shared::Abandoned => Poll::Ready(None),
            Shared::Waiting(waiting) => {
                let place = *self.place.get_or_insert_with(|| waiting.add(cx.waker()));
                if let Some(waker) = &mut waiting.wakers[place] {
                    waker.clone_from(cx.waker());
                }
                Poll::Pending
            }
        }
    }
}

impl<R> Drop for Follow<R> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let waker = match &mut *lock(&self.shared) {
            Shared::Waiting(waiting) => waiting.remove(place),
            Shared::Completed(_) | Shared::Abandoned => None,
        };
        drop(waker);
    }
}
