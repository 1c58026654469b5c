//! Time limits: how long an operation, a loader, a follower, a refresh or a call of a tier may take.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::error::{Error, Limited};
use crate::runtime::{RuntimeFuture, Spawner};

#[derive(Clone)]
pub(crate) struct TimeLimit {
    of: Limited,
    duration: Duration,
    spawner: Spawner,
}

impl TimeLimit {
    pub(crate) fn new(of: Limited, duration: Duration, spawner: &Spawner) -> Self {
        Self { of, duration, spawner: spawner.clone() }
    }

    /// It has passed so many times.
    pub(crate) fn error(&self, times: u32) -> Error {
        Error::timeout(self.of, self.duration * times)
    }
}

/// Measures the time from its first poll on: what is done at once costs no timer.
pub(crate) struct Timer<'l> {
    limit: &'l TimeLimit,
    sleep: Option<RuntimeFuture>,
}

impl<'l> Timer<'l> {
    pub(crate) fn new(limit: &'l TimeLimit) -> Self {
        Self { limit, sleep: None }
    }

    /// Ready when the time has passed; from then on it measures anew.
    ///
    /// # Errors
    ///
    /// If there is no runtime to measure with.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let sleep = match &mut self.sleep {
            Some(sleep) => sleep,
            none => none.insert(self.limit.spawner.sleep(self.limit.duration)?),
        };
        // Tokio's panics if its runtime has been shut down.
        let polled = catch_unwind(AssertUnwindSafe(|| sleep.as_mut().poll(cx)));
        ready!(polled.as_ref().map_or(Poll::Ready(()), |polled| *polled));
        self.sleep = None;
        Poll::Ready(polled.map(|_| ()).map_err(|payload| Error::no_runtime(Some(payload))))
    }

    /// The same where that is a failure.
    pub(crate) fn poll_error(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.poll(cx).map(|passed| passed.err().unwrap_or_else(|| self.limit.error(1)))
    }
}

pin_project! {
    /// Awaits the work until the limit has passed, if there is one.
    #[must_use = "futures do nothing unless awaited"]
    pub(crate) struct Within<'l, F> {
        #[pin]
        work: F,
        timer: Option<Timer<'l>>,
    }
}

pub(crate) fn within<F: Future>(limit: Option<&TimeLimit>, work: F) -> Within<'_, F> {
    Within { work, timer: limit.map(Timer::new) }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.work.poll(cx), this.timer) {
            (Poll::Ready(done), _) => Poll::Ready(Ok(done)),
            (Poll::Pending, Some(timer)) => timer.poll_error(cx).map(Err),
            (Poll::Pending, None) => Poll::Pending,
        }
    }
}
