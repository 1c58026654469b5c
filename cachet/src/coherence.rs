//! Newer beats older: a value that was on its way when a newer write of the same key happened is not stored.
//!
//! A promotion or a computed insert is *late*: what it stores was true when it began. It takes a [`Ticket`] before it
//! reads or computes anything, and stores only while the ticket is current. Every insert, invalidate and clear makes
//! the tickets of its key void, from its beginning to its end, and comes after what is being stored at that moment: under
//! a lock where the tier answers at once, by waiting for it where the tier has to be waited for.
//!
//! Hits of the first tier take no ticket. Keys are told apart by a 64-bit hash: two keys that collide make each
//! other's tickets void, which costs a store that could have been, and nothing else.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;

/// Enough that operations on different keys rarely meet at one lock.
const SHARDS: usize = 32;

pub(crate) struct Coherence {
    hasher: RandomState,
    shards: [Mutex<HashMap<u64, Slot, RandomState>>; SHARDS],
    /// How many tickets are out. While there are none, nobody can be overtaken.
    tickets: AtomicUsize,
    /// Counts the beginnings and ends of clears; odd numbers of running ones make every ticket void.
    clears: AtomicU64,
    clearing: AtomicUsize,
}

/// One key that somebody is writing, or has a ticket for. Gone when both are over.
#[derive(Default)]
struct Slot {
    tickets: usize,
    writers: usize,
    version: u64,
    /// Older values that are being stored at this moment, and who waits for the end of that.
    storing: usize,
    waiting: Vec<Waker>,
}

impl Coherence {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            tickets: AtomicUsize::new(0),
            clears: AtomicU64::new(0),
            clearing: AtomicUsize::new(0),
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, HashMap<u64, Slot, RandomState>> {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is what is wanted")]
        let shard = (hash >> 32) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins something that may store an older value: from here on, newer writes are noticed.
    pub(crate) fn ticket<K: Hash + ?Sized>(&self, key: &K) -> Ticket<'_> {
        let hash = self.hasher.hash_one(key);
        self.tickets.fetch_add(1, Ordering::SeqCst);
        let mut shard = self.shard(hash);
        let clears = self.clears.load(Ordering::SeqCst);
        let clearing = self.clearing.load(Ordering::SeqCst) > 0;
        let slot = shard.entry(hash).or_default();
        slot.tickets += 1;
        // What a write that is under way has not reached yet may be read; so it must not be stored.
        let version = (slot.writers == 0 && !clearing).then_some(slot.version);
        Ticket { coherence: self, hash, version, clears }
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
    pub(crate) async fn write<K: Hash + ?Sized>(&self, key: &K, atomic: bool) -> Option<Writing<'_>> {
        let writing = (!atomic || !self.is_quiet()).then(|| self.begin_write(key))?;
        writing.settled().await;
        Some(writing)
    }

    fn begin_write<K: Hash + ?Sized>(&self, key: &K) -> Writing<'_> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        let slot = shard.entry(hash).or_default();
        slot.writers += 1;
        slot.version += 1;
        Writing { coherence: self, hash }
    }

    /// Begins a write of all keys, which comes last, likewise.
    pub(crate) async fn clear(&self) -> Clearing<'_> {
        let clearing = self.begin_clear();
        clearing.settled().await;
        clearing
    }

    fn begin_clear(&self) -> Clearing<'_> {
        self.clearing.fetch_add(1, Ordering::SeqCst);
        self.clears.fetch_add(1, Ordering::SeqCst);
        // A late store that found its ticket current does so under its shard's lock: let it finish first.
        for shard in &self.shards {
            drop(shard.lock());
        }
        Clearing(self)
    }

    /// Gives a share of a slot back, and the slot too if it was the last.
    fn leave(&self, hash: u64, leave: impl FnOnce(&mut Slot)) {
        let mut shard = self.shard(hash);
        if let Some(slot) = shard.get_mut(&hash) {
            leave(slot);
            if slot.tickets == 0 && slot.writers == 0 {
                shard.remove(&hash);
            }
        }
    }
}

impl fmt::Debug for Coherence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coherence").field("tickets", &self.tickets).finish_non_exhaustive()
    }
}

/// The right to store a value that was read or computed after the ticket was taken.
pub(crate) struct Ticket<'c> {
    coherence: &'c Coherence,
    hash: u64,
    version: Option<u64>,
    clears: u64,
}

