//! Spans and events for `tracing`: the only place that knows whether feature `logs` is on.
//!
//! With the feature off every function here is still there, and does nothing.

mod field;
#[cfg(feature = "logs")]
mod recorded;
#[cfg(not(feature = "logs"))]
mod silent;

#[cfg(feature = "logs")]
use self::recorded as imp;
#[cfg(not(feature = "logs"))]
use self::silent as imp;

use super::{RequestId, TierOperation};

pub use self::field::{AddressField, DebugField, DisplayField, FieldValue};
#[cfg(feature = "logs")]
pub use self::imp::Place;
pub(crate) use self::imp::{EnteredSpan, Logs, Span, SpanLink};
pub use self::imp::{FieldRecorder, TierDescriptor};

/// What a tier's span says from the start.
#[cfg_attr(not(feature = "logs"), allow(dead_code, reason = "read only where spans are made"))]
pub(crate) struct TierSpan<'s> {
    pub(crate) cache: &'s str,
    pub(crate) tier: &'s str,
    pub(crate) descriptor: &'static TierDescriptor,
    pub(crate) operation: TierOperation,
    pub(crate) request_id: RequestId,
    pub(crate) fallback: bool,
    pub(crate) key: Option<&'s str>,
}

/// Which operations get a span, in a cache with [logs enabled](crate::CacheBuilder::enable_logs).
///
/// Events are sent whatever the policy says: each is complete in itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpanPolicy {
    /// Every operation; the default.
    #[default]
    All,
    /// Only operations that the first tier did not answer. Hits of the first tier are by far the most frequent operations of
    /// a healthy cache; where no subscriber takes their events either, as at level INFO, they then cost next to nothing.
    SlowPath,
    /// None.
    Off,
}

/// The severity of a cache's operation spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpanLevel {
    /// Nearly always too much.
    Trace,
    /// What developers look at; the default.
    #[default]
    Debug,
    /// What is always of interest.
    Info,
}
