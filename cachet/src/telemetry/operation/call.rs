//! One call of a tier inside an operation: it reports exactly once, also if it is dropped.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;

use super::Operation;
use crate::clock::Tick;
use crate::error::Error;
use crate::telemetry::event::{Batch, Name};
use crate::telemetry::request_id::Scope;
use crate::telemetry::span::{Entered, FieldRecorder, Span, TierSpan};
use crate::telemetry::{CacheTierEvent, RequestIdExt, TierIdentity, TierOperation, TierOutcome};

/// A call of a tier within an observed operation, from its start to its tier event.
///
/// If dropped before [`finish`](Self::finish), it reports `cancelled`.
pub(crate) struct TierCall<'o, 'a> {
    operation: &'o Operation<'a>,
    tier: &'a TierIdentity,
    kind: TierOperation,
    fallback: bool,
    /// Set for a batch.
    pub(crate) batch: Option<Batch>,
    started: Option<Tick>,
    ended: Option<Tick>,
    span: Span,
    /// How it has ended, if that is to be reported later.
    ending: Option<(TierOutcome, Option<Error>)>,
    /// The breaker of the tier has opened or closed since.
    pub(crate) transition: Option<TierOutcome>,
    finished: bool,
}

impl<'o, 'a> TierCall<'o, 'a> {
    pub(crate) fn start(
        operation: &'o Operation<'a>,
        tier: &'a TierIdentity,
        kind: TierOperation,
        fallback: bool,
        record_fields: impl FnOnce(&mut FieldRecorder<'_>),
    ) -> Self {
        let (opened, is_first) = {
            let mut progress = operation.progress();
            (progress.opened.take(), progress.last.is_none())
        };
        let is_open = opened.is_some();
        let span = opened.unwrap_or_else(|| {
            let span = span_of(operation, tier, kind, fallback);
            operation.telemetry.logs.tier_span(&span, operation.span(), |recorder| {
                let _inside = operation.enter();
                record_fields(recorder);
            })
        });
        // The first step starts with the operation: both share one clock reading, unless a subscriber ran in between.
        let started = operation.started.and_then(|started| {
            let at_once = is_first && (is_open || span.is_none() && operation.span().is_none());
            if at_once { Some(started) } else { operation.now() }
        });
        Self {
            operation,
            tier,
            kind,
            fallback,
            batch: None,
            started,
            ended: None,
            span,
            ending: None,
            transition: None,
            finished: false,
        }
    }

    /// For a call that is not made.
    pub(super) fn without_span(
        operation: &'o Operation<'a>,
        tier: &'a TierIdentity,
        kind: TierOperation,
        fallback: bool,
    ) -> Self {
        let started = operation.now();
        let span = Span::none();
        Self {
            operation,
            tier,
            kind,
            fallback,
            batch: None,
            started,
            ended: started,
            span,
            ending: None,
            transition: None,
            finished: false,
        }
    }

    /// Awaits the tier inside this call's span and with the operation's id as the current one, on every poll and while the future
    /// is dropped. Catches a panic, for [`rethrow`](Self::rethrow).
    pub(crate) fn attempt<T>(
        &self,
        future: impl Future<Output = T> + Send,
    ) -> impl Future<Output = thread::Result<T>> + Send {
        let inside = self.span.or(self.operation.span());
        inside.attach(AssertUnwindSafe(future).catch_unwind()).with_request_id(self.operation.id)
    }

    /// Makes this call's span and the operation's id the current ones, for work that does not wait.
    pub(crate) fn enter(&self) -> (Entered<'_>, Scope) {
        (self.span.or(self.operation.span()).entered(), self.operation.id.enter())
    }

    /// Reports a panic and resumes unwinding.
    pub(crate) fn rethrow<T>(&mut self, attempt: thread::Result<T>) -> T {
        attempt.unwrap_or_else(|payload| {
            self.operation.panicked.store(true, Ordering::Relaxed);
            self.send(TierOutcome::Panicked, None, Some(&Error::panic(&*payload).in_tier(&self.tier.name)));
            resume_unwind(payload)
        })
    }

    /// Records when the tier answered, for the duration of the call and the age of the entry.
    pub(crate) fn answered(&mut self) -> Option<Tick> {
        self.ended = self.operation.now();
        self.ended
    }

    /// Records how the call ended, for the report when this is dropped.
    pub(crate) fn end(&mut self, outcome: TierOutcome, error: Option<&Error>) {
        self.answered();
        self.ending = Some((outcome, error.cloned()));
    }

    /// Discards a call that was not made, without a report.
    pub(crate) fn withdraw(mut self) {
        self.finished = true;
    }

    pub(crate) fn finish(mut self, outcome: TierOutcome, age: Option<Duration>, error: Option<&Error>) {
        self.send(outcome, age, error);
    }

    fn send(&mut self, outcome: TierOutcome, age: Option<Duration>, error: Option<&Error>) {
        self.finished = true;
        let operation = self.operation;
        let ended = self.ended.or_else(|| operation.now());
        if ended.is_some() {
            operation.progress().last = ended;
        }
        if !operation.telemetry.wants_tiers() {
            return;
        }
        let event = CacheTierEvent {
            cache: Name::Borrowed(&operation.telemetry.name),
            tier: Name::Borrowed(&self.tier.name),
            operation: self.kind,
            outcome,
            request_id: Some(operation.id),
            fallback: self.fallback,
            batch: self.batch,
            duration: ended.zip(self.started).map(|(ended, started)| ended.since(started)),
            age,
            error: error.cloned(),
            key: operation.key.clone().map(Name::Owned),
        };
        operation.telemetry.report_tier(&event, self.tier.descriptor, &self.span, operation.span());
        let transition = self.transition.map(|outcome| CacheTierEvent {
            operation: TierOperation::Breaker,
            outcome,
            batch: None,
            duration: None,
            age: None,
            ..event.clone()
        });
        if operation.telemetry.wants_trail() {
            operation.progress().trail.push(event);
        }
        if let Some(transition) = transition {
            operation.telemetry.report_tier(&transition, self.tier.descriptor, &Span::none(), operation.span());
        }
    }
}

impl Drop for TierCall<'_, '_> {
    fn drop(&mut self) {
        if !self.finished {
            let (outcome, error) = self.ending.take().unwrap_or((TierOutcome::Cancelled, None));
            self.send(outcome, None, error.as_ref());
        }
    }
}

fn span_of<'s>(
    operation: &'s Operation<'_>,
    tier: &'s TierIdentity,
    kind: TierOperation,
    fallback: bool,
) -> TierSpan<'s> {
    TierSpan {
        cache: &operation.telemetry.name,
        tier: &tier.name,
        descriptor: tier.descriptor,
        operation: kind,
        request_id: operation.id,
        fallback,
        key: operation.key.as_deref(),
    }
}
