//! Several tiers as one: asking them in order, promoting what a later one had, and writing to all.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use smallvec::SmallVec;

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::flight::{FoundIn, LookupResult};
use crate::inflight::{InFlight, Lease, Origin, Permit, Write};
use crate::telemetry::{Operation, TierIdentity, defer_evictions};
use crate::tier::InsertOutcome;
use crate::tier::erased::{
    Call, EntryResult, ErasedTier, GetResult, InsertResult, MaybeReady, NotAHit, OnMiss, Read, Removal, TierFacts,
    ready_or_await,
};

mod many;

/// Most caches have two tiers.
const USUAL: usize = 2;

/// The tiers of a cache, nearest first; never empty.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact about the tiers, found out once")]
pub(crate) struct TierStack<K: Key + ?Sized, V: Value> {
    first: Box<dyn ErasedTier<K, V>>,
    /// The first tier's, kept at hand: reporting a hit begins with it.
    identity: TierIdentity,
    rest: Box<[Box<dyn ErasedTier<K, V>>]>,
    /// Whether no tier ever has to be waited for, and whether the first one never has to.
    immediate: bool,
    first_immediate: bool,
    /// Whether unobserved inserts are no more than the tiers' own, and whether no tier has a use for the age of entries.
    inserts_directly: bool,
    untimed: bool,
}

/// An entry, where it was, and how old it was there.
pub(crate) struct Found<'a, U> {
    pub(crate) entry: CacheEntry<U>,
    pub(crate) tier: &'a Arc<str>,
    pub(crate) age: Option<Duration>,
    /// How many tiers were asked before.
    pub(crate) depth: usize,
    /// Old enough to be refreshed.
    pub(crate) refresh_due: bool,
    /// Expired, and served because there is nothing better: this is what went wrong elsewhere.
    pub(crate) masked_error: Option<Error>,
}

impl<U> Found<'_, U> {
    /// Whether there ought to be a newer entry.
    pub(crate) fn is_stale(&self) -> bool {
        self.refresh_due || self.masked_error.is_some()
    }

    /// Expired, and good enough in place of an error.
    pub(crate) fn masking(self, error: Error) -> Self {
        Self { masked_error: Some(error), ..self }
    }
}

/// What came of asking the tiers: an entry, none, or none because some tier failed.
pub(crate) type Answer<'a, U> = Result<Option<Found<'a, U>>, Error>;

/// A lookup that is not over: which tiers have been asked, and what they said.
pub(crate) struct Lookup<'a, U> {
    /// The tier that is asked first.
    from: usize,
    /// The tier that is to be asked next.
    pub(crate) next: usize,
    /// The first tier that failed, failed like this.
    pub(crate) failure: Option<Error>,
    /// Expired entries that are worth serving if all else fails.
    pub(crate) stale: Vec<Found<'a, U>>,
}

impl<U> Lookup<'_, U> {
    /// Goes on with the tier of number `next`, after a first tier that failed, or had nothing.
    fn at(next: usize, failure: Option<Error>) -> Self {
        Self { from: 0, next, failure, stale: Vec::new() }
    }

    /// Asks all tiers.
    pub(crate) fn from_the_first() -> Self {
        Self::at(0, None)
    }

    /// Goes on after the first tier.
    pub(crate) fn after(first: NotAHit) -> Self {
        match first {
            NotAHit::Miss => Self::at(1, None),
            NotAHit::Failed(error) => Self::at(1, Some(error)),
            NotAHit::AskAgain => Self::at(0, None),
        }
    }

    /// Asks only the tiers from this number on.
    pub(crate) fn below(next: usize) -> Self {
        Self { from: next, next, failure: None, stale: Vec::new() }
    }
}

impl<K: Key + ?Sized, V: Value> TierStack<K, V> {
    pub(crate) fn new(first: Box<dyn ErasedTier<K, V>>, rest: Vec<Box<dyn ErasedTier<K, V>>>) -> Self {
        let all = |fact: fn(&TierFacts) -> bool| fact(first.facts()) && rest.iter().all(|tier| fact(tier.facts()));
        Self {
            identity: first.facts().identity.clone(),
            immediate: all(|facts| facts.immediate),
            first_immediate: first.facts().immediate,
            inserts_directly: all(|facts| facts.inserts_directly),
            untimed: all(|facts| facts.untimed),
            first,
            rest: rest.into(),
        }
    }

