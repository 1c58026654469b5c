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
    /// The value reaches all followers, and is known to those that look again.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::task::Wake;

    use super::super::turns::{TierSet, Written};
    use super::*;
    use crate::clock::ManualClock;

    type Table = InFlight<str, u32>;
    type Leading<'t> = Lead<'t, str, u32, Loading>;
    type Following = Follow<LoadResult<u32>>;

    fn table() -> Table {
        Table::new(&[false; 2], &ManualClock::new().into())
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn join<'t, P: Phase<u32>>(table: &'t Table, key: &str) -> Joined<'t, str, u32, P> {
        table.join(&table.lease(key), None)
    }

    #[track_caller]
    fn leads<P: Phase<u32>>(joined: Joined<'_, str, u32, P>) -> Lead<'_, str, u32, P> {
        match joined {
            Joined::Lead(lead) => lead,
            _ => panic!("another one leads"),
        }
    }

    #[track_caller]
    fn follows<P: Phase<u32>>(joined: Joined<'_, str, u32, P>) -> Follow<P::Result> {
        match joined {
            Joined::Follow(follow) => follow,
            _ => panic!("no one leads"),
        }
    }

    fn lead<'t>(table: &'t Table, key: &str) -> Leading<'t> {
        leads(join(table, key))
    }

    fn follow(table: &Table) -> Following {
        follows(join::<Loading>(table, "key"))
    }

    fn complete(lead: Leading<'_>, number: u32) {
        lead.complete_load(&Ok(Some(CacheEntry::new(number))), None);
    }

    fn result(number: u32) -> LoadResult<u32> {
        LoadResult { result: Ok(Some(CacheEntry::new(number))), found: None }
    }

    fn write(table: &Table) {
        drop(table.begin_write(&Written::Key("key"), TierSet::first(2)));
    }

    fn number(follower: Pin<&mut Following>) -> Option<u32> {
        match poll(follower) {
            Poll::Ready(Some(load)) => load.result.clone().unwrap().map(CacheEntry::into_value),
            _ => None,
        }
    }

    fn is_abandoned<R>(follower: Pin<&mut Follow<R>>) -> bool {
        matches!(poll(follower), Poll::Ready(None))
    }

    // S25, S29
    #[test]
    fn followers_get_what_the_leader_brings_and_nothing_is_left() {
        let table = table();
        let leader = lead(&table, "key");
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(first.is_usable && poll(first.as_mut()).is_pending());
        complete(leader, 7);
        assert_eq!((number(first.as_mut()), number(second.as_mut())), (Some(7), Some(7)));
        assert_eq!(table.keys(), 0);
    }

    // S26
    #[test]
    fn when_the_leader_is_dropped_its_followers_join_again_and_one_leads() {
        let table = table();
        let leader = lead(&table, "key");
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(leader);
        assert!(is_abandoned(first.as_mut()));
        let leader = lead(&table, "key");
        assert!(is_abandoned(second.as_mut()));
        let mut second = pin!(follow(&table));
        complete(leader, 8);
        assert_eq!(number(second.as_mut()), Some(8));
        assert_eq!(table.keys(), 0);
    }

    // S29
    #[test]
    fn the_table_is_empty_when_leader_and_followers_are_dropped_in_any_order() {
        for leader_first in [true, false] {
            let table = table();
            let (leader, follower) = (lead(&table, "key"), follow(&table));
            if leader_first {
                drop(leader);
                drop(follower);
            } else {
                drop(follower);
                drop(leader);
            }
            assert_eq!(table.keys(), 0);
        }
    }

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    // S29, S59
    #[test]
    fn the_places_of_followers_who_gave_up_are_used_again() {
        let table = table();
        let leader = lead(&table, "key");
        let task = Arc::new(Task);
        let waker = Waker::from(Arc::clone(&task));
        let wait = || {
            let mut follower = Box::pin(follow(&table));
            assert!(follower.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            follower
        };
        // There is always a later one that still waits.
        let mut waiting = wait();
        for _ in 0..1000 {
            waiting = wait();
        }
        let places = match &*lock(&waiting.shared) {
            Shared::Waiting(followers) => followers.wakers.len(),
            _ => panic!("it is over"),
        };
        assert!(places <= 2, "{places} places");
        drop(leader);
    }

    #[test]
    fn a_follower_that_gives_up_leaves_no_waker() {
        let table = table();
        let leader = lead(&table, "key");
        let task = Arc::new(Task);
        let waker = Waker::from(Arc::clone(&task));
        let mut follower = Box::pin(follow(&table));
        assert!(follower.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop((follower, waker));
        assert_eq!(Arc::strong_count(&task), 1);
        complete(leader, 7);
    }

    #[test]
    fn a_completion_of_the_key_is_remembered_and_not_taken_for_one_of_another_key() {
        let table = table();
        let before = table.completions();
        complete(lead(&table, "key"), 1);
        assert!(lead(&table, "key").may_have_completed_since(before));
        assert!(!lead(&table, "key").may_have_completed_since(table.completions()));
        let before = table.completions();
        complete(lead(&table, "other"), 2);
        assert!(!lead(&table, "key").may_have_completed_since(before));
    }

    // S28
    #[test]
    fn an_operation_inside_of_a_flight_does_not_wait_for_it() {
        let table = table();
        let leader = lead(&table, "key");
        let inside = Scope::enter(leader.in_progress().unwrap());
        assert!(matches!(join::<Loading>(&table, "key"), Joined::Reentrant));
        drop(leads(join::<LookingUp>(&table, "key")));
        drop(inside);
        drop(follow(&table));
    }

    // S47
    #[test]
    fn a_flight_is_of_use_to_who_came_before_a_write_and_to_who_joins_a_flight_that_began_after_it() {
        let table = table();
        let early = table.lease("key");
        let leader = lead(&table, "key");
        write(&table);
        let late = table.lease("key");
        assert!(follows(table.join::<Loading>(&early, None)).is_usable);
        assert!(!follows(table.join::<Loading>(&late, None)).is_usable);
        drop(leader);
        // One that asked before the write may lead: its flight begins now.
        let leader = leads(table.join::<Loading>(&early, None));
        assert!(follows(table.join::<Loading>(&late, None)).is_usable);
        drop(leader);
    }

    // S47: a loader that begins during a write is not outdated by it.
    #[test]
    fn a_flight_that_begins_during_a_write_is_of_use_to_who_comes_during_it_and_after_it() {
        let table = table();
        let writing = table.begin_write(&Written::Key("key"), TierSet::first(2));
        let leader = lead(&table, "key");
        assert!(follow(&table).is_usable);
        drop(writing);
        assert!(follow(&table).is_usable);
        drop(leader);
    }

    // S30
    #[test]
    fn of_all_who_waited_too_long_the_first_leads_and_the_others_follow_that_one() {
        let table = table();
        let (asked, slow) = (table.lease("key"), lead(&table, "key"));
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let leader = leads(table.replace::<Loading>(&asked, first.flight, None));
        assert!(is_abandoned(second.as_mut()));
        let mut second = pin!(follows(table.replace::<Loading>(&asked, second.flight, None)));
        assert!(poll(second.as_mut()).is_pending());
        // The slow leader is done after all: its flight is no more, and the other one goes on.
        complete(slow, 1);
        assert!(poll(second.as_mut()).is_pending());
        complete(leader, 2);
        assert_eq!(number(second.as_mut()), Some(2));
        drop(asked);
        assert_eq!(table.keys(), 0);
    }

    // S59: otherwise writes that are more frequent than lookups take would keep a reader waiting for ever.
    #[test]
    fn a_lookup_that_is_replaced_still_serves_its_followers() {
        let table = table();
        let old = leads(join::<LookingUp>(&table, "key"));
        let mut early = pin!(follows(join::<LookingUp>(&table, "key")));
        assert!(poll(early.as_mut()).is_pending());
        write(&table);
        let (asked, late) = (table.lease("key"), follows(join::<LookingUp>(&table, "key")));
        assert!(!late.is_usable);
        let new = leads(table.replace::<LookingUp>(&asked, late.flight, None));
        let nothing = || LookupResult { found: None, failure: None, stale: Vec::new() };
        assert!(follows(join::<LookingUp>(&table, "key")).is_usable);
        old.complete(nothing);
        assert!(matches!(poll(early.as_mut()), Poll::Ready(Some(_))));
        new.complete(|| panic!("no one follows"));
        drop((asked, late));
        assert_eq!(table.keys(), 0);
    }

    #[test]
    fn what_is_published_reaches_those_who_come_before_the_leader_is_done_whatever_becomes_of_it() {
        let table = table();
        let (leader, mut early) = (lead(&table, "key"), pin!(follow(&table)));
        assert!(poll(early.as_mut()).is_pending());
        leader.publish(|| result(1));
        let mut late = pin!(follow(&table));
        assert_eq!(number(early.as_mut()), Some(1));
        let asked = table.lease("key");
        let next = leads(table.replace::<Loading>(&asked, late.flight, None));
        drop((leader, next));
        assert_eq!(number(late.as_mut()), Some(1));
    }
}
