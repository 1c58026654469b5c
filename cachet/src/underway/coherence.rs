//! Newer beats older: a value that was on its way when a newer write of the same key happened is not stored.
//!
//! A promotion, a refresh or a computed insert is *late*: what it stores was true when it began. It takes a [`Ticket`]
//! before it reads or computes anything, and stores only while the ticket is current. Every insert, invalidate and clear
//! makes the tickets of its key void, from its beginning to its end, and comes after what is being stored at that moment:
//! under a lock where the tier answers at once, by waiting for it where the tier has to be waited for.
//!
//! Keys are told apart by their hash: two keys that collide make each other's tickets void, which costs a store that
//! could have been, and nothing else.

use std::future::poll_fn;
use std::hash::Hash;
use std::mem;
use std::task::{Context, Poll, Waker};

use super::{Shard, Slot, UnderWay};
use crate::Key;
use crate::sync::{Ordering, lock};

impl<K: Key + ?Sized, V> UnderWay<K, V> {
    /// Begins something that may store an older value: from here on, newer writes are noticed.
    pub(crate) fn ticket(&self, key: &K) -> Ticket<'_, K, V> {
        let hash = self.hash(key);
        self.tickets.fetch_add(1, Ordering::SeqCst);
        self.ticket_for(self.shard(hash).slot(hash), hash)
    }

    /// Under the shard's lock; the ticket has been counted.
    pub(super) fn ticket_for(&self, slot: &mut Slot<K::Owned, V>, hash: u64) -> Ticket<'_, K, V> {
        let clears = self.clears.load(Ordering::SeqCst);
        let clearing = self.clearing.load(Ordering::SeqCst) > 0;
        slot.tickets += 1;
        // What a write that is under way has not reached yet may be read; so it must not be stored.
        let version = (slot.writers == 0 && !clearing).then_some(slot.version);
        Ticket { under_way: self, hash, version, clears, leads: false, returned: false }
    }

    /// Like [`ticket`](Self::ticket), for something that does not wait and is soon over. It leaves no trace, and is made void
    /// by a write of any key of its shard.
    pub(crate) fn glance(&self, key: &K) -> Glance<'_, K, V> {
        let hash = self.hash(key);
        let stripe = self.stripe(hash);
        let clears = self.clears.load(Ordering::SeqCst);
        let ended = stripe.ended.load(Ordering::SeqCst);
        let is_quiet = stripe.begun.load(Ordering::SeqCst) == ended && self.clearing.load(Ordering::SeqCst) == 0;
        Glance { under_way: self, hash, clears, writes: is_quiet.then_some(ended) }
    }

    /// Whether nobody has a ticket, so that nobody can be overtaken.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.tickets.load(Ordering::SeqCst) == 0
    }

    /// Begins a write of one key, which comes last: waits for the end of an older value that is just being stored.
    ///
    /// `atomic` says that the write is a single synchronous step: then, while no ticket is out, nobody can tell it
    /// from one that happened before any that will be.
    pub(crate) async fn write<Q: Hash + ?Sized>(&self, key: &Q, atomic: bool) -> Option<Writing<'_, K, V>> {
        let writing = (!atomic || !self.is_quiet()).then(|| self.begin_write(key))?;
        writing.settled().await;
        Some(writing)
    }

    /// The same for several keys.
    pub(crate) async fn write_many<'k>(&self, keys: impl Iterator<Item = &'k K>, atomic: bool) -> Vec<Writing<'_, K, V>>
    where
        K: 'k,
    {
        if atomic && self.is_quiet() {
            return Vec::new();
        }
        // All begin before any is waited for: so two of these never wait for each other.
        let writing: Vec<_> = keys.map(|key| self.begin_write(key)).collect();
        for writing in &writing {
            writing.settled().await;
        }
        writing
    }

    fn begin_write<Q: Hash + ?Sized>(&self, key: &Q) -> Writing<'_, K, V> {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        self.stripe(hash).begun.fetch_add(1, Ordering::SeqCst);
        let slot = shard.slot(hash);
        slot.writers += 1;
        slot.version += 1;
        Writing { under_way: self, hash }
    }

    /// Begins a write of all keys, which comes last, likewise.
    pub(crate) async fn clear(&self) -> Clearing<'_, K, V> {
        let clearing = self.begin_clear();
        clearing.settled().await;
        clearing
    }

    fn begin_clear(&self) -> Clearing<'_, K, V> {
        self.clearing.fetch_add(1, Ordering::SeqCst);
        self.clears.fetch_add(1, Ordering::SeqCst);
        Clearing(self)
    }
}

