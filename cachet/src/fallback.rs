//! Several tiers as one: asking them in order, promoting what a later one had, and writing to all.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use smallvec::SmallVec;

use crate::coherence::{Coherence, Ticket};
use crate::telemetry::Operation;
use crate::tier::erased::{self, Call, ErasedTier, Origin, Otherwise, Read, Step, Written, settle};
use crate::{CacheEntry, Error, InsertOutcome, Key, Value};

/// Most caches have two tiers.
const USUAL: usize = 2;

/// The tiers of a cache, nearest first; never empty.
pub(crate) struct Tiers<K: Key + ?Sized, V: Value> {
    first: Box<dyn ErasedTier<K, V>>,
    rest: Box<[Box<dyn ErasedTier<K, V>>]>,
    immediate: bool,
    first_immediate: bool,
    pub(crate) coherence: Coherence,
}

/// An entry, where it was, and how old it was there.
pub(crate) struct Found<'a, U> {
    pub(crate) entry: CacheEntry<U>,
    pub(crate) tier: &'a Arc<str>,
    pub(crate) age: Option<Duration>,
    /// How many tiers were asked before.
    pub(crate) depth: usize,
}

/// What came of asking the tiers: an entry, none, or none because some tier failed.
pub(crate) type Answer<'a, U> = Result<Option<Found<'a, U>>, Error>;

/// What came of asking the first tier only.
pub(crate) enum First<U> {
    Hit(CacheEntry<U>, Option<Duration>),
    /// The tiers from `next` on are still to be asked, if there are any.
    Open {
        next: usize,
        failure: Option<Error>,
    },
}

impl<K: Key + ?Sized, V: Value> Tiers<K, V> {
    pub(crate) fn new(first: Box<dyn ErasedTier<K, V>>, rest: Vec<Box<dyn ErasedTier<K, V>>>) -> Self {
        let first_immediate = first.immediate();
        let immediate = first_immediate && rest.iter().all(|tier| tier.immediate());
        Self { first, rest: rest.into(), immediate, first_immediate, coherence: Coherence::new() }
    }

    /// Whether no tier ever has to be waited for.
    #[inline]
    pub(crate) fn immediate(&self) -> bool {
        self.immediate
    }

    /// Whether a write is one synchronous step.
    #[inline]
    pub(crate) fn is_one_immediate(&self) -> bool {
        self.immediate && self.rest.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &dyn ErasedTier<K, V>> {
        std::iter::once(&*self.first).chain(self.rest.iter().map(|tier| &**tier))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|tier| &*tier.identity().name)
    }

    /// What the first tier has, if that is simple; see [`ErasedTier::hit`].
    #[inline]
    pub(crate) fn hit(&self, key: &K, otherwise: Otherwise<'_, V>) -> erased::Answer<V> {
        self.first.hit(key, otherwise)
    }

    /// Asks the first tier, if it answers at once: all that a hit there ever does.
    #[inline]
    pub(crate) fn ask_first<'f, 'a: 'f, U>(
        &'a self,
        operation: Option<&'f Operation<'a>>,
        ask: impl FnOnce(&'a dyn ErasedTier<K, V>, Call<'f, 'a>) -> Step<'f, Read<U>>,
    ) -> First<U> {
        if self.first_immediate {
            match ask(&*self.first, Call::of(operation)) {
                Step::Ready(Read::Hit(entry, age)) => return First::Hit(entry, age),
                Step::Ready(Read::Miss) => return First::Open { next: 1, failure: None },
                Step::Ready(Read::Failed(error)) => return First::Open { next: 1, failure: Some(error) },
                // Not what it promised; it is asked again, and waited for.
                Step::Wait(_) => {}
            }
        }
        First::Open { next: 0, failure: None }
    }

    /// Whether nothing is left to ask when `next` is the next tier's number.
    #[inline]
    pub(crate) fn is_end(&self, next: usize) -> bool {
        next > self.rest.len()
    }

    pub(crate) fn first_name(&self) -> &Arc<str> {
        &self.first.identity().name
    }

