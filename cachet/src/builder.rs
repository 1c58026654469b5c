//! `CacheBuilder`: the settings of a whole cache, and the assembly of its tiers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::cache::{Cache, Options, RefreshScheduler, RefreshTable};
use crate::clock::Clock;
use crate::error::Limited;
use crate::inflight::InFlight;
use crate::limit::TimeLimit;
use crate::runtime::{Runtime, Spawner};
use crate::stack::TierStack;
use crate::telemetry::record_keys::RecordKeys;
use crate::telemetry::span::SpanLevel;
use crate::telemetry::{CacheEventHandler, CacheTelemetry, Logs, SpanPolicy, TierIdentity};
use crate::tier::config::Tier;
use crate::tier::erased::ErasedTier;
use crate::tier::wrapper::Surroundings;

/// The default limit of concurrent refreshes.
const MAX_CONCURRENT_REFRESHES: usize = 64;
/// The default time limit of a refresh.
const REFRESH_TIME_LIMIT: Duration = Duration::from_mins(1);

/// The state of a [`CacheBuilder`] without a tier.
#[derive(Debug)]
pub enum NoTier {}

/// The state of a [`CacheBuilder`] with at least one tier, which can be built.
#[derive(Debug)]
pub enum HasTier {}

/// Configures a [`Cache`] and its tiers.
///
/// [`Cache::builder`] creates it. A cache needs at least one tier: [`build`](Self::build) is available after the first call of
/// [`tier`](Self::tier). Times to live, refreshes, timeouts and insert policies are settings of a [`Tier`].
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
    tiers: Vec<Tier<K, V>>,
    settings: Settings<K>,
    state: PhantomData<fn() -> S>,
}

/// The settings of the whole cache.
struct Settings<K: ?Sized> {
    name: Arc<str>,
    clock: Clock,
    runtime: Option<Arc<dyn Runtime>>,
    handlers: Vec<Box<dyn CacheEventHandler>>,
    logs: bool,
    span_policy: SpanPolicy,
    span_level: SpanLevel,
    record_keys: RecordKeys<K>,
    fail_closed: bool,
    stampede_protection: bool,
    follower_timeout: Option<Duration>,
    time_limit: Option<Duration>,
    load_timeout: Option<Duration>,
    refresh_time_limit: Duration,
    serve_stale: Option<Duration>,
    max_concurrent_refreshes: usize,
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> Cache<K, V> {
    /// Creates a builder for a cache with this name. All spans, events and metrics carry the name; an empty name becomes `unnamed`.
    pub fn builder(name: impl Into<Arc<str>>) -> CacheBuilder<K, V> {
        CacheBuilder::new(name.into())
    }
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> CacheBuilder<K, V> {
    fn new(name: Arc<str>) -> Self {
        let settings = Settings {
            name: if name.is_empty() { Arc::from("unnamed") } else { name },
            clock: Clock::system(),
            runtime: None,
            handlers: Vec::new(),
            logs: false,
            span_policy: SpanPolicy::default(),
            span_level: SpanLevel::default(),
            record_keys: RecordKeys::default(),
            fail_closed: false,
            stampede_protection: false,
            follower_timeout: None,
            time_limit: None,
            load_timeout: None,
            refresh_time_limit: REFRESH_TIME_LIMIT,
            serve_stale: None,
            max_concurrent_refreshes: MAX_CONCURRENT_REFRESHES,
        };
        Self { tiers: Vec::new(), settings, state: PhantomData }
    }
}

impl<K: Key + ?Sized + 'static, V: Value + 'static, S> CacheBuilder<K, V, S> {
    /// Adds a tier below the existing ones. Reads ask the tiers in this order. For a custom tier, write
    /// `.tier(Tier::new(MyTier))`.
    ///
    /// Duplicate names get a number: a second `memory` becomes `memory-2`.
    pub fn tier(mut self, tier: Tier<K, V>) -> CacheBuilder<K, V, HasTier> {
        self.tiers.push(tier);
        CacheBuilder { tiers: self.tiers, settings: self.settings, state: PhantomData }
    }

    /// Adds an event handler. Handlers run in registration order.
    pub fn event_handler(mut self, handler: impl CacheEventHandler) -> Self {
        self.settings.handlers.push(Box::new(handler));
        self
    }

    /// Sends spans and events to `tracing`. Has no effect without the crate's feature `logs`.
    pub fn enable_logs(mut self) -> Self {
        self.settings.logs = true;
        self
    }

    /// Selects the operations that get a span; by default [`SpanPolicy::All`]. Requires [`enable_logs`](Self::enable_logs).
    pub fn span_policy(mut self, policy: SpanPolicy) -> Self {
        self.settings.span_policy = policy;
        self
    }

    /// Sets the level of operation spans; by default [`SpanLevel::Debug`]. Requires [`enable_logs`](Self::enable_logs). The
    /// level of a tier's spans is set by `#[cache_tier(level = "…")]`.
    pub fn span_level(mut self, level: SpanLevel) -> Self {
        self.settings.span_level = level;
        self
    }

    /// Sets whether and in which form spans and events contain keys; by default [`RecordKeys::omitted`].
    pub fn record_keys(mut self, record_keys: RecordKeys<K>) -> Self {
        self.settings.record_keys = record_keys;
        self
    }

    /// Sets the clock of the cache; by default the system clock.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.settings.clock = clock.into();
        self
    }

    /// Enables single flight: concurrent misses of a key share one lookup of the tiers that have to be waited for, and in the
    /// compute methods one run of the loader.
    ///
    /// The first operation is the leader and runs its loader; the others are followers and wait for its result: a value, nothing
    /// or an error. A `get` may follow a lookup, but never waits for a loader. Lookups in immediate tiers are not shared, so a hit
    /// costs the same. If the leader is cancelled, a follower becomes the leader and runs its own loader. If the loader panics,
    /// leader and followers get an error for which [`is_panic`](crate::Error::is_panic) is true.
    ///
    /// A loader that requests its own key from the same cache gets an error ([`is_reentrant`](crate::Error::is_reentrant)). This is
    /// detected within one task; it is not detected if the loader awaits a spawned task, or if two loaders wait for each
    /// other's keys. Nor is a task that polls a compute method of a key once and then, without polling it further, awaits another
    /// one of the same key: the second waits for the first. Use [`follower_timeout`](Self::follower_timeout) to limit such waits.
    ///
    /// A result whose loader started before a write of the key is not shared with calls made after that write: such a call waits
    /// for the flight to end, and the key is then loaded again, once for all of them.
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
        self.settings.stampede_protection = true;
        self
    }

