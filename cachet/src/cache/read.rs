//! Reading: `get` and `contains`, and how every read begins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Cache, Ending, Inner, conclude};
use crate::fallback::{Answer, First, Found};
use crate::telemetry::{CacheOperation, Completion, Operation, OperationOutcome};
use crate::tier::erased::{BoxFuture, Call, ErasedTier, Read, Step, poll_once, settle};
use crate::{CacheEntry, Error, Key, Value};

/// What a read returns.
pub(super) type Answered<U> = Result<Option<CacheEntry<U>>, Error>;

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Looks an entry up: in the first tier, then in the next, until one has it. What a later tier had is promoted into the
    /// earlier ones.
    ///
    /// Expired entries are not found, and are removed. A hit in a memory tier that comes first allocates nothing.
    ///
    /// # Errors
    ///
    /// When no tier has the entry and some tier failed: the error of the first that did. A failing tier is otherwise
    /// passed over, and reported.
    #[doc(alias = "lookup")]
    #[doc(alias = "fetch")]
    #[inline]
    pub fn get<'a>(&'a self, key: &'a K) -> Get<'a, K, V> {
        Get(Getting::Start(&self.0, key))
    }

    /// Tells whether [`get`](Self::get) would return an entry, without cloning its value or promoting it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    #[doc(alias = "contains_key")]
    pub async fn contains(&self, key: &K) -> Result<bool, Error> {
        let found = settle!(self.start_contains(key));
        found.map(|entry| entry.is_some())
    }

    fn start_contains<'a>(&'a self, key: &'a K) -> Step<'a, Answered<()>> {
        let inner = &*self.0;
        let begun = if inner.observed() {
            inner.begin_observed_read(CacheOperation::Contains, key, |tier, call| tier.contains(key, call))
        } else {
            match inner.tiers.ask_first(None, |tier, call| tier.contains(key, call)) {
                First::Hit(entry, _) => Begun::Hit(entry),
                First::Open { next, failure } => Begun::Open(Search { operation: None, next, failure }),
            }
        };
        match begun {
            Begun::Hit(entry) => Step::Ready(Ok(Some(entry))),
            Begun::Open(Search { mut operation, next, failure }) => inner.run(async move {
                let ask =
                    inner.tiers.ask_from(next, failure, operation.as_ref(), |tier, call| tier.contains(key, call));
                let answer = ask.await;
                conclude(operation.as_mut(), answer)
            }),
        }
    }
}

/// The future of [`Cache::get`].
///
/// A type of its own, and small, so that a hit is inlined into its caller.
#[must_use = "futures do nothing unless awaited"]
pub struct Get<'a, K: Key + ?Sized, V: Value>(Getting<'a, K, V>);

enum Getting<'a, K: Key + ?Sized, V: Value> {
    Start(&'a Inner<K, V>, &'a K),
    Waiting(BoxFuture<'a, Answered<V>>),
    Done,
}

impl<K: Key + ?Sized, V: Value> Future for Get<'_, K, V> {
    type Output = Answered<V>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Getting::Start(inner, key) = self.0
            && !inner.observed()
        {
            // Nobody listens: a hit is one call of the first tier, and its answer is passed on as it is.
            return inner.tiers.hit(key, &mut |answer| match answer {
                Poll::Ready(Ok(None)) if inner.tiers.is_end(1) => Poll::Ready(Ok(None)),
                answer => self.as_mut().go_on(inner, key, answer, cx),
            });
        }
        self.poll_slowly(cx)
    }
}

