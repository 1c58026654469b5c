//! What is in flight at this moment, key by key: who loads a key, who writes it, who may store an older value of it.
//!
//! One table serves all rules that need to know: newer beats older (`lease`), writes in turn (`turns`, `clears`), one lookup and
//! one loader at a time per key (`flight`). What a tier may hold that is outdated is kept beside it (`debts`). A key has a state
//! only while something is in flight. States are found by a 64-bit hash that is taken once, when an operation joins: leaving
//! calls no code of the user's, so that nothing can keep an operation from leaving. Hits of the first tier never come here.
//!
//! Keys of the same hash share a state: they make each other's leases void and wait for each other's turns, which costs a
//! little and breaks nothing. Flights compare keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::task::Waker;

#[cfg(loom)]
use foldhash::fast::FixedState as RandomState;
#[cfg(not(loom))]
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use self::clears::Clears;
use self::debts::Debts;
use self::flight::{Completions, Flight, LoadResult, LookupResult};
use self::lease::Store;
use self::turns::QueuedWrite;
use crate::bounds::Key;
use crate::clock::Clock;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, lock};

pub(crate) mod clears;
pub(crate) mod debts;
pub(crate) mod flight;
pub(crate) mod lease;
#[cfg(all(test, loom))]
mod model;
pub(crate) mod permit;
pub(crate) mod reentrance;
pub(crate) mod turns;

pub(crate) use self::lease::{Committed, Lease};
pub(crate) use self::permit::{Origin, Permit};
pub(crate) use self::turns::{TierSet, Write, Written};

/// Enough that operations on different keys rarely meet at one lock.
const SHARDS: usize = if cfg!(loom) { 1 } else { 32 };
/// How many keys an empty shard keeps room for.
const KEPT_ROOM: usize = 64;

pub(crate) struct InFlight<K: Key + ?Sized, V> {
    hasher: RandomState,
    shards: [Shard<K::Owned, V>; SHARDS],
    /// How many leases are out. While there are none, nothing can be overtaken.
    leases: AtomicUsize,
    clears: Clears,
    /// The number of the next write.
    writes: AtomicU64,
    /// How many loads have brought a value.
    completions: AtomicU64,
    /// By tier.
    debts: Box<[Debts<K::Owned>]>,
    /// The tiers that answer at once.
    immediate: TierSet,
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

/// What is in flight for one key.
pub(crate) struct KeyState<Q, V> {
    /// Leases and leaders.
    users: usize,
    /// How many writes of the key have begun since the state was made.
    begun: u64,
    /// Writes that have not ended, in the order in which they began.
    writes: SmallVec<[QueuedWrite; 1]>,
    /// The number of the next lease.
    next_lease: u64,
    /// A value was loaded, or refreshed, and stored under the lease of this number: those before it are void.
    superseded: u64,
    /// Leases to read from before this number are void too: they were taken before that value was stored.
    outdated: u64,
    /// What is being stored, under a lease, in tiers that have to be waited for.
    stores: Vec<Store>,
    /// Loaders whose stores wait for writes in some tier, by the numbers of their leases.
    waiting: Vec<(u64, Waker)>,
    lookup: Option<Flight<Q, LookupResult<V>>>,
    load: Option<Flight<Q, LoadResult<V>>>,
}

impl<Q, V> Default for KeyState<Q, V> {
    fn default() -> Self {
        Self {
            users: 0,
            begun: 0,
            writes: SmallVec::new(),
            next_lease: 1,
            superseded: 0,
            outdated: 0,
            stores: Vec::new(),
            waiting: Vec::new(),
            lookup: None,
            load: None,
        }
    }
}

impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// For a cache of tiers of which these answer at once.
    pub(crate) fn new(immediate: &[bool], clock: &Clock) -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Shard {
                state: Mutex::new(ShardState { keys: HashMap::default(), completions: Completions::default() }),
                begun: AtomicU64::new(0),
                ended: AtomicU64::new(0),
            }),
            leases: AtomicUsize::new(0),
            clears: Clears::new(),
            writes: AtomicU64::new(1),
            completions: AtomicU64::new(0),
            debts: immediate.iter().map(|_| Debts::new(clock.clone())).collect(),
            immediate: TierSet::of(immediate),
        }
    }

    /// What a tier may hold that is outdated.
    pub(crate) fn debts(&self, tier: usize) -> &Debts<K::Owned> {
        &self.debts[tier]
    }

    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard_number(hash: u64) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is what is wanted")]
        #[cfg_attr(loom, expect(clippy::modulo_one, reason = "a model has one shard"))]
        let number = (hash >> 32) as usize % SHARDS;
        number
    }

    fn shard(&self, hash: u64) -> &Shard<K::Owned, V> {
        &self.shards[Self::shard_number(hash)]
    }

    fn lock_shard(&self, hash: u64) -> MutexGuard<'_, ShardState<K::Owned, V>> {
        lock(&self.shard(hash).state)
    }

    /// Distinguishes this table from others.
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<Q, V> ShardState<Q, V> {
    fn key_state(&mut self, hash: u64) -> &mut KeyState<Q, V> {
        self.keys.entry(hash).or_default()
    }

    /// Gives up a share of a state, and the state too if it was the last.
    fn leave<R: Default>(&mut self, hash: u64, leave: impl FnOnce(&mut KeyState<Q, V>) -> R) -> R {
        let Entry::Occupied(mut state) = self.keys.entry(hash) else { return R::default() };
        let left = leave(state.get_mut());
        if state.get().users == 0 && state.get().writes.is_empty() {
            state.remove();
            if self.keys.is_empty() && self.keys.capacity() > KEPT_ROOM {
                self.keys = HashMap::default();
            }
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
    /// How many keys something is in flight for.
    pub(crate) fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(&shard.state).keys.len()).sum()
    }
}
