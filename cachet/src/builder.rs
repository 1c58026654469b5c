//! `CacheBuilder` and `Tier`: what belongs to the cache, and what belongs to one of its tiers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::fallback::Tiers;
use crate::policy::InsertPolicy;
use crate::telemetry::span::SpanLevel;
use crate::telemetry::{CacheEventHandler, CacheTelemetry, Logs, SpanPolicy, TierDescriptor, TierIdentity};
use crate::tier::ObservableTier;
use crate::tier::erased::ErasedTier;
use crate::wrapper::{CacheWrapper, TierConfig};
use crate::{Key, Value};

pub(crate) mod keys;

use self::keys::RecordKeys;

/// The builder of a cache that has no tier yet; see [`CacheBuilder`].
#[derive(Debug)]
pub enum NoTier {}

/// The builder of a cache that has a tier, and so can be built; see [`CacheBuilder`].
#[derive(Debug)]
pub enum HasTier {}

/// Puts a cache together: its tiers, and what belongs to all of it.
///
/// Made by [`Cache::builder`]. A cache needs at least one tier: [`build`](Self::build) exists only after
/// [`tier`](Self::tier) has been called.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # fn main() {
/// use cachet::telemetry::Stats;
/// use cachet::{Cache, Tier};
/// use std::time::Duration;
///
/// let stats = Stats::new();
/// let pages = Cache::<str, String>::builder("pages")
///     .tier(Tier::memory(10_000).name("l1").ttl(Duration::from_secs(60)))
///     .event_handler(stats.clone())
///     .enable_logs()
///     .build();
/// assert_eq!(pages.name(), "pages");
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct CacheBuilder<K: Key + ?Sized, V: Value, S = NoTier> {
    name: Arc<str>,
    tiers: Vec<Tier<K, V>>,
    clock: Clock,
    handlers: Vec<Box<dyn CacheEventHandler>>,
    logs: bool,
    span_policy: SpanPolicy,
    span_level: SpanLevel,
    record_keys: RecordKeys<K>,
    fail_closed: bool,
    stampede_protection: bool,
    state: PhantomData<fn() -> S>,
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> CacheBuilder<K, V> {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name: if name.is_empty() { Arc::from("unnamed") } else { name },
            tiers: Vec::new(),
            clock: Clock::system(),
            handlers: Vec::new(),
            logs: false,
            span_policy: SpanPolicy::default(),
            span_level: SpanLevel::default(),
            record_keys: RecordKeys::default(),
            fail_closed: false,
            stampede_protection: false,
            state: PhantomData,
        }
    }
}

impl<K: Key + ?Sized + 'static, V: Value + 'static, S> CacheBuilder<K, V, S> {
    /// Adds a tier below those that were added before. Reads ask the tiers in this order.
    ///
    /// Two tiers of the same name are told apart by a number: the second `memory` becomes `memory-2`.
    pub fn tier(mut self, tier: Tier<K, V>) -> CacheBuilder<K, V, HasTier> {
        self.tiers.push(tier);
        CacheBuilder {
            name: self.name,
            tiers: self.tiers,
            clock: self.clock,
            handlers: self.handlers,
            logs: self.logs,
            span_policy: self.span_policy,
            span_level: self.span_level,
            record_keys: self.record_keys,
            fail_closed: self.fail_closed,
            stampede_protection: self.stampede_protection,
            state: PhantomData,
        }
    }

    /// Adds a handler of events; every call adds one. They are told in this order.
    pub fn event_handler(mut self, handler: impl CacheEventHandler) -> Self {
        self.handlers.push(Box::new(handler));
        self
    }

    /// Sends spans and events to `tracing`. Without the crate's feature `logs` this does nothing.
    pub fn enable_logs(mut self) -> Self {
        self.logs = true;
        self
    }

    /// Which operations get a span; [`SpanPolicy::All`] by default. Takes effect with [logs enabled](Self::enable_logs).
    pub fn span_policy(mut self, policy: SpanPolicy) -> Self {
        self.span_policy = policy;
        self
    }