    /// Enables [`stampede_protection`](Self::stampede_protection) and limits how long a follower waits for its leader. The first
    /// follower that reaches the limit runs its own loader, and the others follow that one. A follower that has waited for twice
    /// the limit fails with an error for which [`is_timeout`](crate::Error::is_timeout) is true.
    ///
    /// Choose a limit well above the usual duration of a load.
    ///
    /// Requires a [`Runtime`] once a follower waits; without one, the follower gets an error for which
    /// [`is_no_runtime`](crate::Error::is_no_runtime) is true.
    pub fn follower_timeout(mut self, limit: Duration) -> Self {
        self.settings.follower_timeout = Some(limit);
        self.stampede_protection()
    }

    /// Enables stale-if-error: serves an expired entry up to this age if all other sources fail, that is the tiers and the
    /// loader of a compute method. The operation is reported as `stale`, with the error.
    ///
    /// The age counts from the insertion into the tier that holds the entry. `max_age` must be longer than the time to live. The
    /// tier keeps an expired entry until it is older than `max_age`, is replaced, or every source has answered that there is no
    /// entry; see also [`fail_closed`](Self::fail_closed).
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, ManualClock, Tier};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let pages = Cache::<str, String>::builder("pages")
    ///     .tier(Tier::memory(100).ttl(Duration::from_secs(60)))
    ///     .serve_stale_on_error(Duration::from_secs(3600))
    ///     .clock(clock.clone())
    ///     .build();
    /// pages.insert("index", "<html>".to_owned()).await?;
    /// clock.advance(Duration::from_secs(61));
    ///
    /// let render = || async { Err::<String, _>("renderer is down") };
    /// assert_eq!(*pages.try_get_or_insert("index", render).await?, "<html>");
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "fail_safe")]
    #[doc(alias = "stale_if_error")]
    pub fn serve_stale_on_error(mut self, max_age: Duration) -> Self {
        self.settings.serve_stale = Some(max_age);
        self
    }

    /// Limits the duration of every operation: lookups, loads, writes and waits together. An operation that exceeds it fails with an
    /// error for which [`is_timeout`](crate::Error::is_timeout) is true, and what it was doing is dropped, like that of an operation
    /// whose future is dropped.
    ///
    /// The time counts from when the operation first has to wait, so hits in memory are not affected. Set the limits of the
    /// [tiers](Tier::timeout) and of the [loader](Self::load_timeout) below it: then a slow tier counts as a miss, and an
    /// [expired entry](Self::serve_stale_on_error) can be served, before the operation as a whole fails.
    ///
    /// Requires a [`Runtime`] once an operation has to wait.
    ///
    /// ```
    /// # #[cfg(all(feature = "memory", feature = "tokio"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use cachet::{Cache, Tier};
    /// use std::time::Duration;
    ///
    /// let pages = Cache::<str, String>::builder("pages")
    ///     .tier(Tier::memory(1000))
    ///     .time_limit(Duration::from_millis(10))
    ///     .build();
    /// let error = pages.get_or_insert("index", || std::future::pending::<String>()).await.unwrap_err();
    /// assert!(error.is_timeout());
    /// # }
    /// # #[cfg(not(all(feature = "memory", feature = "tokio")))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "timeout")]
    #[doc(alias = "deadline")]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.time_limit = Some(limit);
        self
    }

    /// Limits the duration of a loader in the compute methods. The future of a loader that exceeds it is dropped: the operation, and
    /// with [`stampede_protection`](Self::stampede_protection) all its followers, get an error for which
    /// [`is_timeout`](crate::Error::is_timeout) is true, or an [expired entry](Self::serve_stale_on_error). Nothing is stored, and
    /// the next call runs its loader.
    ///
    /// The time counts from when the loader first has to wait. Requires a [`Runtime`] then.
    #[doc(alias = "factory_timeout")]
    pub fn load_timeout(mut self, limit: Duration) -> Self {
        self.settings.load_timeout = Some(limit);
        self
    }

    /// Limits the duration of a [refresh](Tier::refresh_after); by default 60 seconds. A refresh that exceeds it has failed, and no
    /// longer counts as a running one.
    pub fn refresh_time_limit(mut self, limit: Duration) -> Self {
        self.settings.refresh_time_limit = limit;
        self
    }

    /// Limits the number of concurrent [refreshes](Tier::refresh_after); by default 64. At the limit, an entry that is due
    /// is served without starting a refresh.
    pub fn max_concurrent_refreshes(mut self, limit: usize) -> Self {
        self.settings.max_concurrent_refreshes = limit;
        self
    }

    /// Sets the async [`Runtime`] for refreshes and timeouts; by default the Tokio runtime of the calling task.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.settings.runtime = Some(Arc::new(runtime));
        self
    }

    /// Makes a compute method return the error of a failing tier, instead of running the loader, if no tier has the entry. Use it
    /// to keep the load off a source while the cache in front of it is down.
    pub fn fail_closed(mut self) -> Self {
        self.settings.fail_closed = true;
        self
    }
}

