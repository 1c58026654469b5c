//! Single flight: one closure at a time per key, whose result reaches everybody who asked meanwhile.
//!
//! The first to miss a key is its *leader* and computes; whoever misses it while that goes on *follows*, and waits. A
//! leader that is dropped leaves the flight to its followers: all wake up, the first to ask again leads.
//!
//! The table holds a key only while somebody computes it or waits for it.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;
use pin_project_lite::pin_project;

use crate::telemetry::{RequestId, SpanLink};
use crate::{CacheEntry, Error, Key};

/// Enough that flights of different keys rarely meet at one lock.
const SHARDS: usize = 32;

/// What a flight brings: the leader's own result.
pub(crate) type Landed<V> = Result<Option<CacheEntry<V>>, Error>;

pub(crate) struct Flights<Q, V> {
    hasher: RandomState,
    shards: [Mutex<HashMap<Q, Flight<V>, RandomState>>; SHARDS],
    /// How many flights have landed: what a lookup did not find may be there since the last one.
    landings: AtomicU64,
}

struct Flight<V> {
    id: u64,
    /// Whether somebody is computing at this moment.
    led: bool,
    leader: Option<Leader>,
    followers: usize,
    /// Made when the first follower comes.
    shared: Option<Arc<Mutex<Waiting<V>>>>,
}

/// Who computes, in the eyes of telemetry.
#[derive(Clone)]
pub(crate) struct Leader {
    pub(crate) request_id: RequestId,
    pub(crate) span: SpanLink,
}

struct Waiting<V> {
    landed: Option<Landed<V>>,
    abandoned: bool,
    wakers: Vec<Option<Waker>>,
}

/// Somebody who missed a key, and what is to be done about it.
pub(crate) enum Joined<'f, K: Key + ?Sized, V: Clone> {
    Lead(Lead<'f, K, V>),
    Follow(Follow<'f, K, V>),
    /// The one who computes this key is the one who asks.
    Reentrant,
}

thread_local! {
    /// The flights whose closures are being polled on this thread, outermost first.
    static COMPUTING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl<Q, V> Flights<Q, V> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            landings: AtomicU64::new(0),
        }
    }

    /// A number that changes with every landing.
    #[inline]
    pub(crate) fn landings(&self) -> u64 {
        self.landings.load(Ordering::Acquire)
    }

    fn shard<K: Key + ?Sized>(&self, key: &K) -> MutexGuard<'_, HashMap<Q, Flight<V>, RandomState>> {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is what is wanted")]
        let shard = (self.hasher.hash_one(key) >> 32) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join<'f, K>(&'f self, key: &'f K, me: Option<Leader>) -> Joined<'f, K, V>
    where
        K: Key + ToOwned<Owned = Q> + ?Sized,
        Q: Borrow<K> + std::hash::Hash + Eq,
        V: Clone,
    {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        // Made only for who leads: dropping one abandons the flight.
        let lead = || Joined::Lead(Lead { flights: self, key, id, landed: false });
        let mut shard = self.shard(key);
        let Some(flight) = shard.get_mut(key) else {
            shard.insert(key.to_owned(), Flight { id, led: true, leader: me, followers: 0, shared: None });
            return lead();
        };
        if !flight.led {
            (flight.id, flight.led, flight.leader) = (id, true, me);
            if let Some(shared) = &flight.shared {
                lock(shared).abandoned = false;
            }
            return lead();
        }
        if COMPUTING.with_borrow(|computing| computing.contains(&flight.id)) {
            return Joined::Reentrant;
        }
        flight.followers += 1;
        let shared = flight.shared.get_or_insert_with(|| {
            Arc::new(Mutex::new(Waiting { landed: None, abandoned: false, wakers: Vec::new() }))
        });
        let (shared, leader) = (Arc::clone(shared), flight.leader.clone());
        Joined::Follow(Follow { flights: self, key, shared, leader, waker: None })
    }
}

fn lock<V>(shared: &Mutex<Waiting<V>>) -> MutexGuard<'_, Waiting<V>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V> Waiting<V> {
    fn wakers(&mut self) -> Vec<Waker> {
        self.wakers.iter_mut().filter_map(Option::take).collect()
    }
}

/// The duty to compute. Dropped before it has landed, it is left to the followers.
pub(crate) struct Lead<'f, K: Key + ?Sized, V: Clone> {
    flights: &'f Flights<K::Owned, V>,
    key: &'f K,
    id: u64,
    landed: bool,
}

impl<K: Key + ?Sized, V: Clone> Lead<'_, K, V> {
    /// Marks what is computed in this future as computed by this leader, so that it is recognized when it asks for its
    /// own key.
    pub(crate) fn compute<F: Future>(&self, future: F) -> Computing<F> {
        Computing { future, id: self.id }
    }

    /// Ends the flight: the result reaches all followers.
    pub(crate) fn land(mut self, landed: &Landed<V>) {
        self.landed = true;
        self.flights.landings.fetch_add(1, Ordering::AcqRel);
        let flight = self.flights.shard(self.key).remove(self.key);
        if let Some(shared) = flight.and_then(|flight| flight.shared) {
            let wakers = {
                let mut waiting = lock(&shared);
                waiting.landed = Some(landed.clone());
                waiting.wakers()
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl<K: Key + ?Sized, V: Clone> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        let mut shard = self.flights.shard(self.key);
        let Some(flight) = shard.get_mut(self.key) else { return };
        flight.led = false;
        let wakers = match &flight.shared {
            Some(shared) if flight.followers > 0 => {
                let mut waiting = lock(shared);
                waiting.abandoned = true;
                waiting.wakers()
            }
            _ => {
                shard.remove(self.key);
                Vec::new()
            }
        };
        drop(shard);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<K: Key + ?Sized, V: Clone> fmt::Debug for Lead<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").field("id", &self.id).finish_non_exhaustive()
    }
}

pin_project! {
    /// A closure's future, known to be its flight's while it is polled.
    pub(crate) struct Computing<F> {
        #[pin]
        future: F,
        id: u64,
    }
}

impl<F: Future> Future for Computing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        struct Scope;
        impl Drop for Scope {
            fn drop(&mut self) {
                COMPUTING.with_borrow_mut(Vec::pop);
            }
        }
        let this = self.project();
        COMPUTING.with_borrow_mut(|computing| computing.push(*this.id));
        let _scope = Scope;
        this.future.poll(cx)
    }
}

