//! The events that handlers receive: one per tier call, one per operation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CacheOperation, OperationOutcome, RequestId, TierOperation, TierOutcome};
use crate::error::Error;

/// A shared name: borrowed in a new event, owned in a stored one.
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

/// The number of keys in a batch call, and the number of hits in a batch lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) keys: usize,
    pub(crate) hits: Option<usize>,
}

/// One call of a tier, or one entry that a tier evicted ([`TierOperation::Evict`]).
///
/// Sent to every [`CacheEventHandler`](crate::CacheEventHandler) that is interested in tiers, as soon as the call ends. The
/// [`CacheOperationEvent`] of the operation contains it as well.
#[derive(Clone)]
pub struct CacheTierEvent<'a> {
    pub(crate) cache: Name<'a>,
    pub(crate) tier: Name<'a>,
    pub(crate) operation: TierOperation,
    pub(crate) outcome: TierOutcome,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) fallback: bool,
    pub(crate) batch: Option<Batch>,
    pub(crate) duration: Option<Duration>,
    pub(crate) age: Option<Duration>,
    pub(crate) error: Option<Error>,
    pub(crate) key: Option<Name<'a>>,
}

impl CacheTierEvent<'_> {
    /// Returns the name of the cache.
    pub fn cache(&self) -> &str {
        self.cache.as_str()
    }

    /// Returns the name of the tier.
    pub fn tier(&self) -> &str {
        self.tier.as_str()
    }

    /// Returns the method of the tier that was called.
    pub const fn operation(&self) -> TierOperation {
        self.operation
    }

    /// Returns the outcome.
    pub const fn outcome(&self) -> TierOutcome {
        self.outcome
    }

    /// Returns the id of the operation that called the tier; `None` for an eviction outside of operations.
    pub const fn request_id(&self) -> Option<RequestId> {
        self.request_id
    }

    /// Returns whether the tier was called because an upper tier had no entry or failed.
    pub const fn fallback(&self) -> bool {
        self.fallback
    }

    /// Returns the number of keys of a batch call such as `get_many`; `None` for other calls.
    pub fn keys(&self) -> Option<usize> {
        self.batch.map(|batch| batch.keys)
    }

    /// Returns the number of hits of a `get_many`; `None` for other calls.
    pub fn hits(&self) -> Option<usize> {
        self.batch.and_then(|batch| batch.hits)
    }

    /// Returns the duration of the call; `None` unless a handler requests [`TIMING`](crate::telemetry::EventMask::TIMING).
    pub const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Returns the age of the entry in this tier, if there is an entry and the cache had to read the clock.
    pub const fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Returns the error of the tier.
    pub const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Returns the key in the form set by [`record_keys`](crate::CacheBuilder::record_keys); `None` by default.
    pub fn key(&self) -> Option<&str> {
        self.key.as_ref().map(Name::as_str)
    }

    /// Converts into an event that can be stored. Names are shared, not copied.
    pub fn into_owned(self) -> CacheTierEvent<'static> {
        CacheTierEvent {
            cache: self.cache.into_owned(),
            tier: self.tier.into_owned(),
            key: self.key.map(Name::into_owned),
            ..self
        }
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
            .field("batch", &self.batch)
            .field("duration", &self.duration)
            .field("age", &self.age)
            .field("error", &self.error)
            .field("key", &self.key())
            .finish()
    }
}

/// The tier events of an operation: borrowed in a new event, owned in a stored one.
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

/// The completion of one operation of a cache, with all calls of its tiers.
///
/// Every observed operation sends exactly one, also if it fails, panics or is cancelled.
#[derive(Clone)]
pub struct CacheOperationEvent<'a> {
    pub(crate) cache: Name<'a>,
    pub(crate) operation: CacheOperation,
    pub(crate) outcome: OperationOutcome,
    pub(crate) request_id: RequestId,
    pub(crate) parent_request_id: Option<RequestId>,
    pub(crate) leader_request_id: Option<RequestId>,
    pub(crate) fallback: bool,
    pub(crate) batch: Option<Batch>,
    pub(crate) hit_tier: Option<Name<'a>>,
    pub(crate) age: Option<Duration>,
    pub(crate) duration: Option<Duration>,
    pub(crate) load_duration: Option<Duration>,
    pub(crate) error: Option<Error>,
    pub(crate) key: Option<Name<'a>>,
    pub(crate) trail: Trail<'a>,
}

