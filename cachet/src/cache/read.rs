//! Reading: `get` and `contains`, and how every read begins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Cache, Ending, Inner, conclude};
use crate::fallback::{Answer, First, Found, Lookup};
use crate::telemetry::{CacheOperation, Completion, OfHits, Operation, OperationOutcome};
use crate::tier::erased::{BoxFuture, Call, ErasedTier, Looked, Origin, Read, Step, poll_once, settle};
use crate::underway::Ticket;
use crate::{CacheEntry, Error, Key, Value};

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

    fn start_contains<'a>(&'a self, key: &'a K) -> Step<'a, Looked<()>> {
        let inner = &*self.0;
        let begun = if inner.observed() {
            inner.begin_observed_read(CacheOperation::Contains, key, |tier, call| tier.contains(key, call))
        } else {
            match inner.tiers.ask_first(None, |tier, call| tier.contains(key, call)) {
                First::Hit { entry, .. } => Begun::Hit(entry),
                First::Open(lookup) => Begun::Open(None, lookup),
            }
        };
        match begun {
            Begun::Hit(entry) => Step::Ready(Ok(Some(entry))),
            Begun::Open(mut operation, mut lookup) => inner.run(async move {
                let ask = |tier: &'a dyn ErasedTier<K, V>, call| tier.contains(key, call);
                let answer = match inner.tiers.ask(&mut lookup, operation.as_ref(), ask).await {
                    // Nobody was served, so there is nothing to refresh.
                    Some(found) => Ok(Some(Found { due: false, ..found })),
                    None => inner.give_up(key, lookup, operation.as_ref()).await,
                };
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
    Waiting(BoxFuture<'a, Looked<V>>),
    Done,
}

impl<K: Key + ?Sized, V: Value> Future for Get<'_, K, V> {
    type Output = Looked<V>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Getting::Start(inner, key) = self.0 {
            if !inner.observed() {
                // Nobody listens: a hit is one call of the first tier, and its answer is passed on as it is.
                return inner.tiers.hit(key, &mut |answer| match answer {
                    Poll::Ready(Ok(None)) if inner.tiers.is_end(1) => Poll::Ready(Ok(None)),
                    answer => self.as_mut().go_on_unseen(inner, key, answer, cx),
                });
            }
            return self.poll_observed(inner, key, cx);
        }
        self.poll_slowly(cx)
    }
}

impl<'a, K: Key + ?Sized, V: Value> Get<'a, K, V> {
    /// Somebody listens. A hit is told of once it is there, and not moved on the way.
    #[inline(never)]
    fn poll_observed(
        mut self: Pin<&mut Self>,
        inner: &'a Inner<K, V>,
        key: &'a K,
        cx: &mut Context<'_>,
    ) -> Poll<Looked<V>> {
        let wanted = inner.of_hits(CacheOperation::Get);
        if wanted == OfHits::Everything {
            return self.poll_slowly(cx);
        }
        let mut brief = inner.begin_briefly(CacheOperation::Get, wanted);
        let answer = inner.tiers.hit(key, &mut |answer| {
            let operation = brief.grow(&answer, inner.rules.record_keys.text(key));
            self.as_mut().go_on(inner, key, operation, lookup_after(answer), cx)
        });
        if let Poll::Ready(Ok(Some(entry))) = &answer {
            brief.hit(entry);
        }
        answer
    }

    /// Nobody listens, and the first tier had no simple answer; perhaps another one has.
    #[inline(never)]
    fn go_on_unseen(
        self: Pin<&mut Self>,
        inner: &'a Inner<K, V>,
        key: &'a K,
        answer: Poll<Looked<V>>,
        cx: &mut Context<'_>,
    ) -> Poll<Looked<V>> {
        if let Poll::Ready(Ok(None)) = answer {
            let answer = inner.tiers.hit_below(key, &inner.under_way);
            if answer.is_ready() {
                return answer;
            }
        }
        self.go_on(inner, key, None, lookup_after(answer), cx)
    }

    /// The first tier had no simple answer.
    #[cold]
    #[inline(never)]
    fn go_on(
        mut self: Pin<&mut Self>,
        inner: &'a Inner<K, V>,
        key: &'a K,
        operation: Option<Operation<'a>>,
        lookup: Lookup<'a, V>,
        cx: &mut Context<'_>,
    ) -> Poll<Looked<V>> {
        self.0 = Getting::Done;
        match inner.go_on_getting(key, operation, lookup) {
            Step::Ready(answered) => Poll::Ready(answered),
            Step::Wait(future) => {
                self.0 = Getting::Waiting(future);
                self.poll_slowly(cx)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_slowly(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Looked<V>> {
        if let Getting::Start(inner, key) = self.0 {
            self.0 = Getting::Done;
            match inner.begin_observed_read(CacheOperation::Get, key, |tier, call| tier.get(key, call)) {
                Begun::Hit(entry) => return Poll::Ready(Ok(Some(entry))),
                Begun::Open(operation, lookup) => return self.go_on(inner, key, operation, lookup, cx),
            }
        }
        match &mut self.0 {
            Getting::Waiting(future) => {
                let answered = ready!(future.as_mut().poll(cx));
                self.0 = Getting::Done;
                Poll::Ready(answered)
            }
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
    fn go_on_getting<'a>(
        &'a self,
        key: &'a K,
        mut operation: Option<Operation<'a>>,
        lookup: Lookup<'a, V>,
    ) -> Step<'a, Looked<V>> {
        if self.tiers.is_end(lookup.next) && lookup.spares.is_empty() {
            return Step::Ready(conclude(operation.as_mut(), lookup.failure.map_or(Ok(None::<Found<'_, V>>), Err)));
        }
        if self.tiers.immediate() {
            let answer = poll_once(self.search(key, lookup, operation.as_ref()));
            let answer = answer.unwrap_or_else(|| Err(Error::not_immediate()));
            return Step::Ready(conclude(operation.as_mut(), answer));
        }
        let mut operation = operation.map(Box::new);
        Step::Wait(Box::pin(async move {
            let answer = self.search(key, lookup, operation.as_deref()).await;
            conclude(operation.as_deref_mut(), answer)
        }))
    }

    /// Asks the other tiers, and gives up if none of them has the entry.
    async fn search<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        mut lookup: Lookup<'a, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Answer<'a, V> {
        let ticket = self.under_way.ticket(key);
        match self.find(key, &mut lookup, &ticket, operation).await {
            Some(found) => Ok(Some(found)),
            None => self.give_up(key, lookup, operation).await,
        }
    }

    /// Asks the other tiers, and promotes what one of them has.
    pub(super) async fn find<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        lookup: &mut Lookup<'a, V>,
        ticket: &'f Ticket<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Option<Found<'a, V>> {
        let found = self.tiers.ask(lookup, operation, |tier, call| tier.get(key, call)).await?;
        // Whatever comes of the promotion is nobody's failure.
        let _ = self.tiers.promote(key, &found, Origin::Promoted(ticket), operation).await;
        if found.due {
            self.refresh(key, found.depth, operation);
        }
        Some(found)
    }

    /// What a lookup comes to that has found nothing.
    pub(super) async fn give_up<'f, 'a: 'f, U>(
        &'a self,
        key: &'f K,
        lookup: Lookup<'a, U>,
        operation: Option<&'f Operation<'a>>,
    ) -> Answer<'a, U> {
        let Lookup { failure, spares, .. } = lookup;
        let Some(error) = failure else {
            self.tiers.remove_spares(key, &spares, operation).await;
            return Ok(None);
        };
        match spares.into_iter().next() {
            Some(spare) => Ok(Some(spare.instead_of(error))),
            None => Err(error),
        }
    }

    #[inline(never)]
    pub(super) fn begin_observed_read<'a, U>(
        &'a self,
        kind: CacheOperation,
        key: &K,
        ask: impl for<'f> FnOnce(&'a dyn ErasedTier<K, V>, Call<'f, 'a>) -> Step<'f, Read<U>>,
    ) -> Begun<'a, U> {
        // In place: it is moved only when the first tier does not answer.
        let mut operation = Operation::start(&self.telemetry, kind, self.rules.record_keys.text(key));
        match self.tiers.ask_first(Some(&operation), ask) {
            First::Hit { entry, age, due } => {
                // Looking whether there is an entry serves nobody with it.
                let due = due && kind != CacheOperation::Contains;
                if due {
                    self.refresh(key, 0, Some(&operation));
                }
                let outcome = if due { OperationOutcome::Stale } else { OperationOutcome::Hit };
                let hit_tier = Some(self.tiers.first_name());
                operation.complete(Completion { outcome, hit_tier, age, error: None });
                Begun::Hit(entry)
            }
            First::Open(lookup) => {
                if lookup.next > 0 {
                    operation.turns_slow();
                }
                Begun::Open(Some(operation), lookup)
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
    Open(Option<Operation<'a>>, Lookup<'a, U>),
}

/// Nobody listens, and the first tier has no entry, or more to say than [`ErasedTier::hit`] can.
pub(super) fn lookup_after<V>(answer: Poll<Looked<V>>) -> Lookup<'static, V> {
    match answer {
        Poll::Pending => Lookup::at(0, None),
        Poll::Ready(answer) => Lookup::at(1, answer.err()),
    }
}

impl<'a, U> Found<'a, U> {
    pub(super) fn completion(&self) -> Completion<'a, '_> {
        let outcome = if self.is_stale() { OperationOutcome::Stale } else { OperationOutcome::Hit };
        Completion { outcome, hit_tier: Some(self.tier), age: self.age, error: self.instead_of.as_ref() }
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
