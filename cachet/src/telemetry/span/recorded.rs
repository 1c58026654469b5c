//! Feature `logs` is on: spans and events through `tracing`.
//!
//! Callsites are static, values are passed by position, and a callsite is asked whether it is enabled only right
//! before its span or event is made: asking without making one would let a layer with a filter of its own lose the
//! user's next span.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tracing::callsite::{Callsite, DefaultCallsite};
use tracing::field::{Field, FieldSet, Value, Visit};
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::{Event, Metadata};

use super::{SpanLevel, SpanPolicy, TierSpan};
use crate::Error;
use crate::telemetry::{CacheOperation, CacheOperationEvent, CacheTierEvent, OperationOutcome, RequestId, TierOutcome};

/// A static callsite: the kind, name, target, level and fields of a span or an event.
#[doc(hidden)]
#[macro_export]
macro_rules! __callsite {
    ($kind:ident, $name:expr, $target:expr, $level:ident, [$($field:expr),* $(,)?]) => {{
        static METADATA: $crate::__private::tracing::Metadata<'static> = $crate::__private::tracing::Metadata::new(
            $name,
            $target,
            $crate::__private::tracing::Level::$level,
            ::core::option::Option::Some(::core::file!()),
            ::core::option::Option::Some(::core::line!()),
            ::core::option::Option::Some(::core::module_path!()),
            $crate::__private::tracing::field::FieldSet::new(
                &[$($field),*],
                $crate::__private::tracing::callsite::Identifier(&CALLSITE),
            ),
            $crate::__private::tracing::metadata::Kind::$kind,
        );
        static CALLSITE: $crate::__private::tracing::callsite::DefaultCallsite =
            $crate::__private::tracing::callsite::DefaultCallsite::new(&METADATA);
        &CALLSITE
    }};
}

/// The fields of `cache.tier`, in the order in which [`Logs::tier_span`] passes their values; a tier's own follow.
#[doc(hidden)]
#[macro_export]
macro_rules! __tier_span {
    ($target:expr, $level:ident, [$($field:expr),*]) => {
        $crate::__callsite!(SPAN, "cache.tier", $target, $level, [
            "cache.name", "cache.tier", "cache.operation", "cache.request_id", "cache.fallback", "cache.key",
            "otel.kind", "db.system.name", "server.address", "server.port",
            "cache.outcome", "cache.hit", "cache.age_ms", "error.type", "otel.status_code"
            $(, $field)*
        ])
    };
}

/// The fields of a tier's events, in the order in which [`Logs::tier_event`] passes their values.
#[doc(hidden)]
#[macro_export]
macro_rules! __tier_event {
    ($target:expr, $level:ident) => {
        $crate::__callsite!(
            EVENT,
            "cache.tier",
            $target,
            $level,
            [
                "message",
                "cache.name",
                "cache.tier",
                "cache.operation",
                "cache.outcome",
                "cache.request_id",
                "cache.fallback",
                "cache.hit",
                "cache.age_ms",
                "cache.duration_ns",
                "cache.key",
                "error.type",
            ]
        )
    };
}

/// The static description of one tier; used by the expansion of `#[cache_tier]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __tier_descriptor {
    (name = $name:literal, target = $target:expr, level = $level:ident, system = $system:expr, fields = [$($field:literal),* $(,)?] $(,)?) => {{
        static DESCRIPTOR: $crate::__private::TierDescriptor = $crate::__private::TierDescriptor {
            name: $name,
            system: $system,
            span: $crate::__tier_span!($target, $level, [$($field),*]),
            warn: $crate::__tier_event!($target, WARN),
            info: $crate::__tier_event!($target, INFO),
            debug: $crate::__tier_event!($target, DEBUG),
        };
        &DESCRIPTOR
    }};
}

/// What `#[cache_tier]` says of a tier: its default name, and its own callsites.
#[doc(hidden)]
pub struct TierDescriptor {
    pub name: &'static str,
    pub system: Option<&'static str>,
    pub span: &'static DefaultCallsite,
    pub warn: &'static DefaultCallsite,
    pub info: &'static DefaultCallsite,
    pub debug: &'static DefaultCallsite,
}

impl fmt::Debug for TierDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierDescriptor").field("name", &self.name).field("system", &self.system).finish_non_exhaustive()
    }
}

