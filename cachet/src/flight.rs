//! Single flight: one closure at a time per key, whose result reaches everybody who asked meanwhile.
//!
//! The first to miss a key is its *leader* and computes; whoever misses it while that goes on *follows*, and waits. A
//! leader that is dropped ends its flight: its followers wake up and ask again, and the first of them leads the next.
//!
//! The table holds a key only while somebody computes it. It finds flights by a hash that is taken once, when somebody
//! joins: ending one calls no code of the user's, so that nothing can keep it from ending.

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
use smallvec::SmallVec;

use crate::coherence::Ticket;
use crate::telemetry::{RequestId, SpanLink};
use crate::{CacheEntry, Error, Key};

/// Enough that flights of different keys rarely meet at one lock.
const SHARDS: usize = 32;
/// How many landings a shard remembers.
const REMEMBERED: usize = 16;

/// What a flight brings: the leader's own result.
#[derive(Clone)]
pub(crate) struct Landed<V> {
    pub(crate) result: Result<Option<CacheEntry<V>>, Error>,
    /// The leader computed nothing: another flight had landed in the meantime, and it found what that brought.
    pub(crate) found: bool,
}

pub(crate) struct Flights<Q, V> {
    hasher: RandomState,
    shards: [Mutex<Shard<Q, V>>; SHARDS],
    /// How many flights have brought a value.
    landings: AtomicU64,
}

struct Shard<Q, V> {
    /// By hash; two keys of the same hash are rare, but must not get each other's values.
    flights: HashMap<u64, SmallVec<[Flight<Q, V>; 1]>, RandomState>,
    /// The latest landings: their number, and the hash of their key.
    landed: [(u64, u64); REMEMBERED],
    next: usize,
}

struct Flight<Q, V> {
    key: Q,
    id: u64,
    leader: Option<Leader>,
    /// Which writes the leader knows of.
    stamp: Option<(u64, u64)>,
    /// Made when the first follower comes.
    shared: Option<Arc<Mutex<Waiting<V>>>>,
}

/// Who computes, in the eyes of telemetry.
#[derive(Clone)]
pub(crate) struct Leader {
    pub(crate) request_id: RequestId,
    pub(crate) span: SpanLink,
}

enum Waiting<V> {
    /// Those who wait, by the ids of their [`Follow`]s.
    Under(Vec<(u64, Waker)>),
    Landed(Landed<V>),
    Abandoned,
}

/// Somebody who missed a key, and what is to be done about it.
pub(crate) enum Joined<'f, K: Key + ?Sized, V: Clone> {
    Lead(Lead<'f, K, V>),
    Follow(Follow<V>),
    /// The one who computes this key is the one who asks.
    Reentrant,
}

thread_local! {
    /// The flights whose closures are being polled on this thread, outermost first.
    static COMPUTING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<Q, V> Flights<Q, V> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard { flights: HashMap::default(), landed: [(0, 0); REMEMBERED], next: 0 })
            }),
            landings: AtomicU64::new(0),
        }
    }

    /// The number of the latest landing, for [`Lead::may_have_landed`].
    #[inline]
    pub(crate) fn landings(&self) -> u64 {
        self.landings.load(Ordering::Acquire)
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<Q, V>> {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is what is wanted")]
        let shard = (hash >> 32) as usize % SHARDS;
        lock(&self.shards[shard])
    }

    /// Leads the flight of a key, or follows who does. `ticket` tells which writes the one who joins knows of.
    pub(crate) fn join<'f, K>(&'f self, key: &'f K, ticket: &Ticket<'_>, me: Option<Leader>) -> Joined<'f, K, V>
    where
        K: Key + ToOwned<Owned = Q> + ?Sized,
        Q: std::borrow::Borrow<K>,
        V: Clone,
    {
        let (hash, id, stamp) = (self.hasher.hash_one(key), next_id(), ticket.stamp());
        let mut shard = self.shard(hash);
        let flights = shard.flights.entry(hash).or_default();
        let Some(flight) = flights.iter_mut().find(|flight| flight.key.borrow() == key) else {
            flights.push(Flight { key: key.to_owned(), id, leader: me, stamp, shared: None });
            return Joined::Lead(Lead { flights: self, hash, id });
        };
        if COMPUTING.with_borrow(|computing| computing.contains(&flight.id)) {
            return Joined::Reentrant;
        }
        let shared = flight.shared.get_or_insert_with(|| Arc::new(Mutex::new(Waiting::Under(Vec::new()))));
        Joined::Follow(Follow {
            id,
            shared: Arc::clone(shared),
            leader: flight.leader.clone(),
            outdated: stamp.is_none() || stamp != flight.stamp,
        })
    }
}

impl<Q, V> Shard<Q, V> {
    /// Takes a flight out, and says who waits for it.
    fn end(&mut self, hash: u64, id: u64) -> Option<Arc<Mutex<Waiting<V>>>> {
        let flights = self.flights.get_mut(&hash)?;
        let place = flights.iter().position(|flight| flight.id == id)?;
        let flight = flights.swap_remove(place);
        if flights.is_empty() {
            self.flights.remove(&hash);
        }
        flight.shared
    }
}

/// Tells those who wait how it ended.
fn tell<V>(shared: Option<Arc<Mutex<Waiting<V>>>>, end: Waiting<V>) {
    if let Some(shared) = shared
        && let Waiting::Under(wakers) = std::mem::replace(&mut *lock(&shared), end)
    {
        for (_, waker) in wakers {
            waker.wake();
        }
    }
}

