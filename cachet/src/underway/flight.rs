//! Single flight: one closure at a time per key, whose result reaches everybody who asked meanwhile.
//!
//! The first to miss a key *leads* and computes; whoever misses it while that goes on *follows*, and waits. A leader that
//! is dropped ends its flight: its followers wake up and ask again, and the first of them leads the next.
//!
//! Leading is a duty that goes with a [`Ticket`]: given back before it has landed, it is left to the followers.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::{Shard, Slot, Ticket, UnderWay};
use crate::sync::{Arc, Mutex, MutexGuard, Ordering, lock, thread_local};
use crate::telemetry::{OperationOutcome, RequestId, SpanLink};
use crate::{CacheEntry, Error, Key};

/// How many landings a shard remembers.
const REMEMBERED: usize = 16;

/// What a flight brings: the leader's own result.
#[derive(Clone)]
pub(crate) struct Landed<V> {
    pub(crate) result: Result<Option<CacheEntry<V>>, Error>,
    /// Set if the leader computed nothing: another flight had landed in the meantime, and this is how the lookup ended
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

/// The latest landings in a shard: their number, and the hash of their key.
#[derive(Default)]
pub(super) struct Landings {
    latest: [(u64, u64); REMEMBERED],
    next: usize,
}

impl Landings {
    fn note(&mut self, number: u64, hash: u64) {
        self.latest[self.next] = (number, hash);
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// Whether the hash is among the landings after that of this number. With more than are remembered, nobody knows.
    fn may_have(&self, hash: u64, since: u64) -> bool {
        let mut later = self.latest.iter().filter(|(number, _)| *number > since);
        later.clone().count() == REMEMBERED || later.any(|(_, landed)| *landed == hash)
    }
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

/// What somebody who missed a key is to do.
pub(crate) enum Joined<V> {
    /// Compute it, and [land](Ticket::land).
    Lead,
    Follow(Follow<V>),
    /// Nothing: the one who computes this key is the one who asks.
    Reentrant,
}

thread_local! {
    /// The flights whose closures are being polled on this thread, outermost first: their table, and the key's hash in it.
    static COMPUTING: RefCell<Vec<(usize, u64)>> = const { RefCell::new(Vec::new()) };
}

impl<K: Key + ?Sized, V> UnderWay<K, V> {
    /// The number of the latest landing, for [`Ticket::may_have_landed`].
    #[inline]
    pub(crate) fn landings(&self) -> u64 {
        self.landings.load(Ordering::Acquire)
    }

    /// Takes a ticket and joins the flight of its key, in one step, for somebody whom telemetry does not know.
    pub(crate) fn join(&self, key: &K) -> (Ticket<'_, K, V>, Joined<V>) {
        let hash = self.hash(key);
        self.tickets.fetch_add(1, Ordering::SeqCst);
        // Declared before the lock, so dropped after it: should the key's `clone` panic, the ticket is given back.
        let mut ticket;
        let joined = {
            let mut shard = self.shard(hash);
            let slot = shard.slot(hash);
            ticket = self.ticket_for(slot, hash);
            ticket.join_in(slot, key, None)
        };
        (ticket, joined)
    }
}

impl<K: Key + ?Sized, V> Ticket<'_, K, V> {
    /// Leads the flight of a key, or follows who does.
    pub(crate) fn join(&mut self, key: &K, me: Option<Leader>) -> Joined<V> {
        let under_way = self.under_way;
        let mut shard = under_way.shard(self.hash);
        self.join_in(shard.slot(self.hash), key, me)
    }

    fn join_in(&mut self, slot: &mut Slot<K::Owned, V>, key: &K, me: Option<Leader>) -> Joined<V> {
        let stamp = self.stamp();
        let flight = &mut slot.flight;
        match flight {
            None => {
                *flight = Some(Flight { key: key.to_owned(), leader: me, stamp, shared: None });
                self.leads = true;
                Joined::Lead
            }
            // Not this key's, though it has the same hash: whoever asks for this one computes it alone.
            Some(flight) if flight.key.borrow() != key => Joined::Lead,
            Some(_) if COMPUTING.with(|computing| computing.borrow().contains(&self.place())) => Joined::Reentrant,
            Some(flight) => {
                let shared = flight.shared.get_or_insert_with(|| Arc::new(Mutex::new(Waiting::Under(Vec::new()))));
                Joined::Follow(Follow {
                    id: next_id(),
                    shared: Arc::clone(shared),
                    leader: flight.leader.clone(),
                    outdated: stamp.is_none() || stamp != flight.stamp,
                })
            }
        }
    }

    /// Where in which table.
    fn place(&self) -> (usize, u64) {
        (std::ptr::from_ref(self.under_way).addr(), self.hash)
    }

    /// Whether a flight of this key may have brought a value since the landing of this number, which a lookup before
    /// then missed.
    pub(crate) fn may_have_landed(&self, since: u64) -> bool {
        self.under_way.landings() != since && self.under_way.shard(self.hash).landings.may_have(self.hash, since)
    }

    /// Marks what is computed in this future as computed by this leader, so that it is recognized when it asks for its
    /// own key.
    pub(crate) fn compute<F: Future>(&self, future: F) -> Computing<F> {
        Computing { future, flight: self.flight() }
    }

    /// The flight that this ticket leads, for [`Computing`].
    pub(crate) fn flight(&self) -> Option<(usize, u64)> {
        self.leads.then(|| self.place())
    }

    /// Ends the flight, if this ticket leads it: the result reaches all followers.
    pub(crate) fn land(self, result: &Result<Option<CacheEntry<V>>, Error>, found: Option<OperationOutcome>)
    where
        V: Clone,
    {
        self.store_and_land(|| (), result, found);
    }

    /// [Redeems](Self::redeem) the ticket and [lands](Self::land), in one step.
    pub(crate) fn store_and_land(
        mut self,
        store: impl FnOnce(),
        result: &Result<Option<CacheEntry<V>>, Error>,
        found: Option<OperationOutcome>,
    ) where
        V: Clone,
    {
        let under_way = self.under_way;
        let mut shard = under_way.shard(self.hash);
        let mut end = Waiting::Abandoned;
        let (is_current, has_followers) = shard.slots.get(&self.hash).map_or((false, false), |slot| {
            let followed = || slot.flight.as_ref().is_some_and(|flight| flight.shared.is_some());
            (self.is_current_for(slot), self.leads && followed())
        });
        if is_current {
            store();
        }
        if has_followers {
            // A value's `clone` may do anything, so not under the lock. Should it panic, the flight is abandoned.
            drop(shard);
            end = Waiting::Landed(Landed { result: result.clone(), found });
            shard = under_way.shard(self.hash);
        }
        if self.leads && matches!(result, Ok(Some(_))) {
            let number = under_way.landings.fetch_add(1, Ordering::AcqRel) + 1;
            shard.landings.note(number, self.hash);
        }
        self.leave(shard, end);
    }

    /// Gives the ticket back, and ends the flight that it may lead without a result.
    pub(super) fn give_back(&mut self) {
        if !self.returned {
            let under_way = self.under_way;
            self.leave(under_way.shard(self.hash), Waiting::Abandoned);
        }
    }

    fn leave(&mut self, mut shard: MutexGuard<'_, Shard<K::Owned, V>>, end: Waiting<V>) {
        self.returned = true;
        let flight = shard.leave(self.hash, |slot| {
            slot.tickets -= 1;
            slot.flight.take_if(|_| self.leads)
        });
        drop(shard);
        self.under_way.tickets.fetch_sub(1, Ordering::SeqCst);
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
    pub(crate) struct Computing<F> {
        #[pin]
        future: F,
        flight: Option<(usize, u64)>,
    }
}

impl<F: Future> Future for Computing<F> {
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
        COMPUTING.with(|computing| computing.borrow_mut().push(flight));
        Self
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        COMPUTING.with(|computing| computing.borrow_mut().pop());
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

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::task::Wake;

    use super::*;

    type Table = UnderWay<str, u32>;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn lead<'t>(table: &'t Table, key: &str) -> Ticket<'t, str, u32> {
        match table.join(key) {
            (ticket, Joined::Lead) => ticket,
            _ => panic!("somebody else leads"),
        }
    }

