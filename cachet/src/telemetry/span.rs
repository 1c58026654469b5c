//! Spans and events for `tracing`: the only module that depends on the feature `logs`.
//!
//! Without the feature, every function exists and does nothing.

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
pub(crate) use self::imp::{Entered, EnteredSpan, Logs, Span, SpanLink};
pub use self::imp::{FieldRecorder, TierDescriptor};

/// The fields of a tier's span that are known at its start.
#[cfg_attr(not(feature = "logs"), allow(dead_code, reason = "read only where spans are created"))]
pub(crate) struct TierSpan<'s> {
    pub(crate) cache: &'s str,
    pub(crate) tier: &'s str,
    pub(crate) descriptor: &'static TierDescriptor,
    pub(crate) operation: TierOperation,
    pub(crate) request_id: RequestId,
    pub(crate) fallback: bool,
    pub(crate) key: Option<&'s str>,
}

/// Selects the operations that get a span, in a cache with [logs enabled](crate::CacheBuilder::enable_logs).
///
/// The policy does not affect events: each is complete without its span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpanPolicy {
    /// Every operation; the default.
    #[default]
    All,
    /// Operations that the first tier did not answer. Hits of the first tier are the most frequent operations; with this policy,
    /// and a subscriber that also filters out their events, as at level INFO, they cost little more than without logs.
    SlowPath,
    /// No operation.
    Off,
}

/// The level of a cache's operation spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpanLevel {
    /// `TRACE`.
    Trace,
    /// `DEBUG`; the default.
    #[default]
    Debug,
    /// `INFO`.
    Info,
}
