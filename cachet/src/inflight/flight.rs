//! Single flight: one closure at a time per key, whose result reaches everybody who asked meanwhile.
//!
//! The first to miss a key *leads* and computes; whoever misses it while that goes on *follows*, and waits. A leader that
//! is dropped ends its flight: its followers wake up and ask again, and the first of them leads the next.
//!
//! Leading is a duty that goes with a [`Lease`]: given back before it has completed, it is left to the followers.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::{InFlight, KeyState, Lease, ShardState};
use crate::bounds::Key;
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::sync::{Arc, Mutex, MutexGuard, Ordering, lock, thread_local};
use crate::telemetry::{Leader, OperationOutcome};

/// How many completions a shard remembers.
const REMEMBERED: usize = 16;

/// What a flight brings: the leader's own result.
#[derive(Clone)]
pub(crate) struct FlightResult<V> {
    pub(crate) result: Result<Option<CacheEntry<V>>, Error>,
    /// Set if the leader computed nothing: another flight had completed in the meantime, and this is how the lookup ended
    /// that found what that brought.
    pub(crate) found: Option<OperationOutcome>,
}

pub(super) struct Flight<Q, V> {
    /// Two keys of the same hash are rare, but must not get each other's values.
    key: Q,
    leader: Option<Leader>,
    /// Which writes the leader knows of.
    stamp: Option<(u64, u64)>,
    /// Made when the first follower comes.
    shared: Option<Arc<Mutex<Waiting<V>>>>,
}

/// The latest completions in a shard: their number, and the hash of their key.
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

    /// Whether the hash is among the completions after that of this number. With more than are remembered, nobody knows.
    fn may_have(&self, hash: u64, since: u64) -> bool {
        let mut later = self.latest.iter().filter(|(number, _)| *number > since);
        later.clone().count() == REMEMBERED || later.any(|(_, completed)| *completed == hash)
    }
}

enum Waiting<V> {
    /// Those who wait, by the ids of their [`Follow`]s.
    Under(Vec<(u64, Waker)>),
    Completed(FlightResult<V>),
    Abandoned,
}

/// What somebody who missed a key is to do.
pub(crate) enum Joined<V> {
    /// Compute it, and [complete](Lease::complete).
    Lead,
    Follow(Follow<V>),
    /// Nothing: the one who computes this key is the one who asks.
    Reentrant,
}

thread_local! {
    /// The flights whose closures are being polled on this thread, outermost first: their table, and the key's hash in it.
    static CURRENT_FLIGHTS: RefCell<Vec<(usize, u64)>> = const { RefCell::new(Vec::new()) };
}

impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// The number of the latest completion, for [`Lease::may_have_completed_since`].
    #[inline]
    pub(crate) fn completions(&self) -> u64 {
        self.completions.load(Ordering::Acquire)
    }

    /// Takes a lease and joins the flight of its key, in one step, for somebody whom telemetry does not know.
    pub(crate) fn join(&self, key: &K) -> (Lease<'_, K, V>, Joined<V>) {
        let hash = self.hash(key);
        self.leases.fetch_add(1, Ordering::SeqCst);
        // Declared before the lock, so dropped after it: should the key's `clone` panic, the lease is given back.
        let mut lease;
        let joined = {
            let mut shard = self.lock_shard(hash);
            let state = shard.key_state(hash);
            lease = self.lease_for(state, hash);
            lease.join_in(state, key, None)
        };
        (lease, joined)
    }
}

