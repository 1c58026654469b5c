//! What handlers are told: one event per tier call, one per operation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::RequestId;
use crate::Error;

/// An enum whose variants have a fixed text, written once.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The text under which telemetry reports it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

named! {
    /// What a tier was asked to do.
    pub enum TierOperation {
        /// Look an entry up.
        Get = "get",
        /// Tell whether there is an entry.
        Contains = "contains",
        /// Store an entry.
        Insert = "insert",
        /// Remove the entry of a key.
        Invalidate = "invalidate",
        /// Remove all entries.
        Clear = "clear",
        /// Count the entries.
        Len = "len",
        /// Nothing: the tier dropped an entry of its own accord.
        Evict = "evict",
    }
}

named! {
    /// How a call of a tier ended.
    pub enum TierOutcome {
        /// The tier had a fresh entry.
        Hit = "hit",
        /// The tier had no entry.
        Miss = "miss",
        /// The tier had an entry past its time to live, which was removed.
        Expired = "expired",
        /// The tier failed, or panicked.
        Error = "error",
        /// The caller went away before the tier had answered.
        Cancelled = "cancelled",
        /// The entry was stored.
        Inserted = "inserted",
        /// The tier, or its insert policy, did not take the entry.
        Rejected = "rejected",
        /// The entry lost against a newer write of the same key and was not stored.
        Superseded = "superseded",
        /// The entry of the key, if there was one, is gone.
        Invalidated = "invalidated",
        /// The tier is empty.
        Cleared = "cleared",
        /// The tier told how many entries it has, or that it cannot tell.
        Counted = "counted",
        /// The tier dropped an entry for want of room.
        Evicted = "evicted",
    }
}

named! {
    /// The method of the cache that was called.
    pub enum CacheOperation {
        /// [`Cache::get`](crate::Cache::get)
        Get = "get",
        /// [`Cache::contains`](crate::Cache::contains)
        Contains = "contains",
        /// [`Cache::insert`](crate::Cache::insert)
        Insert = "insert",
        /// [`Cache::invalidate`](crate::Cache::invalidate)
        Invalidate = "invalidate",
        /// [`Cache::clear`](crate::Cache::clear)
        Clear = "clear",
        /// [`Cache::len`](crate::Cache::len)
        Len = "len",
        /// [`Cache::get_or_insert`](crate::Cache::get_or_insert)
        GetOrInsert = "get_or_insert",
        /// [`Cache::try_get_or_insert`](crate::Cache::try_get_or_insert)
        TryGetOrInsert = "try_get_or_insert",
        /// [`Cache::optionally_get_or_insert`](crate::Cache::optionally_get_or_insert)
        OptionallyGetOrInsert = "optionally_get_or_insert",
        /// A refresh in the background.
        Refresh = "refresh",
    }
}

impl CacheOperation {
    /// Whether the operation looks an entry up, possibly before it computes one.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Contains) || self.is_compute()
    }

    /// Whether the operation computes what it does not find.
    pub const fn is_compute(self) -> bool {
        matches!(self, Self::GetOrInsert | Self::TryGetOrInsert | Self::OptionallyGetOrInsert)
    }
}

named! {
    /// How an operation ended.
    pub enum OperationOutcome {
        /// A tier had a fresh entry.
        Hit = "hit",
        /// An entry was served while a refresh was started, or because every other source failed.
        Stale = "stale",
        /// No tier had an entry.
        Miss = "miss",
        /// The entry was stored in at least one tier.
        Inserted = "inserted",
        /// Every tier turned the entry away.
        Rejected = "rejected",
        /// The closure computed the value.
        Computed = "computed",
        /// The closure had no value to give.
        None = "none",
        /// The entry of the key, if there was one, is gone.
        Invalidated = "invalidated",
        /// All tiers are empty.
        Cleared = "cleared",
        /// The entries were counted.
        Counted = "counted",
        /// The operation returned an error.
        Error = "error",
        /// A tier, or the closure, panicked.
        Panicked = "panicked",
        /// The operation's future was dropped before it had finished.
        Cancelled = "cancelled",
        /// A refresh stored a new entry.
        Refreshed = "refreshed",
        /// A refresh was not tried, since the last one failed a short while ago.
        Suppressed = "suppressed",
        /// A refresh lost against a newer write.
        Superseded = "superseded",
    }
}