/// Marks the builder state that [`CacheBuilder::build`] requires.
#[diagnostic::on_unimplemented(
    message = "a cache needs at least one tier",
    label = "no tier has been added",
    note = "call `.tier(…)` before `.build()`, for example `.tier(Tier::memory(10_000))`"
)]
pub trait Complete {}

impl Complete for HasTier {}

impl<K: Key + ?Sized + 'static, V: Value + 'static, S> CacheBuilder<K, V, S> {
    /// Builds the cache. Requires at least one [tier](Self::tier).
    pub fn build(self) -> Cache<K, V>
    where
        S: Complete,
    {
        let Self { tiers, settings, .. } = self;
        let logs = if settings.logs { Logs::new(settings.span_policy, settings.span_level) } else { Logs::off() };
        let spawner = Spawner::new(settings.runtime, settings.clock.clone());
        let telemetry = Arc::new(CacheTelemetry::new(settings.name, settings.clock, logs, settings.handlers));
        let immediate: Vec<bool> = tiers.iter().map(|tier| tier.immediate).collect();
        let in_flight = Arc::new(InFlight::new(&immediate, &telemetry.clock));
        let surroundings = Surroundings {
            telemetry: &telemetry,
            spawner: &spawner,
            record_keys: &settings.record_keys,
            in_flight: &in_flight,
        };
        let mut stack = Stacking { surroundings, names: Vec::new(), cool_downs: Vec::new() };
        let last = tiers.len().saturating_sub(1);
        let mut tiers = tiers.into_iter().enumerate().map(|(number, mut tier)| {
            tier.config.expiry.serve_stale = settings.serve_stale;
            stack.add(tier, number == last)
        });
        let Some(first) = tiers.next() else {
            // Only `tier` changes the state to `HasTier`.
            unreachable!("a cache is built only after a tier was added")
        };
        let tiers = TierStack::new(first, tiers.collect());
        let cool_downs = stack.cool_downs;
        let scheduler = cool_downs.iter().any(Option::is_some).then(|| {
            RefreshScheduler::new(
                RefreshTable::new(settings.max_concurrent_refreshes, cool_downs.into()),
                settings.refresh_time_limit,
                spawner.clone(),
            )
        });
        let limit = |of, duration: Option<Duration>| duration.map(|duration| TimeLimit::new(of, duration, &spawner));
        let options = Options {
            record_keys: settings.record_keys,
            fail_closed: settings.fail_closed,
            stampede_protection: settings.stampede_protection,
            follower_timeout: limit(Limited::Follower, settings.follower_timeout),
            time_limit: limit(Limited::Operation, settings.time_limit),
            load_timeout: limit(Limited::Loader, settings.load_timeout),
        };
        Cache::of_parts(telemetry, tiers, in_flight, options, scheduler)
    }
}