impl<K: Key + ?Sized, V> Lease<'_, K, V> {
    /// Leads the flight of a key, or follows who does.
    pub(crate) fn join(&mut self, key: &K, me: Option<Leader>) -> Joined<V> {
        let in_flight = self.in_flight;
        let mut shard = in_flight.lock_shard(self.hash);
        self.join_in(shard.key_state(self.hash), key, me)
    }

    fn join_in(&mut self, state: &mut KeyState<K::Owned, V>, key: &K, me: Option<Leader>) -> Joined<V> {
        let stamp = self.stamp();
        let flight = &mut state.flight;
        match flight {
            None => {
                *flight = Some(Flight { key: key.to_owned(), leader: me, stamp, shared: None });
                self.leads = true;
                Joined::Lead
            }
            // Not this key's, though it has the same hash: whoever asks for this one computes it alone.
            Some(flight) if flight.key.borrow() != key => Joined::Lead,
            Some(_) if CURRENT_FLIGHTS.with(|computing| computing.borrow().contains(&self.place())) => {
                Joined::Reentrant
            }
            Some(flight) => {
                let shared = flight.shared.get_or_insert_with(|| Arc::new(Mutex::new(Waiting::Under(Vec::new()))));
                Joined::Follow(Follow {
                    id: next_id(),
                    shared: Arc::clone(shared),
                    leader: flight.leader.clone(),
                    superseded: stamp.is_none() || stamp != flight.stamp,
                })
            }
        }
    }

    /// Where in which table.
    fn place(&self) -> (usize, u64) {
        (std::ptr::from_ref(self.in_flight).addr(), self.hash)
    }

    /// Whether a flight of this key may have brought a value since the completion of this number, which a lookup before
    /// then missed.
    pub(crate) fn may_have_completed_since(&self, since: u64) -> bool {
        self.in_flight.completions() != since
            && self.in_flight.lock_shard(self.hash).completions.may_have(self.hash, since)
    }

    /// Marks what is computed in this future as computed by this leader, so that it is recognized when it asks for its
    /// own key.
    pub(crate) fn compute<F: Future>(&self, future: F) -> WithFlight<F> {
        WithFlight { future, flight: self.flight() }
    }

    /// The flight that this lease leads, for [`WithFlight`].
    pub(crate) fn flight(&self) -> Option<(usize, u64)> {
        self.leads.then(|| self.place())
    }

    /// Ends the flight, if this lease leads it: the result reaches all followers.
    pub(crate) fn complete(self, result: &Result<Option<CacheEntry<V>>, Error>, found: Option<OperationOutcome>)
    where
        V: Clone,
    {
        self.commit_and_complete(|| (), result, found);
    }

    /// [Redeems](Self::commit) the lease and [lands](Self::complete), in one step.
    pub(crate) fn commit_and_complete(
        mut self,
        store: impl FnOnce(),
        result: &Result<Option<CacheEntry<V>>, Error>,
        found: Option<OperationOutcome>,
    ) where
        V: Clone,
    {
        let in_flight = self.in_flight;
        let mut shard = in_flight.lock_shard(self.hash);
        let mut end = Waiting::Abandoned;
        let (is_valid, has_followers) = shard.keys.get(&self.hash).map_or((false, false), |state| {
            let followed = || state.flight.as_ref().is_some_and(|flight| flight.shared.is_some());
            (self.is_valid_for(state), self.leads && followed())
        });
        if is_valid {
            store();
        }
        if has_followers {
            // A value's `clone` may do anything, so not under the lock. Should it panic, the flight is abandoned.
            drop(shard);
            end = Waiting::Completed(FlightResult { result: result.clone(), found });
            shard = in_flight.lock_shard(self.hash);
        }
        if self.leads && matches!(result, Ok(Some(_))) {
            let number = in_flight.completions.fetch_add(1, Ordering::AcqRel) + 1;
            shard.completions.record(number, self.hash);
        }
        self.leave(shard, end);
    }

    /// Gives the lease back, and ends the flight that it may lead without a result.
    pub(super) fn give_back(&mut self) {
        if !self.into_output {
            let in_flight = self.in_flight;
            self.leave(in_flight.lock_shard(self.hash), Waiting::Abandoned);
        }
    }

    fn leave(&mut self, mut shard: MutexGuard<'_, ShardState<K::Owned, V>>, end: Waiting<V>) {
        self.into_output = true;
        let flight = shard.leave(self.hash, |state| {
            state.leases -= 1;
            state.flight.take_if(|_| self.leads)
        });
        drop(shard);
        self.in_flight.leases.fetch_sub(1, Ordering::SeqCst);
        let shared = flight.and_then(|flight| flight.shared);
        // Not under the lock: a waker may do anything.
        let left = shared.map(|shared| mem::replace(&mut *lock(&shared), end));
        if let Some(Waiting::Under(wakers)) = left {
            for (_, waker) in wakers {
                waker.wake();
            }
        }
    }
}

pin_project! {
    /// A closure's future, known to be its flight's while it is polled.
    pub(crate) struct WithFlight<F> {
        #[pin]
        future: F,
        flight: Option<(usize, u64)>,
    }
}

impl<F: Future> Future for WithFlight<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = this.flight.map(Scope::enter);
        this.future.poll(cx)
    }
}

/// A flight's closure is being polled.
pub(crate) struct Scope;

impl Scope {
    pub(crate) fn enter(flight: (usize, u64)) -> Self {
        CURRENT_FLIGHTS.with(|computing| computing.borrow_mut().push(flight));
        Self
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT_FLIGHTS.with(|computing| computing.borrow_mut().pop());
    }
}