/// Takes the values of the fields that a tier declares; made only when its span is enabled.
///
/// They are kept until all are there: a field that is recorded after its span was made comes too late for samplers and
/// filters.
#[doc(hidden)]
pub struct FieldRecorder<'a> {
    fields: &'a FieldSet,
    values: Vec<(usize, Recorded)>,
}

/// A value in one of the four types that are emitted.
enum Recorded {
    Integer(i64),
    Boolean(bool),
    Float(f64),
    Text(String),
}

impl Recorded {
    fn as_value(&self) -> &dyn Value {
        match self {
            Self::Integer(value) => value,
            Self::Boolean(value) => value,
            Self::Float(value) => value,
            Self::Text(value) => value,
        }
    }
}

#[doc(hidden)]
impl FieldRecorder<'_> {
    pub(super) fn record<V: Value + ?Sized>(&mut self, name: &'static str, value: &V) {
        if let Some(field) = self.fields.field(name) {
            value.record(&field, self);
        }
    }

    pub(super) fn record_display(&mut self, name: &'static str, value: &dyn fmt::Display) {
        self.record(name, &tracing::field::display(value));
    }

    pub(super) fn record_debug(&mut self, name: &'static str, value: &dyn fmt::Debug) {
        self.record(name, &tracing::field::debug(value));
    }

    /// Records `host`, or `host:port`, or `[host]:port`.
    pub(super) fn record_address(&mut self, address: &dyn fmt::Display) {
        let address = address.to_string();
        let split = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match split {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                self.record("server.address", host.trim_matches(['[', ']']));
                self.record("server.port", &i64::from(port));
            }
            _ => self.record("server.address", address.as_str()),
        }
    }
}