    /// The level of the operations' spans; [`SpanLevel::Debug`] by default. Takes effect with
    /// [logs enabled](Self::enable_logs). The level of a tier's spans is set by its `#[cache_tier(level = "…")]`.
    pub fn span_level(mut self, level: SpanLevel) -> Self {
        self.span_level = level;
        self
    }

    /// Whether spans and events tell keys, and in which form; [`RecordKeys::omitted`] by default.
    pub fn record_keys(mut self, record_keys: RecordKeys<K>) -> Self {
        self.record_keys = record_keys;
        self
    }

    /// The clock that all of the cache follows; the system's by default.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Lets only one closure at a time compute a key: whoever misses the key meanwhile waits for that result, be it a
    /// value, nothing, or an error.
    ///
    /// Lookups are never held up, so a hit costs the same. When the one who computes is dropped, one of those who wait
    /// takes over and runs its own closure. A panic of the closure becomes an error, for which
    /// [`is_panic`](crate::Error::is_panic) is true, for everybody. A closure that asks the same cache for the key that it is
    /// computing gets an error ([`is_reentrant`](crate::Error::is_reentrant)); this is noticed in the same task, not in a
    /// task that the closure spawns and waits for, and not when two closures wait for each other's keys.
    ///
    /// Whoever asks after a write of the key has begun does not take the result of a closure that began before it, but
    /// waits for its end and has the key computed anew.
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, Tier};
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let pages = Cache::<str, String>::builder("pages").tier(Tier::memory(100)).stampede_protection().build();
    /// let renderings = AtomicU32::new(0);
    /// let ask = || async {
    ///     pages
    ///         .get_or_insert("index", || async {
    ///             renderings.fetch_add(1, Ordering::Relaxed);
    ///             tokio::task::yield_now().await;
    ///             "<html>".to_owned()
    ///         })
    ///         .await
    /// };
    /// let (first, second, third) = tokio::join!(ask(), ask(), ask());
    /// assert_eq!((&**first?, &**second?, &**third?), ("<html>", "<html>", "<html>"));
    /// assert_eq!(renderings.into_inner(), 1);
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "single_flight")]
    #[doc(alias = "coalesce")]
    pub fn stampede_protection(mut self) -> Self {
        self.stampede_protection = true;
        self
    }

    /// Makes the compute methods return a tier's error when no tier answered, rather than compute the value: for a
    /// source that must not be asked while the cache in front of it is down.
    pub fn fail_closed(mut self) -> Self {
        self.fail_closed = true;
        self
    }
}

/// A builder that has all it needs; see [`CacheBuilder::build`].
#[diagnostic::on_unimplemented(
    message = "a cache needs at least one tier",
    label = "no tier has been added",
    note = "call `.tier(…)` before `.build()`, for example `.tier(Tier::memory(10_000))`"
)]
pub trait Complete {}

impl Complete for HasTier {}

impl<K: Key + ?Sized + 'static, V: Value + 'static, S> CacheBuilder<K, V, S> {
    /// Builds the cache; possible once it has a [tier](Self::tier).
    pub fn build(self) -> Cache<K, V>
    where
        S: Complete,
    {
        let logs = if self.logs { Logs::new(self.span_policy, self.span_level) } else { Logs::off() };
        let telemetry = Arc::new(CacheTelemetry::new(self.name, self.clock, logs, self.handlers));
        let mut names = Vec::new();
        let mut tiers = self.tiers.into_iter().map(|tier| tier.stack(&telemetry, &mut names));
        let Some(first) = tiers.next() else {
            // `HasTier` is reached only by adding one.
            unreachable!("a cache is built only after a tier was added")
        };
        let rest = tiers.collect();
        Cache::new(telemetry, Tiers::new(first, rest), self.record_keys, self.fail_closed, self.stampede_protection)
    }
}

impl<K: Key + ?Sized, V: Value, S> fmt::Debug for CacheBuilder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.name)
            .field("tiers", &self.tiers)
            .field("handlers", &self.handlers.len())
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

