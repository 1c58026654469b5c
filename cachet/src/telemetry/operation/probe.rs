//! A lookup that the first tier most likely answers. Hits are by far the most frequent operations, so they are reported without
//! an `Operation`.

use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::{NO_SPAN, Operation, TierCall};
use crate::clock::Tick;
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::telemetry::event::{Name, Trail};
use crate::telemetry::request_id::Scope;
use crate::telemetry::span::{EnteredSpan, FieldRecorder, Span, TierSpan};
use crate::telemetry::{
    CacheOperation, CacheOperationEvent, CacheTelemetry, CacheTierEvent, HitDetail, OperationOutcome, RequestId,
    TierIdentity, TierOperation, TierOutcome,
};

/// An observed lookup in an immediate first tier. It keeps little state, since the data of a hit's events is known at the end. If the
/// first tier has no entry, it [becomes](Self::grow_into_operation) an [`Operation`].
///
/// If dropped before its end, it reports a panic: an immediate lookup cannot be cancelled.
pub(crate) struct HitProbe<'a, 'k> {
    telemetry: &'a CacheTelemetry,
    kind: CacheOperation,
    tier: &'a TierIdentity,
    /// Whether the lookup has been reported, or has become an [`Operation`], which then reports it.
    is_over: bool,
    /// `None` if hits are not observed.
    id: Option<RequestId>,
    parent: Option<RequestId>,
    started: Option<Tick>,
    key: Option<&'k Arc<str>>,
    spans: Option<Spans>,
    #[allow(dead_code, reason = "restores the id")]
    scope: Option<Scope>,
}

/// The answer of a first tier without a hit.
pub(crate) enum FirstAnswer<'e> {
    Miss,
    Failed(&'e Error),
    /// No answer yet: the tier is called again, which counts as the same call.
    Open,
}

/// The spans of the operation and of the call of its first tier.
struct Spans {
    operation: Span,
    tier: Option<EnteredSpan>,
    /// The operation's span, entered if the tier has none.
    instead: Option<EnteredSpan>,
}

