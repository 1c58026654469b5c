//! What goes on at this moment, key by key: who computes a key, who writes it, who may store an older value of it.
//!
//! One table serves both rules that need to know: newer beats older (`lease`), and one closure at a time per key
//! (`flight`). A key has a state only while something goes on. Slots are found by a 64-bit hash that is taken once, when
//! somebody joins: leaving calls no code of the user's, so that nothing can keep anybody from leaving. Hits of the first
//! tier never come here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::task::Waker;

use foldhash::fast::RandomState;

use self::flight::{Completions, Flight};
use crate::bounds::Key;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, lock};

mod flight;
mod lease;
#[cfg(all(test, loom))]
mod model;

pub(crate) use self::flight::{FlightResult, Follow, Joined, Scope};
pub(crate) use self::lease::{Lease, Written};

/// Enough that operations on different keys rarely meet at one lock.
const SHARDS: usize = if cfg!(loom) { 1 } else { 32 };

pub(crate) struct InFlight<K: Key + ?Sized, V> {
    hasher: RandomState,
    shards: [Shard<K::Owned, V>; SHARDS],
    /// How many leases are out. While there are none, nobody can be overtaken.
    leases: AtomicUsize,
    /// Counts the beginnings and ends of clears; a running one makes every lease void.
    clears: AtomicU64,
    clearing: AtomicUsize,
    /// How many flights have brought a value.
    completions: AtomicU64,
}

/// A shard, and how many writes of any of its keys have begun and have ended; changed only under the lock.
struct Shard<Q, V> {
    state: Mutex<ShardState<Q, V>>,
    begun: AtomicU64,
    ended: AtomicU64,
}

struct ShardState<Q, V> {
    keys: HashMap<u64, KeyState<Q, V>, RandomState>,
    completions: Completions,
}

/// One key that something goes on with. Gone when all of it is over.
struct KeyState<Q, V> {
    leases: usize,
    writers: usize,
    /// Counts the beginnings and ends of writes.
    version: u64,
    /// Older values that are being stored at this moment, and who waits for the end of that.
    storing: usize,
    waiting: Vec<Waker>,
    /// Who computes the key. Only somebody with a lease does.
    flight: Option<Flight<Q, V>>,
}

impl<Q, V> Default for KeyState<Q, V> {
    fn default() -> Self {
        Self { leases: 0, writers: 0, version: 0, storing: 0, waiting: Vec::new(), flight: None }
    }
}

impl<K: Key + ?Sized, V> InFlight<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Shard {
                state: Mutex::new(ShardState { keys: HashMap::default(), completions: Completions::default() }),
                begun: AtomicU64::new(0),
                ended: AtomicU64::new(0),
            }),
            leases: AtomicUsize::new(0),
            clears: AtomicU64::new(0),
            clearing: AtomicUsize::new(0),
            completions: AtomicU64::new(0),
        }
    }

    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, hash: u64) -> &Shard<K::Owned, V> {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is what is wanted")]
        let shard = (hash >> 32) as usize % self.shards.len();
        &self.shards[shard]
    }

    fn lock_shard(&self, hash: u64) -> MutexGuard<'_, ShardState<K::Owned, V>> {
        lock(&self.shard(hash).state)
    }
}

impl<Q, V> ShardState<Q, V> {
    fn key_state(&mut self, hash: u64) -> &mut KeyState<Q, V> {
        self.keys.entry(hash).or_default()
    }

    /// Gives a share of a state back, and the state too if it was the last.
    fn leave<R: Default>(&mut self, hash: u64, leave: impl FnOnce(&mut KeyState<Q, V>) -> R) -> R {
        let Entry::Occupied(mut state) = self.keys.entry(hash) else { return R::default() };
        let left = leave(state.get_mut());
        if state.get().leases == 0 && state.get().writers == 0 {
            state.remove();
        }
        left
    }
}

impl<K: Key + ?Sized, V> fmt::Debug for InFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("leases", &self.leases).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// How many keys something goes on with.
    pub(crate) fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(&shard.state).keys.len()).sum()
    }
}