impl Ticket<'_> {
    /// Runs `store`, which must not wait, unless a newer write has begun; no newer write begins meanwhile.
    pub(crate) fn redeem<T>(&self, store: impl FnOnce() -> T) -> Option<T> {
        let shard = self.coherence.shard(self.hash);
        let stored = self.is_current_in(&shard).then(store);
        drop(shard);
        stored
    }

    /// Which writes of the key had begun when the ticket was taken; `None` if one was under way.
    pub(crate) fn stamp(&self) -> Option<(u64, u64)> {
        self.version.map(|version| (version, self.clears))
    }

    pub(crate) fn is_current(&self) -> bool {
        self.is_current_in(&self.coherence.shard(self.hash))
    }

    /// Begins to store, unless a newer write has begun; those that begin now wait until the returned guard is dropped.
    pub(crate) fn store(&self) -> Option<Storing<'_>> {
        let mut shard = self.coherence.shard(self.hash);
        let current = self.is_current_in(&shard);
        let slot = shard.get_mut(&self.hash).filter(|_| current)?;
        slot.storing += 1;
        Some(Storing { coherence: self.coherence, hash: self.hash })
    }

    fn is_current_in(&self, shard: &HashMap<u64, Slot, RandomState>) -> bool {
        self.version.is_some()
            && shard.get(&self.hash).map(|slot| slot.version) == self.version
            && self.coherence.clears.load(Ordering::SeqCst) == self.clears
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.coherence.leave(self.hash, |slot| slot.tickets -= 1);
        self.coherence.tickets.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An older value is being stored, in a tier that has to be waited for.
pub(crate) struct Storing<'c> {
    coherence: &'c Coherence,
    hash: u64,
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        let mut shard = self.coherence.shard(self.hash);
        let Some(slot) = shard.get_mut(&self.hash) else { return };
        slot.storing -= 1;
        let woken = if slot.storing == 0 { std::mem::take(&mut slot.waiting) } else { Vec::new() };
        drop(shard);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A write of one key is under way.
pub(crate) struct Writing<'c> {
    coherence: &'c Coherence,
    hash: u64,
}

impl Writing<'_> {
    /// Waits until no older value is being stored.
    async fn settled(&self) {
        poll_fn(|cx| {
            let mut shard = self.coherence.shard(self.hash);
            shard.get_mut(&self.hash).map_or(Poll::Ready(()), |slot| slot.poll_settled(cx))
        })
        .await;
    }
}

impl Slot {
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

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.coherence.leave(self.hash, |slot| {
            slot.writers -= 1;
            slot.version += 1;
        });
    }
}

/// A write of all keys is under way.
pub(crate) struct Clearing<'c>(&'c Coherence);

impl Clearing<'_> {
    /// Waits until no older value is being stored.
    async fn settled(&self) {
        for shard in &self.0.shards {
            poll_fn(|cx| {
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                let unsettled = shard.values_mut().find(|slot| slot.storing > 0);
                unsettled.map_or(Poll::Ready(()), |slot| slot.poll_settled(cx))
            })
            .await;
        }
    }
}

impl Drop for Clearing<'_> {
    fn drop(&mut self) {
        self.0.clears.fetch_add(1, Ordering::SeqCst);
        self.0.clearing.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::erased::poll_once;

    fn slots(coherence: &Coherence) -> usize {
        coherence.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn a_ticket_is_current_until_somebody_writes_its_key() {
        let coherence = Coherence::new();
        let (ticket, other) = (coherence.ticket("a"), coherence.ticket("b"));
        assert!(ticket.is_current());
        drop(coherence.begin_write("a"));
        assert_eq!(ticket.redeem(|| ()), None);
        assert_eq!(other.redeem(|| ()), Some(()));
    }

    #[test]
    fn a_ticket_taken_while_somebody_writes_is_void_and_stays_so() {
        let coherence = Coherence::new();
        let writing = coherence.begin_write("a");
        let ticket = coherence.ticket("a");
        assert!(!ticket.is_current());
        drop(writing);
        assert!(!ticket.is_current());
        assert!(coherence.ticket("a").is_current());
    }

    #[test]
    fn a_clear_makes_every_ticket_void_from_its_beginning_to_its_end() {
        let coherence = Coherence::new();
        let before = coherence.ticket("a");
        let clearing = coherence.begin_clear();
        let during = coherence.ticket("a");
        drop(clearing);
        assert!(!before.is_current());
        assert!(!during.is_current());
        assert!(coherence.ticket("a").is_current());
    }

    #[test]
    fn an_atomic_write_leaves_no_trace_unless_a_ticket_is_out() {
        let coherence = Coherence::new();
        assert!(poll_once(coherence.write("a", true)).unwrap().is_none());
        let ticket = coherence.ticket("a");
        drop(poll_once(coherence.write("a", true)).unwrap());
        assert!(!ticket.is_current());
    }

    #[test]
    fn the_table_is_empty_when_nobody_writes_or_waits() {
        let coherence = Coherence::new();
        let ticket = coherence.ticket("a");
        let writing = coherence.begin_write("a");
        assert_eq!(slots(&coherence), 1);
        drop(ticket);
        assert_eq!(slots(&coherence), 1);
        drop(writing);
        assert_eq!(slots(&coherence), 0);
        assert_eq!(coherence.tickets.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_write_waits_for_an_older_value_that_is_just_being_stored_and_for_no_other() {
        let coherence = Coherence::new();
        let ticket = coherence.ticket("a");
        let storing = ticket.store().unwrap();
        assert!(poll_once(coherence.write("a", false)).is_none());
        assert!(poll_once(coherence.clear()).is_none());
        assert!(poll_once(coherence.write("b", false)).is_some());
        drop(storing);
        assert!(poll_once(coherence.write("a", false)).is_some());
        assert!(ticket.store().is_none());
        assert!(poll_once(coherence.clear()).is_some());
    }
}