/// The duty to compute. Dropped before it has landed, it is left to the followers.
pub(crate) struct Lead<'f, K: Key + ?Sized, V: Clone> {
    flights: &'f Flights<K::Owned, V>,
    hash: u64,
    id: u64,
}

impl<K: Key + ?Sized, V: Clone> Lead<'_, K, V> {
    /// Whether a flight of this key may have brought a value since the landing of this number, which a lookup before
    /// then missed.
    pub(crate) fn may_have_landed(&self, since: u64) -> bool {
        if self.flights.landings() == since {
            return false;
        }
        let shard = self.flights.shard(self.hash);
        let mut later = shard.landed.iter().filter(|(number, _)| *number > since);
        // With more landings than are remembered, nobody knows.
        later.clone().count() == REMEMBERED || later.any(|(_, hash)| *hash == self.hash)
    }

    /// Marks what is computed in this future as computed by this leader, so that it is recognized when it asks for its
    /// own key.
    pub(crate) fn compute<F: Future>(&self, future: F) -> Computing<F> {
        Computing { future, id: self.id }
    }

    /// Ends the flight: the result reaches all followers.
    pub(crate) fn land(self, landed: &Landed<V>) {
        // First of all: should the value's `clone` panic, the flight is abandoned.
        let landed = landed.clone();
        let mut shard = self.flights.shard(self.hash);
        if matches!(landed.result, Ok(Some(_))) {
            let number = self.flights.landings.fetch_add(1, Ordering::AcqRel) + 1;
            let place = shard.next;
            shard.landed[place] = (number, self.hash);
            shard.next = (place + 1) % REMEMBERED;
        }
        let shared = shard.end(self.hash, self.id);
        drop(shard);
        tell(shared, Waiting::Landed(landed));
    }
}

impl<K: Key + ?Sized, V: Clone> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        // Nothing is left to end if it has landed.
        let shared = self.flights.shard(self.hash).end(self.hash, self.id);
        tell(shared, Waiting::Abandoned);
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
pub(crate) struct Follow<V> {
    id: u64,
    shared: Arc<Mutex<Waiting<V>>>,
    pub(crate) leader: Option<Leader>,
    /// There has been a write since the leader began: what it brings is too old for the one who follows.
    pub(crate) outdated: bool,
}

impl<V: Clone> Future for Follow<V> {
    type Output = Option<Landed<V>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *lock(&self.shared) {
            Waiting::Landed(landed) => Poll::Ready(Some(landed.clone())),
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::coherence::Coherence;

    type Table = Flights<String, u32>;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn join(table: &Table) -> Joined<'_, str, u32> {
        let coherence = Coherence::new();
        let ticket = coherence.ticket("key");
        table.join("key", &ticket, None)
    }

    fn lead(table: &Table) -> Lead<'_, str, u32> {
        match join(table) {
            Joined::Lead(lead) => lead,
            _ => panic!("somebody else leads"),
        }
    }

    fn follow(table: &Table) -> Follow<u32> {
        match join(table) {
            Joined::Follow(follow) => follow,
            _ => panic!("nobody leads"),
        }
    }

    fn flights(table: &Table) -> usize {
        table.shards.iter().map(|shard| shard.lock().unwrap().flights.len()).sum()
    }

    fn value(number: u32) -> Landed<u32> {
        Landed { result: Ok(Some(CacheEntry::new(number))), found: false }
    }

    fn number(follower: Pin<&mut Follow<u32>>) -> Option<u32> {
        match poll(follower) {
            Poll::Ready(Some(landed)) => landed.result.unwrap().map(CacheEntry::into_value),
            _ => None,
        }
    }

    #[test]
    fn followers_get_what_the_leader_brings_and_nothing_is_left() {
        let table = Table::new();
        let leader = lead(&table);
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending());
        leader.land(&value(7));
        assert_eq!((number(first.as_mut()), number(second.as_mut())), (Some(7), Some(7)));
        assert_eq!(flights(&table), 0);
    }

    #[test]
    fn when_the_leader_is_dropped_its_followers_ask_again_and_one_leads() {
        let table = Table::new();
        let leader = lead(&table);
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(leader);
        assert!(matches!(poll(first.as_mut()), Poll::Ready(None)));
        let leader = lead(&table);
        assert!(matches!(poll(second.as_mut()), Poll::Ready(None)));
        let mut second = pin!(follow(&table));
        leader.land(&value(8));
        assert_eq!(number(second.as_mut()), Some(8));
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
    fn a_landing_of_the_key_is_remembered_and_one_of_another_key_is_not_taken_for_it() {
        let table = Table::new();
        let before = table.landings();
        lead(&table).land(&value(1));
        assert!(lead(&table).may_have_landed(before));
        assert!(!lead(&table).may_have_landed(table.landings()));
        let before = table.landings();
        let coherence = Coherence::new();
        let ticket = coherence.ticket("other");
        let Joined::Lead(other) = table.join("other", &ticket, None) else { panic!("somebody else leads") };
        other.land(&value(2));
        assert!(!lead(&table).may_have_landed(before));
    }

    #[test]
    fn a_leader_that_asks_for_its_own_key_is_recognized_only_while_it_computes() {
        let table = Table::new();
        let leader = lead(&table);
        let mut computing = pin!(leader.compute(async { matches!(join(&table), Joined::Reentrant) }));
        assert_eq!(poll(computing.as_mut()), Poll::Ready(true));
        assert!(matches!(join(&table), Joined::Follow(_)));
    }
}