/// A tier on its way into a cache, and what belongs to it alone.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # fn main() {
/// use cachet::{CacheEntry, InsertPolicy, Tier};
/// use std::time::Duration;
///
/// let l1: Tier<str, Vec<u8>> = Tier::memory(10_000)
///     .name("l1")
///     .ttl(Duration::from_secs(60))
///     .insert_policy(InsertPolicy::when(|_key: &str, entry: &CacheEntry<Vec<u8>>| entry.len() < 4096));
/// # drop(l1);
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[must_use = "a tier does nothing until it is added to a cache"]
pub struct Tier<K: Key + ?Sized, V: Value> {
    config: TierConfig<K, V>,
    descriptor: &'static TierDescriptor,
    wrap: Wrap<K, V>,
}

type Wrap<K, V> =
    Box<dyn FnOnce(TierIdentity, TierConfig<K, V>, &Arc<CacheTelemetry>) -> Box<dyn ErasedTier<K, V>> + Send>;

impl<K: Key + ?Sized + 'static, V: Value + 'static> Tier<K, V> {
    /// A tier of your own: a type with `#[cache_tier]` on its `impl CacheTier`.
    pub fn new<T: ObservableTier<K, V> + 'static>(tier: T) -> Self {
        Self {
            config: TierConfig { name: None, ttl: None, policy: InsertPolicy::always() },
            descriptor: T::descriptor(),
            wrap: Box::new(|identity, config, telemetry| {
                Box::new(CacheWrapper::new(tier, identity, config, telemetry))
            }),
        }
    }

    /// A tier in this process's memory that holds up to about `capacity` entries; named `memory` unless said otherwise.
    ///
    /// When it is full, entries that are rarely used make room. A capacity of zero means that it holds nothing: every insert
    /// is rejected. Memory is taken as entries come, about 45 bytes per entry beside key and value.
    #[cfg(feature = "memory")]
    pub fn memory(capacity: usize) -> Self {
        Self::new(crate::tier::memory::MemoryTier::with_capacity(capacity))
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
    #[cfg(feature = "memory")]
    pub fn memory_by_weight(capacity: u64, weigh: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        Self::new(crate::tier::memory::MemoryTier::with_weight(capacity, weigh))
    }

    /// The name under which telemetry reports the tier; by default the one that its `#[cache_tier]` declares. An empty
    /// name counts as none.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.config.name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// How long an entry without a time to live of its own stays fresh in this tier, counted from its insertion *into this
    /// tier*. An entry is fresh at that very age and expired after it; zero therefore means "expired as soon as the clock
    /// has moved".
    ///
    /// A tier that gives entries back without the stamp they were inserted with cannot tell their age: they count as
    /// expired, and the first of them is a warning in the logs.
    #[doc(alias = "expire")]
    #[doc(alias = "time_to_live")]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = Some(ttl);
        self
    }

    /// Which entries the tier takes, however they get there; all, by default.
    pub fn insert_policy(mut self, policy: InsertPolicy<K, V>) -> Self {
        self.config.policy = policy;
        self
    }

    /// Makes the tier part of a cache, under a name that none of `names` is.
    fn stack(mut self, telemetry: &Arc<CacheTelemetry>, names: &mut Vec<Arc<str>>) -> Box<dyn ErasedTier<K, V>> {
        let wanted = self.config.name.take().unwrap_or_else(|| Arc::from(self.descriptor.name));
        let mut name = Arc::clone(&wanted);
        let mut number = 1;
        while names.contains(&name) {
            number += 1;
            name = Arc::from(format!("{wanted}-{number}"));
        }
        names.push(Arc::clone(&name));
        (self.wrap)(TierIdentity { name, descriptor: self.descriptor }, self.config, telemetry)
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for Tier<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("name", &self.config.name.as_deref().unwrap_or(self.descriptor.name))
            .field("ttl", &self.config.ttl)
            .field("policy", &self.config.policy)
            .finish_non_exhaustive()
    }
}
