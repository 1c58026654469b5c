//! The implementation without the feature `logs`: the same functions, empty.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{SpanLevel, SpanPolicy, TierSpan};
use crate::error::Error;
use crate::telemetry::{CacheOperation, CacheOperationEvent, CacheTierEvent, HitDetail, OperationOutcome, RequestId};

/// The description of a tier from its `#[cache_tier]`.
#[doc(hidden)]
#[derive(Debug)]
pub struct TierDescriptor {
    pub name: &'static str,
}

/// The static description of one tier; used by the expansion of `#[cache_tier]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __tier_descriptor {
    (name = $name:literal, target = $target:expr, level = $level:ident, system = $system:expr, fields = [$($field:literal),* $(,)?] $(,)?) => {{
        static DESCRIPTOR: $crate::__private::TierDescriptor = $crate::__private::TierDescriptor { name: $name };
        &DESCRIPTOR
    }};
}

/// Never created, since no span is open.
#[doc(hidden)]
pub struct FieldRecorder<'a>(PhantomData<&'a ()>);

#[doc(hidden)]
#[allow(clippy::unused_self, reason = "the same functions as with the feature on")]
impl FieldRecorder<'_> {
    pub(super) fn record<V: ?Sized>(&mut self, _name: &'static str, _value: &V) {}
    pub(super) fn record_display(&mut self, _name: &'static str, _value: &dyn fmt::Display) {}
    pub(super) fn record_debug(&mut self, _name: &'static str, _value: &dyn fmt::Debug) {}
    pub(super) fn record_address(&mut self, _address: &dyn fmt::Display) {}
}

impl fmt::Debug for FieldRecorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldRecorder").finish()
    }
}

/// No logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logs;

#[allow(clippy::unused_self, reason = "the same functions as with the feature on")]
impl Logs {
    pub(crate) fn off() -> Self {
        Self
    }

    pub(crate) fn new(_policy: SpanPolicy, _level: SpanLevel) -> Self {
        Self
    }

    pub(crate) fn is_on(self) -> bool {
        false
    }

    pub(crate) fn listening(self) -> bool {
        false
    }

    pub(crate) fn hit_detail(self, _operation: CacheOperation, _first: &'static TierDescriptor) -> HitDetail {
        HitDetail::Nothing
    }

    pub(crate) fn spans_from_the_start(self) -> bool {
        false
    }

    pub(crate) fn spans_when_slow(self) -> bool {
        false
    }

    pub(crate) fn operation_span(
        self,
        _cache: &str,
        _operation: CacheOperation,
        _id: RequestId,
        _parent: Option<RequestId>,
        _key: Option<&str>,
    ) -> Span {
        Span
    }

    pub(crate) fn load_span(self, _cache: &str, _id: RequestId, _parent: &Span) -> Span {
        Span
    }

    pub(crate) fn tier_span(
        self,
        _tier: &TierSpan<'_>,
        _parent: &Span,
        _record_fields: impl FnOnce(&mut FieldRecorder<'_>),
    ) -> Span {
        Span
    }

    pub(crate) fn tier_event(
        self,
        _descriptor: &'static TierDescriptor,
        _event: &CacheTierEvent<'_>,
        _span: &Span,
        _operation: &Span,
    ) {
    }

    pub(crate) fn operation_event(self, _event: &CacheOperationEvent<'_>, _span: &Span) {}

    pub(crate) fn warn(self, _cache: &str, _tier: &str, _message: fmt::Arguments<'_>) {}

    pub(crate) fn handler_panicked(self, _cache: &Arc<str>, _panic: &Error) {}
}

/// A span to follow from: none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpanLink;

/// A span that is the current one: none.
#[derive(Debug)]
pub(crate) struct EnteredSpan;

#[allow(clippy::unused_self, reason = "the same functions as with the feature on")]
impl EnteredSpan {
    pub(crate) fn exit(self) -> Span {
        Span
    }
}

/// A borrowed span that is the current one: none.
pub(crate) struct Entered<'s>(PhantomData<&'s Span>);

/// No span.
#[derive(Debug)]
pub(crate) struct Span;

#[allow(clippy::unused_self, clippy::trivially_copy_pass_by_ref, reason = "the same functions as with the feature on")]
impl Span {
    pub(crate) const fn none() -> Self {
        Self
    }

    pub(crate) fn is_none(&self) -> bool {
        true
    }

    pub(crate) fn or<'s>(&'s self, _other: &'s Self) -> &'s Self {
        self
    }

    pub(crate) fn same(&self) -> Self {
        Self
    }

    pub(crate) fn enter(self) -> EnteredSpan {
        EnteredSpan
    }

    pub(crate) fn entered(&self) -> Entered<'_> {
        Entered(PhantomData)
    }

    pub(crate) fn attach<F: Future>(&self, future: F) -> F {
        future
    }

    pub(crate) fn link(&self) -> SpanLink {
        SpanLink
    }

    pub(crate) fn follows_from(&self, _link: &SpanLink) {}

    pub(crate) fn load_ended(&self, _outcome: OperationOutcome, _error: Option<&Error>) {}
}