    /// How many tiers there are.
    pub(crate) fn count(&self) -> usize {
        self.rest.len() + 1
    }

    /// Whether no tier ever has to be waited for.
    #[inline]
    pub(crate) fn immediate(&self) -> bool {
        self.immediate
    }

    /// Whether the first tier never has to be waited for.
    #[inline]
    pub(crate) fn first_immediate(&self) -> bool {
        self.first_immediate
    }

    /// Whether a write is one synchronous step.
    #[inline]
    pub(crate) fn is_single_sync(&self) -> bool {
        self.immediate && self.rest.is_empty()
    }

    /// Whether there is one tier, and an unobserved insert is no more than that tier's own.
    #[inline]
    pub(crate) fn inserts_directly(&self) -> bool {
        self.inserts_directly && self.rest.is_empty()
    }

    fn tier(&self, number: usize) -> &dyn ErasedTier<K, V> {
        if number == 0 { &*self.first } else { &*self.rest[number - 1] }
    }

    fn iter(&self) -> impl Iterator<Item = &dyn ErasedTier<K, V>> {
        std::iter::once(&*self.first).chain(self.rest.iter().map(|tier| &**tier))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|tier| &*tier.facts().identity.name)
    }

    /// Looks up in the first tier; see [`ErasedTier::hit`].
    #[inline]
    pub(crate) fn hit(&self, key: &K, on_miss: OnMiss<'_, GetResult<V>>) -> Poll<GetResult<V>> {
        self.first.hit(key, on_miss)
    }

    /// The same; see [`ErasedTier::hit_entry`].
    #[inline]
    pub(crate) fn hit_entry(&self, key: &K, on_miss: OnMiss<'_, EntryResult<V>>) -> Poll<EntryResult<V>> {
        self.first.hit_entry(key, on_miss)
    }

    /// Whether nothing is left to ask when `next` is the next tier's number.
    #[inline]
    pub(crate) fn is_end(&self, next: usize) -> bool {
        next > self.rest.len()
    }

    #[inline]
    pub(crate) fn first(&self) -> (&dyn ErasedTier<K, V>, &TierIdentity) {
        (&*self.first, &self.identity)
    }

    /// An unobserved lookup in the tiers after the first, with promotion, if nothing has to be awaited, judged or undone.
    /// Pending if there is more to it: then nothing was changed.
    pub(crate) fn hit_below(&self, key: &K, in_flight: &InFlight<K, V>) -> Poll<GetResult<V>> {
        if !(self.inserts_directly && self.untimed) {
            return Poll::Pending;
        }
        let lease = in_flight.optimistic(key);
        for (above, tier) in self.rest.iter().enumerate() {
            let mut is_miss = false;
            let hit = tier.hit_entry(key, &mut |not_a_hit| {
                is_miss = matches!(not_a_hit, NotAHit::Miss);
                Poll::Pending
            });
            match hit {
                Poll::Ready(Ok(entry)) => {
                    let promote = || {
                        for tier in self.iter().take(above + 1) {
                            let _ = tier.insert_now(key.to_owned(), entry.clone());
                        }
                    };
                    defer_evictions(|| lease.commit(promote));
                    return Poll::Ready(Ok(Some(entry)));
                }
                Poll::Pending if is_miss => {}
                _ => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Asks the tiers that have not been asked yet, one after the other, until one answers.
    pub(crate) async fn ask<'f, 'a: 'f, U>(
        &'a self,
        lookup: &mut Lookup<'a, U>,
        lease: &'f Lease<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
        ask: impl Fn(&'a dyn ErasedTier<K, V>, Call<'f, 'a, K, V>) -> MaybeReady<'f, Read<U>>,
    ) -> Option<Found<'a, U>> {
        for (depth, tier) in self.iter().enumerate().skip(lookup.next) {
            let call = Call { operation, fallback: depth > lookup.from, lease: Some(lease) };
            if let (Some(operation), true) = (operation, call.fallback) {
                operation.mark_fallback();
            }
            let read = ask(tier, call).resolve().await;
            lookup.next = depth + 1;
            if let Some(found) = lookup.absorb(read, &tier.facts().identity.name, depth) {
                return Some(found);
            }
            if let (Some(operation), 0) = (operation, depth) {
                operation.open_late_span();
            }
        }
        None
    }

    /// Puts what a later tier had into the earlier ones. Whatever comes of it is reported; the first error is returned, for
    /// those whose failure it is.
    pub(crate) async fn promote<'f, 'a: 'f>(
        &'a self,
        found: &Found<'a, V>,
        origin: Origin<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> InsertResult {
        let mut outcome = Ok(InsertOutcome::Rejected);
        let (Origin::Promoted(lease) | Origin::Refreshed(lease)) = origin else { return outcome };
        for number in 0..found.depth {
            let (key, entry) = (lease.key.to_owned(), found.entry.clone());
            outcome = merge(outcome, self.insert_into(number, key, entry, origin, operation).resolve().await);
        }
        outcome
    }

    /// Removes expired entries that were kept in case all else failed.
    pub(crate) async fn evict_stale<'f, 'a: 'f, U>(
        &'a self,
        lease: &'f Lease<'f, K, V>,
        stale: &[Found<'a, U>],
        operation: Option<&'f Operation<'a>>,
    ) {
        for stale in stale {
            let removal = Removal::Expired(lease, stale.entry.metadata());
            // Reported like any other call.
            let _ = self.tier(stale.depth).remove(removal, Permit::Free, Call::of(operation)).resolve().await;
        }
    }

    /// Inserts into the first tier alone, if there is no other, and the insert overtakes nothing.
    #[inline]
    pub(crate) fn insert_now(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult {
        self.first.insert_now(key, entry)
    }

    /// Inserts into one tier, in its turn.
    pub(crate) fn insert_into<'f, 'a: 'f>(
        &'a self,
        number: usize,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> MaybeReady<'f, InsertResult>
    where
        K::Owned: 'f,
    {
        let (tier, call) = (self.tier(number), Call::of(operation));
        let immediate = tier.facts().immediate;
        match origin.poll_permit(number, immediate, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(permit)) => tier.insert(key, entry, origin, permit, call),
            Poll::Ready(Err(error)) => {
                origin.give_up(number, key);
                MaybeReady::Ready(Err(error))
            }
            Poll::Pending => MaybeReady::Boxed(Box::pin(async move {
                let queued = Queued { number, origin, key: Some(key) };
                let permit = poll_fn(|cx| origin.poll_permit(number, immediate, cx)).await?;
                let Some(key) = queued.take() else { return Ok(InsertOutcome::Rejected) };
                tier.insert(key, entry, origin, permit, call).resolve().await
            })),
        }
    }

    /// Inserts into all tiers at once.
    pub(crate) async fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> InsertResult {
        if self.rest.is_empty() {
            return ready_or_await!(self.insert_into(0, key, entry, origin, operation));
        }
        let mut steps = SmallVec::<[MaybeReady<'f, InsertResult>; USUAL]>::new();
        for number in 1..=self.rest.len() {
            steps.push(self.insert_into(number, key.clone(), entry.clone(), origin, operation));
        }
        // The first tier takes the originals, and is done first if it is immediate.
        steps.insert(0, self.insert_into(0, key, entry, origin, operation));
        let mut outcome = Ok(InsertOutcome::Rejected);
        for inserted in join_all_steps(steps).await {
            outcome = merge(outcome, inserted);
        }
        outcome
    }

    /// Removes a key, or everything, from all tiers at once.
    pub(crate) async fn remove<'f, 'a: 'f>(
        &'a self,
        removal: Removal<'f, K, V>,
        write: Option<&'f Write<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<(), Error> {
        let origin = Origin::Written(write);
        let steps = (0..=self.rest.len())
            .map(|number| {
                let (tier, removal, call) = (self.tier(number), removal.clone(), Call::of(operation));
                let immediate = tier.facts().immediate;
                match origin.poll_permit(number, immediate, &mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(Ok(permit)) => tier.remove(removal, permit, call),
                    Poll::Ready(Err(error)) => {
                        if let Removal::Key(key) = removal {
                            origin.give_up(number, key.to_owned());
                        }
                        MaybeReady::Ready(Err(error))
                    }
                    Poll::Pending => MaybeReady::Boxed(Box::pin(async move {
                        let key = if let Removal::Key(key) = removal { Some(key.to_owned()) } else { None };
                        let queued = Queued { number, origin, key };
                        let permit = poll_fn(|cx| origin.poll_permit(number, immediate, cx)).await?;
                        drop(queued.take());
                        tier.remove(removal, permit, call).resolve().await
                    })),
                }
            })
            .collect();
        join_all_steps(steps).await.into_iter().collect()
    }

    /// The first tier's count.
    pub(crate) async fn len<'f, 'a: 'f>(&'a self, operation: Option<&'f Operation<'a>>) -> Result<Option<u64>, Error> {
        self.first.len(Call::of(operation)).resolve().await
    }
}

