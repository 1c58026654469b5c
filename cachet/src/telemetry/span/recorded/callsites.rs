//! The static callsites: one of each kind per tier, in the tier's own module, and one per operation and level here.
//!
//! `enabled` is called only directly before a span or an event is created. Otherwise a layer with a per-layer filter would lose the
//! user's next span.

use std::fmt;

use tracing::callsite::{Callsite, DefaultCallsite, Identifier};
use tracing::field::FieldSet;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::metadata::Kind;
use tracing::{Level, Metadata};

use crate::telemetry::CacheOperation;
use crate::telemetry::callback;
use crate::telemetry::span::SpanLevel;

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

/// The static description of one tier; used by the expansion of `#[cache_tier]`.
///
/// One static and one call that fills it, since repeated code in each tier costs compile time in the user's crate.
#[doc(hidden)]
#[macro_export]
macro_rules! __tier_descriptor {
    (name = $name:literal, target = $target:expr, level = $level:ident, system = $system:expr, fields = [$($field:literal),* $(,)?] $(,)?) => {{
        static DESCRIPTOR: $crate::__private::TierDescriptor = $crate::__private::TierDescriptor::new(
            &DESCRIPTOR,
            $name,
            $system,
            &[
                "cache.name", "cache.tier", "cache.operation", "cache.request_id", "cache.fallback", "cache.key",
                "otel.kind", "db.system.name", "server.address", "server.port",
                "cache.outcome", "cache.hit", "cache.age_ms", "error.type", "otel.status_code"
                $(, $field)*
            ],
            $crate::__private::tracing::Level::$level,
            $crate::__private::Place {
                target: $target,
                file: ::core::file!(),
                line: ::core::line!(),
                module: ::core::module_path!(),
            },
        );
        &DESCRIPTOR
    }};
}

/// The fields of a tier's events, in the order in which [`Logs::tier_event`] passes their values.
const EVENT_FIELDS: &[&str] = &[
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
    "cache.keys",
    "cache.hits",
];

/// The description of a tier from its `#[cache_tier]`: its default name and its callsites.
#[doc(hidden)]
pub struct TierDescriptor {
    pub name: &'static str,
    pub system: Option<&'static str>,
    span: Site,
    warn: Site,
    info: Site,
    debug: Site,
}

/// The source location of a tier, for its callsites.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub target: &'static str,
    pub file: &'static str,
    pub line: u32,
    pub module: &'static str,
}

/// A callsite and its metadata, which reference each other.
struct Site {
    callsite: DefaultCallsite,
    metadata: Metadata<'static>,
}

impl Site {
    /// `this` is the static that will hold the value.
    const fn new(this: &'static Self, place: Place, level: Level, fields: &'static [&'static str], kind: Kind) -> Self {
        let Place { target, file, line, module } = place;
        let fields = FieldSet::new(fields, Identifier(&this.callsite));
        Self {
            callsite: DefaultCallsite::new(&this.metadata),
            metadata: Metadata::new("cache.tier", target, level, Some(file), Some(line), Some(module), fields, kind),
        }
    }
}

#[doc(hidden)]
impl TierDescriptor {
    /// `this` is the static that will hold the value. The fields are those of `cache.tier`, in the order in which
    /// [`Logs::tier_span`] passes their values, and the tier's own behind them.
    pub const fn new(
        this: &'static Self,
        name: &'static str,
        system: Option<&'static str>,
        fields: &'static [&'static str],
        level: Level,
        place: Place,
    ) -> Self {
        Self {
            name,
            system,
            span: Site::new(&this.span, place, level, fields, Kind::SPAN),
            warn: Site::new(&this.warn, place, Level::WARN, EVENT_FIELDS, Kind::EVENT),
            info: Site::new(&this.info, place, Level::INFO, EVENT_FIELDS, Kind::EVENT),
            debug: Site::new(&this.debug, place, Level::DEBUG, EVENT_FIELDS, Kind::EVENT),
        }
    }

    pub(super) const fn span(&'static self) -> &'static DefaultCallsite {
        &self.span.callsite
    }

    pub(super) const fn warn(&'static self) -> &'static DefaultCallsite {
        &self.warn.callsite
    }

    pub(super) const fn info(&'static self) -> &'static DefaultCallsite {
        &self.info.callsite
    }

    pub(super) const fn debug(&'static self) -> &'static DefaultCallsite {
        &self.debug.callsite
    }
}

impl fmt::Debug for TierDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierDescriptor").field("name", &self.name).field("system", &self.system).finish_non_exhaustive()
    }
}

/// Whether a callsite may be enabled, by its cached interest; does not call the subscriber.
#[inline]
pub(super) fn may_be_enabled(callsite: &'static DefaultCallsite) -> bool {
    let level = callsite.metadata().level();
    *level <= STATIC_MAX_LEVEL && *level <= LevelFilter::current() && !callsite.interest().is_never()
}

/// The metadata of a callsite if it is enabled. The caller must then create its span or event.
#[inline]
pub(super) fn enabled(callsite: &'static DefaultCallsite) -> Option<&'static Metadata<'static>> {
    let metadata = callsite.metadata();
    let enabled = may_be_enabled(callsite)
        && (callsite.interest().is_always()
            || callback::subscriber(false, || tracing::dispatcher::get_default(|dispatch| dispatch.enabled(metadata))));
    enabled.then_some(metadata)
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
                "cache.keys",
                "cache.hits",
            ]
        )
    };
}

/// One callsite per operation and level: both are static in `tracing`.
pub(super) fn operation_callsite(operation: CacheOperation, level: SpanLevel) -> &'static DefaultCallsite {
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
        GetMany = "cache.get_many",
        InsertMany = "cache.insert_many",
        InvalidateMany = "cache.invalidate_many",
        Refresh = "cache.refresh",
        Repay = "cache.repay",
    }
}

pub(super) struct OperationEvents {
    pub(super) error: &'static DefaultCallsite,
    pub(super) warn: &'static DefaultCallsite,
    pub(super) info: &'static DefaultCallsite,
    pub(super) debug: &'static DefaultCallsite,
}

pub(super) fn operation_event_callsites() -> &'static OperationEvents {
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
                    "cache.keys",
                    "cache.hits",
                ]
            )
        };
    }
    static EVENTS: OperationEvents = OperationEvents {
        error: operation_event!(ERROR),
        warn: operation_event!(WARN),
        info: operation_event!(INFO),
        debug: operation_event!(DEBUG),
    };
    &EVENTS
}
