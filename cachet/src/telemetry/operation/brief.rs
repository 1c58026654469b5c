//! A lookup that the first tier most likely answers: hits are by far the most frequent operations, so they are told of
//! without keeping an operation.

use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use super::{NO_SPAN, Operation, TierCall};
use crate::clock::Tick;
use crate::telemetry::event::{Name, Trail};
use crate::telemetry::request_id::Scope;
use crate::telemetry::{
    CacheOperation, CacheOperationEvent, CacheTelemetry, CacheTierEvent, OfHits, OperationOutcome, RequestId,
    TierIdentity, TierOperation, TierOutcome,
};
use crate::{CacheEntry, Error};

/// A lookup of which no spans are wanted, nor the key of a hit. If the first tier has the entry, there is little to keep while
/// it runs: all that is to be told is known at the end. If not, it [grows](Self::grow) into an [`Operation`].
///
/// Dropped before, it reports as an [`Operation`] would.
pub(crate) struct Brief<'a> {
    telemetry: &'a CacheTelemetry,
    kind: CacheOperation,
    tier: &'a TierIdentity,
    /// Whether what becomes of it has been told, or is the business of the operation that it grew into.
    is_over: bool,
    /// `None` if nobody wants to know of hits.
    id: Option<RequestId>,
    parent: Option<RequestId>,
    started: Option<Tick>,
    #[allow(dead_code, reason = "restores the id")]
    scope: Option<Scope>,
}

impl<'a> Brief<'a> {
    /// Made where it is to be, and not moved: on the way of a hit, a copy costs more than what is in it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "see above")]
    pub(crate) fn start(
        telemetry: &'a CacheTelemetry,
        kind: CacheOperation,
        tier: &'a TierIdentity,
        wanted: OfHits,
    ) -> Self {
        let (mut id, mut parent, mut started, mut scope) = (None, None, None, None);
        if wanted != OfHits::Nothing {
            let new = RequestId::next();
            (id, parent, scope) = (Some(new), RequestId::current(), Some(new.enter()));
            if telemetry.timed() {
                started = Some(telemetry.clock.now());
            }
        }
        Self { telemetry, kind, tier, is_over: false, id, parent, started, scope }
    }

    /// The first tier had it.
    #[inline]
    pub(crate) fn hit<V>(&mut self, entry: &CacheEntry<V>) {
        let Self { telemetry, kind, tier, id, parent, started, .. } = *self;
        let was_over = std::mem::replace(&mut self.is_over, true);
        let Some(id) = id.filter(|_| !was_over) else { return };
        // First of all: with a call in between, half of an event would be made elsewhere, and copied.
        let now = started.map(|_| telemetry.clock.now());
        let duration = now.zip(started).map(|(now, started)| now.since(started));
        // Looked at only if the time is known anyway.
        let age = now.and_then(|now| entry.age(&telemetry.clock, Some(now)).known());
        // Events that own nothing have nothing to drop.
        let of_tier;
        let mut trail: &[CacheTierEvent<'_>] = &[];
        if telemetry.wants_tiers() {
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
                key: None,
            });
            telemetry.report_tier(&of_tier, tier.descriptor, &NO_SPAN, &NO_SPAN);
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
            key: None,
            trail: Trail::Borrowed(trail),
        });
        telemetry.report_operation(&event, &NO_SPAN);
    }

    /// The first tier had no entry, or failed; or it has not been asked, if there is no answer of it.
    ///
    /// If nobody wanted to know of a hit, what is told from here on takes its time from here on.
    #[cold]
    pub(crate) fn grow<V>(
        &mut self,
        answer: &Poll<Result<Option<V>, Error>>,
        key: Option<Arc<str>>,
    ) -> Option<Operation<'a>> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        let operation = self.grown(key);
        if let Poll::Ready(answer) = answer {
            let error = answer.as_ref().err();
            self.report(&operation, if error.is_some() { TierOutcome::Error } else { TierOutcome::Miss }, error);
            operation.turns_slow();
        }
        Some(operation)
    }

    fn grown(&self, key: Option<Arc<str>>) -> Operation<'a> {
        let Self { telemetry, kind, id, parent, started, .. } = *self;
        let Some(id) = id else { return Operation::start(telemetry, kind, key) };
        let mut operation = Operation::new(telemetry, kind, id, parent, key, OnceLock::new());
        operation.started = started;
        operation
    }

    /// What the first tier said. It declares no fields for an event, and there is no span.
    fn report(&self, operation: &Operation<'a>, outcome: TierOutcome, error: Option<&Error>) {
        TierCall::start(operation, self.tier, TierOperation::Get, false, |_| {}).finish(outcome, None, error);
    }
}

impl Drop for Brief<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        fn unwound(brief: &Brief<'_>) {
            let operation = brief.grown(None);
            operation.panicked.store(std::thread::panicking(), Ordering::Relaxed);
            let error = Error::panic(&"the panic goes on to the caller").in_tier(&brief.tier.name);
            brief.report(&operation, TierOutcome::Error, Some(&error));
        }
        if !self.is_over {
            unwound(self);
        }
    }
}
