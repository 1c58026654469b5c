//! Telemetry of a cache: spans and events through `tracing`, and typed events for handlers.
//!
//! # Handlers and logs
//!
//! * **Handlers** implement [`CacheEventHandler`] and are registered with
//!   [`CacheBuilder::event_handler`](crate::CacheBuilder::event_handler). They receive an event for every call of a tier
//!   ([`CacheTierEvent`]) and for the end of every operation ([`CacheOperationEvent`]). They need no subscriber, and their cost
//!   depends on their [`EventMask`]. [`Stats`] is a handler for hit ratios and durations; [`Filtered`], [`Sampled`] and [`Buffered`]
//!   wrap other handlers.
//! * **Logs** are spans and events through `tracing`, enabled by [`CacheBuilder::enable_logs`](crate::CacheBuilder::enable_logs)
//!   and the crate's feature `logs`.
//!
//! Either works without the other. With neither, no telemetry is collected.
//!
//! # Filters
//!
//! With `tracing-subscriber` and its feature `env-filter`:
//!
//! ```
//! use tracing_subscriber::EnvFilter;
//!
//! tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).init();
//! ```
//!
//! | `RUST_LOG` | what it shows |
//! |---|---|
//! | `cachet::event=debug` | one line per operation; start here |
//! | `cachet=debug,my_app=debug` | everything, best displayed as a tree; the target of a custom tier is the module of its `#[cache_tier]` |
//! | `cachet=warn,my_app=warn` | failures |
//! | `my_app::disk=debug` | the tier in that module |
//!
//! Without `RUST_LOG`, this filter shows errors only.
//!
//! | level | events |
//! |---|---|
//! | ERROR | an operation returned an error or panicked |
//! | WARN | a tier failed but the operation did not; a refresh failed; a handler panicked (first time only); a tier returned an entry without its time of insertion (first time only); an expired entry was served in place of an error; contradictory settings |
//! | INFO | expired, rejected, superseded, evicted; a refresh that found nothing or was suppressed |
//! | DEBUG | everything else |
//!
//! Spans have the level DEBUG; [`span_level`](crate::CacheBuilder::span_level) and `#[cache_tier(level = "…")]` change it.
//! [`attributes`] lists names and fields.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::error::Error;

pub mod attributes;
pub(crate) mod callback;
pub(crate) mod event;
pub(crate) mod eviction;
pub(crate) mod handler;
pub(crate) mod handlers;
pub(crate) mod operation;
pub(crate) mod outcome;
pub(crate) mod record_keys;
pub(crate) mod request_id;
pub(crate) mod span;

pub use self::callback::subscriber_panics;
pub use self::event::{CacheOperationEvent, CacheTierEvent};
pub(crate) use self::handler::CacheEventHandler;
pub use self::handler::EventMask;
pub use self::handlers::buffered::{Buffered, BufferedEvents};
pub use self::handlers::filtered::Filtered;
pub use self::handlers::histogram::Histogram;
pub use self::handlers::metric::{EventCounter, EventHistogram};
pub use self::handlers::sampled::Sampled;
pub use self::handlers::stats::{Stats, TierStats};
pub use self::outcome::{CacheOperation, OperationOutcome, TierOperation, TierOutcome};
pub use self::record_keys::RecordKeys;
pub(crate) use self::request_id::RequestId;
pub use self::request_id::{RequestIdExt, WithRequestId};
#[doc(hidden)]
pub use self::span::{AddressField, DebugField, DisplayField, FieldValue};
pub use self::span::{SpanLevel, SpanPolicy};

pub(crate) use self::operation::{Completion, FirstAnswer, HitProbe, Leader, Operation, PendingRefresh, TierCall};
pub(crate) use self::span::{Logs, TierDescriptor};

pub(crate) use self::event::Batch;
pub(crate) use self::eviction::defer_evictions;

/// The telemetry required for a lookup that the first tier answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HitDetail {
    Nothing,
    /// Events without durations.
    Count,
    /// Events with durations.
    Events,
    /// Events with durations, and spans.
    Spans,
}

/// The name of a tier, and its callsites.
#[derive(Clone)]
pub(crate) struct TierIdentity {
    pub(crate) name: Arc<str>,
    pub(crate) descriptor: &'static TierDescriptor,
}

