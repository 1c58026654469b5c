//! `Stats`: a handler that counts every outcome.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::histogram::Histogram;
use crate::telemetry::event::{CacheOperationEvent, CacheTierEvent};
use crate::telemetry::handler::{CacheEventHandler, EventMask};
use crate::telemetry::outcome::{CacheOperation, OperationOutcome, TierOperation, TierOutcome};

/// A handler that counts every outcome of every operation and tier, and keeps the distribution of their durations.
///
/// Clones share the same counters: register one clone and read another. Several caches can share it; a tier is identified by the
/// names of cache and tier. `{}` prints a table with a line per tier: hits, misses, hit ratio and durations of lookups, then the
/// numbers of expired entries, evictions and errors.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::telemetry::{CacheOperation, OperationOutcome, Stats};
/// use cachet::{Cache, Tier};
///
/// let stats = Stats::new();
/// let cache = Cache::<str, u32>::builder("ages")
///     .tier(Tier::memory(100).name("l1"))
///     .event_handler(stats.clone())
///     .build();
/// cache.insert("ada", 36).await?;
/// cache.get("ada").await?;
/// cache.get("bob").await?;
///
/// assert_eq!(stats.operations(CacheOperation::Get, OperationOutcome::Hit), 1);
/// let l1 = &stats.tiers()[0];
/// assert_eq!((l1.hits(), l1.misses()), (1, 1));
/// assert_eq!(l1.hit_ratio(), Some(0.5));
/// println!("{stats}");
/// # Ok(()) }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[derive(Clone, Default)]
pub struct Stats(Arc<Counters>);

#[derive(Default)]
struct Counters {
    operations: Table<{ CacheOperation::ALL.len() }, { OperationOutcome::ALL.len() }>,
    coalesced: AtomicU64,
    durations: Histogram,
    loads: Histogram,
    tiers: RwLock<Vec<TierStats>>,
}

/// Counters by two enums.
struct Table<const ROWS: usize, const COLUMNS: usize>([[AtomicU64; COLUMNS]; ROWS]);

impl<const ROWS: usize, const COLUMNS: usize> Table<ROWS, COLUMNS> {
    fn count(&self, row: usize, column: usize) {
        self.0[row][column].fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, row: usize, column: usize) -> u64 {
        self.0[row][column].load(Ordering::Relaxed)
    }
}

impl<const ROWS: usize, const COLUMNS: usize> Default for Table<ROWS, COLUMNS> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

impl Stats {
    /// Creates counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of operations of a kind with this outcome.
    pub fn operations(&self, operation: CacheOperation, outcome: OperationOutcome) -> u64 {
        self.0.operations.get(operation as usize, outcome as usize)
    }

    /// Returns the number of completed operations of a kind.
    pub fn operations_of(&self, operation: CacheOperation) -> u64 {
        OperationOutcome::ALL.iter().map(|outcome| self.operations(operation, *outcome)).sum()
    }

    /// Returns the number of followers: operations that waited for the result of a leader.
    pub fn coalesced(&self) -> u64 {
        self.0.coalesced.load(Ordering::Relaxed)
    }

    /// Returns the durations of operations.
    pub fn durations(&self) -> &Histogram {
        &self.0.durations
    }

    /// Returns the durations of loaders.
    pub fn loads(&self) -> &Histogram {
        &self.0.loads
    }

    /// Returns the counters of each tier, in the order of their first events. The counters are live.
    pub fn tiers(&self) -> Vec<TierStats> {
        self.0.tiers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the counters of one tier, by the names of cache and tier; `None` before its first event.
    pub fn tier(&self, cache: &str, tier: &str) -> Option<TierStats> {
        self.tiers().into_iter().find(|known| known.is(cache, tier))
    }

    /// Runs a function on the counters of a tier, under a read lock, which costs less than cloning an `Arc`.
    fn with_tier(&self, cache: &str, tier: &str, with: impl FnOnce(&TierStats)) {
        let known = self.0.tiers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tier) = known.iter().find(|known| known.is(cache, tier)) {
            return with(tier);
        }
        drop(known);
        let mut tiers = self.0.tiers.write().unwrap_or_else(PoisonError::into_inner);
        if !tiers.iter().any(|known| known.is(cache, tier)) {
            tiers.push(TierStats::new(cache, tier));
        }
        drop(tiers);
        self.with_tier(cache, tier, with);
    }
}