/// Waits for what the leader brings; `None` if the leader gave up, and somebody else has to lead.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Follow<'f, K: Key + ?Sized, V: Clone> {
    flights: &'f Flights<K::Owned, V>,
    key: &'f K,
    shared: Arc<Mutex<Waiting<V>>>,
    pub(crate) leader: Option<Leader>,
    /// Where its waker is.
    waker: Option<usize>,
}

impl<K: Key + ?Sized, V: Clone> Future for Follow<'_, K, V> {
    type Output = Option<Landed<V>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut waiting = lock(&this.shared);
        if let Some(landed) = &waiting.landed {
            return Poll::Ready(Some(landed.clone()));
        }
        if waiting.abandoned {
            return Poll::Ready(None);
        }
        let waker = cx.waker().clone();
        if let Some(place) = this.waker {
            waiting.wakers[place] = Some(waker);
        } else {
            this.waker = Some(waiting.wakers.len());
            waiting.wakers.push(Some(waker));
        }
        Poll::Pending
    }
}

impl<K: Key + ?Sized, V: Clone> Drop for Follow<'_, K, V> {
    fn drop(&mut self) {
        if let Some(place) = self.waker {
            lock(&self.shared).wakers[place] = None;
        }
        let mut shard = self.flights.shard(self.key);
        // The flight may have landed since, and another one of the same key begun.
        let flight = shard.get_mut(self.key);
        let mine = flight.filter(|flight| flight.shared.as_ref().is_some_and(|it| Arc::ptr_eq(it, &self.shared)));
        if let Some(flight) = mine {
            flight.followers -= 1;
            if flight.followers == 0 && !flight.led {
                shard.remove(self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    type Table = Flights<String, u32>;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn lead(table: &Table) -> Lead<'_, str, u32> {
        match table.join("key", None) {
            Joined::Lead(lead) => lead,
            _ => panic!("somebody else leads"),
        }
    }

    fn follow(table: &Table) -> Follow<'_, str, u32> {
        match table.join("key", None) {
            Joined::Follow(follow) => follow,
            _ => panic!("nobody leads"),
        }
    }

    fn flights(table: &Table) -> usize {
        table.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    fn value(number: u32) -> Landed<u32> {
        Ok(Some(CacheEntry::new(number)))
    }

    fn number(landed: Landed<u32>) -> Option<u32> {
        landed.unwrap().map(CacheEntry::into_value)
    }

    #[test]
    fn followers_get_what_the_leader_brings_and_nothing_is_left() {
        let table = Table::new();
        let leader = lead(&table);
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending());
        leader.land(&value(7));
        for follower in [first.as_mut(), second.as_mut()] {
            let Poll::Ready(Some(landed)) = poll(follower) else { panic!("nothing landed") };
            assert_eq!(number(landed), Some(7));
        }
        assert_eq!(flights(&table), 0);
    }

    #[test]
    fn one_follower_takes_over_when_the_leader_is_dropped() {
        let table = Table::new();
        let leader = lead(&table);
        let (mut first, mut second) = (Box::pin(follow(&table)), Box::pin(follow(&table)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(leader);
        assert!(matches!(poll(first.as_mut()), Poll::Ready(None)));
        let leader = lead(&table);
        drop(first);
        // The other one did not hear of it in time, and goes on waiting.
        assert!(poll(second.as_mut()).is_pending());
        leader.land(&value(8));
        let Poll::Ready(Some(landed)) = poll(second.as_mut()) else { panic!("nothing landed") };
        assert_eq!(number(landed), Some(8));
        drop(second);
        assert_eq!(flights(&table), 0);
    }

    #[test]
    fn the_table_is_empty_when_leader_and_followers_are_dropped_in_any_order() {
        for leader_first in [true, false] {
            let table = Table::new();
            let leader = lead(&table);
            let follower = follow(&table);
            if leader_first {
                drop(leader);
                drop(follower);
            } else {
                drop(follower);
                drop(leader);
            }
            assert_eq!(flights(&table), 0);
        }
    }

    #[test]
    fn a_late_follower_of_a_landed_flight_does_not_disturb_the_next_one() {
        let table = Table::new();
        let leader = lead(&table);
        let late = follow(&table);
        leader.land(&value(1));
        let next = lead(&table);
        let follower = follow(&table);
        drop(late);
        drop(next);
        assert_eq!(flights(&table), 1);
        drop(follower);
        assert_eq!(flights(&table), 0);
    }

    #[test]
    fn a_leader_that_asks_for_its_own_key_is_recognized_only_while_it_computes() {
        let table = Table::new();
        let leader = lead(&table);
        let mut computing =
            pin!(leader.compute(async { matches!(table.join("key", None), Joined::<str, u32>::Reentrant) }));
        assert_eq!(poll(computing.as_mut()), Poll::Ready(true));
        assert!(matches!(table.join("key", None), Joined::<str, u32>::Follow(_)));
    }
}
