//! `Sampled`: forwards a sample of the operations.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::event::{CacheOperationEvent, CacheTierEvent};
use crate::telemetry::handler::{CacheEventHandler, EventMask};
use crate::telemetry::request_id::RequestId;

/// Forwards one in a given number of operations, with all its tier events.
///
/// The request id selects the operations, so the events of an operation are forwarded either all or not at all. Evictions outside of
/// operations are sampled individually.
///
/// ```
/// use cachet::telemetry::{Sampled, Stats};
///
/// let one_percent = Sampled::one_in(100, Stats::new());
/// # let _ = one_percent;
/// ```
#[derive(Debug)]
pub struct Sampled<H> {
    handler: H,
    one_in: u64,
    without_id: AtomicU64,
}

impl<H> Sampled<H> {
    /// Forwards one operation in `one_in`; zero and one forward all.
    pub fn one_in(one_in: u32, handler: H) -> Self {
        Self { handler, one_in: u64::from(one_in.max(1)), without_id: AtomicU64::new(0) }
    }

    fn takes(&self, id: Option<RequestId>) -> bool {
        let number = id.map_or_else(|| self.without_id.fetch_add(1, Ordering::Relaxed), RequestId::get);
        // Ids are allocated in blocks. Fibonacci hashing spreads them over all numbers, so the sample is uniform.
        (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(self.one_in)
    }
}

impl<H: CacheEventHandler> CacheEventHandler for Sampled<H> {
    fn interest(&self) -> EventMask {
        self.handler.interest()
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        if self.takes(event.request_id()) {
            self.handler.on_tier_event(event);
        }
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        if self.takes(Some(event.request_id())) {
            self.handler.on_operation_event(event);
        }
    }
}