    fn follow(table: &Table) -> Follow<u32> {
        match table.join("key").1 {
            Joined::Follow(follow) => follow,
            _ => panic!("nobody leads"),
        }
    }

    fn land(ticket: Ticket<'_, str, u32>, number: u32) {
        ticket.land(&Ok(Some(CacheEntry::new(number))), None);
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
        let leader = lead(&table, "key");
        let (mut first, mut second) = (pin!(follow(&table)), pin!(follow(&table)));
        assert!(poll(first.as_mut()).is_pending());
        land(leader, 7);
        assert_eq!((number(first.as_mut()), number(second.as_mut())), (Some(7), Some(7)));
        assert_eq!(table.slots(), 0);
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
        land(leader, 8);
        assert_eq!(number(second.as_mut()), Some(8));
        assert_eq!(table.slots(), 0);
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
            assert_eq!(table.slots(), 0);
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
        land(leader, 7);
    }

    #[test]
    fn a_landing_of_the_key_is_remembered_and_one_of_another_key_is_not_taken_for_it() {
        let table = Table::new();
        let before = table.landings();
        land(lead(&table, "key"), 1);
        assert!(lead(&table, "key").may_have_landed(before));
        assert!(!lead(&table, "key").may_have_landed(table.landings()));
        let before = table.landings();
        let other = lead(&table, "other");
        land(other, 2);
        assert!(!lead(&table, "key").may_have_landed(before));
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
