//! The time limit of a tier: one deadline per call, for everything that the call does.
//!
//! A tier that is declared `immediate` has the shortest of all limits: its futures are polled once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::error::Error;
use crate::limit::{TimeLimit, Timer};

/// When one call of a tier has to be over.
pub(crate) struct Deadline<'a> {
    immediate: bool,
    /// Runs from when the tier is first waited for.
    timer: Option<Timer<'a>>,
    has_passed: bool,
}

impl<'a> Deadline<'a> {
    pub(crate) fn start(immediate: bool, timeout: Option<&'a TimeLimit>) -> Self {
        Self { immediate, timer: timeout.map(Timer::new), has_passed: false }
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
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        let error = ready!(timer.poll_error(cx));
        self.has_passed = true;
        Poll::Ready(error)
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
