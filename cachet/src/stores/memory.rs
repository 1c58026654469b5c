//! The memory tier, on `quick_cache`.

use std::borrow::Borrow;
use std::sync::OnceLock;
use std::{fmt, mem};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use smallvec::SmallVec;

use crate::bounds::{Key, Value};
use crate::entry::{CacheEntry, OptionalNanos};
use crate::error::TierError;
use crate::macros::cache_tier;
use crate::tier::config::Tier;
use crate::tier::context::TierContext;
use crate::tier::{CacheTier, InsertOutcome};

/// Keeps entries in this process, up to a capacity by count or by weight; made by [`Tier::memory`](crate::Tier::memory).
///
/// The engine is [`quick_cache`](https://docs.rs/quick_cache): a sharded concurrent map with a modified Clock-PRO
/// eviction policy, close to S3-FIFO, which resists scans. A hit takes one read lock of one shard and allocates nothing.
pub(crate) struct MemoryTier<K: Key + ?Sized, V: Value, C: Capacity<K, V>> {
    entries: Cache<K::Owned, Stored<V, C::Weight>, StoredWeight, DefaultHashBuilder, EvictionHook>,
    capacity: C,
    /// Heavier entries do not fit into a shard.
    max_weight: u64,
    context: OnceLock<TierContext<K>>,
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> Tier<K, V> {
    /// A tier in this process's memory that holds up to about `capacity` entries; named `memory` unless said otherwise.
    ///
    /// When it is full, entries that are rarely used make room. A capacity of zero means that it holds nothing: every insert
    /// is rejected. Memory is taken as entries come, about 45 bytes per entry beside key and value.
    pub fn memory(capacity: usize) -> Self {
        Self::new(MemoryTier::with_capacity(capacity))
    }

    /// Like [`memory`](Self::memory), with a capacity in a unit of your choice, most often bytes: `weigh` tells how much an
    /// entry takes of it.
    ///
    /// It is asked once per insert; a weight of zero counts as one. The engine divides a large capacity into equal shards, at
    /// most four per core, and an entry that is heavier than a shard is rejected.
    ///
    /// ```
    /// use cachet::{Cache, Tier};
    ///
    /// let pages = Cache::<str, Vec<u8>>::builder("pages")
    ///     .tier(Tier::memory_by_weight(64 << 20, |key: &str, value: &Vec<u8>| (key.len() + value.len()) as u64))
    ///     .build();
    /// # drop(pages);
    /// ```
    pub fn memory_by_weight(capacity: u64, weigh: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        Self::new(MemoryTier::with_weight(capacity, weigh))
    }
}

/// What a tier's capacity is counted in.
pub(crate) trait Capacity<K: ?Sized, V>: Send + Sync {
    /// What an entry weighs; kept beside it, since the engine relies on it never changing.
    type Weight: Weight;

    fn weigh(&self, key: &K, value: &V) -> Self::Weight;
}

pub(crate) trait Weight: Copy + Send + Sync {
    fn get(self) -> u64;
}

/// Entries are counted: each weighs one, and nothing has to be kept.
pub(crate) struct ByCount;

impl<K: ?Sized, V> Capacity<K, V> for ByCount {
    type Weight = ();

    fn weigh(&self, _key: &K, _value: &V) {}
}

impl Weight for () {
    fn get(self) -> u64 {
        1
    }
}

/// Entries are weighed by the user's function.
pub(crate) struct ByWeight<F>(F);

impl<K: ?Sized, V, F: Fn(&K, &V) -> u64 + Send + Sync> Capacity<K, V> for ByWeight<F> {
    type Weight = u64;

    fn weigh(&self, key: &K, value: &V) -> u64 {
        // The engine never evicts what weighs nothing.
        (self.0)(key, value).max(1)
    }
}

impl Weight for u64 {
    fn get(self) -> u64 {
        self
    }
}

/// The share of a shard that frequently used entries may fill.
const HOT_SHARE: f64 = 0.97;
/// By how much an entry is expected to weigh, where nobody has said; it only sets the number of shards.
const EXPECTED_WEIGHT: u64 = 1024;

impl<K: Key + ?Sized, V: Value> MemoryTier<K, V, ByCount> {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self::new(entries, entries as u64, ByCount)
    }
}

