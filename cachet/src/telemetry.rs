//! How a cache tells what it does: as spans and events of `tracing`, and as typed events at handlers.
//!
//! # Two ways to listen
//!
//! * **Handlers**: anything that implements [`CacheEventHandler`], registered with
//!   [`CacheBuilder::event_handler`](crate::CacheBuilder::event_handler). They are told of every call of a tier
//!   ([`CacheTierEvent`]) and of the end of every operation ([`CacheOperationEvent`]), need no subscriber, and pay for what
//!   their [`EventMask`] names. [`Stats`] is a ready one; [`Filtered`], [`Sampled`] and [`Buffered`] wrap others.
//! * **Logs**: spans and events through `tracing`, with [`CacheBuilder::enable_logs`](crate::CacheBuilder::enable_logs) and
//!   the crate's feature `logs`.
//!
//! Either works without the other, and with neither nothing is found out.
//!
//! # Seeing the logs
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
//! | `cachet::event=debug` | one line per operation: start here |
//! | `cachet=debug,my_app=debug` | everything: a tier of your own has the module of its `#[cache_tier]` as its target; best seen as a tree |
//! | `cachet=warn,my_app=warn` | what went wrong |
//! | `my_app::disk=debug` | the tier in that module |
//!
//! Without `RUST_LOG`, that filter shows errors only.
//!
//! | level | events |
//! |---|---|
//! | ERROR | an operation returned an error, or panicked |
//! | WARN | a tier failed and the operation did not; a refresh failed; a handler panicked (said once); a tier forgets the age of its entries (said once); an expired entry was served in place of an error; settings that contradict each other |
//! | INFO | expired, rejected, superseded, evicted; a refresh that found nothing, or was suppressed |
//! | DEBUG | everything else |
//!
//! Spans are at DEBUG, unless [`span_level`](crate::CacheBuilder::span_level) or `#[cache_tier(level = "…")]` say otherwise.
//! Names and fields are in [`attributes`].

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;

pub mod attributes;
pub(crate) mod event;
pub(crate) mod eviction;
pub(crate) mod handler;
pub(crate) mod handlers;
pub(crate) mod operation;
pub(crate) mod outcome;
pub(crate) mod record_keys;
pub(crate) mod request_id;
pub(crate) mod span;

pub use self::event::{CacheOperationEvent, CacheTierEvent};
pub use self::handler::{CacheEventHandler, EventMask};
pub use self::handlers::buffered::{Buffered, BufferedEvents};
pub use self::handlers::filtered::Filtered;
pub use self::handlers::histogram::Histogram;
pub use self::handlers::metric::{EventCounter, EventHistogram};
pub use self::handlers::sampled::Sampled;
pub use self::handlers::stats::{Stats, TierStats};
pub use self::outcome::{CacheOperation, OperationOutcome, TierOperation, TierOutcome};
pub use self::record_keys::RecordKeys;
pub use self::request_id::{RequestId, RequestIdExt, WithRequestId};
pub use self::span::SpanPolicy;
#[doc(hidden)]
pub use self::span::{AddressField, DebugField, DisplayField, FieldValue};

pub(crate) use self::operation::{Completion, FirstAnswer, HitProbe, Leader, Operation, PendingRefresh, TierCall};
pub(crate) use self::span::{Logs, TierDescriptor};

pub(crate) use self::event::Batch;
pub(crate) use self::eviction::defer_evictions;

/// What is wanted of a lookup that the first tier answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HitDetail {
    Nothing,
    /// That it was a hit, once it is over, but not how long it took.
    Count,
    /// That, and the time.
    Events,
    /// That, and what it takes to see it in a trace.
    Spans,
}

/// What a tier is called, and where its spans and events come from.
#[derive(Clone)]
pub(crate) struct TierIdentity {
    pub(crate) name: Arc<str>,
    pub(crate) descriptor: &'static TierDescriptor,
}

/// Who listens to one cache, and how to tell them.
///
/// Built once with the cache; what nobody wants to know is not found out.
pub(crate) struct CacheTelemetry {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) logs: Logs,
    handlers: Box<[Registered]>,
    interest: EventMask,
    handler_panics: AtomicU64,
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
        Self { name, clock, logs, handlers, interest, handler_panics: AtomicU64::new(0) }
    }

    /// Whether nobody will ever want to know anything.
    pub(crate) fn is_unobservable(&self) -> bool {
        self.interest == EventMask::NONE && !self.logs.is_on()
    }

    /// Whether anybody wants to know anything at this moment.
    #[inline]
    pub(crate) fn observed(&self) -> bool {
        self.interest != EventMask::NONE || self.logs.listening()
    }

    /// Whether durations have to be measured.
    #[inline]
    fn timed(&self) -> bool {
        self.interest.contains(EventMask::TIMING) || self.logs.listening()
    }

    /// Whether calls of tiers have to be described.
    #[inline]
    fn wants_tiers(&self) -> bool {
        self.interest.intersects(EventMask::TIERS.union(EventMask::TRAIL)) || self.logs.listening()
    }

    /// What is wanted of a lookup that the first tier answers.
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

    /// Tells every handler that is interested. A handler that panics is cut off, counted, and reported once.
    #[inline]
    fn notify(&self, interest: EventMask, tell: impl Fn(&dyn CacheEventHandler)) {
        for registered in &self.handlers {
            if registered.interest.contains(interest) {
                let told = catch_unwind(AssertUnwindSafe(|| tell(&*registered.handler)));
                if let Err(payload) = told {
                    self.handler_panicked(&*payload);
                }
            }
        }
    }

    #[cold]
    fn handler_panicked(&self, payload: &(dyn Any + Send)) {
        if self.handler_panics.fetch_add(1, Ordering::Relaxed) == 0 {
            self.logs.handler_panicked(&self.name, payload);
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