    /// Asks the tiers from `next` on, one after the other, until one answers.
    pub(crate) async fn ask_from<'f, 'a: 'f, U>(
        &'a self,
        next: usize,
        mut failure: Option<Error>,
        operation: Option<&'f Operation<'a>>,
        ask: impl Fn(&'a dyn ErasedTier<K, V>, Call<'f, 'a>) -> Step<'f, Read<U>>,
    ) -> Answer<'a, U> {
        for (depth, tier) in self.iter().enumerate().skip(next) {
            if let (Some(operation), 1..) = (operation, depth) {
                operation.falls_back();
            }
            match ask(tier, Call::of(operation).after(depth)).finish().await {
                Read::Hit(entry, age) => {
                    return Ok(Some(Found { entry, tier: &tier.identity().name, age, depth }));
                }
                Read::Miss => {}
                Read::Failed(error) => failure = failure.or(Some(error)),
            }
            if let (Some(operation), 0) = (operation, depth) {
                operation.turns_slow();
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// Puts what a later tier had into the earlier ones. Whatever comes of it is reported, and is nobody's failure.
    pub(crate) async fn promote<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        found: &Found<'a, V>,
        ticket: &'f Ticket<'f>,
        operation: Option<&'f Operation<'a>>,
    ) {
        for tier in self.iter().take(found.depth) {
            let origin = Origin::Promoted(ticket);
            let _ = tier.insert(key.to_owned(), found.entry.clone(), origin, Call::of(operation)).finish().await;
        }
    }

    /// Inserts into the first tier alone, where there is no other.
    #[inline]
    pub(crate) fn insert_first<'f>(&'f self, key: K::Owned, entry: CacheEntry<V>) -> Step<'f, Written>
    where
        K::Owned: 'f,
    {
        self.first.insert(key, entry, Origin::Direct, Call::of(None))
    }

    /// Inserts into all tiers at once. An error wins over acceptance, acceptance over rejection.
    pub(crate) async fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f>,
        operation: Option<&'f Operation<'a>>,
    ) -> Written {
        let call = Call::of(operation);
        if self.rest.is_empty() {
            return settle!(self.first.insert(key, entry, origin, call));
        }
        let mut steps = SmallVec::<[Step<'f, Written>; USUAL]>::new();
        for tier in &self.rest {
            steps.push(tier.insert(key.clone(), entry.clone(), origin, call));
        }
        // The first tier takes the originals, and is done first if it is immediate.
        steps.insert(0, self.first.insert(key, entry, origin, call));
        let mut outcome = Ok(InsertOutcome::Rejected);
        for written in all(steps).await {
            outcome = match (outcome, written) {
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                (Ok(InsertOutcome::Accepted), _) | (_, Ok(InsertOutcome::Accepted)) => Ok(InsertOutcome::Accepted),
                (Ok(InsertOutcome::Rejected), Ok(InsertOutcome::Rejected)) => Ok(InsertOutcome::Rejected),
            };
        }
        outcome
    }

    /// Removes a key, or everything, from all tiers at once.
    pub(crate) async fn remove<'f, 'a: 'f>(
        &'a self,
        operation: Option<&'f Operation<'a>>,
        remove: impl Fn(&'a dyn ErasedTier<K, V>, Call<'f, 'a>) -> Step<'f, Result<(), Error>>,
    ) -> Result<(), Error> {
        let steps = self.iter().map(|tier| remove(tier, Call::of(operation))).collect();
        all(steps).await.into_iter().collect()
    }

    /// The first tier's count.
    pub(crate) async fn len<'f, 'a: 'f>(&'a self, operation: Option<&'f Operation<'a>>) -> Result<Option<u64>, Error> {
        self.first.len(Call::of(operation)).finish().await
    }
}

/// Awaits all steps concurrently; the results are in their order.
async fn all<T>(steps: SmallVec<[Step<'_, T>; USUAL]>) -> SmallVec<[T; USUAL]> {
    if steps.iter().any(|step| matches!(step, Step::Wait(_))) {
        join_all(steps.into_iter().map(Step::finish)).await.into()
    } else {
        // Nothing to wait for, so nothing to allocate for either.
        let mut done = SmallVec::new();
        for step in steps {
            done.push(step.finish().await);
        }
        done
    }
}