impl<K: Key + ?Sized, V: Value, F: Fn(&K, &V) -> u64 + Send + Sync> MemoryTier<K, V, ByWeight<F>> {
    pub(crate) fn with_weight(capacity: u64, weigh: F) -> Self {
        let expected = usize::try_from(capacity / EXPECTED_WEIGHT).unwrap_or(usize::MAX).max(1);
        Self::new(expected, capacity, ByWeight(weigh))
    }
}

impl<K: Key + ?Sized, V: Value, C: Capacity<K, V>> MemoryTier<K, V, C> {
    fn new(expected: usize, weight: u64, capacity: C) -> Self {
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(expected).weight_capacity(weight).hot_allocation(HOT_SHARE);
        let entries = match options.build() {
            Ok(options) => Cache::with_options(options, StoredWeight, DefaultHashBuilder::default(), EvictionHook),
            // Only a missing option is an error, and both are given.
            Err(_) => Cache::with(expected, weight, StoredWeight, DefaultHashBuilder::default(), EvictionHook),
        };
        let shard = entries.shard_capacity();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the very computation by which the engine admits entries"
        )]
        let max_weight = ((shard as f64 * HOT_SHARE) as u64).clamp(shard.min(1), shard);
        Self { entries, capacity, max_weight, context: OnceLock::new() }
    }

    /// Kept apart, so that the future around it is small enough to vanish into its caller: moved into a future that does not, an
    /// entry costs more to copy than to store.
    #[inline(never)]
    fn store(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertOutcome {
        let weight = self.capacity.weigh(key.borrow(), entry.value());
        if weight.get() > self.max_weight {
            self.entries.remove(Borrow::<K>::borrow(&key));
            return InsertOutcome::Rejected;
        }
        let context = self.context.get().filter(|context| context.is_observed());
        // In place: a copy would cost more than what is in it.
        let mut left = Evictions { is_observed: context.is_some(), is_eviction: false, left: SmallVec::new() };
        self.entries.insert_with_lifecycle(key, Stored { entry: entry.into(), weight }, &mut left);
        if let Some(context) = context {
            for departure in left.left.iter().filter(|departure| departure.is_eviction) {
                context.evicted(departure.key.borrow(), &departure.stored.entry.metadata());
            }
        }
        InsertOutcome::Accepted
    }
}

// Its futures are ready at once: the engine never waits for anything but a lock.
#[cache_tier(name = "memory", target = "cachet::tier", immediate, crate = crate)]
impl<K: Key + ?Sized, V: Value, C: Capacity<K, V>> CacheTier<K, V> for MemoryTier<K, V, C> {
    async fn get(&self, key: &K) -> Result<Option<CacheEntry<V>>, TierError> {
        Ok(self.entries.get(key).map(|stored| stored.entry.into_entry()))
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> Result<InsertOutcome, TierError> {
        Ok(self.store(key, entry))
    }

    async fn invalidate(&self, key: &K) -> Result<(), TierError> {
        self.entries.remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.entries.clear();
        Ok(())
    }

    async fn get_many(&self, keys: &[&K]) -> Vec<Result<Option<CacheEntry<V>>, TierError>> {
        keys.iter().map(|key| Ok(self.entries.get(*key).map(|stored| stored.entry.into_entry()))).collect()
    }

    async fn invalidate_many(&self, keys: &[&K]) -> Vec<Result<(), TierError>> {
        for key in keys {
            self.entries.remove(*key);
        }
        keys.iter().map(|_| Ok(())).collect()
    }

    async fn metadata(&self, key: &K) -> Result<Option<CacheEntry<()>>, TierError> {
        let mut found = None;
        self.entries.remove_if(key, |stored| {
            found = Some(stored.entry.metadata());
            false
        });
        Ok(found)
    }

    async fn len(&self) -> Result<Option<u64>, TierError> {
        Ok(Some(self.entries.len() as u64))
    }

    async fn invalidate_expired(&self, key: &K, expired: &CacheEntry<()>) -> Result<(), TierError> {
        self.entries.remove_if(key, |stored| stored.entry.same_insertion(expired));
        Ok(())
    }

    fn drops_rejected(&self) -> bool {
        true
    }

    fn attach(&self, context: TierContext<K>) {
        // A memory tier belongs to the one cache that its `Tier` is added to.
        let _ = self.context.set(context);
    }
}

impl<K: Key + ?Sized, V: Value, C: Capacity<K, V>> fmt::Debug for MemoryTier<K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTier")
            .field("len", &self.entries.len())
            .field("capacity", &self.entries.capacity())
            .finish_non_exhaustive()
    }
}

