//! `Error`, and the `TierError` that tiers and loaders return.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

type Source = Box<dyn StdError + Send + Sync>;

/// The error of a cache operation.
///
/// Opaque and cheap to clone: a leader and its followers get the same error. The predicates
/// ([`is_tier`](Self::is_tier), [`is_load`](Self::is_load), …) return what failed,
/// [`tier_name`](Self::tier_name) returns the tier, and [`source_as`](Self::source_as) returns the cause with its type.
///
/// `{}` prints what failed; `{:#}` adds the chain of causes, for logs. At most one predicate is true, except that timeouts and
/// missing runtimes also count as tier errors.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use cachet::{Cache, CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};
/// use std::io;
///
/// struct ReadOnly;
///
/// #[cache_tier(name = "disk")]
/// impl CacheTier<str, u32> for ReadOnly {
///     async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
///         Ok(None)
///     }
///
///     async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
///         Err(io::Error::new(io::ErrorKind::PermissionDenied, "read-only disk"))?
///     }
///
///     async fn invalidate(&self, _: &str) -> Result<(), TierError> {
///         Ok(())
///     }
///
///     async fn clear(&self) -> Result<(), TierError> {
///         Ok(())
///     }
/// }
///
/// let cache = Cache::<str, u32>::builder("ages").tier(Tier::new(ReadOnly)).build();
/// let error = cache.insert("ada", 36).await.unwrap_err();
/// assert!(error.is_tier());
/// assert_eq!(error.tier_name(), Some("disk"));
/// assert_eq!(error.source_as::<io::Error>().unwrap().kind(), io::ErrorKind::PermissionDenied);
/// assert_eq!(error.to_string(), "cache tier `disk` failed");
/// assert_eq!(format!("{error:#}"), "cache tier `disk` failed: read-only disk");
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tier,
    Load,
    Panic,
    Reentrant,
    NotImmediate,
    Timeout(Limited),
    NoRuntime,
    BreakerOpen,
}

/// What has taken longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    Tier,
    Operation,
    Loader,
    Follower,
    Refresh,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Load => "load",
            Self::Panic => "panic",
            Self::Reentrant => "reentrant",
            Self::NotImmediate => "not_immediate",
            Self::Timeout(_) => "timeout",
            Self::NoRuntime => "no_runtime",
            Self::BreakerOpen => "breaker_open",
        }
    }
}

struct Inner {
    kind: Kind,
    error_type: &'static str,
    tier: Option<Arc<str>>,
    /// Shared, since the name of the tier is added to an existing error.
    source: Option<Arc<Source>>,
    /// What has become of a write in each tier.
    writes: Option<Arc<Writes>>,
}

type Writes = [(Arc<str>, WriteState)];

/// What became of a write in one tier, from [`Error::write_states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteState {
    /// The entry was stored, or removed.
    Applied,
    /// The tier was not changed, or has dropped its older value of a key whose entry it rejected.
    NotApplied,
    /// The tier failed, so it may have been changed. Until the key has been written or invalidated there, reads of it skip the tier.
    Unknown,
}

impl Error {
    /// A tier failed with this message.
    pub(crate) fn msg(message: impl Into<String>) -> Self {
        Self::of(Kind::Tier, Some(message.into().into()))
    }

    /// The loader returned an error.
    pub(crate) fn load(error: impl Into<TierError>) -> Self {
        let Failure { source, error_type } = *error.into().0;
        let error = Self::of(Kind::Load, Some(source));
        if let Some(error_type) = error_type { error.with_type(error_type) } else { error }
    }

    /// User code panicked with `payload`.
    /// A panic that was caught. Its payload may panic again when it is dropped.
    pub(crate) fn caught(payload: Box<dyn Any + Send>) -> Self {
        let error = Self::panic(&*payload);
        discard(payload);
        error
    }

    pub(crate) fn panic(payload: &(dyn Any + Send)) -> Self {
        Self::of(Kind::Panic, Some(panic_text(payload).into()))
    }

    /// The loader requested the key that it is loading.
    pub(crate) fn reentrant() -> Self {
        Self::of(Kind::Reentrant, None)
    }

    /// A tier that is declared `immediate` returned `Pending`.
    pub(crate) fn not_immediate() -> Self {
        Self::of(Kind::NotImmediate, None)
    }

    /// Something exceeded its time limit.
    pub(crate) fn timeout(of: Limited, limit: Duration) -> Self {
        Self::of(Kind::Timeout(of), Some(format!("its time limit is {limit:?}").into()))
    }

    /// There is no runtime for a task or a timer, or it refused by a panic.
    pub(crate) fn no_runtime(refusal: Option<Box<dyn Any + Send>>) -> Self {
        let text = refusal.as_deref().map(|payload| panic_text(payload).into());
        refusal.into_iter().for_each(discard);
        Self::of(Kind::NoRuntime, text)
    }

    /// A tier is not called, since too many of its calls have failed.
    pub(crate) fn breaker_open() -> Self {
        Self::of(Kind::BreakerOpen, None)
    }