impl<'a, K: Key + ?Sized, V: Value> Get<'a, K, V> {
    /// The first tier had no simple answer.
    #[cold]
    #[inline(never)]
    fn go_on(
        mut self: Pin<&mut Self>,
        inner: &'a Inner<K, V>,
        key: &'a K,
        answer: Poll<Answered<V>>,
        cx: &mut Context<'_>,
    ) -> Poll<Answered<V>> {
        if matches!(answer, Poll::Ready(Ok(Some(_)))) || answer.is_ready() && inner.tiers.is_end(1) {
            return answer;
        }
        self.0 = Getting::Done;
        match inner.go_on_getting(key, Search::after(answer)) {
            Step::Ready(answered) => Poll::Ready(answered),
            Step::Wait(future) => {
                self.0 = Getting::Waiting(future);
                self.poll_slowly(cx)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_slowly(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered<V>> {
        if let Getting::Start(inner, key) = self.0 {
            self.0 = Getting::Done;
            match inner.begin_observed_read(CacheOperation::Get, key, |tier, call| tier.get(key, call)) {
                Begun::Hit(entry) => return Poll::Ready(Ok(Some(entry))),
                Begun::Open(search) => match inner.go_on_getting(key, search) {
                    Step::Ready(answered) => return Poll::Ready(answered),
                    Step::Wait(future) => self.0 = Getting::Waiting(future),
                },
            }
        }
        match &mut self.0 {
            Getting::Waiting(future) => future.as_mut().poll(cx),
            // Polled again after it was done: there is nothing to wake for.
            Getting::Start(..) | Getting::Done => Poll::Pending,
        }
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for Get<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// A lookup that the first tier did not answer.
    #[inline(never)]
    fn go_on_getting<'a>(&'a self, key: &'a K, search: Search<'a>) -> Step<'a, Answered<V>> {
        let Search { mut operation, next, failure } = search;
        if self.tiers.is_end(next) {
            return Step::Ready(conclude(operation.as_mut(), failure.map_or(Ok(None::<Found<'_, V>>), Err)));
        }
        if self.tiers.immediate() {
            let answer = poll_once(self.search(key, operation.as_ref(), next, failure));
            let answer = answer.unwrap_or_else(|| Err(Error::not_immediate()));
            return Step::Ready(conclude(operation.as_mut(), answer));
        }
        let mut operation = operation.map(Box::new);
        Step::Wait(Box::pin(async move {
            let answer = self.search(key, operation.as_deref(), next, failure).await;
            conclude(operation.as_deref_mut(), answer)
        }))
    }

    /// Asks the tiers from `next` on, and promotes what one of them has.
    async fn search<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        operation: Option<&'f Operation<'a>>,
        next: usize,
        failure: Option<Error>,
    ) -> Answer<'a, V> {
        let ticket = self.tiers.coherence.ticket(key);
        let answer = self.tiers.ask_from(next, failure, operation, |tier, call| tier.get(key, call)).await;
        if let Ok(Some(found)) = &answer {
            self.tiers.promote(key, found, &ticket, operation).await;
        }
        answer
    }

    /// Begins a lookup: asks the first tier, if it answers at once, and is done if it has the entry.
    #[inline]
    pub(super) fn begin_get<'a>(&'a self, kind: CacheOperation, key: &'a K) -> Begun<'a, V> {
        if self.observed() {
            return self.begin_observed_read(kind, key, |tier, call| tier.get(key, call));
        }
        match self.tiers.hit(key, &mut |answer| answer) {
            Poll::Ready(Ok(Some(entry))) => Begun::Hit(entry),
            answer => Begun::Open(Search::after(answer)),
        }
    }

    #[inline(never)]
    fn begin_observed_read<'a, U>(
        &'a self,
        kind: CacheOperation,
        key: &K,
        ask: impl for<'f> FnOnce(&'a dyn ErasedTier<K, V>, Call<'f, 'a>) -> Step<'f, Read<U>>,
    ) -> Begun<'a, U> {
        // In place: it is moved only when the first tier does not answer.
        let mut operation = Operation::start(&self.telemetry, kind, self.record_keys.text(key));
        match self.tiers.ask_first(Some(&operation), ask) {
            First::Hit(entry, age) => {
                let hit_tier = Some(self.tiers.first_name());
                operation.complete(Completion { outcome: OperationOutcome::Hit, hit_tier, age, error: None });
                Begun::Hit(entry)
            }
            First::Open { next, failure } => {
                if next > 0 {
                    operation.turns_slow();
                }
                Begun::Open(Search { operation: Some(operation), next, failure })
            }
        }
    }
}

/// A read that has asked the first tier.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives on the stack for a moment; a box would be an allocation per operation"
)]
pub(super) enum Begun<'a, U> {
    Hit(CacheEntry<U>),
    Open(Search<'a>),
}

/// A read that goes on with the tier of number `next`.
pub(super) struct Search<'a> {
    pub(super) operation: Option<Operation<'a>>,
    pub(super) next: usize,
    pub(super) failure: Option<Error>,
}

impl Search<'_> {
    /// Nobody listens, and the first tier has no entry, or more to say than [`ErasedTier::hit`] can.
    fn after<V>(answer: Poll<Answered<V>>) -> Self {
        match answer {
            Poll::Pending => Self { operation: None, next: 0, failure: None },
            Poll::Ready(answer) => Self { operation: None, next: 1, failure: answer.err() },
        }
    }
}

impl<'a, U> Found<'a, U> {
    pub(super) fn completion<'e>(&self) -> Completion<'a, 'e> {
        Completion { outcome: OperationOutcome::Hit, hit_tier: Some(self.tier), age: self.age, error: None }
    }
}

impl<'a, U> Ending<'a> for Option<Found<'a, U>> {
    type Returned = Option<CacheEntry<U>>;

    fn completion(&self) -> Completion<'a, '_> {
        self.as_ref().map_or_else(|| OperationOutcome::Miss.into(), Found::completion)
    }

    fn returned(self) -> Self::Returned {
        self.map(|found| found.entry)
    }
}
