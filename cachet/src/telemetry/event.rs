//! What handlers are told: one event per tier call, one per operation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CacheOperation, OperationOutcome, RequestId, TierOperation, TierOutcome};
use crate::error::Error;

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

/// How many keys something was about that was about several, and for how many of them a lookup had an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) keys: usize,
    pub(crate) hits: Option<usize>,
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
    pub(crate) batch: Option<Batch>,
    pub(crate) duration: Option<Duration>,
    pub(crate) age: Option<Duration>,
    pub(crate) error: Option<Error>,
    pub(crate) key: Option<Name<'a>>,
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

    /// How many keys the call was about, if it was about several (`get_many` and its like).
    pub fn keys(&self) -> Option<usize> {
        self.batch.map(|batch| batch.keys)
    }

    /// For how many of the keys of a `get_many` there was an entry; `None` for everything else.
    pub fn hits(&self) -> Option<usize> {
        self.batch.and_then(|batch| batch.hits)
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
        self.key.as_ref().map(Name::as_str)
    }

    /// The same event, to be kept. Names are shared, not copied.
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

    /// How many keys the operation was about, if it was about several (`get_many` and its like).
    pub fn keys(&self) -> Option<usize> {
        self.batch.map(|batch| batch.keys)
    }

    /// For how many of the keys of a `get_many` there was an entry; `None` for everything else.
    pub fn hits(&self) -> Option<usize> {
        self.batch.and_then(|batch| batch.hits)
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
        self.key.as_ref().map(Name::as_str)
    }

    /// The tier calls of this operation, in the order in which they ended; empty unless some handler is interested in
    /// the [trail](crate::EventMask::TRAIL).
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
