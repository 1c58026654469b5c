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

/// The memory tier, with a capacity by count or by weight; created by [`Tier::memory`](crate::Tier::memory).
///
/// The engine is [`quick_cache`](https://docs.rs/quick_cache): a sharded concurrent map with a scan-resistant eviction policy, a
/// modified Clock-PRO close to S3-FIFO. A hit takes one read lock of one shard and does not allocate.
pub(crate) struct MemoryTier<K: Key + ?Sized, V: Value, C: Capacity<K, V>> {
    entries: Cache<K::Owned, Stored<V, C::Weight>, StoredWeight, DefaultHashBuilder, EvictionHook>,
    capacity: C,
    /// Entries above this weight do not fit into a shard.
    max_weight: u64,
    context: OnceLock<TierContext<K>>,
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> Tier<K, V> {
    /// Creates a memory tier for about `capacity` entries. Its default name is `memory`.
    ///
    /// A full tier evicts rarely used entries. With a capacity of zero every insert is rejected. Allocates lazily; the overhead is
    /// about 45 bytes per entry in addition to key and value.
    pub fn memory(capacity: usize) -> Self {
        Self::new(MemoryTier::with_capacity(capacity))
    }

    /// Creates a memory tier whose capacity is the sum of the weights of its entries, for example their size in bytes.
    ///
    /// `weigh` runs once per insert; a weight of zero counts as one. The engine divides a large capacity into equal shards, at
    /// most four per core, and rejects an entry that is heavier than a shard. See also [`memory`](Self::memory).
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

/// The unit of a tier's capacity.
pub(crate) trait Capacity<K: ?Sized, V>: Send + Sync {
    /// The weight of an entry, stored with it because the engine relies on it being constant.
    type Weight: Weight;

    fn weigh(&self, key: &K, value: &V) -> Self::Weight;
}

pub(crate) trait Weight: Copy + Send + Sync {
    fn get(self) -> u64;
}

/// Counts entries: each weighs one, and no weight is stored.
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

/// Weighs entries with the user's function.
pub(crate) struct ByWeight<F>(F);

impl<K: ?Sized, V, F: Fn(&K, &V) -> u64 + Send + Sync> Capacity<K, V> for ByWeight<F> {
    type Weight = u64;

    fn weigh(&self, key: &K, value: &V) -> u64 {
        // The engine never evicts an entry of weight zero.
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
/// The expected weight of an entry, which only determines the number of shards.
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
            reason = "the same computation as in the engine's admission"
        )]
        let max_weight = ((shard as f64 * HOT_SHARE) as u64).clamp(shard.min(1), shard);
        Self { entries, capacity, max_weight, context: OnceLock::new() }
    }

    /// Not inlined, so that the surrounding future is small enough to be inlined into its caller. Otherwise copying an entry into
    /// that future costs more than storing it.
    #[inline(never)]
    fn store(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertOutcome {
        let weight = self.capacity.weigh(key.borrow(), entry.value());
        if weight.get() > self.max_weight {
            self.entries.remove(Borrow::<K>::borrow(&key));
            return InsertOutcome::Rejected;
        }
        let context = self.context.get().filter(|context| context.is_observed());
        // Constructed in place: a copy costs more than its contents.
        let mut evictions = Evictions { is_observed: context.is_some(), is_eviction: false, left: SmallVec::new() };
        self.entries.insert_with_lifecycle(key, Stored { entry: entry.into(), weight }, &mut evictions);
        if let Some(context) = context {
            for departure in evictions.left.iter().filter(|departure| departure.is_eviction) {
                context.evicted(departure.key.borrow(), &departure.stored.entry.metadata());
            }
        }
        InsertOutcome::Accepted
    }
}

// Immediate: the engine waits for nothing but locks.
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

/// An entry without its wall-clock time, which a tier of this process does not need.
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

    /// Whether both have the same time of insertion and time to live. Then they are the same entry, unless it was replaced
    /// within one tick of the clock.
    fn same_insertion<U>(&self, other: &CacheEntry<U>) -> bool {
        (self.ttl, self.tick) == (other.ttl, other.tick)
    }
}

impl<V> From<CacheEntry<V>> for InProcessEntry<V> {
    fn from(CacheEntry { value, ttl, tick, wall: _ }: CacheEntry<V>) -> Self {
        Self { value, ttl, tick }
    }
}

/// The engine's record of an entry. Small, so that more records fit into the processor's caches.
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

/// Collects the entries that leave the tier during one insert.
#[derive(Clone)]
struct EvictionHook;

struct Evictions<Q, S> {
    /// Whether evictions are reported.
    is_observed: bool,
    /// Between the two callbacks for one entry: whether it is evicted rather than replaced.
    is_eviction: bool,
    /// Dropped after the shard has been unlocked, since `Drop` of a key or a value is user code.
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

    // Called for evictions only; `on_evict` is also called for replaced entries.
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
