//! Several tiers as one: asking them in order, promoting what a later one had, and writing to all.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::flight::{FoundIn, LookupResult};
use crate::inflight::{InFlight, Lease};
use crate::telemetry::{Operation, TierIdentity, defer_evictions};
use crate::tier::erased::{Call, EntryResult, ErasedTier, GetResult, MaybeReady, NotAHit, OnMiss, Read, TierFacts};
use crate::tier::status::TierStatus;

mod many;
mod write;

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
    /// Whether there is one tier, and it is written in one synchronous step.
    single_sync: bool,
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
            single_sync: rest.is_empty() && first.facts().immediate && !first.facts().read_only,
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
        self.single_sync
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

    pub(crate) fn statuses(&self) -> impl Iterator<Item = TierStatus> {
        self.iter().map(ErasedTier::status)
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

    /// The first tier's count.
    pub(crate) async fn len<'f, 'a: 'f>(&'a self, operation: Option<&'f Operation<'a>>) -> Result<Option<u64>, Error> {
        self.first.len(Call::of(operation)).resolve().await
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
