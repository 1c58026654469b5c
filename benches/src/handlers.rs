//! Handlers of cache events, from one that counts to one that receives everything.

use std::sync::atomic::{AtomicU64, Ordering};

use cachet::CacheEventHandler;
use cachet::telemetry::{CacheOperationEvent, EventMask, Histogram};

/// Counts operations.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl CacheEventHandler for Counting {
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS
    }

    fn on_operation_event(&self, _event: &CacheOperationEvent<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds up the durations of operations.
#[derive(Debug, Default)]
pub(crate) struct Timing(AtomicU64);

impl CacheEventHandler for Timing {
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS | EventMask::TIMING
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        let nanos = event.duration().map_or(0, |duration| u64::from(duration.subsec_nanos()));
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// A typical derived handler, with numbers like those of `Stats`.
#[derive(Debug, Default, CacheEventHandler)]
pub(crate) struct Derived {
    #[cache_event(count(operation, operation = "get", outcome = "hit"))]
    hits: AtomicU64,
    #[cache_event(count(operation, operation = "get", outcome = "miss"))]
    misses: AtomicU64,
    #[cache_event(count(tier, operation = "get", outcome = "hit"))]
    tier_hits: AtomicU64,
    #[cache_event(count(tier, operation = "get", outcome = any("miss", "expired")))]
    tier_misses: AtomicU64,
    #[cache_event(record(operation, operation = "get"))]
    latency: Histogram,
}

/// Receives everything, and does nothing with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Everything;

impl CacheEventHandler for Everything {}
