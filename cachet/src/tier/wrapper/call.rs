//! One call of a tier: made, held to its promises, kept in order, and reported if somebody listens.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::bounds::Key;
use crate::clock::Tick;
use crate::error::Error;
use crate::runtime::{RuntimeFuture, Spawner};
use crate::telemetry::{Attempt, TierCall, TierIdentity, TierOutcome, defer_evictions};
use crate::tier::erased::{Origin, poll_once};

/// A call of a tier that is reported if somebody listens.
pub(super) struct Observed<'f, 'a> {
    pub(super) tier: &'a TierIdentity,
    pub(super) immediate: bool,
    pub(super) limit: Option<&'a Timeout>,
    pub(super) call: Option<TierCall<'f, 'a>>,
}

impl<'f> Observed<'f, '_> {
    /// Awaits the tier; its errors get its name, and a tier that should not have to be awaited gets one.
    pub(super) async fn run<R>(&mut self, work: impl Future<Output = Result<R, Error>> + Send) -> Result<R, Error> {
        let attempt = self.attempt(work).await;
        self.settle(attempt)
    }

    /// The same for a write that comes too late (`None`) once a newer one of the same key has begun.
    pub(super) async fn run_in_order<K: Key + ?Sized, V, R>(
        &mut self,
        origin: Origin<'f, K, V>,
        work: impl Future<Output = Result<R, Error>> + Send,
    ) -> Option<Result<R, Error>> {
        let Some(lease) = origin.lease().filter(|_| self.immediate) else {
            return Some(self.run(work).await);
        };
        // Nobody is told of anything while the lock is held.
        let attempt = defer_evictions(|| lease.commit(|| poll_once(self.attempt(work))))?;
        Some(attempt.map_or_else(|| Err(Error::not_immediate()), |attempt| self.settle(attempt)))
    }

    async fn attempt<R>(&self, work: impl Future<Output = Result<R, Error>> + Send) -> Attempt<Result<R, Error>> {
        let work = WithTimeout { work, immediate: self.immediate, limit: self.limit, timer: None };
        match &self.call {
            Some(call) => call.attempt(work).await,
            None => Ok(work.await),
        }
    }

    fn settle<R>(&mut self, attempt: Attempt<Result<R, Error>>) -> Result<R, Error> {
        let result = match (&mut self.call, attempt) {
            (Some(call), attempt) => call.settle(attempt),
            (None, Ok(result)) => result,
            (None, Err(payload)) => resume_unwind(payload),
        };
        result.map_err(|error| error.in_tier(&self.tier.name))
    }

    pub(super) fn answered(&mut self) -> Option<Tick> {
        self.call.as_mut().and_then(TierCall::answered)
    }

    /// The tier was not called after all.
    pub(super) fn withdraw(self) {
        if let Some(call) = self.call {
            call.withdraw();
        }
    }

    pub(super) fn finish(self, outcome: TierOutcome, age: Option<Duration>, error: Option<&Error>) {
        if let Some(call) = self.call {
            call.finish(outcome, age, error);
        }
    }
}

/// How long a call of a tier may take.
pub(super) struct Timeout {
    duration: Duration,
    spawner: Spawner,
}

impl Timeout {
    pub(super) fn new(duration: Duration, spawner: Spawner) -> Self {
        Self { duration, spawner }
    }
}

pin_project! {
    /// Holds a tier to its promise that it answers at once, or to its time limit.
    struct WithTimeout<'a, F> {
        #[pin]
        work: F,
        immediate: bool,
        limit: Option<&'a Timeout>,
        // Made when the tier has to be waited for.
        timer: Option<RuntimeFuture>,
    }
}

impl<R, F: Future<Output = Result<R, Error>>> Future for WithTimeout<'_, F> {
    type Output = Result<R, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.work.poll(cx) {
            Poll::Pending if *this.immediate => Poll::Ready(Err(Error::not_immediate())),
            Poll::Pending => match this.limit {
                Some(limit) => limit.poll(this.timer, cx).map(Err),
                None => Poll::Pending,
            },
            Poll::Ready(answer) => Poll::Ready(answer),
        }
    }
}

impl Timeout {
    /// Ready with an error when the time is over.
    fn poll(&self, timer: &mut Option<RuntimeFuture>, cx: &mut Context<'_>) -> Poll<Error> {
        if timer.is_none() {
            match self.spawner.sleep(self.duration) {
                Ok(started) => *timer = Some(started),
                Err(error) => return Poll::Ready(error),
            }
        }
        match timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Error::timeout(self.duration)),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}
