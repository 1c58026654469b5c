//! One observed operation, which reports exactly once, also if it is dropped.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use smallvec::SmallVec;

use super::event::{Batch, Name, Trail};
use super::span::{Span, SpanLink};
use super::{
    CacheOperation, CacheOperationEvent, CacheTelemetry, CacheTierEvent, OperationOutcome, RequestId, RequestIdExt,
    TierIdentity, TierOperation, TierOutcome,
};
use crate::clock::Tick;
use crate::error::Error;

mod call;
mod probe;

pub(crate) use self::call::TierCall;
pub(crate) use self::probe::{FirstAnswer, HitProbe};

/// An observed operation, from its start to its completion event.
///
/// If dropped before [`complete`](Self::complete), it reports `cancelled`, or `panicked` if user code inside it panicked.
pub(crate) struct Operation<'a> {
    telemetry: &'a CacheTelemetry,
    kind: CacheOperation,
    id: RequestId,
    parent: Option<RequestId>,
    started: Option<Tick>,
    key: Option<Arc<str>>,
    /// Set for a batch.
    pub(crate) batch: Option<Batch>,
    /// Opened at the start, or when the first tier does not answer, or never.
    span: OnceLock<Span>,
    fallback: AtomicBool,
    panicked: AtomicBool,
    completed: bool,
    progress: Mutex<Progress<'a>>,
}

struct Progress<'a> {
    trail: SmallVec<[CacheTierEvent<'a>; 4]>,
    /// The end of the last step, and of the operation if no other step follows.
    last: Option<Tick>,
    load: Option<Duration>,
    leader: Option<RequestId>,
    /// A tier's span that is already open for the next call.
    opened: Option<Span>,
}

/// An observed refresh before its task runs: its span is opened while the span of its trigger is still open.
pub(crate) struct PendingRefresh {
    id: RequestId,
    parent: Option<RequestId>,
    key: Option<Arc<str>>,
    span: Span,
}

impl PendingRefresh {
    pub(crate) fn refresh(telemetry: &CacheTelemetry, key: Option<Arc<str>>, trigger: Option<&Operation<'_>>) -> Self {
        let (id, parent) = (RequestId::next(), trigger.map(|trigger| trigger.id));
        let logs = &telemetry.logs;
        let span = if logs.spans_from_the_start() || logs.spans_when_slow() {
            logs.operation_span(&telemetry.name, CacheOperation::Refresh, id, parent, key.as_deref())
        } else {
            Span::none()
        };
        if let Some(trigger) = trigger {
            span.follows_from(&trigger.span().link());
        }
        Self { id, parent, key, span }
    }
}

/// The leader of a flight, for telemetry.
#[derive(Clone)]
pub(crate) struct Leader {
    pub(crate) request_id: RequestId,
    pub(crate) span: SpanLink,
}

static NO_SPAN: Span = Span::none();

/// The end of an operation.
pub(crate) struct Completion<'a, 'e> {
    pub(crate) outcome: OperationOutcome,
    pub(crate) hit_tier: Option<&'a Arc<str>>,
    pub(crate) age: Option<Duration>,
    pub(crate) error: Option<&'e Error>,
}

impl From<OperationOutcome> for Completion<'_, '_> {
    fn from(outcome: OperationOutcome) -> Self {
        Self { outcome, hit_tier: None, age: None, error: None }
    }
}

impl<'e> From<&'e Error> for Completion<'_, 'e> {
    fn from(error: &'e Error) -> Self {
        let outcome = if error.is_panic() { OperationOutcome::Panicked } else { OperationOutcome::Error };
        Self { outcome, hit_tier: None, age: None, error: Some(error) }
    }
}

