//! What goes on at this moment, key by key: who computes a key, who writes it, who may store an older value of it.
//!
//! One table serves both rules that need to know: newer beats older (`coherence`), and one closure at a time per key
//! (`flight`). A key has a slot only while something goes on. Slots are found by a 64-bit hash that is taken once, when
//! somebody joins: leaving calls no code of the user's, so that nothing can keep anybody from leaving. Hits of the first
//! tier never come here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::task::Waker;

use foldhash::fast::RandomState;

use self::flight::{Flight, Landings};
use crate::Key;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, lock};

mod coherence;
mod flight;
#[cfg(all(test, loom))]
mod model;

pub(crate) use self::coherence::Ticket;
pub(crate) use self::flight::{Follow, Joined, Landed, Leader, Scope};

/// Enough that operations on different keys rarely meet at one lock.
const SHARDS: usize = if cfg!(loom) { 1 } else { 32 };

pub(crate) struct UnderWay<K: Key + ?Sized, V> {
    hasher: RandomState,
    shards: [Stripe<K::Owned, V>; SHARDS],
    /// How many tickets are out. While there are none, nobody can be overtaken.
    tickets: AtomicUsize,
    /// Counts the beginnings and ends of clears; a running one makes every ticket void.
    clears: AtomicU64,
    clearing: AtomicUsize,
    /// How many flights have brought a value.
    landings: AtomicU64,
}

/// A shard, and how many writes of any of its keys have begun and have ended; changed only under the lock.
struct Stripe<Q, V> {
    shard: Mutex<Shard<Q, V>>,
    begun: AtomicU64,
    ended: AtomicU64,
}

struct Shard<Q, V> {
    slots: HashMap<u64, Slot<Q, V>, RandomState>,
    landings: Landings,
}

/// One key that something goes on with. Gone when all of it is over.
struct Slot<Q, V> {
    tickets: usize,
    writers: usize,
    /// Counts the beginnings and ends of writes.
    version: u64,
    /// Older values that are being stored at this moment, and who waits for the end of that.
    storing: usize,
    waiting: Vec<Waker>,
    /// Who computes the key. Only somebody with a ticket does.
    flight: Option<Flight<Q, V>>,
}

impl<Q, V> Default for Slot<Q, V> {
    fn default() -> Self {
        Self { tickets: 0, writers: 0, version: 0, storing: 0, waiting: Vec::new(), flight: None }
    }
}

impl<K: Key + ?Sized, V> UnderWay<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Stripe {
                shard: Mutex::new(Shard { slots: HashMap::default(), landings: Landings::default() }),
                begun: AtomicU64::new(0),
                ended: AtomicU64::new(0),
            }),
            tickets: AtomicUsize::new(0),
            clears: AtomicU64::new(0),
            clearing: AtomicUsize::new(0),
            landings: AtomicU64::new(0),
        }
    }

    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    fn stripe(&self, hash: u64) -> &Stripe<K::Owned, V> {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is what is wanted")]
        let stripe = (hash >> 32) as usize % self.shards.len();
        &self.shards[stripe]
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K::Owned, V>> {
        lock(&self.stripe(hash).shard)
    }
}

impl<Q, V> Shard<Q, V> {
    fn slot(&mut self, hash: u64) -> &mut Slot<Q, V> {
        self.slots.entry(hash).or_default()
    }

    /// Gives a share of a slot back, and the slot too if it was the last.
    fn leave<R: Default>(&mut self, hash: u64, leave: impl FnOnce(&mut Slot<Q, V>) -> R) -> R {
        let Entry::Occupied(mut slot) = self.slots.entry(hash) else { return R::default() };
        let left = leave(slot.get_mut());
        if slot.get().tickets == 0 && slot.get().writers == 0 {
            slot.remove();
        }
        left
    }
}

impl<K: Key + ?Sized, V> fmt::Debug for UnderWay<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnderWay").field("tickets", &self.tickets).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl<K: Key + ?Sized, V> UnderWay<K, V> {
    /// How many keys something goes on with.
    pub(crate) fn slots(&self) -> usize {
        self.shards.iter().map(|stripe| lock(&stripe.shard).slots.len()).sum()
    }
}