impl<'a> CacheOperationEvent<'a> {
    /// Returns the name of the cache.
    pub fn cache(&self) -> &str {
        self.cache.as_str()
    }

    /// Returns the method that was called.
    pub const fn operation(&self) -> CacheOperation {
        self.operation
    }

    /// Returns the outcome.
    pub const fn outcome(&self) -> OperationOutcome {
        self.outcome
    }

    /// Returns the id of the operation.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Returns the id of the operation whose loader or tier started this one.
    pub const fn parent_request_id(&self) -> Option<RequestId> {
        self.parent_request_id
    }

    /// Returns the id of the leader, if this operation was a follower.
    pub const fn leader_request_id(&self) -> Option<RequestId> {
        self.leader_request_id
    }

    /// Returns whether the operation was a follower, which waited for the result of a leader.
    pub const fn coalesced(&self) -> bool {
        self.leader_request_id.is_some()
    }

    /// Returns whether a tier was called because an upper tier had no entry or failed.
    pub const fn fallback(&self) -> bool {
        self.fallback
    }

    /// Returns the number of keys of a batch operation such as `get_many`; `None` for other operations.
    pub fn keys(&self) -> Option<usize> {
        self.batch.map(|batch| batch.keys)
    }

    /// Returns the number of hits of a `get_many`; `None` for other calls.
    pub fn hits(&self) -> Option<usize> {
        self.batch.and_then(|batch| batch.hits)
    }

    /// Returns the name of the tier that answered a read.
    pub fn hit_tier(&self) -> Option<&str> {
        self.hit_tier.as_ref().map(Name::as_str)
    }

    /// Returns the age of the entry in the tier that answered, if the cache had to read the clock.
    pub const fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Returns the duration of the operation; `None` unless a handler requests [`TIMING`](crate::telemetry::EventMask::TIMING).
    pub const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Returns the duration of the loader; `None` if none ran, or no handler requests [`TIMING`](crate::telemetry::EventMask::TIMING).
    pub const fn load_duration(&self) -> Option<Duration> {
        self.load_duration
    }

    /// Returns the error of the operation.
    pub const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Returns the key in the form set by [`record_keys`](crate::CacheBuilder::record_keys); `None` by default.
    pub fn key(&self) -> Option<&str> {
        self.key.as_ref().map(Name::as_str)
    }

    /// Returns the tier calls of this operation, in the order in which they ended; empty unless a handler requests
    /// [`TRAIL`](crate::telemetry::EventMask::TRAIL).
    ///
    /// Evictions are not included. An eviction inside the operation carries its id and is reported to
    /// [`on_tier_event`](crate::CacheEventHandler::on_tier_event) only.
    pub fn tiers(&self) -> &[CacheTierEvent<'a>] {
        self.trail.as_slice()
    }

    /// Converts into an event that can be stored. Names are shared, not copied.
    pub fn into_owned(self) -> CacheOperationEvent<'static> {
        let trail = match self.trail {
            Trail::Borrowed(events) => events.iter().cloned().map(CacheTierEvent::into_owned).collect(),
            Trail::Owned(events) => events,
        };
        CacheOperationEvent {
            cache: self.cache.into_owned(),
            hit_tier: self.hit_tier.map(Name::into_owned),
            key: self.key.map(Name::into_owned),
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
            .field("batch", &self.batch)
            .field("hit_tier", &self.hit_tier())
            .field("age", &self.age)
            .field("duration", &self.duration)
            .field("load_duration", &self.load_duration)
            .field("error", &self.error)
            .field("key", &self.key())
            .field("tiers", &self.tiers())
            .finish()
    }
}