impl<'a> Operation<'a> {
    #[inline]
    pub(crate) fn start(telemetry: &'a CacheTelemetry, kind: CacheOperation, key: Option<Arc<str>>) -> Self {
        let (id, parent) = (RequestId::next(), RequestId::current());
        let span = OnceLock::new();
        if telemetry.logs.spans_from_the_start() {
            let _ = span.set(telemetry.logs.operation_span(&telemetry.name, kind, id, parent, key.as_deref()));
        }
        Self::new(telemetry, kind, id, parent, key, span)
    }

    /// Starts an operation of the cache itself: its span is a root.
    pub(crate) fn start_root(telemetry: &'a CacheTelemetry, kind: CacheOperation) -> Self {
        let (id, span) = (RequestId::next(), OnceLock::new());
        if telemetry.logs.spans_from_the_start() || telemetry.logs.spans_when_slow() {
            let _ = span.set(telemetry.logs.operation_span(&telemetry.name, kind, id, None, None));
        }
        Self::new(telemetry, kind, id, None, None, span)
    }

    /// Constructed in place: moving it would cost too much on the path of a hit.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "see above")]
    fn new(
        telemetry: &'a CacheTelemetry,
        kind: CacheOperation,
        id: RequestId,
        parent: Option<RequestId>,
        key: Option<Arc<str>>,
        span: OnceLock<Span>,
    ) -> Self {
        Self {
            telemetry,
            kind,
            id,
            parent,
            started: telemetry.timed().then(|| telemetry.clock.now()),
            key,
            batch: None,
            span,
            fallback: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            completed: false,
            progress: Mutex::new(Progress {
                trail: SmallVec::new(),
                last: None,
                load: None,
                leader: None,
                opened: None,
            }),
        }
    }

    /// Starts the pending refresh in the current task.
    pub(crate) fn start_pending(telemetry: &'a CacheTelemetry, pending: PendingRefresh) -> Self {
        let PendingRefresh { id, parent, key, span } = pending;
        Self::new(telemetry, CacheOperation::Refresh, id, parent, key, span.into())
    }

    fn span(&self) -> &Span {
        self.span.get().unwrap_or(&NO_SPAN)
    }

    /// Opens the span of `SpanPolicy::SlowPath`, since the first tier did not answer.
    pub(crate) fn open_late_span(&self) {
        if self.telemetry.logs.spans_when_slow() {
            let Self { telemetry, kind, id, parent, ref key, .. } = *self;
            self.span.get_or_init(|| telemetry.logs.operation_span(&telemetry.name, kind, id, parent, key.as_deref()));
        }
    }

    /// This operation as a leader, for its followers.
    pub(crate) fn as_leader(&self) -> Leader {
        Leader { request_id: self.id, span: self.span().link() }
    }

    /// Starts to follow a leader.
    pub(crate) fn follows(&self, leader: &Leader) {
        self.span().follows_from(&leader.span);
        self.progress().leader = Some(leader.request_id);
    }

    /// Ends the wait for a leader.
    pub(crate) fn mark_waited(&self) {
        if let Some(now) = self.now() {
            self.progress().last = Some(now);
        }
    }

    /// Stops following: the leader gave up, and this operation does its own work.
    pub(crate) fn clear_leader(&self) {
        self.progress().leader = None;
    }

    /// Records that a tier is called because an upper tier had no entry or failed.
    pub(crate) fn mark_fallback(&self) {
        self.fallback.store(true, Ordering::Relaxed);
    }

    /// Whether tier calls are reported in addition to the operation.
    #[inline]
    pub(crate) fn wants_tiers(&self) -> bool {
        self.telemetry.wants_tiers()
    }

    /// Reports a tier that was not called, because of a debt or an error. There is no span.
    pub(crate) fn report_skipped(
        &self,
        tier: &'a TierIdentity,
        kind: TierOperation,
        fallback: bool,
        error: Option<&Error>,
    ) {
        TierCall::without_span(self, tier, kind, fallback).finish(TierOutcome::Skipped, None, error);
    }