/// A write that waits for its turn in a tier. Dropped like this, it does not happen there.
struct Queued<'f, K: Key + ?Sized, V: Value> {
    number: usize,
    origin: Origin<'f, K, V>,
    key: Option<K::Owned>,
}

impl<K: Key + ?Sized, V: Value> Queued<'_, K, V> {
    /// The turn has come.
    fn take(mut self) -> Option<K::Owned> {
        self.key.take()
    }
}

impl<K: Key + ?Sized, V: Value> Drop for Queued<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.origin.give_up(self.number, key);
        }
    }
}

/// What inserts into several tiers come to: an error wins over acceptance, acceptance over rejection.
fn merge(one: InsertResult, other: InsertResult) -> InsertResult {
    match (one?, other?) {
        (InsertOutcome::Rejected, InsertOutcome::Rejected) => Ok(InsertOutcome::Rejected),
        _ => Ok(InsertOutcome::Accepted),
    }
}

impl<K: Key + ?Sized, V: Value> TierStack<K, V> {
    /// What another operation's lookup means for this one.
    pub(crate) fn followed<'a>(&'a self, lookup: &mut Lookup<'a, V>, result: &LookupResult<V>) -> Option<Found<'a, V>> {
        let here = |found: &FoundIn<V>| {
            let FoundIn { entry, depth, age, refresh_due } = found.clone();
            let tier = &self.tier(depth).facts().identity.name;
            Found { entry, tier, age, depth, refresh_due, masked_error: None }
        };
        lookup.next = self.count();
        lookup.failure = lookup.failure.take().or_else(|| result.failure.clone());
        lookup.stale.extend(result.stale.iter().map(here));
        result.found.as_ref().map(here)
    }
}