/// The right to store a value that was read or computed after the ticket was taken; and, for whoever computes a value that
/// others wait for, the duty to bring it (see `flight`).
pub(crate) struct Ticket<'u, K: Key + ?Sized, V> {
    pub(super) under_way: &'u UnderWay<K, V>,
    pub(super) hash: u64,
    version: Option<u64>,
    clears: u64,
    pub(super) leads: bool,
    pub(super) returned: bool,
}

impl<K: Key + ?Sized, V> Ticket<'_, K, V> {
    /// Runs `store`, which must not wait, unless a newer write has begun; no newer write begins meanwhile.
    pub(crate) fn redeem<T>(&self, store: impl FnOnce() -> T) -> Option<T> {
        let shard = self.under_way.shard(self.hash);
        let stored = self.is_current_in(&shard).then(store);
        drop(shard);
        stored
    }

    /// Which writes of the key had begun when the ticket was taken; `None` if one was under way.
    pub(super) fn stamp(&self) -> Option<(u64, u64)> {
        self.version.map(|version| (version, self.clears))
    }

    pub(crate) fn is_current(&self) -> bool {
        self.is_current_in(&self.under_way.shard(self.hash))
    }

    /// Begins to store, unless a newer write has begun; those that begin now wait until the returned guard is dropped.
    pub(crate) fn store(&self) -> Option<Storing<'_, K, V>> {
        let mut shard = self.under_way.shard(self.hash);
        let current = self.is_current_in(&shard);
        let slot = shard.slots.get_mut(&self.hash).filter(|_| current)?;
        slot.storing += 1;
        Some(Storing(self))
    }

    fn is_current_in(&self, shard: &Shard<K::Owned, V>) -> bool {
        shard.slots.get(&self.hash).is_some_and(|slot| self.is_current_for(slot))
    }

    pub(super) fn is_current_for(&self, slot: &Slot<K::Owned, V>) -> bool {
        self.version == Some(slot.version) && self.under_way.clears.load(Ordering::SeqCst) == self.clears
    }
}

impl<K: Key + ?Sized, V> Drop for Ticket<'_, K, V> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The right to store a value that was read just now.
pub(crate) struct Glance<'u, K: Key + ?Sized, V> {
    under_way: &'u UnderWay<K, V>,
    hash: u64,
    clears: u64,
    writes: Option<u64>,
}

impl<K: Key + ?Sized, V> Glance<'_, K, V> {
    /// Runs `store`, which must not wait, unless a newer write may have begun; no newer write begins meanwhile.
    pub(crate) fn redeem(self, store: impl FnOnce()) {
        let stripe = self.under_way.stripe(self.hash);
        let _shard = lock(&stripe.shard);
        let writes = stripe.begun.load(Ordering::SeqCst);
        if self.writes == Some(writes) && self.under_way.clears.load(Ordering::SeqCst) == self.clears {
            store();
        }
    }
}

/// An older value is being stored, in a tier that has to be waited for. While the ticket is out, its slot is there for those
/// who wait for the end of this.
pub(crate) struct Storing<'t, K: Key + ?Sized, V>(&'t Ticket<'t, K, V>);

impl<K: Key + ?Sized, V> Drop for Storing<'_, K, V> {
    fn drop(&mut self) {
        let Ticket { under_way, hash, .. } = self.0;
        let mut shard = under_way.shard(*hash);
        let Some(slot) = shard.slots.get_mut(hash) else { return };
        slot.storing -= 1;
        let woken = if slot.storing == 0 { mem::take(&mut slot.waiting) } else { Vec::new() };
        drop(shard);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A write of one key is under way.
pub(crate) struct Writing<'u, K: Key + ?Sized, V> {
    under_way: &'u UnderWay<K, V>,
    hash: u64,
}

impl<K: Key + ?Sized, V> Writing<'_, K, V> {
    /// Waits until no older value is being stored.
    async fn settled(&self) {
        poll_fn(|cx| {
            let mut shard = self.under_way.shard(self.hash);
            shard.slots.get_mut(&self.hash).map_or(Poll::Ready(()), |slot| slot.poll_settled(cx))
        })
        .await;
    }
}

