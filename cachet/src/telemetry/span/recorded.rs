//! The implementation with the feature `logs`: spans and events through `tracing`.
//!
//! This module decides what is reported; its submodules contain the callsites, the span handles and the tiers' own fields.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::field::Value;
use tracing::level_filters::LevelFilter;

mod callsites;
mod fields;
mod handle;

pub use self::callsites::{Place, TierDescriptor};
use self::callsites::{enabled, may_be_enabled, operation_callsite, operation_event_callsites};
pub use self::fields::FieldRecorder;
use self::fields::as_i64;
pub(crate) use self::handle::{Entered, EnteredSpan, Span, SpanLink};
use super::{SpanLevel, SpanPolicy, TierSpan};
use crate::error::Error;
use crate::telemetry::{
    CacheOperation, CacheOperationEvent, CacheTierEvent, HitDetail, OperationOutcome, RequestId, TierOutcome,
};

/// The message of an error, without the parts that other fields contain.
fn causes(error: &Error) -> String {
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

/// The values of a callsite's fields, by position. An `Option` that is `None` records nothing.
type Values<'v> = [Option<&'v dyn Value>];

fn millis(duration: Duration) -> i64 {
    as_i64(duration.as_millis())
}

fn id(id: RequestId) -> i64 {
    as_i64(id.get().into())
}

fn count(number: Option<usize>) -> Option<i64> {
    number.map(|number| as_i64(number as u128))
}

/// The logs of one cache: off, or on with a span policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logs(Option<Enabled>);

#[derive(Clone, Copy, Debug)]
struct Enabled {
    policy: SpanPolicy,
    level: SpanLevel,
}

impl Logs {
    pub(crate) fn off() -> Self {
        Self(None)
    }

    pub(crate) fn new(policy: SpanPolicy, level: SpanLevel) -> Self {
        Self(Some(Enabled { policy, level }))
    }

    pub(crate) fn is_on(self) -> bool {
        self.0.is_some()
    }

    /// Whether logs are on and a subscriber may receive them.
    #[inline]
    pub(crate) fn listening(self) -> bool {
        self.0.is_some() && LevelFilter::current() != LevelFilter::OFF
    }

    /// The telemetry required for a lookup that the first tier answers. Uses the cached interest of the callsites; does not call
    /// the subscriber.
    #[inline]
    pub(crate) fn hit_detail(self, operation: CacheOperation, first: &'static TierDescriptor) -> HitDetail {
        let Some(Enabled { policy, level }) = self.0 else { return HitDetail::Nothing };
        if policy == SpanPolicy::All
            && (may_be_enabled(operation_callsite(operation, level)) || may_be_enabled(first.span()))
        {
            HitDetail::Spans
        } else if may_be_enabled(first.debug()) || may_be_enabled(operation_event_callsites().debug) {
            HitDetail::Events
        } else {
            HitDetail::Nothing
        }
    }

    #[inline]
    pub(crate) fn spans_from_the_start(self) -> bool {
        self.0.is_some_and(|enabled| enabled.policy == SpanPolicy::All)
    }

    #[inline]
    pub(crate) fn spans_when_slow(self) -> bool {
        self.0.is_some_and(|enabled| enabled.policy == SpanPolicy::SlowPath)
    }