impl Spans {
    #[inline(never)]
    fn open(
        telemetry: &CacheTelemetry,
        kind: CacheOperation,
        tier: &TierIdentity,
        (id, parent): (RequestId, Option<RequestId>),
        key: Option<&Arc<str>>,
        record_fields: impl FnOnce(&mut FieldRecorder<'_>),
    ) -> Self {
        let operation = telemetry.logs.operation_span(&telemetry.name, kind, id, parent, key.map(|key| &**key));
        let get = TierSpan {
            cache: &telemetry.name,
            tier: &tier.name,
            descriptor: tier.descriptor,
            operation: TierOperation::Get,
            request_id: id,
            fallback: false,
            key: key.map(|key| &**key),
        };
        let opened = catch_unwind(AssertUnwindSafe(|| telemetry.logs.tier_span(&get, &operation, record_fields)));
        let tier = opened.unwrap_or_else(|payload| {
            // The expression of a declared field panicked: a probe with the spans opened so far reports it.
            let spans = Some(Self { operation: operation.same(), tier: None, instead: None });
            let (id, is_over, started, scope) = (Some(id), false, None, None);
            drop(HitProbe { telemetry, kind, tier, is_over, id, parent, started, key, spans, scope });
            resume_unwind(payload)
        });
        let instead = tier.is_none().then(|| operation.same().enter());
        Self { operation, tier: Some(tier.enter()), instead }
    }
}

impl<'a, 'k> HitProbe<'a, 'k> {
    /// Constructed in place: on the path of a hit, a copy costs more than its contents.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "see above")]
    pub(crate) fn start(
        telemetry: &'a CacheTelemetry,
        kind: CacheOperation,
        tier: &'a TierIdentity,
        wanted: HitDetail,
        key: Option<&'k Arc<str>>,
        record_fields: impl FnOnce(&mut FieldRecorder<'_>),
    ) -> Self {
        let (mut id, mut parent, mut started, mut spans, mut scope) = (None, None, None, None, None);
        if wanted != HitDetail::Nothing {
            let new = RequestId::next();
            (id, parent) = (Some(new), RequestId::current());
            if wanted == HitDetail::Spans {
                spans = Some(Spans::open(telemetry, kind, tier, (new, parent), key, record_fields));
            }
            scope = Some(new.enter());
            if wanted != HitDetail::Count {
                started = Some(telemetry.clock.now());
            }
        }
        Self { telemetry, kind, tier, is_over: false, id, parent, started, key, spans, scope }
    }

    fn span(&self) -> &Span {
        self.spans.as_ref().map_or(&NO_SPAN, |spans| &spans.operation)
    }

    /// Exits the span of the first tier's call.
    fn exit_tier(&mut self) -> Option<Span> {
        let spans = self.spans.as_mut()?;
        spans.instead = None;
        spans.tier.take().map(EnteredSpan::exit)
    }

    /// Reports a hit of the first tier.
    #[inline]
    pub(crate) fn hit<V>(&mut self, entry: &CacheEntry<V>) {
        let Self { telemetry, kind, tier, id, parent, started, .. } = *self;
        let was_over = mem::replace(&mut self.is_over, true);
        let Some(id) = id.filter(|_| !was_over) else { return };
        // Handlers run outside of the operation.
        self.scope = None;
        // Before any other call: otherwise part of an event would be built elsewhere and copied.
        let now = started.map(|_| telemetry.clock.now());
        let duration = now.zip(started).map(|(now, started)| now.since(started));
        // Computed only if the clock has been read anyway.
        let age = now.and_then(|now| entry.age(&telemetry.clock, Some(now)).known());
        // These events own nothing, so they need no drop.
        let of_tier;
        let mut trail: &[CacheTierEvent<'_>] = &[];
        if telemetry.wants_tiers() {
            let span = self.exit_tier();
            of_tier = ManuallyDrop::new(CacheTierEvent {
                cache: Name::Borrowed(&telemetry.name),
                tier: Name::Borrowed(&tier.name),
                operation: TierOperation::Get,
                outcome: TierOutcome::Hit,
                request_id: Some(id),
                fallback: false,
                batch: None,
                duration,
                age,
                error: None,
                key: self.key.map(Name::Borrowed),
            });
            telemetry.report_tier(&of_tier, tier.descriptor, span.as_ref().unwrap_or(&NO_SPAN), self.span());
            if telemetry.wants_trail() {
                trail = std::slice::from_ref(&of_tier);
            }
        }
        let event = ManuallyDrop::new(CacheOperationEvent {
            cache: Name::Borrowed(&telemetry.name),
            operation: kind,
            outcome: OperationOutcome::Hit,
            request_id: id,
            parent_request_id: parent,
            leader_request_id: None,
            fallback: false,
            batch: None,
            hit_tier: Some(Name::Borrowed(&tier.name)),
            age,
            duration,
            load_duration: None,
            error: None,
            key: self.key.map(Name::Borrowed),
            trail: Trail::Borrowed(trail),
        });
        telemetry.report_operation(&event, self.span());
    }

    /// Becomes an operation, since the first tier had no entry, failed, or has not answered yet.
    ///
    /// If hits are not observed or not timed, the operation starts here.
    #[cold]
    pub(crate) fn grow_into_operation(
        &mut self,
        answer: &FirstAnswer<'_>,
        key: impl FnOnce() -> Option<Arc<str>>,
    ) -> Option<Operation<'a>> {
        if mem::replace(&mut self.is_over, true) {
            return None;
        }
        self.scope = None;
        let key = self.key.cloned().or_else(key);
        let operation = self.take_operation(key);
        match answer {
            FirstAnswer::Miss => self.report(&operation, TierOutcome::Miss, None),
            FirstAnswer::Failed(error) => self.report(&operation, TierOutcome::Error, Some(error)),
            FirstAnswer::Open => {
                operation.progress().opened = self.exit_tier();
                return Some(operation);
            }
        }
        operation.open_late_span();
        Some(operation)
    }

    fn take_operation(&mut self, key: Option<Arc<str>>) -> Operation<'a> {
        let Self { telemetry, kind, id, parent, started, .. } = *self;
        let Some(id) = id else { return Operation::start(telemetry, kind, key) };
        let span = self.spans.as_mut().map(|spans| mem::replace(&mut spans.operation, Span::none()));
        let span = span.map_or_else(OnceLock::new, OnceLock::from);
        let mut operation = Operation::new(telemetry, kind, id, parent, key, span);
        operation.started = started.or(operation.started);
        operation
    }

    /// Reports the answer of the first tier.
    fn report(&mut self, operation: &Operation<'a>, outcome: TierOutcome, error: Option<&Error>) {
        operation.progress().opened = self.exit_tier();
        // A span that is not open yet is disabled, so it needs no fields.
        TierCall::start(operation, self.tier, TierOperation::Get, false, |_| {}).finish(outcome, None, error);
    }
}

impl Drop for HitProbe<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        fn unwound(brief: &mut HitProbe<'_, '_>) {
            let operation = brief.take_operation(None);
            operation.panicked.store(true, Ordering::Relaxed);
            let error = Error::panic(&"the panic goes on to the caller").in_tier(&brief.tier.name);
            brief.report(&operation, TierOutcome::Panicked, Some(&error));
        }
        if !self.is_over {
            unwound(self);
        }
    }
}