    fn of(kind: Kind, source: Option<Source>) -> Self {
        Self(Arc::new(Inner {
            kind,
            error_type: kind.as_str(),
            tier: None,
            source: source.map(Arc::new),
            writes: None,
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if Arc::get_mut(&mut self.0).is_none() {
            let Inner { kind, error_type, ref tier, ref source, ref writes } = *self.0;
            let (tier, source, writes) = (tier.clone(), source.clone(), writes.clone());
            self.0 = Arc::new(Inner { kind, error_type, tier, source, writes });
        }
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }

    fn with_type(self, error_type: &'static str) -> Self {
        self.with(|inner| inner.error_type = error_type)
    }

    /// Sets the name of the tier, unless an inner tier has set it already.
    pub(crate) fn in_tier(self, tier: &Arc<str>) -> Self {
        if self.0.tier.is_some() {
            return self;
        }
        self.with(|inner| inner.tier = Some(Arc::clone(tier)))
    }

    /// Returns the class of the error that telemetry reports as `error.type`.
    ///
    /// It is the class set by [`TierError::with_type`], or else `tier`, `load` (the loader returned an error), `panic`,
    /// `reentrant`, `timeout`, `breaker_open`, `no_runtime` (a refresh or a timeout needs an async runtime), `not_immediate` (a tier that is
    /// declared `immediate` returned `Pending`) or `unsupported` (the tier does not implement the method).
    pub fn error_type(&self) -> &'static str {
        self.0.error_type
    }

    /// Returns the name of the tier that failed, if a tier failed.
    pub fn tier_name(&self) -> Option<&str> {
        self.0.tier.as_deref()
    }

    /// Returns, for an error of a write, what became of the write in each tier, in the order of the tiers. Read-only tiers are left
    /// out. Empty for other errors, and if the write as a whole exceeded its [time limit](crate::CacheBuilder::time_limit).
    ///
    /// ```
    /// # #[cfg(all(feature = "memory", feature = "test-util"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use cachet::status::WriteState;
    /// use cachet::telemetry::TierOperation;
    /// use cachet::testing::{Behavior, MockTier};
    /// use cachet::{Cache, Tier};
    ///
    /// let disk = MockTier::<str, u32>::new();
    /// let cache =
    ///     Cache::<str, u32>::builder("ages").tier(Tier::memory(100)).tier(Tier::new(disk.clone()).name("disk")).build();
    /// disk.next(TierOperation::Insert, Behavior::Fail("disk full"));
    ///
    /// let error = cache.insert("ada", 36).await.unwrap_err();
    /// let states: Vec<_> = error.write_states().collect();
    /// assert_eq!(states, [("memory", WriteState::Applied), ("disk", WriteState::Unknown)]);
    /// # }
    /// # #[cfg(not(all(feature = "memory", feature = "test-util")))]
    /// # fn main() {}
    /// ```
    pub fn write_states(&self) -> impl Iterator<Item = (&str, WriteState)> {
        self.0.writes.iter().flat_map(|writes| writes.iter()).map(|(tier, state)| (&**tier, *state))
    }

    /// Whether a write that failed like this has left its tier as it was.
    pub(crate) fn is_before_call(&self) -> bool {
        matches!(self.0.kind, Kind::BreakerOpen | Kind::Reentrant)
    }

    pub(crate) fn with_writes(self, writes: impl Iterator<Item = (Arc<str>, WriteState)>) -> Self {
        self.with(|inner| inner.writes = Some(writes.collect()))
    }

    /// Returns whether a tier failed, rather than the loader.
    pub fn is_tier(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Tier | Kind::NotImmediate | Kind::Timeout(Limited::Tier) | Kind::NoRuntime | Kind::BreakerOpen
        )
    }

    /// Returns whether a time limit was exceeded: that of a [tier](crate::Tier::timeout), then [`is_tier`](Self::is_tier) is also
    /// true; of the [operation](crate::CacheBuilder::time_limit), the [loader](crate::CacheBuilder::load_timeout), a
    /// [refresh](crate::CacheBuilder::refresh_time_limit), or of the wait for the [leader](crate::CacheBuilder::follower_timeout).
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Timeout(_))
    }

    /// Returns whether a tier was not called because its [breaker](crate::Tier::breaker) is open. Then [`is_tier`](Self::is_tier) is
    /// also true.
    pub fn is_breaker_open(&self) -> bool {
        self.0.kind == Kind::BreakerOpen
    }

    /// Returns whether a refresh or a timeout found no async [`Runtime`](crate::Runtime). Then [`is_tier`](Self::is_tier) is
    /// also true.
    pub fn is_no_runtime(&self) -> bool {
        self.0.kind == Kind::NoRuntime
    }

    /// Returns whether the loader returned an error; [`source_as`](Self::source_as) returns that error.
    pub fn is_load(&self) -> bool {
        self.0.kind == Kind::Load
    }

    /// Returns whether a tier or the loader panicked.
    pub fn is_panic(&self) -> bool {
        self.0.kind == Kind::Panic
    }

    /// Returns whether the loader requested the key that it is loading from the same cache.
    pub fn is_reentrant(&self) -> bool {
        self.0.kind == Kind::Reentrant
    }

    /// Returns the first `T` in the chain of causes, following [`source`](StdError::source).
    ///
    /// The conversion of an `anyhow::Error` hides the type of its outermost error: a `T` is found only below an
    /// `anyhow::Context::context`.
    pub fn source_as<T: StdError + 'static>(&self) -> Option<&T> {
        self.causes().find_map(|cause| cause.downcast_ref())
    }

    /// The chain of causes, nearest first.
    pub(crate) fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        std::iter::successors(self.source(), |cause| (*cause).source())
    }
}

