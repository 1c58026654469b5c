//! front page
#![deny(missing_docs)]

// Lets the expansion of `#[cache_tier]` say `::cachet` in this crate too.
extern crate self as cachet;

mod bounds;
mod builder;
mod cache;
mod clock;
mod coherence;
mod entry;
mod error;
mod fallback;
mod policy;
pub mod telemetry;
#[cfg(feature = "test-util")]
pub mod testing;
mod tier;
mod wrapper;

pub use cachet_macros::{CacheEventHandler, cache_tier};

pub use self::bounds::{Key, Value};
pub use self::builder::keys::RecordKeys;
pub use self::builder::{CacheBuilder, HasTier, NoTier, Tier};
pub use self::cache::{Cache, Get};
pub use self::clock::{Clock, ManualClock, Stopwatch};
pub use self::entry::CacheEntry;
pub use self::error::Error;
pub use self::policy::InsertPolicy;
pub use self::telemetry::span::SpanLevel;
pub use self::telemetry::{
    CacheEventHandler, CacheOperationEvent, CacheTierEvent, EventCounter, EventHistogram, EvictionReporter, Interest,
    OperationOutcome, RequestId, RequestIdExt, SpanPolicy, TierOutcome, WithRequestId,
};
pub use self::tier::{CacheTier, InsertOutcome};

/// What the macros' expansions name; not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::__tier_descriptor as tier_descriptor;
    pub use crate::telemetry::span::{FieldRecorder, TierDescriptor};
    pub use crate::telemetry::{
        CacheEventHandler, CacheOperation, CacheOperationEvent, CacheTierEvent, EventCounter, EventHistogram, Interest,
        OperationOutcome, TierOperation, TierOutcome,
    };
    pub use crate::tier::InstrumentedTier;
    #[cfg(feature = "logs")]
    pub use tracing;
}
