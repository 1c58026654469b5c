//! One observed operation, and one call of a tier inside it: both report exactly once, also when they are dropped.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use smallvec::SmallVec;

use super::event::{Batch, Name, Trail};
use super::span::{FieldRecorder, Span, TierSpan};
use super::{
    CacheOperation, CacheOperationEvent, CacheTelemetry, CacheTierEvent, Interest, OperationOutcome, RequestId,
    RequestIdExt, TierIdentity, TierOperation, TierOutcome,
};
use crate::Error;
use crate::clock::Tick;
use crate::underway::Leader;

/// An operation that somebody listens to, from its start to its one completion event.
///
/// Dropped before [`complete`](Self::complete) it reports `cancelled`, or `panicked` if user code inside it did.
pub(crate) struct Operation<'a> {
    telemetry: &'a CacheTelemetry,
    kind: CacheOperation,
    id: RequestId,
    parent: Option<RequestId>,
    started: Option<Tick>,
    key: Option<Arc<str>>,
    /// Set where it is about several keys.
    pub(crate) batch: Option<Batch>,
    /// Opened at the start, or once the operation turns out to be slow, or never.
    span: OnceLock<Span>,
    fallback: AtomicBool,
    panicked: AtomicBool,
    completed: bool,
    progress: Mutex<Progress<'a>>,
}

struct Progress<'a> {
    trail: SmallVec<[CacheTierEvent<'a>; 4]>,
    /// When the last step ended: the end of the operation too, if nothing follows.
    last: Option<Tick>,
    load: Option<Duration>,
    leader: Option<RequestId>,
}

/// A lookup of which the logs want to know nothing, and nobody the key. If the first tier has the entry, there is little to
/// keep while it runs: all that is to be told is known at the end.
///
/// Dropped before [`hit`](Self::hit), it reports as an [`Operation`] would.
pub(crate) struct Brief<'a> {
    telemetry: &'a CacheTelemetry,
    kind: CacheOperation,
    id: RequestId,
    parent: Option<RequestId>,
    started: Option<Tick>,
    tier: &'a TierIdentity,
    is_open: bool,
    #[allow(dead_code, reason = "restores the id")]
    scope: super::request_id::Scope,
}

impl<'a> Brief<'a> {
    #[inline]
    pub(crate) fn start(telemetry: &'a CacheTelemetry, kind: CacheOperation, tier: &'a TierIdentity) -> Self {
        let (id, parent) = (RequestId::next(), RequestId::current());
        let started = telemetry.timed().then(|| telemetry.clock.now());
        Self { telemetry, kind, id, parent, started, tier, is_open: true, scope: id.enter() }
    }

    /// The first tier had it. `age` tells how old the entry is, by the time that it is given.
    #[inline]
    pub(crate) fn hit(mut self, age: impl FnOnce(Option<Tick>) -> Option<Duration>) {
        self.is_open = false;
        let Self { telemetry, tier, .. } = self;
        // First of all: with a call in between, half of an event would be made elsewhere, and copied.
        let now = self.started.map(|_| telemetry.clock.now());
        let duration = now.zip(self.started).map(|(now, started)| now.since(started));
        let age = age(now);
        // Events that own nothing have nothing to drop.
        let of_tier = ManuallyDrop::new(CacheTierEvent {
            cache: Name::Borrowed(&telemetry.name),
            tier: Name::Borrowed(&tier.name),
            operation: TierOperation::Get,
            outcome: TierOutcome::Hit,
            request_id: Some(self.id),
            fallback: false,
            batch: None,
            duration,
            age,
            error: None,
            key: None,
        });
        if telemetry.wants_tiers() {
            telemetry.notify(Interest::TIERS, |handler| handler.on_tier_event(&of_tier));
        }
        let trail: &[CacheTierEvent<'_>] =
            if telemetry.wants_trail() { std::slice::from_ref(&*of_tier) } else { Default::default() };
        let event = ManuallyDrop::new(CacheOperationEvent {
            cache: Name::Borrowed(&telemetry.name),
            operation: self.kind,
            outcome: OperationOutcome::Hit,
            request_id: self.id,
            parent_request_id: self.parent,
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
        telemetry.notify(Interest::OPERATIONS, |handler| handler.on_operation_event(&event));
    }

    /// The first tier had no entry, or failed; or it has not been asked, if there is no answer of it.
    #[cold]
    pub(crate) fn grow<V>(mut self, answer: &Poll<Result<Option<V>, Error>>) -> Operation<'a> {
        self.is_open = false;
        let operation = self.grown();
        if let Poll::Ready(answer) = answer {
            let error = answer.as_ref().err();
            let outcome = if error.is_some() { TierOutcome::Error } else { TierOutcome::Miss };
            TierCall::start(&operation, self.tier, TierOperation::Get, false, |_| {}).finish(outcome, None, error);
        }
        operation
    }

    fn grown(&self) -> Operation<'a> {
        let mut operation = Operation::new(self.telemetry, self.kind, self.id, self.parent, None, OnceLock::new());
        operation.started = self.started;
        operation
    }
}

impl Drop for Brief<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        fn unwound(brief: &Brief<'_>) {
            let operation = brief.grown();
            operation.panicked.store(std::thread::panicking(), Ordering::Relaxed);
            // The panic is on its way to the caller, and its text with it.
            let error = Error::panic(&"it panicked, and the panic was not caught").in_tier(&brief.tier.name);
            let call = TierCall::start(&operation, brief.tier, TierOperation::Get, false, |_| {});
            call.finish(TierOutcome::Error, None, Some(&error));
        }
        if self.is_open {
            unwound(self);
        }
    }
}

