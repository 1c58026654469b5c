//! `Filtered`: forwards the events that a predicate accepts.

use std::fmt;

use crate::telemetry::event::{CacheOperationEvent, CacheTierEvent};
use crate::telemetry::handler::{CacheEventHandler, EventMask};

/// Forwards the events that a predicate accepts.
///
/// ```
/// use cachet::telemetry::{Filtered, Stats, TierOutcome};
///
/// let failures = Stats::new();
/// let handler = Filtered::new(failures.clone())
///     .tiers(|event| event.outcome() == TierOutcome::Error)
///     .operations(|event| event.error().is_some());
/// # let _ = handler;
/// ```
pub struct Filtered<H> {
    handler: H,
    tiers: Option<Box<TierPredicate>>,
    operations: Option<Box<OperationPredicate>>,
}

type TierPredicate = dyn Fn(&CacheTierEvent<'_>) -> bool + Send + Sync;
type OperationPredicate = dyn Fn(&CacheOperationEvent<'_>) -> bool + Send + Sync;

impl<H> Filtered<H> {
    /// Forwards all events; [`tiers`](Self::tiers) and [`operations`](Self::operations) set the predicates.
    pub fn new(handler: H) -> Self {
        Self { handler, tiers: None, operations: None }
    }

    /// Sets the predicate for tier events.
    #[must_use]
    pub fn tiers(mut self, accept: impl Fn(&CacheTierEvent<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.tiers = Some(Box::new(accept));
        self
    }

    /// Sets the predicate for operation events.
    #[must_use]
    pub fn operations(mut self, accept: impl Fn(&CacheOperationEvent<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.operations = Some(Box::new(accept));
        self
    }
}

impl<H: CacheEventHandler> CacheEventHandler for Filtered<H> {
    fn interest(&self) -> EventMask {
        self.handler.interest()
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        if self.tiers.as_ref().is_none_or(|accept| accept(event)) {
            self.handler.on_tier_event(event);
        }
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        if self.operations.as_ref().is_none_or(|accept| accept(event)) {
            self.handler.on_operation_event(event);
        }
    }
}

impl<H: fmt::Debug> fmt::Debug for Filtered<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered").field("handler", &self.handler).finish_non_exhaustive()
    }
}