/// The state while tiers are added to a cache.
struct Stacking<'b, K: Key + ?Sized, V> {
    surroundings: Surroundings<'b, K, V>,
    names: Vec<Arc<str>>,
    /// By tier; `None` for a tier without refreshes.
    cool_downs: Vec<Option<Duration>>,
}

impl<K: Key + ?Sized, V: Value> Stacking<'_, K, V> {
    /// Adds a tier under a unique name.
    fn add(&mut self, mut tier: Tier<K, V>, is_last: bool) -> Box<dyn ErasedTier<K, V>> {
        let wanted = tier.config.name.take().unwrap_or_else(|| Arc::from(tier.descriptor.name));
        let mut name = Arc::clone(&wanted);
        let mut number = 1;
        while self.names.contains(&name) {
            number += 1;
            name = Arc::from(format!("{wanted}-{number}"));
        }
        self.names.push(Arc::clone(&name));
        let expiry = &mut tier.config.expiry;
        let telemetry = self.surroundings.telemetry;
        let warn = |message: fmt::Arguments<'_>| telemetry.logs.warn(&telemetry.name, &name, message);
        if is_last && expiry.refresh_after.take().is_some() {
            warn(format_args!(
                "tier `{name}` is the last one, so there is nothing to refresh it from: `refresh_after` is ignored"
            ));
        }
        if let (Some(after), Some(ttl)) = (expiry.refresh_after, expiry.ttl)
            && after >= ttl
        {
            warn(format_args!(
                "tier `{name}` refreshes entries from an age of {after:?} on, but they expire at {ttl:?}: nothing is refreshed"
            ));
        }
        if let (Some(max_age), Some(ttl)) = (expiry.serve_stale, expiry.ttl)
            && max_age <= ttl
        {
            warn(format_args!(
                "tier `{name}` serves expired entries up to an age of {max_age:?}, but they are fresh up to {ttl:?}: none is served"
            ));
        }
        self.cool_downs.push(expiry.refresh_after.map(|after| tier.cool_down.unwrap_or(after)));
        let identity = TierIdentity { name, descriptor: tier.descriptor };
        (tier.wrap)(identity, self.names.len() - 1, tier.config, &self.surroundings)
    }
}

impl<K: Key + ?Sized, V: Value, S> fmt::Debug for CacheBuilder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.settings.name)
            .field("tiers", &self.tiers)
            .field("handlers", &self.settings.handlers.len())
            .field("logs", &self.settings.logs)
            .finish_non_exhaustive()
    }
}