/// The handlers and logs of one cache.
///
/// Built once with the cache; collects only data that a handler or a subscriber has requested.
pub(crate) struct CacheTelemetry {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) logs: Logs,
    handlers: Box<[Registered]>,
    interest: EventMask,
    handler_panics: AtomicU64,
    reentrant: AtomicU64,
}

struct Registered {
    interest: EventMask,
    handler: Box<dyn CacheEventHandler>,
}

impl CacheTelemetry {
    pub(crate) fn new(name: Arc<str>, clock: Clock, logs: Logs, handlers: Vec<Box<dyn CacheEventHandler>>) -> Self {
        let handlers: Box<[_]> =
            handlers.into_iter().map(|handler| Registered { interest: handler.interest(), handler }).collect();
        let interest = handlers.iter().map(|registered| registered.interest).collect();
        Self { name, clock, logs, handlers, interest, handler_panics: AtomicU64::new(0), reentrant: AtomicU64::new(0) }
    }

    /// Whether there are no handlers and no logs.
    pub(crate) fn is_unobservable(&self) -> bool {
        self.interest == EventMask::NONE && !self.logs.is_on()
    }

    /// Whether an operation that begins now is observed: a handler or a subscriber listens, and this is not part of what
    /// either of them does.
    #[inline]
    pub(crate) fn observed(&self) -> bool {
        (self.interest != EventMask::NONE || self.logs.listening())
            && !(callback::is_inside() && self.count_reentrant())
    }

    #[cold]
    fn count_reentrant(&self) -> bool {
        self.reentrant.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// How many operations were not observed, since they were started inside a callback.
    pub(crate) fn reentrant(&self) -> u64 {
        self.reentrant.load(Ordering::Relaxed)
    }

    /// Whether durations have to be measured.
    #[inline]
    fn timed(&self) -> bool {
        self.interest.contains(EventMask::TIMING) || self.logs.listening()
    }

    /// Whether tier events are required.
    #[inline]
    fn wants_tiers(&self) -> bool {
        self.interest.intersects(EventMask::TIERS.union(EventMask::TRAIL)) || self.logs.listening()
    }

    /// The telemetry required for a lookup that the first tier answers.
    #[inline]
    pub(crate) fn hit_detail(&self, kind: CacheOperation, first: &TierIdentity) -> HitDetail {
        let of_logs = self.logs.hit_detail(kind, first.descriptor);
        if of_logs != HitDetail::Nothing || self.interest == EventMask::NONE {
            return of_logs;
        }
        if self.interest.contains(EventMask::TIMING) { HitDetail::Events } else { HitDetail::Count }
    }

    fn wants_trail(&self) -> bool {
        self.interest.contains(EventMask::TRAIL)
    }

    pub(crate) fn handler_panics(&self) -> u64 {
        self.handler_panics.load(Ordering::Relaxed)
    }

    fn report_tier(
        &self,
        event: &CacheTierEvent<'_>,
        descriptor: &'static TierDescriptor,
        span: &span::Span,
        operation: &span::Span,
    ) {
        self.logs.tier_event(descriptor, event, span, operation);
        self.notify(EventMask::TIERS, |handler| handler.on_tier_event(event));
    }

    #[inline]
    fn report_operation(&self, event: &CacheOperationEvent<'_>, span: &span::Span) {
        self.logs.operation_event(event, span);
        self.notify(EventMask::OPERATIONS, |handler| handler.on_operation_event(event));
    }

    /// Calls every interested handler. A panic is caught and counted, and the first is logged.
    #[inline]
    fn notify(&self, interest: EventMask, call: impl Fn(&dyn CacheEventHandler)) {
        for registered in &self.handlers {
            if registered.interest.contains(interest) {
                let result = catch_unwind(AssertUnwindSafe(|| callback::call(|| call(&*registered.handler))));
                if let Err(payload) = result {
                    self.handler_panicked(payload);
                }
            }
        }
    }

    #[cold]
    fn handler_panicked(&self, payload: Box<dyn Any + Send>) {
        let error = Error::caught(payload);
        if self.handler_panics.fetch_add(1, Ordering::Relaxed) == 0 {
            self.logs.handler_panicked(&self.name, &error);
        }
    }
}

impl fmt::Debug for CacheTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheTelemetry")
            .field("name", &self.name)
            .field("handlers", &self.handlers.len())
            .field("interest", &self.interest)
            .finish_non_exhaustive()
    }
}