    pub(crate) fn operation_span(
        self,
        cache: &str,
        operation: CacheOperation,
        request_id: RequestId,
        parent: Option<RequestId>,
        key: Option<&str>,
    ) -> Span {
        let level = self.0.map_or(SpanLevel::default(), |enabled| enabled.level);
        let Some(metadata) = enabled(operation_callsite(operation, level)) else { return Span::none() };
        let parent = parent.map(id);
        let values: &Values<'_> = &[
            Some(&cache),
            Some(&operation.as_str()),
            Some(&id(request_id)),
            Some(&parent),
            Some(&key),
            Some(&"internal"),
            Some(&sentry_op(operation)),
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        ];
        let values = metadata.fields().value_set_all(values);
        Span::open(|| match operation {
            // A background task belongs to no trace, so the span is a root.
            CacheOperation::Refresh | CacheOperation::Repay => tracing::Span::new_root(metadata, &values),
            _ => tracing::Span::new(metadata, &values),
        })
    }

    pub(crate) fn load_span(self, cache: &str, request_id: RequestId, parent: &Span) -> Span {
        let callsite = crate::__callsite!(
            SPAN,
            "cache.load",
            "cachet::op",
            DEBUG,
            ["cache.name", "cache.operation", "cache.request_id", "otel.kind", "cache.outcome", "error.type"]
        );
        if self.0.is_none_or(|enabled| enabled.policy == SpanPolicy::Off) {
            return Span::none();
        }
        let Some(metadata) = enabled(callsite) else { return Span::none() };
        let values: &Values<'_> = &[Some(&cache), Some(&"load"), Some(&id(request_id)), Some(&"internal"), None, None];
        parent.child(metadata, values)
    }

    pub(crate) fn tier_span(
        self,
        tier: &TierSpan<'_>,
        parent: &Span,
        record_fields: impl FnOnce(&mut FieldRecorder<'_>),
    ) -> Span {
        let open = self.0.is_some_and(|enabled| match enabled.policy {
            SpanPolicy::All => true,
            // The policy leaves out the calls of the first tier.
            SpanPolicy::SlowPath => !parent.is_none(),
            SpanPolicy::Off => false,
        });
        if !open {
            return Span::none();
        }
        let Some(metadata) = enabled(tier.descriptor.span()) else { return Span::none() };
        let request_id = id(tier.request_id);
        let kind = if tier.descriptor.system.is_some() { "client" } else { "internal" };
        let operation = tier.operation.as_str();
        let mut values: [Option<&dyn Value>; MAX_TIER_FIELDS] = [None; MAX_TIER_FIELDS];
        values[0] = Some(&tier.cache);
        values[1] = Some(&tier.tier);
        values[2] = Some(&operation);
        values[3] = Some(&request_id);
        values[4] = Some(&tier.fallback);
        values[5] = Some(&tier.key);
        values[6] = Some(&kind);
        values[7] = Some(&tier.descriptor.system);
        let mut recorder = FieldRecorder { fields: metadata.fields(), values: Vec::new() };
        record_fields(&mut recorder);
        for (index, value) in &recorder.values {
            if let Some(slot) = values.get_mut(*index) {
                *slot = Some(value.as_value());
            }
        }
        parent.child(metadata, &values[..metadata.fields().len().min(MAX_TIER_FIELDS)])
    }

    /// Ends the span of a tier's call and sends its event, inside that span or otherwise inside the operation's.
    pub(crate) fn tier_event(
        self,
        descriptor: &'static TierDescriptor,
        event: &CacheTierEvent<'_>,
        span: &Span,
        operation: &Span,
    ) {
        let callsite = match event.outcome {
            // The change of state is the warning.
            TierOutcome::Skipped => descriptor.debug(),
            TierOutcome::Opened => descriptor.warn(),
            _ if event.error.is_some() => descriptor.warn(),
            TierOutcome::Expired
            | TierOutcome::Rejected
            | TierOutcome::Superseded
            | TierOutcome::Evicted
            | TierOutcome::Closed => descriptor.info(),
            _ => descriptor.debug(),
        };
        if !self.listening() {
            return;
        }
        let outcome = event.outcome.as_str();
        let hit = tier_hit(event.outcome);
        let age = event.age.map(millis);
        let error_type = event.error.as_ref().map(Error::error_type);
        // An expired entry that could not be removed has an error, but the lookup did not fail.
        let failure =
            event.error.as_ref().filter(|_| matches!(event.outcome, TierOutcome::Error | TierOutcome::Panicked));
        span.ended(TIER_FIXED, &[Some(&outcome), Some(&hit), Some(&age), Some(&error_type), status(failure)]);
        let Some(metadata) = enabled(callsite) else { return };
        let message = event.error.as_ref().map(|error| format!("{outcome}: {}", causes(error)));
        let request_id = event.request_id.map(id);
        let duration = event.duration.map(|duration| as_i64(duration.as_nanos()));
        span.or(operation).event(
            metadata,
            &[
                Some(&format_args!("{} {}: {}", event.tier(), event.operation, message.as_deref().unwrap_or(outcome))),
                Some(&event.cache()),
                Some(&event.tier()),
                Some(&event.operation.as_str()),
                Some(&outcome),
                Some(&request_id),
                Some(&event.fallback),
                Some(&hit),
                Some(&age),
                Some(&duration),
                Some(&event.key()),
                Some(&error_type),
                Some(&count(event.keys())),
                Some(&count(event.hits())),
            ],
        );
    }

    #[inline]
    pub(crate) fn operation_event(self, event: &CacheOperationEvent<'_>, span: &Span) {
        if self.listening() {
            Self::emit_operation(event, span);
        }
    }

    fn emit_operation(event: &CacheOperationEvent<'_>, span: &Span) {
        let outcome = event.outcome.as_str();
        let hit = operation_hit(event);
        let hit_tier = event.hit_tier();
        let age = event.age.map(millis);
        let leader = event.leader_request_id.map(id);
        let (keys, hits) = (count(event.keys()), count(event.hits()));
        let error_type = event
            .error
            .as_ref()
            .map(Error::error_type)
            .or_else(|| (event.outcome == OperationOutcome::Panicked).then_some("panic"));
        // An operation with an error may still have served a stale entry.
        let failed = matches!(event.outcome, OperationOutcome::Error | OperationOutcome::Panicked);
        span.ended(
            OPERATION_FIXED,
            &[
                Some(&outcome),
                Some(&hit),
                Some(&hit_tier),
                Some(&age),
                Some(&event.fallback),
                Some(&event.coalesced()),
                Some(&leader),
                Some(&error_type),
                status(event.error.as_ref().filter(|_| failed)),
                Some(&keys),
                Some(&hits),
            ],
        );
        let callsites = operation_event_callsites();
        let callsite = match (event.operation, event.outcome) {
            // In the background: no caller gets the error.
            (CacheOperation::Refresh, _) if failed => callsites.warn,
            (CacheOperation::Refresh, OperationOutcome::Refreshed) => callsites.debug,
            (CacheOperation::Refresh, _) => callsites.info,
            _ if failed => callsites.error,
            _ if event.error.is_some() => callsites.warn,
            _ => callsites.debug,
        };
        let Some(metadata) = enabled(callsite) else { return };
        let message = event.error.as_ref().map(|error| format!("{outcome}: {}", causes(error)));
        let parent = event.parent_request_id.map(id);
        let duration = event.duration.map(|duration| as_i64(duration.as_nanos()));
        span.event(
            metadata,
            &[
                Some(&format_args!("{}: {}", event.operation, message.as_deref().unwrap_or(outcome))),
                Some(&event.cache()),
                Some(&event.operation.as_str()),
                Some(&outcome),
                Some(&id(event.request_id)),
                Some(&parent),
                Some(&leader),
                Some(&hit),
                Some(&hit_tier),
                Some(&age),
                Some(&event.fallback),
                Some(&event.coalesced()),
                Some(&duration),
                Some(&event.key()),
                Some(&error_type),
                Some(&keys),
                Some(&hits),
            ],
        );
    }

    /// Sends a warning about the configuration or the behaviour of a tier.
    pub(crate) fn warn(self, cache: &str, tier: &str, message: fmt::Arguments<'_>) {
        let callsite =
            crate::__callsite!(EVENT, "cache.tier", "cachet::event", WARN, ["message", "cache.name", "cache.tier"]);
        if !self.listening() {
            return;
        }
        let Some(metadata) = enabled(callsite) else { return };
        Span::none().event(metadata, &[Some(&message), Some(&cache), Some(&tier)]);
    }

    pub(crate) fn handler_panicked(self, cache: &Arc<str>, panic: &Error) {
        let callsite =
            crate::__callsite!(EVENT, "cache.handler", "cachet::event", WARN, ["message", "cache.name", "error.type"]);
        if !self.listening() {
            return;
        }
        let Some(metadata) = enabled(callsite) else { return };
        let cause = causes(panic);
        Span::none().event(
            metadata,
            &[
                Some(&format_args!("an event handler panicked, further panics are only counted: {cause}")),
                Some(&&**cache),
                Some(&"panic"),
            ],
        );
    }
}