impl CacheEventHandler for Stats {
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS | EventMask::TIERS | EventMask::TIMING
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.with_tier(event.cache(), event.tier(), |tier| {
            tier.0.calls.count(event.operation() as usize, event.outcome() as usize);
            if let (Some(keys), Some(hits)) = (event.keys(), event.hits()) {
                tier.0.many_hits.fetch_add(hits as u64, Ordering::Relaxed);
                tier.0.many_misses.fetch_add(keys.saturating_sub(hits) as u64, Ordering::Relaxed);
            }
            if let Some(duration) = event.duration() {
                tier.0.durations[event.operation() as usize].record(duration);
            }
        });
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.0.operations.count(event.operation() as usize, event.outcome() as usize);
        if event.coalesced() {
            self.0.coalesced.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(duration) = event.duration() {
            self.0.durations.record(duration);
        }
        if let Some(duration) = event.load_duration() {
            self.0.loads.record(duration);
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20} {:>8} {:>8} {:>7} {:>10} {:>10} {:>8} {:>8} {:>8}",
            "tier", "hits", "misses", "ratio", "p50", "p99", "expired", "evicted", "errors"
        )?;
        for tier in self.tiers() {
            let get = tier.durations(TierOperation::Get);
            let ratio = tier.hit_ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
            let quantile = |q| get.quantile(q).map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"));
            writeln!(
                f,
                "{:<20} {:>8} {:>8} {ratio:>7} {:>10} {:>10} {:>8} {:>8} {:>8}",
                format!("{}/{}", tier.cache(), tier.name()),
                tier.hits(),
                tier.misses(),
                quantile(0.5),
                quantile(0.99),
                tier.total(TierOutcome::Expired),
                tier.total(TierOutcome::Evicted),
                tier.total(TierOutcome::Error) + tier.total(TierOutcome::Panicked),
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats").field("tiers", &self.tiers()).finish_non_exhaustive()
    }
}

/// The counters of one tier in [`Stats`].
#[derive(Clone)]
pub struct TierStats(Arc<TierCounters>);

struct TierCounters {
    cache: Box<str>,
    tier: Box<str>,
    calls: Table<{ TierOperation::ALL.len() }, { TierOutcome::ALL.len() }>,
    durations: [Histogram; TierOperation::ALL.len()],
    many_hits: AtomicU64,
    many_misses: AtomicU64,
}

impl TierStats {
    fn new(cache: &str, tier: &str) -> Self {
        Self(Arc::new(TierCounters {
            cache: cache.into(),
            tier: tier.into(),
            calls: Table::default(),
            durations: std::array::from_fn(|_| Histogram::new()),
            many_hits: AtomicU64::new(0),
            many_misses: AtomicU64::new(0),
        }))
    }

    fn is(&self, cache: &str, tier: &str) -> bool {
        *self.0.cache == *cache && *self.0.tier == *tier
    }

    /// Returns the name of the cache.
    pub fn cache(&self) -> &str {
        &self.0.cache
    }

    /// Returns the name of the tier.
    pub fn name(&self) -> &str {
        &self.0.tier
    }

    /// Returns the number of calls of a kind with this outcome.
    pub fn count(&self, operation: TierOperation, outcome: TierOutcome) -> u64 {
        self.0.calls.get(operation as usize, outcome as usize)
    }

    /// Returns the number of calls of any kind with this outcome.
    pub fn total(&self, outcome: TierOutcome) -> u64 {
        TierOperation::ALL.iter().map(|operation| self.count(*operation, outcome)).sum()
    }

    /// Returns the number of lookups that found a fresh entry; a batch lookup counts each key.
    pub fn hits(&self) -> u64 {
        self.count(TierOperation::Get, TierOutcome::Hit) + self.0.many_hits.load(Ordering::Relaxed)
    }

    /// Returns the number of lookups without a fresh entry: absent, expired, failed or cancelled. A batch lookup that was answered
    /// counts each key.
    pub fn misses(&self) -> u64 {
        let many = self.0.many_misses.load(Ordering::Relaxed);
        many + [
            TierOutcome::Miss,
            TierOutcome::Expired,
            TierOutcome::Error,
            TierOutcome::Panicked,
            TierOutcome::Cancelled,
        ]
        .map(|outcome| self.count(TierOperation::Get, outcome))
        .iter()
        .sum::<u64>()
    }

    /// Returns the hit ratio, between 0 and 1; `None` before the first lookup.
    #[allow(clippy::cast_precision_loss, reason = "a ratio does not need full precision")]
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits() + self.misses();
        (lookups > 0).then(|| self.hits() as f64 / lookups as f64)
    }

    /// Returns the durations of calls of a kind.
    pub fn durations(&self, operation: TierOperation) -> &Histogram {
        &self.0.durations[operation as usize]
    }
}

impl fmt::Debug for TierStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierStats")
            .field("cache", &self.cache())
            .field("name", &self.name())
            .field("hits", &self.hits())
            .field("misses", &self.misses())
            .finish_non_exhaustive()
    }
}