/// A refresh that somebody listens to, before its task runs: its span is opened while that of its trigger is still open.
pub(crate) struct Announced {
    id: RequestId,
    parent: Option<RequestId>,
    key: Option<Arc<str>>,
    span: Span,
}

impl Announced {
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

/// What came of calling a tier: its answer, or its panic.
pub(crate) type Attempt<T> = Result<T, Box<dyn Any + Send>>;

static NO_SPAN: Span = Span::none();

/// How an operation ended.
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

    /// Made where it is to be: it is too large to be moved about on the way of every hit.
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
            progress: Mutex::new(Progress { trail: SmallVec::new(), last: None, load: None, leader: None }),
        }
    }

    /// Starts what was announced, in whichever task that is.
    pub(crate) fn start_announced(telemetry: &'a CacheTelemetry, announced: Announced) -> Self {
        let Announced { id, parent, key, span } = announced;
        Self::new(telemetry, CacheOperation::Refresh, id, parent, key, span.into())
    }

    fn span(&self) -> &Span {
        self.span.get().unwrap_or(&NO_SPAN)
    }

    /// The first tier did not answer, so this operation is one to look at.
    pub(crate) fn turns_slow(&self) {
        if self.telemetry.logs.spans_when_slow() {
            let Self { telemetry, kind, id, parent, ref key, .. } = *self;
            self.span.get_or_init(|| telemetry.logs.operation_span(&telemetry.name, kind, id, parent, key.as_deref()));
        }
    }

    /// Who this operation is, for those who wait for its work.
    pub(crate) fn as_leader(&self) -> Leader {
        Leader { request_id: self.id, span: self.span().link() }
    }

    /// This operation waits for another's work.
    pub(crate) fn follows(&self, leader: &Leader) {
        self.span().follows_from(&leader.span);
        self.progress().leader = Some(leader.request_id);
    }

    /// The wait for another's work is over.
    pub(crate) fn waited(&self) {
        if let Some(now) = self.now() {
            self.progress().last = Some(now);
        }
    }

    /// The leader gave up: whatever comes now is this operation's own work.
    pub(crate) fn follows_no_more(&self) {
        self.progress().leader = None;
    }

    /// A tier is asked because an earlier one did not answer.
    pub(crate) fn falls_back(&self) {
        self.fallback.store(true, Ordering::Relaxed);
    }

    /// Whether calls of tiers are nobody's business, only the operation as a whole.
    #[inline]
    pub(crate) fn ignores_tiers(&self) -> bool {
        !self.telemetry.wants_tiers()
    }

    /// Makes the operation's id the current one, and notices a panic, for code that is called at once and without a
    /// [`TierCall`].
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

    fn now(&self) -> Option<Tick> {
        self.started.map(|_| self.telemetry.clock.now())
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress<'a>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the user's closure, in a span of its own; `ended` tells how it went.
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
            key: self.key.clone(),
            trail: Trail::Borrowed(&progress.trail),
        };
        self.telemetry.report_operation(&event, self.span.get().unwrap_or(&NO_SPAN));
    }
}

/// The span of a closure, which says how the closure ended also when it is dropped.
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

/// A call of a tier within an observed operation, from its start to its one tier event.
///
/// Dropped before [`finish`](Self::finish) it reports `cancelled`.
pub(crate) struct TierCall<'o, 'a> {
    operation: &'o Operation<'a>,
    tier: &'a TierIdentity,
    kind: TierOperation,
    fallback: bool,
    /// Set where it is about several keys.
    pub(crate) batch: Option<Batch>,
    started: Option<Tick>,
    ended: Option<Tick>,
    span: Span,
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
        let telemetry = operation.telemetry;
        let span = telemetry.logs.tier_span(&span_of(operation, tier, kind, fallback), operation.span(), record_fields);
        // The first step starts with the operation: one reading of the clock serves both, unless a subscriber has
        // taken its time in between.
        let started = operation.started.and_then(|started| {
            let at_once = span.is_none() && operation.span().is_none() && operation.progress().last.is_none();
            if at_once { Some(started) } else { operation.now() }
        });
        Self { operation, tier, kind, fallback, batch: None, started, ended: None, span, finished: false }
    }

    /// Awaits the tier inside this call's span, with the operation's id as the current one, on every poll and while its
    /// future is dropped; a panic is caught, to be [settled](Self::settle).
    pub(crate) fn attempt<T>(&self, future: impl Future<Output = T> + Send) -> impl Future<Output = Attempt<T>> + Send {
        let inside = self.span.or(self.operation.span());
        inside.attach(AssertUnwindSafe(future).catch_unwind()).with_request_id(self.operation.id)
    }

    /// Notes a panic, and sends it on its way.
    pub(crate) fn settle<T>(&mut self, attempt: Attempt<T>) -> T {
        attempt.unwrap_or_else(|payload| {
            self.operation.panicked.store(true, Ordering::Relaxed);
            self.send(TierOutcome::Error, None, Some(&Error::panic(&*payload).in_tier(&self.tier.name)));
            resume_unwind(payload)
        })
    }

    /// Takes the time at which the tier answered, for the duration of the call and the age of the entry.
    pub(crate) fn answered(&mut self) -> Option<Tick> {
        self.ended = self.operation.now();
        self.ended
    }

    /// There was no call, so there is nothing to report.
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
            key: operation.key.clone(),
        };
        operation.telemetry.report_tier(&event, self.tier.descriptor, &self.span, operation.span());
        if operation.telemetry.wants_trail() {
            operation.progress().trail.push(event);
        }
    }
}

impl Drop for TierCall<'_, '_> {
    fn drop(&mut self) {
        if !self.finished {
            self.send(TierOutcome::Cancelled, None, None);
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
