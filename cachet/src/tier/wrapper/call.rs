//! One call of a tier: made, held to its time limit, ordered among writes, and reported if it is observed.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use crate::bounds::Key;
use crate::clock::Tick;
use crate::error::{Error, TierError};
use crate::inflight::{Committed, Lease};
use crate::telemetry::{TierCall, TierIdentity, TierOutcome, defer_evictions};
use crate::tier::erased::poll_once;
use crate::tier::layers::breaker::{Admission, Transition};
use crate::tier::layers::timeout::Deadline;

/// A call of a tier, which may consist of several of its methods.
pub(super) struct ObservedCall<'f, 'a> {
    pub(super) tier: &'a TierIdentity,
    pub(super) deadline: Deadline<'a>,
    /// `None` without a breaker.
    pub(super) admission: Option<Result<Admission<'a>, Error>>,
    /// `None` if nothing is reported.
    pub(super) report: Option<TierCall<'f, 'a>>,
}

impl ObservedCall<'_, '_> {
    /// Awaits a method of the tier; its errors get the tier's name.
    pub(super) async fn run<R>(&mut self, work: impl Future<Output = Result<R, TierError>> + Send) -> Result<R, Error> {
        let result = self.run_beside(work).await;
        self.note(result.is_ok());
        result
    }

    /// Awaits what belongs to the call, but is not the tier's.
    pub(super) async fn run_beside<R>(
        &mut self,
        work: impl Future<Output = Result<R, TierError>> + Send,
    ) -> Result<R, Error> {
        self.refused()?;
        let attempt = self.attempt(work).await;
        self.resolve(attempt)
    }

    /// Whether no further method of this call is to be begun.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.has_passed() || matches!(self.admission, Some(Err(_)))
    }

    /// The error of a call that is not made.
    fn refused(&self) -> Result<(), Error> {
        match &self.admission {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn note(&mut self, is_ok: bool) {
        let Some(Ok(admission)) = &mut self.admission else { return };
        if let (Some(transition), Some(report)) = (admission.ended(is_ok), &mut self.report) {
            report.transition = Some(match transition {
                Transition::Opened => TierOutcome::Opened,
                Transition::Closed => TierOutcome::Closed,
            });
        }
    }

    /// Awaits a method for several keys: one result for each, or an error that is that of all.
    pub(super) async fn run_many<R>(
        &mut self,
        keys: usize,
        work: impl Future<Output = Vec<Result<R, TierError>>> + Send,
    ) -> Result<Vec<Result<R, Error>>, Error> {
        self.refused()?;
        let attempt = self.attempt(work).await;
        let results = self.rethrow(attempt).map_err(|error| error.in_tier(&self.tier.name));
        self.note(results.as_ref().is_ok_and(|results| results.is_empty() || results.iter().any(Result::is_ok)));
        let results = results?;
        if results.len() == keys {
            return Ok(results.into_iter().map(|result| result.map_err(|error| self.error(error))).collect());
        }
        // A tier of the user's may have miscounted.
        Err(Error::msg(format!("it returned {} results for {keys} keys", results.len())).in_tier(&self.tier.name))
    }

    /// Awaits a method of a tier that answers at once, under a lease: `None` if that is void.
    pub(super) fn run_under<K: Key + ?Sized, V, R>(
        &mut self,
        lease: &Lease<'_, K, V>,
        newest: bool,
        work: impl Future<Output = Result<R, TierError>> + Send,
    ) -> Option<Result<R, Error>> {
        let attempt = {
            // Neither a handler nor a subscriber is called while the lock is held.
            let _inside = self.report.as_ref().map(TierCall::enter);
            let work = self.deadline.guard(work);
            let attempt = || catch_unwind(AssertUnwindSafe(|| poll_once(work)));
            defer_evictions(|| lease.commit(newest, attempt))
        };
        match attempt {
            Committed::Stored(Ok(Some(result))) => Some(self.resolve(Ok(result))),
            Committed::Stored(Ok(None)) => Some(Err(Error::not_immediate())),
            Committed::Stored(Err(payload)) => Some(self.resolve(Err(payload))),
            Committed::Superseded => None,
        }
    }

    async fn attempt<R>(&mut self, work: impl Future<Output = R> + Send) -> thread::Result<Result<R, Error>> {
        let work = self.deadline.guard(work);
        match &self.report {
            Some(report) => report.attempt(work).await,
            None => Ok(work.await),
        }
    }

    fn resolve<R>(&mut self, attempt: thread::Result<Result<Result<R, TierError>, Error>>) -> Result<R, Error> {
        let result = self.rethrow(attempt).map_err(|error| error.in_tier(&self.tier.name))?;
        result.map_err(|error| self.error(error))
    }

    fn error(&self, error: TierError) -> Error {
        Error::from(error).in_tier(&self.tier.name)
    }

    /// A panic of the tier is noted, and goes on to the caller.
    fn rethrow<T>(&mut self, attempt: thread::Result<T>) -> T {
        match (&mut self.report, attempt) {
            (Some(report), attempt) => report.rethrow(attempt),
            (None, Ok(result)) => result,
            (None, Err(payload)) => resume_unwind(payload),
        }
    }

    pub(super) fn answered(&mut self) -> Option<Tick> {
        self.report.as_mut().and_then(TierCall::answered)
    }

    /// Notes how the call has ended. It is reported when this is dropped: by then, the turn has to be over.
    pub(super) fn end<T>(&mut self, outcome: TierOutcome, result: &Result<T, Error>) {
        self.end_with(if result.is_ok() { outcome } else { TierOutcome::Error }, result.as_ref().err());
    }

    pub(super) fn end_with(&mut self, outcome: TierOutcome, error: Option<&Error>) {
        if let Some(report) = &mut self.report {
            report.end(outcome, error);
        }
    }

    /// The tier was not called after all.
    pub(super) fn withdraw(self) {
        if let Some(report) = self.report {
            report.withdraw();
        }
    }

    pub(super) fn finish(self, outcome: TierOutcome, age: Option<Duration>, error: Option<&Error>) {
        if let Some(report) = self.report {
            report.finish(outcome, age, error);
        }
    }
}