/// Drops the payload of a panic, which may panic itself.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a payload that is not a string".to_owned())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.kind, self.tier_name()) {
            (Kind::Tier, None) => f.write_str("a cache tier failed")?,
            (Kind::Tier, Some(tier)) => write!(f, "cache tier `{tier}` failed")?,
            (Kind::Load, _) => f.write_str("the loader failed")?,
            (Kind::Panic, None) => f.write_str("the loader panicked")?,
            (Kind::Panic, Some(tier)) => write!(f, "cache tier `{tier}` panicked")?,
            (Kind::Reentrant, _) => {
                f.write_str("the loader requested the key that it is loading from the same cache")?;
            }
            (Kind::NotImmediate, tier) => write!(
                f,
                "cache tier `{}` is declared `immediate`, but had to wait; remove `immediate` from its `#[cache_tier]`",
                tier.unwrap_or("?")
            )?,
            (Kind::Timeout(_), Some(tier)) => write!(f, "cache tier `{tier}` did not answer in time")?,
            (Kind::Timeout(of), None) => f.write_str(match of {
                Limited::Tier => "a cache tier did not answer in time",
                Limited::Operation => "the cache operation did not end in time",
                Limited::Loader => "the loader did not end in time",
                Limited::Follower => "the loader of another operation did not end in time",
                Limited::Refresh => "the refresh did not end in time",
            })?,
            (Kind::BreakerOpen, tier) => {
                write!(f, "cache tier `{}` was not called: its breaker is open", tier.unwrap_or("?"))?;
            }
            (Kind::NoRuntime, _) => f.write_str(
                "a refresh or a timeout needs an async runtime: use the cache inside a Tokio runtime with time enabled \
                 (crate feature `tokio`), or set one with `CacheBuilder::runtime`",
            )?,
        }
        if f.alternate() {
            self.causes().try_for_each(|cause| write!(f, ": {cause}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind.as_str());
        if self.0.error_type != self.0.kind.as_str() {
            debug.field("type", &self.0.error_type);
        }
        if let Some(tier) = self.tier_name() {
            debug.field("tier", &tier);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source: &(dyn StdError + Send + Sync + 'static) = &***self.0.source.as_ref()?;
        Some(source)
    }
}

impl From<TierError> for Error {
    fn from(TierError(failure): TierError) -> Self {
        let Failure { source, error_type } = *failure;
        let error = match source.downcast::<Self>() {
            // A tier that is built on another cache returns that cache's error; wrapping it would hide its kind.
            Ok(same) => *same,
            Err(source) => Self::of(Kind::Tier, Some(source)),
        };
        if let Some(error_type) = error_type { error.with_type(error_type) } else { error }
    }
}

/// The error that a tier or a loader returns; converts from any error.
///
/// `?` and [`into`](Into::into) convert every `std::error::Error`, a boxed error, `anyhow::Error`, `String` and `&str`. For this,
/// the type itself does not implement `std::error::Error`. The cache wraps it into an [`Error`], which does.
///
/// ```
/// use cachet::TierError;
///
/// fn parse(bytes: &[u8]) -> Result<u32, TierError> {
///     let text = std::str::from_utf8(bytes)?;
///     if text.is_empty() {
///         return Err("empty entry".into());
///     }
///     Ok(text.parse()?)
/// }
/// assert_eq!(parse(b"no number").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct TierError(Box<Failure>);

/// Behind one pointer: the result of a lookup is no larger for the error that it hardly ever is.
struct Failure {
    source: Source,
    error_type: Option<&'static str>,
}

impl TierError {
    /// Creates an error from a message.
    pub fn msg(message: impl Into<String>) -> Self {
        Self(Box::new(Failure { source: message.into().into(), error_type: None }))
    }

    /// Sets the class of the error that telemetry reports as `error.type`. Keep the number of classes low.
    ///
    /// ```
    /// use cachet::TierError;
    ///
    /// fn connect() -> Result<(), TierError> {
    ///     Err(TierError::msg("connection refused by 10.0.0.7").with_type("connect"))
    /// }
    /// # assert!(connect().is_err());
    /// ```
    #[must_use]
    pub fn with_type(mut self, error_type: &'static str) -> Self {
        self.0.error_type = Some(error_type);
        self
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for TierError {
    fn from(error: E) -> Self {
        Self(Box::new(Failure { source: error.into(), error_type: None }))
    }
}

impl fmt::Display for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.source)?;
        if f.alternate() {
            let causes = std::iter::successors(self.0.source.source(), |cause| (*cause).source());
            causes.into_iter().try_for_each(|cause| write!(f, ": {cause}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source.fmt(f)
    }
}