/// A shared name, borrowed where an event is made and owned where it is kept.
#[derive(Clone)]
pub(crate) enum Name<'a> {
    Borrowed(&'a Arc<str>),
    Owned(Arc<str>),
}

impl Name<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(name) => name,
            Self::Owned(name) => name,
        }
    }

    fn into_owned(self) -> Name<'static> {
        match self {
            Self::Borrowed(name) => Name::Owned(Arc::clone(name)),
            Self::Owned(name) => Name::Owned(name),
        }
    }
}

/// One call of a tier, or one entry that a tier dropped of its own accord ([`TierOperation::Evict`]).
///
/// Sent to every [`CacheEventHandler`](crate::CacheEventHandler) that is interested in tiers, as soon as the tier has
/// answered, and kept for the [`CacheOperationEvent`] at the end.
#[derive(Clone)]
pub struct CacheTierEvent<'a> {
    pub(crate) cache: Name<'a>,
    pub(crate) tier: Name<'a>,
    pub(crate) operation: TierOperation,
    pub(crate) outcome: TierOutcome,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) fallback: bool,
    pub(crate) duration: Option<Duration>,
    pub(crate) age: Option<Duration>,
    pub(crate) error: Option<Error>,
    pub(crate) key: Option<Arc<str>>,
}

impl CacheTierEvent<'_> {
    /// The name of the cache.
    pub fn cache(&self) -> &str {
        self.cache.as_str()
    }

    /// The name of the tier.
    pub fn tier(&self) -> &str {
        self.tier.as_str()
    }

    /// What the tier was asked to do.
    pub const fn operation(&self) -> TierOperation {
        self.operation
    }

    /// How it ended.
    pub const fn outcome(&self) -> TierOutcome {
        self.outcome
    }

    /// The operation that the call belongs to; `None` for what happens outside of every operation.
    pub const fn request_id(&self) -> Option<RequestId> {
        self.request_id
    }

    /// Whether the tier was asked because an earlier one did not answer.
    pub const fn fallback(&self) -> bool {
        self.fallback
    }

    /// How long the tier took; `None` unless some handler is interested in timing.
    pub const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// The age of the entry in this tier, where there is one and the cache had a reason to look at the clock.
    pub const fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Why the tier failed.
    pub const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The key, in the form that [`record_keys`](crate::CacheBuilder::record_keys) asked for; `None` by default.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The same event, to be kept. Names are shared, not copied.
    pub fn into_owned(self) -> CacheTierEvent<'static> {
        CacheTierEvent { cache: self.cache.into_owned(), tier: self.tier.into_owned(), ..self }
    }
}

impl fmt::Debug for CacheTierEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheTierEvent")
            .field("cache", &self.cache())
            .field("tier", &self.tier())
            .field("operation", &self.operation)
            .field("outcome", &self.outcome)
            .field("request_id", &self.request_id)
            .field("fallback", &self.fallback)
            .field("duration", &self.duration)
            .field("age", &self.age)
            .field("error", &self.error)
            .field("key", &self.key)
            .finish()
    }
}

/// The tier events of an operation, borrowed where the event is made and owned where it is kept.
#[derive(Clone)]
pub(crate) enum Trail<'a> {
    Borrowed(&'a [CacheTierEvent<'a>]),
    Owned(Arc<[CacheTierEvent<'static>]>),
}

impl<'a> Trail<'a> {
    fn as_slice(&self) -> &[CacheTierEvent<'a>] {
        match self {
            Self::Borrowed(events) => events,
            Self::Owned(events) => events,
        }
    }
}

/// One finished operation of a cache, with everything that happened in it.
///
/// Every observed operation sends exactly one, however it ends: answered, failed, panicked, or dropped half-way.
#[derive(Clone)]
pub struct CacheOperationEvent<'a> {
    pub(crate) cache: Name<'a>,
    pub(crate) operation: CacheOperation,
    pub(crate) outcome: OperationOutcome,
    pub(crate) request_id: RequestId,
    pub(crate) parent_request_id: Option<RequestId>,
    pub(crate) leader_request_id: Option<RequestId>,
    pub(crate) fallback: bool,
    pub(crate) hit_tier: Option<Name<'a>>,
    pub(crate) age: Option<Duration>,
    pub(crate) duration: Option<Duration>,
    pub(crate) load_duration: Option<Duration>,
    pub(crate) error: Option<Error>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) trail: Trail<'a>,
}

