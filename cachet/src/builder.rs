//! `CacheBuilder`: what belongs to the cache as a whole, and how its tiers are stacked.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::cache::{Cache, Options, RefreshScheduler, RefreshTable};
use crate::clock::Clock;
use crate::inflight::InFlight;
use crate::runtime::{Runtime, Spawner};
use crate::stack::TierStack;
use crate::telemetry::record_keys::RecordKeys;
use crate::telemetry::span::SpanLevel;
use crate::telemetry::{CacheEventHandler, CacheTelemetry, Logs, SpanPolicy, TierIdentity};
use crate::tier::config::Tier;
use crate::tier::erased::ErasedTier;
use crate::tier::wrapper::Surroundings;

/// How many refreshes run at the same time, unless said otherwise.
const MAX_CONCURRENT_REFRESHES: usize = 64;

/// The builder of a cache that has no tier yet; see [`CacheBuilder`].
#[derive(Debug)]
pub enum NoTier {}

/// The builder of a cache that has a tier, and so can be built; see [`CacheBuilder`].
#[derive(Debug)]
pub enum HasTier {}

/// Puts a cache together: its tiers, and what belongs to all of it.
///
/// Made by [`Cache::builder`]. A cache needs at least one tier: [`build`](Self::build) exists only after
/// [`tier`](Self::tier) has been called. Times to live, refreshes, time limits and policies belong to a [`Tier`], since tiers
/// differ in them.
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

/// What belongs to the cache as a whole.
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
    serve_stale: Option<Duration>,
    max_concurrent_refreshes: usize,
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> Cache<K, V> {
    /// Starts building a cache. Every span, event and metric of it carries the name; an empty one becomes `unnamed`.
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
            serve_stale: None,
            max_concurrent_refreshes: MAX_CONCURRENT_REFRESHES,
        };
        Self { tiers: Vec::new(), settings, state: PhantomData }
    }
}

impl<K: Key + ?Sized + 'static, V: Value + 'static, S> CacheBuilder<K, V, S> {
    /// Adds a tier below those that were added before. Reads ask the tiers in this order. A tier of your own is wrapped:
    /// `.tier(Tier::new(MyTier))`.
    ///
    /// Two tiers of the same name are told apart by a number: the second `memory` becomes `memory-2`.
    pub fn tier(mut self, tier: Tier<K, V>) -> CacheBuilder<K, V, HasTier> {
        self.tiers.push(tier);
        CacheBuilder { tiers: self.tiers, settings: self.settings, state: PhantomData }
    }

    /// Adds a handler of events; every call adds one. They are told in this order.
    pub fn event_handler(mut self, handler: impl CacheEventHandler) -> Self {
        self.settings.handlers.push(Box::new(handler));
        self
    }

    /// Sends spans and events to `tracing`. Without the crate's feature `logs` this does nothing.
    pub fn enable_logs(mut self) -> Self {
        self.settings.logs = true;
        self
    }

    /// Which operations get a span; [`SpanPolicy::All`] by default. Takes effect with [logs enabled](Self::enable_logs).
    pub fn span_policy(mut self, policy: SpanPolicy) -> Self {
        self.settings.span_policy = policy;
        self
    }

    /// The level of the operations' spans; [`SpanLevel::Debug`] by default. Takes effect with
    /// [logs enabled](Self::enable_logs). The level of a tier's spans is set by its `#[cache_tier(level = "…")]`.
    pub fn span_level(mut self, level: SpanLevel) -> Self {
        self.settings.span_level = level;
        self
    }

    /// Whether spans and events tell keys, and in which form; [`RecordKeys::omitted`] by default.
    pub fn record_keys(mut self, record_keys: RecordKeys<K>) -> Self {
        self.settings.record_keys = record_keys;
        self
    }

    /// The clock that all of the cache follows; the system's by default.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.settings.clock = clock.into();
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
        self.settings.stampede_protection = true;
        self
    }

    /// Like [`stampede_protection`](Self::stampede_protection), which it switches on, with a limit to how long somebody waits for
    /// another's computation. Whoever has waited that long runs its own closure instead; of two values that are computed like
    /// this, the one that is ready last stays.
    ///
    /// Those who began to wait at the same time also stop at the same time, and then all compute: so choose a limit well above
    /// what the computation usually takes.
    ///
    /// Needs a [`Runtime`] to wait with, from the first time on that somebody has to wait; with none, whoever waits gets an error
    /// that says so.
    pub fn follower_timeout(mut self, limit: Duration) -> Self {
        self.settings.follower_timeout = Some(limit);
        self.stampede_protection()
    }

    /// Serves an expired entry, up to this age, when every other source has failed: the tiers, and the closure of a compute
    /// method. The operation is then reported as `stale`, with the error.
    ///
    /// The age counts from the entry's insertion into the tier that still has it, as its time to live does, which it has to
    /// exceed. An expired entry stays there until it is
    /// older than that, or replaced, or until every source has answered that there is none; see also
    /// [`fail_closed`](Self::fail_closed).
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

    /// How many [refreshes](Tier::refresh_after) may run at the same time; 64 by default. While there are so many, entries
    /// that are due are served as they are.
    pub fn max_concurrent_refreshes(mut self, limit: usize) -> Self {
        self.settings.max_concurrent_refreshes = limit;
        self
    }

    /// The async runtime that refreshes and time limits use; by default the Tokio runtime that the cache is used in. See
    /// [`Runtime`].
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.settings.runtime = Some(Arc::new(runtime));
        self
    }

    /// Makes the compute methods return a tier's error when no tier answered, rather than compute the value: for a
    /// source that must not be asked while the cache in front of it is down.
    pub fn fail_closed(mut self) -> Self {
        self.settings.fail_closed = true;
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
        let Self { tiers, settings, .. } = self;
        let logs = if settings.logs { Logs::new(settings.span_policy, settings.span_level) } else { Logs::off() };
        let spawner = Spawner::new(settings.runtime, settings.clock.clone());
        let telemetry = Arc::new(CacheTelemetry::new(settings.name, settings.clock, logs, settings.handlers));
        let in_flight = Arc::new(InFlight::new(tiers.len(), &telemetry.clock));
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
            // `HasTier` is reached only by adding one.
            unreachable!("a cache is built only after a tier was added")
        };
        let tiers = TierStack::new(first, tiers.collect());
        let cool_downs = stack.cool_downs;
        let scheduler = cool_downs.iter().any(Option::is_some).then(|| {
            RefreshScheduler::new(
                RefreshTable::new(settings.max_concurrent_refreshes, cool_downs.into()),
                spawner.clone(),
            )
        });
        let options = Options {
            record_keys: settings.record_keys,
            fail_closed: settings.fail_closed,
            stampede_protection: settings.stampede_protection,
            follower_timeout: settings.follower_timeout.map(|limit| (limit, spawner)),
        };
        Cache::of_parts(telemetry, tiers, in_flight, options, scheduler)
    }
}

/// What is collected while tiers are added to a cache.
struct Stacking<'b, K: Key + ?Sized, V> {
    surroundings: Surroundings<'b, K, V>,
    names: Vec<Arc<str>>,
    /// By tier; `None` for one that is not refreshed.
    cool_downs: Vec<Option<Duration>>,
}

impl<K: Key + ?Sized, V: Value> Stacking<'_, K, V> {
    /// Makes a tier part of the cache, under a name that no other one has.
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