/// Fields of a tier's span that are known when it starts; the rest is recorded when it ends.
const TIER_FIXED: usize = 10;
/// The same of an operation's span.
const OPERATION_FIXED: usize = 7;
/// The library's own fields of a tier's span and the sixteen that `#[cache_tier(fields(…))]` may add.
const MAX_TIER_FIELDS: usize = TIER_FIXED + 5 + 16;

fn tier_hit(outcome: TierOutcome) -> Option<bool> {
    match outcome {
        TierOutcome::Hit => Some(true),
        TierOutcome::Miss | TierOutcome::Expired => Some(false),
        _ => None,
    }
}

fn operation_hit(event: &CacheOperationEvent<'_>) -> Option<bool> {
    use OperationOutcome::{Computed, Hit, Miss, None as Nothing, Stale};
    match event.outcome {
        Hit | Stale => Some(true),
        Miss | Computed | Nothing if event.operation.is_read() => Some(false),
        _ => None,
    }
}

fn status(error: Option<&Error>) -> Option<&'static dyn Value> {
    error.map(|_| &"ERROR" as &dyn Value)
}

/// The name of the operation in Sentry's Caches module.
fn sentry_op(operation: CacheOperation) -> &'static str {
    match operation {
        CacheOperation::Insert | CacheOperation::InsertMany => "cache.put",
        CacheOperation::Invalidate | CacheOperation::InvalidateMany => "cache.remove",
        CacheOperation::Clear => "cache.flush",
        _ => "cache.get",
    }
}