    /// Sets the operation's id as the current one and records a panic, for synchronous code without a [`TierCall`].
    #[inline]
    pub(crate) fn enter(&self) -> impl Drop + use<'_, 'a> {
        struct Inside<'o, 'a>(
            &'o Operation<'a>,
            #[allow(dead_code, reason = "restores the id")] super::request_id::Scope,
        );

        impl Drop for Inside<'_, '_> {
            #[inline]
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.panicked.store(true, Ordering::Relaxed);
                }
            }
        }

        Inside(self, self.id.enter())
    }

    /// Runs code of the user's, such as the clone of a value: if it panics, the operation has panicked.
    pub(crate) fn run_in<T>(operation: Option<&Self>, run: impl FnOnce() -> T) -> T {
        let _scope = operation.map(Self::enter);
        run()
    }

    fn now(&self) -> Option<Tick> {
        self.started.map(|_| self.telemetry.clock.now())
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress<'a>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the loader in its own span; `ended` returns its outcome.
    pub(crate) async fn load<T>(
        &self,
        future: impl Future<Output = T> + Send,
        ended: impl FnOnce(&T) -> (OperationOutcome, Option<&Error>) + Send,
    ) -> T {
        let started = self.now();
        let mut load = LoadSpan(self.telemetry.logs.load_span(&self.telemetry.name, self.id, self.span()), false);
        let inside = load.0.or(self.span());
        let result = inside.attach(AssertUnwindSafe(future).catch_unwind()).with_request_id(self.id).await;
        if let (Some(started), Some(ended)) = (started, self.now()) {
            let mut progress = self.progress();
            progress.load = Some(ended.since(started));
            progress.last = Some(ended);
        }
        match result {
            Ok(result) => {
                let (outcome, error) = ended(&result);
                load.ended(outcome, error);
                result
            }
            Err(payload) => {
                load.ended(OperationOutcome::Panicked, None);
                self.panicked.store(true, Ordering::Relaxed);
                resume_unwind(payload)
            }
        }
    }

    /// Sends the completion event.
    pub(crate) fn complete<'e>(&mut self, completion: impl Into<Completion<'a, 'e>>) {
        self.send(&completion.into());
    }

    fn send(&mut self, completion: &Completion<'a, '_>) {
        self.completed = true;
        let unfinished = matches!(completion.outcome, OperationOutcome::Cancelled | OperationOutcome::Panicked);
        let now = if unfinished { self.now() } else { None };
        let progress = self.progress.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ended = now.or(progress.last).or_else(|| self.started.map(|_| self.telemetry.clock.now()));
        let event = CacheOperationEvent {
            cache: Name::Borrowed(&self.telemetry.name),
            operation: self.kind,
            outcome: completion.outcome,
            request_id: self.id,
            parent_request_id: self.parent,
            leader_request_id: progress.leader,
            fallback: *self.fallback.get_mut(),
            batch: self.batch,
            hit_tier: completion.hit_tier.map(Name::Borrowed),
            age: completion.age,
            duration: ended.zip(self.started).map(|(ended, started)| ended.since(started)),
            load_duration: progress.load,
            error: completion.error.cloned(),
            key: self.key.as_ref().map(Name::Borrowed),
            trail: Trail::Borrowed(&progress.trail),
        };
        self.telemetry.report_operation(&event, self.span.get().unwrap_or(&NO_SPAN));
    }
}

/// The span of a loader, which records the outcome also if the loader is dropped.
struct LoadSpan(Span, bool);

impl LoadSpan {
    fn ended(&mut self, outcome: OperationOutcome, error: Option<&Error>) {
        self.1 = true;
        self.0.load_ended(outcome, error);
    }
}

impl Drop for LoadSpan {
    fn drop(&mut self) {
        if !self.1 {
            self.ended(OperationOutcome::Cancelled, None);
        }
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        if !self.completed {
            let panicked = self.panicked.load(Ordering::Relaxed);
            let outcome = if panicked { OperationOutcome::Panicked } else { OperationOutcome::Cancelled };
            self.send(&outcome.into());
        }
    }
}