impl<Q, V> Slot<Q, V> {
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.storing == 0 {
            return Poll::Ready(());
        }
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<K: Key + ?Sized, V> Drop for Writing<'_, K, V> {
    fn drop(&mut self) {
        let mut shard = self.under_way.shard(self.hash);
        self.under_way.stripe(self.hash).ended.fetch_add(1, Ordering::SeqCst);
        shard.leave(self.hash, |slot| {
            slot.writers -= 1;
            slot.version += 1;
        });
    }
}

/// A write of all keys is under way.
pub(crate) struct Clearing<'u, K: Key + ?Sized, V>(&'u UnderWay<K, V>);

impl<K: Key + ?Sized, V> Clearing<'_, K, V> {
    /// Waits until no older value is being stored: in a tier that has to be waited for, or under a shard's lock.
    async fn settled(&self) {
        for stripe in &self.0.shards {
            poll_fn(|cx| {
                let mut shard = lock(&stripe.shard);
                let unsettled = shard.slots.values_mut().find(|slot| slot.storing > 0);
                unsettled.map_or(Poll::Ready(()), |slot| slot.poll_settled(cx))
            })
            .await;
        }
    }
}

impl<K: Key + ?Sized, V> Drop for Clearing<'_, K, V> {
    fn drop(&mut self) {
        self.0.clears.fetch_add(1, Ordering::SeqCst);
        self.0.clearing.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::tier::erased::poll_once;

    type Table = UnderWay<str, u32>;

    #[test]
    fn a_ticket_is_current_until_somebody_writes_its_key() {
        let table = Table::new();
        let (ticket, other) = (table.ticket("a"), table.ticket("b"));
        assert!(ticket.is_current());
        drop(table.begin_write("a"));
        assert_eq!(ticket.redeem(|| ()), None);
        assert_eq!(other.redeem(|| ()), Some(()));
    }

    #[test]
    fn a_ticket_taken_while_somebody_writes_is_void_and_stays_so() {
        let table = Table::new();
        let writing = table.begin_write("a");
        let ticket = table.ticket("a");
        assert!(!ticket.is_current());
        drop(writing);
        assert!(!ticket.is_current());
        assert!(table.ticket("a").is_current());
    }

    #[test]
    fn a_glance_is_void_once_a_write_has_begun_or_while_one_goes_on() {
        let table = Table::new();
        let stored = |glance: Glance<'_, str, u32>| {
            let mut stored = false;
            glance.redeem(|| stored = true);
            stored
        };
        assert!(stored(table.glance("a")));
        let before = table.glance("a");
        let writing = table.begin_write("a");
        let during = table.glance("a");
        drop(writing);
        assert!(!stored(before) && !stored(during));
        assert!(stored(table.glance("a")));
        let before = table.glance("a");
        let clearing = table.begin_clear();
        let during = table.glance("a");
        drop(clearing);
        assert!(!stored(before) && !stored(during));
        assert_eq!(table.slots(), 0);
    }

    #[test]
    fn a_clear_makes_every_ticket_void_from_its_beginning_to_its_end() {
        let table = Table::new();
        let before = table.ticket("a");
        let clearing = table.begin_clear();
        let during = table.ticket("a");
        drop(clearing);
        assert!(!before.is_current());
        assert!(!during.is_current());
        assert!(table.ticket("a").is_current());
    }

    #[test]
    fn an_atomic_write_leaves_no_trace_unless_a_ticket_is_out() {
        let table = Table::new();
        assert!(poll_once(table.write("a", true)).unwrap().is_none());
        let ticket = table.ticket("a");
        drop(poll_once(table.write("a", true)).unwrap());
        assert!(!ticket.is_current());
    }

    #[test]
    fn the_table_is_empty_when_nobody_writes_or_waits() {
        let table = Table::new();
        let ticket = table.ticket("a");
        let writing = table.begin_write("a");
        assert_eq!(table.slots(), 1);
        drop(ticket);
        assert_eq!(table.slots(), 1);
        drop(writing);
        assert_eq!(table.slots(), 0);
        assert_eq!(table.tickets.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_write_waits_for_an_older_value_that_is_just_being_stored_and_for_no_other() {
        let table = Table::new();
        let ticket = table.ticket("a");
        let storing = ticket.store().unwrap();
        assert!(poll_once(table.write("a", false)).is_none());
        assert!(poll_once(table.clear()).is_none());
        assert!(poll_once(table.write("b", false)).is_some());
        drop(storing);
        assert!(poll_once(table.write("a", false)).is_some());
        assert!(ticket.store().is_none());
        assert!(poll_once(table.clear()).is_some());
    }
}