impl<'a> CacheOperationEvent<'a> {
    /// The name of the cache.
    pub fn cache(&self) -> &str {
        self.cache.as_str()
    }

    /// The method that was called.
    pub const fn operation(&self) -> CacheOperation {
        self.operation
    }

    /// How it ended.
    pub const fn outcome(&self) -> OperationOutcome {
        self.outcome
    }

    /// The operation's id.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The id of the operation inside whose closure, or tier, this one was started.
    pub const fn parent_request_id(&self) -> Option<RequestId> {
        self.parent_request_id
    }

    /// The id of the operation that did the work for this one, if it was coalesced with another.
    pub const fn leader_request_id(&self) -> Option<RequestId> {
        self.leader_request_id
    }

    /// Whether the operation waited for another's work instead of doing its own.
    pub const fn coalesced(&self) -> bool {
        self.leader_request_id.is_some()
    }

    /// Whether some tier was asked because an earlier one did not answer.
    pub const fn fallback(&self) -> bool {
        self.fallback
    }

    /// The tier that answered a read.
    pub fn hit_tier(&self) -> Option<&str> {
        self.hit_tier.as_ref().map(Name::as_str)
    }

    /// The age of the entry in the tier that answered, where the cache had a reason to look at the clock.
    pub const fn age(&self) -> Option<Duration> {
        self.age
    }

    /// How long the operation took; `None` unless some handler is interested in timing.
    pub const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// How long the closure of a compute method took; `None` where none ran, or nobody is interested in timing.
    pub const fn load_duration(&self) -> Option<Duration> {
        self.load_duration
    }

    /// The error that the operation returned.
    pub const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The key, in the form that [`record_keys`](crate::CacheBuilder::record_keys) asked for; `None` by default.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The tier calls of this operation, in the order in which they ended; empty unless some handler is interested in
    /// the [trail](crate::Interest::TRAIL).
    ///
    /// Evictions are no calls. Those that happen inside the operation carry its id, and are reported to
    /// [`on_tier_event`](crate::CacheEventHandler::on_tier_event) alone.
    pub fn tiers(&self) -> &[CacheTierEvent<'a>] {
        self.trail.as_slice()
    }

    /// The same event, to be kept. Names are shared, not copied.
    pub fn into_owned(self) -> CacheOperationEvent<'static> {
        let trail = match self.trail {
            Trail::Borrowed(events) => events.iter().cloned().map(CacheTierEvent::into_owned).collect(),
            Trail::Owned(events) => events,
        };
        CacheOperationEvent {
            cache: self.cache.into_owned(),
            hit_tier: self.hit_tier.map(Name::into_owned),
            trail: Trail::Owned(trail),
            ..self
        }
    }
}

impl fmt::Debug for CacheOperationEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheOperationEvent")
            .field("cache", &self.cache())
            .field("operation", &self.operation)
            .field("outcome", &self.outcome)
            .field("request_id", &self.request_id)
            .field("parent_request_id", &self.parent_request_id)
            .field("leader_request_id", &self.leader_request_id)
            .field("fallback", &self.fallback)
            .field("hit_tier", &self.hit_tier())
            .field("age", &self.age)
            .field("duration", &self.duration)
            .field("load_duration", &self.load_duration)
            .field("error", &self.error)
            .field("key", &self.key)
            .field("tiers", &self.tiers())
            .finish()
    }
}
