//! `Tier`: what belongs to one tier of a cache.

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
use crate::tier::wrapper::{CacheWrapper, Surroundings, TierConfig};

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
    pub(crate) config: TierConfig<K, V>,
    pub(crate) cool_down: Option<Duration>,
    pub(crate) descriptor: &'static TierDescriptor,
    pub(crate) wrap: Wrap<K, V>,
}

type Wrap<K, V> =
    Box<dyn FnOnce(TierIdentity, usize, TierConfig<K, V>, &Surroundings<'_, K, V>) -> Box<dyn ErasedTier<K, V>> + Send>;

impl<K: Key + ?Sized + 'static, V: Value + 'static> Tier<K, V> {
    /// A tier of your own: a type with `#[cache_tier]` on its `impl CacheTier`.
    pub fn new<T: ObservableTier<K, V> + 'static>(tier: T) -> Self {
        Self {
            config: TierConfig { name: None, expiry: Expiry::default(), timeout: None, policy: InsertPolicy::always() },
            cool_down: None,
            descriptor: T::descriptor(),
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
    /// Every tier counts anew, so a value may get as old as all times to live together: promoted or refreshed at the end of its
    /// time below, it has its full time above. For one limit wherever it is, insert it with
    /// [`CacheEntry::expires_after`](crate::CacheEntry::expires_after).
    ///
    /// A tier that gives entries back without the stamp they were inserted with cannot tell their age: they count as
    /// expired, and the first of them is a warning in the logs.
    #[doc(alias = "expire")]
    #[doc(alias = "time_to_live")]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.expiry.ttl = Some(ttl);
        self
    }

    /// Lets entries expire up to this much earlier than the tier's [`ttl`](Self::ttl) says, each at a time of its own, so that
    /// what was inserted together is not missed together.
    ///
    /// Entries with a time to live of their own are left alone. How much earlier depends on the key, on the time of the
    /// insertion and on a seed, which is random unless [given](Self::ttl_jitter_seed). More than the time to live counts as that.
    pub fn ttl_jitter(mut self, at_most: Duration) -> Self {
        let jitter = &mut self.config.expiry.jitter;
        *jitter = Some(jitter.unwrap_or_else(Jitter::random).up_to(at_most));
        self
    }

    /// Makes the [jitter](Self::ttl_jitter) the same in every run, for tests.
    pub fn ttl_jitter_seed(mut self, seed: u64) -> Self {
        let jitter = &mut self.config.expiry.jitter;
        *jitter = Some(jitter.unwrap_or_else(Jitter::random).with_seed(seed));
        self
    }

    /// From this age on, an entry of this tier is refreshed when it is read: it is served at once, which is reported as
    /// `stale`, and a task in the background asks the tiers below, and stores what they have above.
    ///
    /// One task runs per key, and a [limited number](super::CacheBuilder::max_refreshes) in all. A refresh that finds nothing, or
    /// fails, leaves the entry alone, and is not repeated until a [cool-down](Self::refresh_cool_down) has passed. If an
    /// insert, an invalidate or a clear overtakes it, what it found is dropped. With the last handle of the cache, its
    /// tasks end.
    ///
    /// No closure is run: what is refreshed is refreshed from a tier. If the source is a database, make it the last tier, with
    /// [`InsertPolicy::never`].
    ///
    /// The tasks are started in the Tokio runtime that the cache is used in, or in another [`Runtime`](crate::Runtime); with none, the
    /// refresh fails with an error that says so. On the last tier there is nothing to ask: then this does nothing but warn,
    /// in the logs. The age counts as for [`ttl`](Self::ttl), so nothing is refreshed if the time to live is not longer: then there is a
    /// warning too.
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

    /// How long a key is left alone after a refresh that found nothing, or failed; by default as long as
    /// [`refresh_after`](Self::refresh_after) says. [`Cache::refreshes`](crate::Cache::refreshes) tells how many keys are; the first read of such a
    /// key is reported as a refresh that was `suppressed`.
    pub fn refresh_cool_down(mut self, duration: Duration) -> Self {
        self.cool_down = Some(duration);
        self
    }

    /// How long any call of this tier may take. Then it is dropped, and has failed with an error for which
    /// [`is_timeout`](crate::Error::is_timeout) is true.
    ///
    /// Needs a [`Runtime`](crate::Runtime) to wait with, from the first call on that has to be waited for; with a
    /// [`ManualClock`](crate::ManualClock) it waits for that to be advanced. A tier that answers at once, as the memory tier does,
    /// is not affected.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.config.timeout = Some(limit);
        self
    }

    /// Which entries the tier takes, however they get there; all, by default.
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