/// An entry in a tier of this process, which has no use for the wall clock.
#[derive(Clone)]
struct InProcessEntry<V> {
    value: V,
    ttl: OptionalNanos,
    tick: OptionalNanos,
}

impl<V> InProcessEntry<V> {
    #[inline]
    fn into_entry(self) -> CacheEntry<V> {
        let Self { value, ttl, tick } = self;
        CacheEntry { value, ttl, tick, wall: OptionalNanos::NONE }
    }

    const fn metadata(&self) -> CacheEntry<()> {
        CacheEntry { value: (), ttl: self.ttl, tick: self.tick, wall: OptionalNanos::NONE }
    }

    /// Whether both were inserted at the same moment under the same terms: the same entry, unless it was
    /// replaced within one tick of the clock.
    fn same_insertion<U>(&self, other: &CacheEntry<U>) -> bool {
        (self.ttl, self.tick) == (other.ttl, other.tick)
    }
}

impl<V> From<CacheEntry<V>> for InProcessEntry<V> {
    fn from(CacheEntry { value, ttl, tick, wall: _ }: CacheEntry<V>) -> Self {
        Self { value, ttl, tick }
    }
}

/// What the engine keeps: the smaller, the more of it fits into the processor's caches.
#[derive(Clone)]
struct Stored<V, W> {
    entry: InProcessEntry<V>,
    weight: W,
}

#[derive(Clone)]
struct StoredWeight;

impl<Q, V, W: Weight> Weighter<Q, Stored<V, W>> for StoredWeight {
    fn weight(&self, _key: &Q, stored: &Stored<V, W>) -> u64 {
        stored.weight.get()
    }
}

/// Collects what leaves the tier during one insert.
#[derive(Clone)]
struct EvictionHook;

struct Evictions<Q, S> {
    /// Whether evictions are reported.
    is_observed: bool,
    /// Between the two calls for one entry: whether it is evicted, rather than replaced.
    is_eviction: bool,
    /// Dropped only when the shard is no longer locked: the `drop` of a key or a value may do anything.
    left: SmallVec<[Departure<Q, S>; 1]>,
}

struct Departure<Q, S> {
    key: Q,
    stored: S,
    is_eviction: bool,
}

impl<Q, S> Default for Evictions<Q, S> {
    fn default() -> Self {
        Self { is_observed: false, is_eviction: false, left: SmallVec::new() }
    }
}

impl<Q, V, W> Lifecycle<Q, Stored<V, W>> for EvictionHook {
    type RequestState = Evictions<Q, Stored<V, W>>;

    // Called for evictions only; `on_evict` is called for replaced entries as well.
    fn before_evict(&self, evictions: &mut Self::RequestState, _key: &Q, _stored: &mut Stored<V, W>) {
        evictions.is_eviction = evictions.is_observed;
    }

    fn on_evict(&self, evictions: &mut Self::RequestState, key: Q, stored: Stored<V, W>) {
        let is_eviction = mem::take(&mut evictions.is_eviction);
        if is_eviction || mem::needs_drop::<(Q, Stored<V, W>)>() {
            evictions.left.push(Departure { key, stored, is_eviction });
        }
    }
}