impl Visit for FieldRecorder<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.values.push((field.index(), Recorded::Integer(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, as_i64(value.into()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record_i64(field, as_i64(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        let clamped = value.clamp(i64::MIN.into(), i64::MAX.into());
        self.record_i64(field, i64::try_from(clamped).unwrap_or_default());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.values.push((field.index(), Recorded::Boolean(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.values.push((field.index(), Recorded::Float(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.values.push((field.index(), Recorded::Text(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.values.push((field.index(), Recorded::Text(format!("{value:?}"))));
    }
}

impl fmt::Debug for FieldRecorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldRecorder").finish()
    }
}

/// The metadata of a callsite, if somebody wants what it makes. Whoever asks must then make it.
#[inline]
fn enabled(callsite: &'static DefaultCallsite) -> Option<&'static Metadata<'static>> {
    let metadata = callsite.metadata();
    if *metadata.level() > STATIC_MAX_LEVEL || *metadata.level() > LevelFilter::current() {
        return None;
    }
    let interest = callsite.interest();
    let enabled = !interest.is_never()
        && (interest.is_always() || tracing::dispatcher::get_default(|dispatch| dispatch.enabled(metadata)));
    enabled.then_some(metadata)
}

/// What an event says of a failure, beside the fields that already say where it happened.
fn causes(error: &Error) -> String {
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

/// The values of a callsite's fields, by position. An `Option` that is `None` records nothing.
type Values<'v> = [Option<&'v dyn Value>];

/// Numbers that do not fit into the integers that spans and events carry count as the largest that does.
fn as_i64(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    as_i64(duration.as_millis())
}

fn id(id: RequestId) -> i64 {
    as_i64(id.get().into())
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

    /// Whether logs are on and there is any subscriber that might take them.
    #[inline]
    pub(crate) fn listening(self) -> bool {
        self.0.is_some() && LevelFilter::current() != LevelFilter::OFF
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
        ];
        Span(tracing::Span::new(metadata, &metadata.fields().value_set_all(values)))
    }

    pub(crate) fn load_span(self, cache: &str, request_id: RequestId, parent: &Span) -> Span {
        let callsite = __callsite!(
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
        Span(parent.child(metadata, values))
    }

    pub(crate) fn tier_span(
        self,
        tier: &TierSpan<'_>,
        parent: &Span,
        record_fields: impl FnOnce(&mut FieldRecorder<'_>),
    ) -> Span {
        let open = self.0.is_some_and(|enabled| match enabled.policy {
            SpanPolicy::All => true,
            // The first tier's own calls are what the policy leaves out.
            SpanPolicy::SlowPath => !parent.is_none(),
            SpanPolicy::Off => false,
        });
        if !open {
            return Span::none();
        }
        let Some(metadata) = enabled(tier.descriptor.span) else { return Span::none() };
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
        Span(parent.child(metadata, &values[..metadata.fields().len().min(MAX_TIER_FIELDS)]))
    }

    /// Ends the span of a tier's call, and sends its event: inside that span, or else inside the operation's.
    pub(crate) fn tier_event(
        self,
        descriptor: &'static TierDescriptor,
        event: &CacheTierEvent<'_>,
        span: &Span,
        operation: &Span,
    ) {
        let callsite = match event.outcome {
            _ if event.error.is_some() => descriptor.warn,
            TierOutcome::Expired | TierOutcome::Rejected | TierOutcome::Superseded | TierOutcome::Evicted => {
                descriptor.info
            }
            _ => descriptor.debug,
        };
        if !self.listening() {
            return;
        }
        let outcome = event.outcome.as_str();
        let hit = tier_hit(event.outcome);
        let age = event.age.map(millis);
        let error_type = event.error.as_ref().map(Error::error_type);
        // An expired entry that could not be removed comes with an error; the lookup itself did not fail.
        let failure = event.error.as_ref().filter(|_| event.outcome == TierOutcome::Error);
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
            ],
        );
    }

    pub(crate) fn operation_event(self, event: &CacheOperationEvent<'_>, span: &Span) {
        if !self.listening() {
            return;
        }
        let outcome = event.outcome.as_str();
        let hit = operation_hit(event);
        let hit_tier = event.hit_tier();
        let age = event.age.map(millis);
        let leader = event.leader_request_id.map(id);
        let error_type = event
            .error
            .as_ref()
            .map(Error::error_type)
            .or_else(|| (event.outcome == OperationOutcome::Panicked).then_some("panic"));
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
                status(event.error.as_ref()),
            ],
        );
        let callsite = match event.outcome {
            OperationOutcome::Error | OperationOutcome::Panicked => operation_event_callsites().error,
            _ => operation_event_callsites().debug,
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
            ],
        );
    }

    pub(crate) fn handler_panicked(self, cache: &Arc<str>, payload: &(dyn Any + Send)) {
        let callsite =
            __callsite!(EVENT, "cache.handler", "cachet::event", WARN, ["message", "cache.name", "error.type"]);
        if !self.listening() {
            return;
        }
        let Some(metadata) = enabled(callsite) else { return };
        let cause = Error::panic(payload);
        let cause = causes(&cause);
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

/// What Sentry's Caches module calls the operation.
fn sentry_op(operation: CacheOperation) -> &'static str {
    match operation {
        CacheOperation::Insert => "cache.put",
        CacheOperation::Invalidate => "cache.remove",
        CacheOperation::Clear => "cache.flush",
        _ => "cache.get",
    }
}

macro_rules! operation_span {
    ($name:expr, $level:ident) => {
        __callsite!(
            SPAN,
            $name,
            "cachet::op",
            $level,
            [
                "cache.name",
                "cache.operation",
                "cache.request_id",
                "cache.parent_request_id",
                "cache.key",
                "otel.kind",
                "sentry.op",
                "cache.outcome",
                "cache.hit",
                "cache.hit_tier",
                "cache.age_ms",
                "cache.fallback",
                "cache.coalesced",
                "cache.leader_request_id",
                "error.type",
                "otel.status_code",
            ]
        )
    };
}

/// One callsite per operation and level: both are static in `tracing`.
fn operation_callsite(operation: CacheOperation, level: SpanLevel) -> &'static DefaultCallsite {
    macro_rules! at_every_level {
        ($($variant:ident = $name:expr,)*) => {
            match (operation, level) {
                $(
                    (CacheOperation::$variant, SpanLevel::Trace) => operation_span!($name, TRACE),
                    (CacheOperation::$variant, SpanLevel::Debug) => operation_span!($name, DEBUG),
                    (CacheOperation::$variant, SpanLevel::Info) => operation_span!($name, INFO),
                )*
            }
        };
    }
    at_every_level! {
        Get = "cache.get",
        Contains = "cache.contains",
        Insert = "cache.insert",
        Invalidate = "cache.invalidate",
        Clear = "cache.clear",
        Len = "cache.len",
        GetOrInsert = "cache.get_or_insert",
        TryGetOrInsert = "cache.try_get_or_insert",
        OptionallyGetOrInsert = "cache.optionally_get_or_insert",
        Refresh = "cache.refresh",
    }
}

struct OperationEvents {
    error: &'static DefaultCallsite,
    debug: &'static DefaultCallsite,
}

fn operation_event_callsites() -> &'static OperationEvents {
    macro_rules! operation_event {
        ($level:ident) => {
            __callsite!(
                EVENT,
                "cache.operation",
                "cachet::event",
                $level,
                [
                    "message",
                    "cache.name",
                    "cache.operation",
                    "cache.outcome",
                    "cache.request_id",
                    "cache.parent_request_id",
                    "cache.leader_request_id",
                    "cache.hit",
                    "cache.hit_tier",
                    "cache.age_ms",
                    "cache.fallback",
                    "cache.coalesced",
                    "cache.duration_ns",
                    "cache.key",
                    "error.type",
                ]
            )
        };
    }
    static EVENTS: OperationEvents = OperationEvents { error: operation_event!(ERROR), debug: operation_event!(DEBUG) };
    &EVENTS
}

pin_project! {
    /// `tracing::instrument::Instrumented`, with a borrowed span: a clone would cost two calls of the subscriber.
    pub(crate) struct Attached<'s, F> {
        #[pin]
        future: Option<F>,
        span: &'s tracing::Span,
    }

    impl<F> PinnedDrop for Attached<'_, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.span.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Attached<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            // Only `drop` empties it.
            None => Poll::Pending,
        }
    }
}

/// A span to follow from. It does not keep that span open; by then, a link to it may lead nowhere.
#[derive(Clone, Debug)]
pub(crate) struct SpanLink(Option<tracing::Id>);

/// A span, or none.
#[derive(Debug)]
pub(crate) struct Span(tracing::Span);

impl Span {
    pub(crate) const fn none() -> Self {
        Self(tracing::Span::none())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_disabled()
    }

    /// This span, or the other one if this is none.
    pub(crate) fn or<'s>(&'s self, other: &'s Self) -> &'s Self {
        if self.is_none() { other } else { self }
    }

    /// Enters the span on every poll of the future, and while it is dropped.
    pub(crate) fn attach<F: Future>(&self, future: F) -> Attached<'_, F> {
        Attached { future: Some(future), span: &self.0 }
    }

    /// Opens a span below this one, or below the caller's current one if this is none.
    fn child(&self, metadata: &'static Metadata<'static>, values: &Values<'_>) -> tracing::Span {
        let values = metadata.fields().value_set_all(values);
        match self.0.id() {
            Some(parent) => tracing::Span::child_of(parent, metadata, &values),
            None => tracing::Span::new(metadata, &values),
        }
    }

    /// Sends an event inside this span, or inside the caller's current one if this is none.
    fn event(&self, metadata: &'static Metadata<'static>, values: &Values<'_>) {
        let values = metadata.fields().value_set_all(values);
        match self.0.id() {
            Some(parent) => Event::child_of(parent, metadata, &values),
            None => Event::dispatch(metadata, &values),
        }
    }

    /// Records what is known only at the end: the fields from position `fixed` on.
    fn ended(&self, fixed: usize, last: &Values<'_>) {
        let Some(metadata) = self.0.metadata().filter(|_| !self.0.is_disabled()) else { return };
        let mut values: [Option<&dyn Value>; MAX_TIER_FIELDS] = [None; MAX_TIER_FIELDS];
        let length = metadata.fields().len().min(MAX_TIER_FIELDS);
        for (slot, value) in values[..length].iter_mut().skip(fixed).zip(last) {
            *slot = *value;
        }
        self.0.record_all(&metadata.fields().value_set_all(&values[..length]));
    }

    /// What another span needs to follow from this one.
    pub(crate) fn link(&self) -> SpanLink {
        SpanLink(self.0.id())
    }

    pub(crate) fn follows_from(&self, link: &SpanLink) {
        self.0.follows_from(link.0.clone());
    }

    pub(crate) fn load_ended(&self, outcome: OperationOutcome, error: Option<&Error>) {
        let error_type =
            error.map(Error::error_type).or_else(|| (outcome == OperationOutcome::Panicked).then_some("panic"));
        self.ended(4, &[Some(&outcome.as_str()), Some(&error_type)]);
    }
}
