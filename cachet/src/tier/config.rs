//! `Tier`: the settings of one tier.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::expiry::{Expiry, Jitter};
use crate::policy::InsertPolicy;
use crate::telemetry::{TierDescriptor, TierIdentity};
use crate::tier::ObservableTier;
use crate::tier::boxed::BoxedTier;
use crate::tier::erased::ErasedTier;
use crate::tier::source::{ObservableSource, SourceTier};
use crate::tier::wrapper::{CacheWrapper, Surroundings, TierConfig};

/// A storage and its settings, to be added to a cache.
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
    pub(crate) config: TierConfig<K, V>,
    pub(crate) cool_down: Option<Duration>,
    pub(crate) descriptor: &'static TierDescriptor,
    pub(crate) immediate: bool,
    pub(crate) wrap: Wrap<K, V>,
}

type Wrap<K, V> =
    Box<dyn FnOnce(TierIdentity, usize, TierConfig<K, V>, &Surroundings<'_, K, V>) -> Box<dyn ErasedTier<K, V>> + Send>;

impl<K: Key + ?Sized + 'static, V: Value + 'static> Tier<K, V> {
    /// Creates a tier from a storage: a type with `#[cache_tier]` on its `impl CacheTier`.
    pub fn new<T: ObservableTier<K, V> + 'static>(tier: T) -> Self {
        Self {
            config: TierConfig {
                name: None,
                read_only: false,
                expiry: Expiry::default(),
                timeout: None,
                breaker: None,
                policy: InsertPolicy::always(),
            },
            cool_down: None,
            descriptor: T::descriptor(),
            immediate: T::IMMEDIATE,
            wrap: Box::new(|identity, number, config, surroundings| {
                if T::IMMEDIATE {
                    let fields = T::record_fields;
                    Box::new(CacheWrapper::<_, _, _, true>::new(tier, fields, identity, number, config, surroundings))
                } else {
                    let (tier, fields) = (BoxedTier::new(tier), BoxedTier::record_fields);
                    Box::new(CacheWrapper::<_, _, _, false>::new(tier, fields, identity, number, config, surroundings))
                }
            }),
        }
    }

    /// Creates a read-only tier from a [`Source`](crate::Source), where the cached data come from: a type with `#[cache_tier]` on its
    /// `impl Source`. Usually the last tier. Writes and removals of the cache do not reach it.
    pub fn source<S: ObservableSource<K, V> + 'static>(source: S) -> Self {
        let mut tier = Self::new(SourceTier(source));
        tier.config.read_only = true;
        tier
    }

    /// Sets the name of the tier in telemetry; by default the name in its `#[cache_tier]`. An empty name has no effect.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.config.name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Sets the time to live of entries in this tier, counted from the insertion *into this tier*. An entry is fresh while its age
    /// is at most `ttl`, and expired after that; with zero it expires at the next tick of the clock. An entry's own time to live
    /// overrides it.
    ///
    /// A promotion or a refresh starts a new time to live in the upper tier, so a value may become as old as the sum of all tiers'
    /// times to live. For one deadline in all tiers, insert the value with
    /// [`CacheEntry::expires_after`](crate::CacheEntry::expires_after).
    ///
    /// An entry that the tier returns without its time of insertion counts as expired; the first one is a warning in the logs.
    #[doc(alias = "expire")]
    #[doc(alias = "time_to_live")]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.expiry.ttl = Some(ttl);
        self
    }

    /// Shortens the tier's [`ttl`](Self::ttl) by up to this much, differently for each entry, so that entries that were inserted
    /// together do not expire together.
    ///
    /// An entry with its own time to live is not affected. The amount depends on the key, the time of insertion and a seed, which is
    /// random unless [set](Self::ttl_jitter_seed). It is limited to the time to live.
    pub fn ttl_jitter(mut self, at_most: Duration) -> Self {
        let jitter = &mut self.config.expiry.jitter;
        *jitter = Some(jitter.unwrap_or_else(Jitter::random).up_to(at_most));
        self
    }

    /// Sets the seed of the [jitter](Self::ttl_jitter), for reproducible tests.
    pub fn ttl_jitter_seed(mut self, seed: u64) -> Self {
        let jitter = &mut self.config.expiry.jitter;
        *jitter = Some(jitter.unwrap_or_else(Jitter::random).with_seed(seed));
        self
    }

    /// Sets how far the clocks of other processes that use the same storage may be ahead or behind; by default 5 minutes. Only for
    /// entries that the tier [restores](crate::CacheEntry::restore).
    ///
    /// A time of insertion in the future counts as just now if it is within the tolerance, and beyond it the entry counts as a miss.
    /// An entry that is expired by the clock of this process is a miss, but is removed only once it has been expired for longer than
    /// the tolerance, since it may be fresh for another process.
    pub fn clock_tolerance(mut self, tolerance: Duration) -> Self {
        self.config.expiry.clock_tolerance = tolerance;
        self
    }

    /// Enables refresh-ahead: a read of an entry of at least this age returns it immediately, reported as `stale`, and starts a
    /// refresh in the background. The refresh reads the lower tiers and stores the result in this tier and the tiers above it.
    ///
    /// One refresh runs per key, and a [limited number](crate::CacheBuilder::max_concurrent_refreshes) in total. A refresh that fails
    /// or finds nothing keeps the entry; the next one starts after a [cool-down](Self::refresh_cool_down). A refresh overtaken by
    /// an insert, invalidate or clear is discarded. Dropping the last handle of the cache cancels its refreshes.
    ///
    /// A refresh reads lower tiers only; it never runs a loader. To refresh from a database, add the database as the last tier, as a
    /// [source](Self::source).
    ///
    /// Refreshes run on the current Tokio runtime, or on another [`Runtime`](crate::Runtime); without one they fail
    /// with an error for which [`is_no_runtime`](crate::Error::is_no_runtime) is true. On the last tier the setting has no effect. If
    /// `age` is not less than the [`ttl`](Self::ttl), nothing is refreshed. Both cases are warnings in the logs.
    ///
    /// ```
    /// # #[cfg(all(feature = "memory", feature = "tokio"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, ManualClock, Tier};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let shared = || Tier::memory(100).name("shared");
    /// let pages = Cache::<str, String>::builder("pages")
    ///     .tier(Tier::memory(100).name("l1").refresh_after(Duration::from_secs(60)))
    ///     .tier(shared())
    ///     .clock(clock.clone())
    ///     .build();
    /// pages.insert("index", "<html>".to_owned()).await?;
    ///
    /// clock.advance(Duration::from_secs(60));
    /// assert!(pages.get("index").await?.is_some());
    /// assert_eq!(pages.refreshes().running, 1);
    /// tokio::task::yield_now().await;
    /// assert_eq!(pages.refreshes().running, 0);
    /// # Ok(()) }
    /// # #[cfg(not(all(feature = "memory", feature = "tokio")))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "refresh_ahead")]
    #[doc(alias = "stale_while_revalidate")]
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.config.expiry.refresh_after = Some(age);
        self
    }

    /// Sets how long a key is not refreshed again after a refresh that failed or found nothing; by default the age set by
    /// [`refresh_after`](Self::refresh_after). [`Cache::refreshes`](crate::Cache::refreshes) returns the number of such keys. The first
    /// read of a key in its cool-down is reported as a refresh that was `suppressed`.
    pub fn refresh_cool_down(mut self, duration: Duration) -> Self {
        self.cool_down = Some(duration);
        self
    }

    /// Sets the timeout of a call of this tier. A call that exceeds it is dropped and fails with an error for which
    /// [`is_timeout`](crate::Error::is_timeout) is true.
    ///
    /// Has no effect on an `immediate` tier such as the memory tier. Requires a [`Runtime`](crate::Runtime) once a call has to wait;
    /// with a [`ManualClock`](crate::ManualClock), the timeout follows that clock.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.config.timeout = Some(limit);
        self
    }

    /// Stops calling the tier after this many failed calls in a row, for this long; then one call is a probe. If it succeeds, the
    /// tier is called again; if it fails, the next probe is made after `open_for`. At least one failure is needed.
    ///
    /// While the breaker is open, a call fails at once with an error for which
    /// [`is_breaker_open`](crate::Error::is_breaker_open) is true, and is reported as `skipped`. So a tier that is down costs one
    /// [timeout](Self::timeout) per probe, and not one per request. Otherwise the tier counts as one that fails: reads ask the other
    /// tiers, a write returns the error, and reads of its key skip the tier until the key has been invalidated there.
    ///
    /// Errors and timeouts are failures; a miss is none. Has no effect on an `immediate` tier such as the memory tier. The changes
    /// are events of the operation [`Breaker`](crate::telemetry::TierOperation::Breaker), `opened` (a warning in the logs) and
    /// `closed`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # #[cfg(feature = "test-util")] {
    /// use cachet::telemetry::TierOperation;
    /// use cachet::testing::{Behavior, MockTier};
    /// use cachet::{Cache, ManualClock, Tier};
    /// use std::time::Duration;
    ///
    /// let (clock, redis) = (ManualClock::new(), MockTier::<str, u32>::new());
    /// let cache = Cache::<str, u32>::builder("ages")
    ///     .tier(Tier::new(redis.clone()).name("redis").breaker(3, Duration::from_secs(5)))
    ///     .clock(clock.clone())
    ///     .build();
    /// redis.always(TierOperation::Get, Behavior::Fail("connection refused"));
    /// for _ in 0..100 {
    ///     assert!(cache.get("ada").await.unwrap_err().is_tier());
    /// }
    /// assert_eq!(redis.calls().len(), 3);
    ///
    /// redis.always(TierOperation::Get, Behavior::Work);
    /// clock.advance(Duration::from_secs(5));
    /// assert!(cache.get("ada").await.unwrap().is_none());
    /// # }
    /// # }
    /// ```
    #[doc(alias = "circuit_breaker")]
    pub fn breaker(mut self, failures: u32, open_for: Duration) -> Self {
        self.config.breaker = Some((failures, open_for));
        self
    }

    /// Sets which entries the tier accepts; by default all.
    pub fn insert_policy(mut self, policy: InsertPolicy<K, V>) -> Self {
        self.config.policy = policy;
        self
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for Tier<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("name", &self.config.name.as_deref().unwrap_or(self.descriptor.name))
            .field("expiry", &self.config.expiry)
            .field("timeout", &self.config.timeout)
            .field("policy", &self.config.policy)
            .finish_non_exhaustive()
    }
}