/// Waits for what the leader brings; `None` if the leader gave up, and somebody else has to lead.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Follow<V> {
    id: u64,
    shared: Arc<Mutex<Waiting<V>>>,
    pub(crate) leader: Option<Leader>,
    /// There has been a write since the leader began: what it brings is too old for the one who follows.
    pub(crate) superseded: bool,
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<V: Clone> Future for Follow<V> {
    type Output = Option<FlightResult<V>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *lock(&self.shared) {
            Waiting::Completed(completed) => Poll::Ready(Some(completed.clone())),
            Waiting::Abandoned => Poll::Ready(None),
            Waiting::Under(wakers) => {
                match wakers.iter_mut().find(|(id, _)| *id == self.id) {
                    Some((_, waker)) => waker.clone_from(cx.waker()),
                    None => wakers.push((self.id, cx.waker().clone())),
                }
                Poll::Pending
            }
        }
    }
}

impl<V> Drop for Follow<V> {
    fn drop(&mut self) {
        if let Waiting::Under(wakers) = &mut *lock(&self.shared) {
            wakers.retain(|(id, _)| *id != self.id);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::task::Wake;

    use super::*;

    type Table = InFlight<str, u32>;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn lead<'t>(table: &'t Table, key: &str) -> Lease<'t, str, u32> {
        match table.join(key) {
            (lease, Joined::Lead) => lease,
            _ => panic!("somebody else leads"),
        }
    }

    fn follow(table: &Table) -> Follow<u32> {
        match table.join("key").1 {
            Joined::Follow(follow) => follow,
            _ => panic!("nobody leads"),
        }
    }

    fn complete(lease: Lease<'_, str, u32>, number: u32) {
        lease.complete(&Ok(Some(CacheEntry::new(number))), None);
    }

    fn number(follower: Pin<&mut Follow<u32>>) -> Option<u32> {
        match poll(follower) {
            Poll::Ready(Some(completed)) => completed.result.unwrap().map(CacheEntry::into_value),
            _ => None,
        }
    }

    #[test]
    fn followers_get_what_the_leader_brings_and_nothing_is_left() {
        let table = Table::new();
        let leader = lead(&table, "key");
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending());
        complete(leader, 7);
        assert_eq!((number(first.as_mut()), number(second.as_mut())), (Some(7), Some(7)));
        assert_eq!(table.keys(), 0);
    }

    #[test]
    fn when_the_leader_is_dropped_its_followers_ask_again_and_one_leads() {
        let table = Table::new();
        let leader = lead(&table, "key");
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(leader);
        assert!(matches!(poll(first.as_mut()), Poll::Ready(None)));
        let leader = lead(&table, "key");
        assert!(matches!(poll(second.as_mut()), Poll::Ready(None)));
        let mut second = pin!(follow(&table));
        complete(leader, 8);
        assert_eq!(number(second.as_mut()), Some(8));
        assert_eq!(table.keys(), 0);
    }

    #[test]
    fn the_table_is_empty_when_leader_and_followers_are_dropped_in_any_order() {
        for leader_first in [true, false] {
            let table = Table::new();
            let leader = lead(&table, "key");
            let follower = follow(&table);
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

    #[test]
    fn a_follower_that_gives_up_leaves_nothing_behind() {
        struct Task;

        impl Wake for Task {
            fn wake(self: Arc<Self>) {}
        }

        let table = Table::new();
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
    fn a_completion_of_the_key_is_remembered_and_one_of_another_key_is_not_taken_for_it() {
        let table = Table::new();
        let before = table.completions();
        complete(lead(&table, "key"), 1);
        assert!(lead(&table, "key").may_have_completed_since(before));
        assert!(!lead(&table, "key").may_have_completed_since(table.completions()));
        let before = table.completions();
        let other = lead(&table, "other");
        complete(other, 2);
        assert!(!lead(&table, "key").may_have_completed_since(before));
    }

    #[test]
    fn a_leader_that_asks_for_its_own_key_is_recognized_only_while_it_computes() {
        let table = Table::new();
        let leader = lead(&table, "key");
        let mut computing = pin!(leader.compute(async { matches!(table.join("key").1, Joined::Reentrant) }));
        assert_eq!(poll(computing.as_mut()), Poll::Ready(true));
        assert!(matches!(table.join("key").1, Joined::Follow(_)));
    }
}