impl<V: Value> Lookup<'_, V> {
    /// What this lookup means for others.
    pub(crate) fn result(&self, found: Option<&Found<'_, V>>) -> LookupResult<V> {
        let there = |found: &Found<'_, V>| {
            let Found { entry, age, depth, refresh_due, .. } = found;
            FoundIn { entry: entry.clone(), depth: *depth, age: *age, refresh_due: *refresh_due }
        };
        LookupResult {
            found: found.map(there),
            failure: self.failure.clone(),
            stale: self.stale.iter().map(there).collect(),
        }
    }
}

impl<'a, U> Lookup<'a, U> {
    /// Whether the first tier has been asked, and had nothing.
    pub(crate) fn is_plain_miss(&self) -> bool {
        self.next == 1 && self.failure.is_none()
    }

    /// Takes in what a tier said; an entry ends the lookup.
    fn absorb(&mut self, read: Read<U>, tier: &'a Arc<str>, depth: usize) -> Option<Found<'a, U>> {
        match read {
            Read::Hit { entry, age, refresh_due } => {
                Some(Found { entry, tier, age, depth, refresh_due, masked_error: None })
            }
            Read::Miss => None,
            Read::Stale(entry, age) => {
                self.stale.push(Found { entry, tier, age, depth, refresh_due: false, masked_error: None });
                None
            }
            Read::Failed(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }
}

/// Awaits all steps concurrently; the results are in their order.
async fn join_all_steps<T>(steps: SmallVec<[MaybeReady<'_, T>; USUAL]>) -> SmallVec<[T; USUAL]> {
    if steps.iter().any(|step| matches!(step, MaybeReady::Boxed(_))) {
        join_all(steps.into_iter().map(MaybeReady::resolve)).await.into()
    } else {
        // Nothing to wait for, so nothing to allocate for either.
        let mut done = SmallVec::new();
        for step in steps {
            done.push(step.resolve().await);
        }
        done
    }
}
