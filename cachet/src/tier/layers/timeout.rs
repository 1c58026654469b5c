//! The time limit of a tier: one deadline per call, for everything that the call does.
//!
//! A tier that is declared `immediate` has the shortest of all limits: its futures are polled once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::error::Error;
use crate::runtime::{RuntimeFuture, Spawner};

/// How long a call of a tier may take.
pub(crate) struct Timeout {
    limit: Duration,
    spawner: Spawner,
}

impl Timeout {
    pub(crate) fn new(limit: Duration, spawner: Spawner) -> Self {
        Self { limit, spawner }
    }
}

/// When one call of a tier has to be over.
pub(crate) struct Deadline<'a> {
    immediate: bool,
    timeout: Option<&'a Timeout>,
    /// Started when the tier is first waited for: a call that is answered at once costs no timer.
    timer: Option<RuntimeFuture>,
    has_passed: bool,
}

impl<'a> Deadline<'a> {
    pub(crate) fn start(immediate: bool, timeout: Option<&'a Timeout>) -> Self {
        Self { immediate, timeout, timer: None, has_passed: false }
    }

    /// Whether no further method of this call is to be begun.
    pub(crate) fn has_passed(&self) -> bool {
        self.has_passed
    }

    /// Awaits a method of the tier until the deadline of the call.
    pub(crate) fn guard<'d, F>(&'d mut self, work: F) -> WithDeadline<'d, 'a, F> {
        WithDeadline { work, deadline: self }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.immediate {
            return Poll::Ready(Error::not_immediate());
        }
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let timer = match &mut self.timer {
            Some(timer) => timer,
            none => match timeout.spawner.sleep(timeout.limit) {
                Ok(started) => none.insert(started),
                Err(error) => return Poll::Ready(error),
            },
        };
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.has_passed = true;
                Poll::Ready(Error::timeout(timeout.limit))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

pin_project! {
    pub(crate) struct WithDeadline<'d, 'a, F> {
        #[pin]
        work: F,
        deadline: &'d mut Deadline<'a>,
    }
}

impl<R, F: Future<Output = R>> Future for WithDeadline<'_, '_, F> {
    type Output = Result<R, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.work.poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => this.deadline.poll(cx).map(Err),
        }
    }
}
