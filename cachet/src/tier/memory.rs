//! The memory tier, on `quick_cache`.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use smallvec::SmallVec;

use crate::telemetry::EvictionReporter;
use crate::{CacheEntry, CacheTier, Error, InsertOutcome, Key, Value, cache_tier};

/// Keeps entries in this process, up to a capacity by count or by weight; made by [`Tier::memory`](crate::Tier::memory).
///
/// The engine is [`quick_cache`](https://docs.rs/quick_cache): a sharded concurrent map with a modified Clock-PRO
/// eviction policy, close to S3-FIFO, which resists scans. A hit takes one read lock of one shard and allocates nothing.
pub(crate) struct MemoryTier<K: Key + ?Sized, V: Value> {
    entries: Cache<K::Owned, Stored<V>, StoredWeight, DefaultHashBuilder, Leaving>,
    weigh: Option<Arc<Weigh<K, V>>>,
    /// Heavier entries do not fit into a shard.
    max_weight: u64,
    reporter: Option<EvictionReporter>,
}

/// What an entry weighs, in the unit of the tier's capacity.
pub(crate) type Weigh<K, V> = dyn Fn(&K, &V) -> u64 + Send + Sync;

/// The share of a shard that frequently used entries may fill.
const HOT_SHARE: f64 = 0.97;
/// By how much an entry is expected to weigh, where nobody has said; it only sets the number of shards.
const EXPECTED_WEIGHT: u64 = 1024;

impl<K: Key + ?Sized, V: Value> MemoryTier<K, V> {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self::new(entries, entries as u64, None)
    }

    pub(crate) fn with_weight(capacity: u64, weigh: Arc<Weigh<K, V>>) -> Self {
        let expected = usize::try_from(capacity / EXPECTED_WEIGHT).unwrap_or(usize::MAX).max(1);
        Self::new(expected, capacity, Some(weigh))
    }

    fn new(expected: usize, capacity: u64, weigh: Option<Arc<Weigh<K, V>>>) -> Self {
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(expected).weight_capacity(capacity).hot_allocation(HOT_SHARE);
        let entries = match options.build() {
            Ok(options) => Cache::with_options(options, StoredWeight, DefaultHashBuilder::default(), Leaving),
            // Only a missing option is an error, and both are given.
            Err(_) => Cache::with(expected, capacity, StoredWeight, DefaultHashBuilder::default(), Leaving),
        };
        let shard = entries.shard_capacity();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the very computation by which the engine admits entries"
        )]
        let max_weight = ((shard as f64 * HOT_SHARE) as u64).clamp(shard.min(1), shard);
        Self { entries, weigh, max_weight, reporter: None }
    }
}

// Its futures are ready at once: the engine never waits for anything but a lock.
#[cache_tier(name = "memory", target = "cachet::tier", immediate, crate = crate)]
impl<K: Key + ?Sized, V: Value> CacheTier<K, V> for MemoryTier<K, V> {
    async fn get(&self, key: &K) -> Result<Option<CacheEntry<V>>, Error> {
        Ok(self.entries.get(key).map(|stored| stored.entry))
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> Result<InsertOutcome, Error> {
        // Kept beside the entry: the engine relies on it never changing.
        let weight = self.weigh.as_ref().map_or(1, |weigh| weigh(key.borrow(), entry.value()).max(1));
        if weight > self.max_weight {
            self.entries.remove(Borrow::<K>::borrow(&key));
            return Ok(InsertOutcome::Rejected);
        }
        let mut left = Left::default();
        self.entries.insert_with_lifecycle(key, Stored { entry, weight }, &mut left);
        if let Some(reporter) = &self.reporter {
            for entry in &left.evicted {
                reporter.evicted(entry);
            }
        }
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &K) -> Result<(), Error> {
        self.entries.remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), Error> {
        self.entries.clear();
        Ok(())
    }

    async fn peek(&self, key: &K) -> Result<Option<CacheEntry<()>>, Error> {
        let mut found = None;
        self.entries.remove_if(key, |stored| {
            found = Some(stored.entry.metadata());
            false
        });
        Ok(found)
    }

    async fn len(&self) -> Result<Option<u64>, Error> {
        Ok(Some(self.entries.len() as u64))
    }

    async fn invalidate_expired(&self, key: &K, expired: &CacheEntry<()>) -> Result<(), Error> {
        self.entries.remove_if(key, |stored| stored.entry.same_insertion(expired));
        Ok(())
    }

    fn drops_rejected(&self) -> bool {
        true
    }

    fn attach(&mut self, reporter: EvictionReporter) {
        self.reporter = Some(reporter);
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for MemoryTier<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTier")
            .field("len", &self.entries.len())
            .field("capacity", &self.entries.capacity())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Stored<V> {
    entry: CacheEntry<V>,
    weight: u64,
}

#[derive(Clone)]
struct StoredWeight;

impl<Q, V> Weighter<Q, Stored<V>> for StoredWeight {
    fn weight(&self, _key: &Q, stored: &Stored<V>) -> u64 {
        stored.weight
    }
}

/// Takes note of what leaves the tier during one insert.
#[derive(Clone)]
struct Leaving;

struct Left<Q, V> {
    evicted: SmallVec<[CacheEntry<()>; 1]>,
    /// Dropped only when the shard is no longer locked: what a value's `drop` does is not ours to know.
    dropped: SmallVec<[(Q, Stored<V>); 1]>,
}

impl<Q, V> Default for Left<Q, V> {
    fn default() -> Self {
        Self { evicted: SmallVec::new(), dropped: SmallVec::new() }
    }
}

impl<Q, V> Lifecycle<Q, Stored<V>> for Leaving {
    type RequestState = Left<Q, V>;

    // Called for evictions only; `on_evict` is called for replaced entries as well.
    fn before_evict(&self, left: &mut Left<Q, V>, _key: &Q, stored: &mut Stored<V>) {
        left.evicted.push(stored.entry.metadata());
    }

    fn on_evict(&self, left: &mut Left<Q, V>, key: Q, stored: Stored<V>) {
        left.dropped.push((key, stored));
    }
}
