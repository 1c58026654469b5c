//! Writing to the tiers: one call of each, in its turn there.

use std::future::poll_fn;
use std::iter::{once, repeat_n};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use scopeguard::ScopeGuard;
use smallvec::SmallVec;

use super::{Found, TierStack};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::{Error, WriteState};
use crate::inflight::{Lease, Origin, Permit, Write};
use crate::telemetry::Operation;
use crate::tier::InsertOutcome;
use crate::tier::erased::{
    BatchPermit, Call, ErasedTier, InsertResult, MaybeReady, Removal, TierFacts, ready_or_await,
};

/// Most caches have two tiers.
const USUAL: usize = 2;

/// What a write does in one tier.
trait TierWrite<'f, K: Key + ?Sized, V: Value>: Send + Sized {
    type Output: Send;

    /// Whether it inserts, rather than removes.
    const INSERTS: bool;

    /// The call of the tier.
    fn call<'a: 'f>(
        self,
        tier: &'a dyn ErasedTier<K, V>,
        origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Self::Output>;

    /// The result for a tier that is read-only.
    fn skipped(&self) -> Self::Output;

    /// The result if its turn cannot come.
    fn failed(&self, error: Error) -> Self::Output;

    /// The keys that it would have written.
    fn into_keys(self) -> impl Iterator<Item = K::Owned>;
}

impl<K: Key + ?Sized, V: Value> TierStack<K, V> {
    /// Makes the call of one tier when its turn has come, which most of the time it has.
    fn in_turn<'f, 'a: 'f, W: TierWrite<'f, K, V> + 'f>(
        &'a self,
        number: usize,
        write: W,
        origin: Origin<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> MaybeReady<'f, W::Output> {
        let (tier, call) = (self.tier(number), Call::of(operation));
        let TierFacts { immediate, read_only, never_inserts, .. } = *tier.facts();
        if read_only {
            return MaybeReady::Ready(write.skipped());
        }
        // The keys are owed if the write has happened elsewhere.
        let give_up = move |write: W| {
            if !(W::INSERTS && never_inserts) {
                write.into_keys().for_each(|key| origin.give_up(number, key));
            }
        };
        let go_on = move |write: W, permit| match permit {
            Ok(permit) => write.call(tier, origin, permit, call),
            Err(error) => {
                let failed = write.failed(error);
                give_up(write);
                MaybeReady::Ready(failed)
            }
        };
        match origin.poll_permit(number, immediate, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => go_on(write, permit),
            Poll::Pending => MaybeReady::Boxed(Box::pin(async move {
                // Dropped while it is queued, it does not happen in this tier.
                let queued = scopeguard::guard(write, give_up);
                let permit = poll_fn(|cx| origin.poll_permit(number, immediate, cx)).await;
                go_on(ScopeGuard::into_inner(queued), permit).resolve().await
            })),
        }
    }

    /// Begins the calls of all tiers, in their order.
    fn in_all_turns<'f, 'a: 'f, W: TierWrite<'f, K, V> + Clone + 'f>(
        &'a self,
        write: W,
        origin: Origin<'f, K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Calls<'f, W::Output> {
        let writes = repeat_n(write, self.count()).enumerate();
        let _scope = operation.map(Operation::enter);
        Calls(writes.map(|(number, write)| self.in_turn(number, write, origin, operation)).collect())
    }

    /// Inserts into the first tier alone, if there is no other, and the insert overtakes nothing.
    #[inline]
    pub(crate) fn insert_now(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult {
        self.first.insert_now(key, entry)
    }

    /// Removes from the first tier alone, likewise.
    pub(crate) fn remove_now(&self, key: &K) -> Result<(), Error> {
        let removed = self.first.remove(Removal::Key(key), Permit::Free, Call::of(None));
        match removed {
            MaybeReady::Ready(removed) => removed.map_err(|error| self.alone(error)),
            // An immediate tier is always ready.
            MaybeReady::Boxed(_) => Err(Error::not_immediate()),
        }
    }

    #[cold]
    fn alone(&self, error: Error) -> Error {
        self.combined([Err::<(), _>(error.clone())], |(), ()| ()).err().unwrap_or(error)
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
        self.in_turn(number, Insert { key, entry }, origin, operation)
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
            let inserted = ready_or_await!(self.insert_into(0, key, entry, origin, operation));
            return self.combined([inserted], better);
        }
        let inserted = self.in_all_turns(Insert { key, entry }, origin, operation);
        self.combined(inserted.join().await, better)
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
            let (key, entry) = Operation::run_in(operation, || (lease.key.to_owned(), found.entry.clone()));
            let inserted = self.insert_into(number, key, entry, origin, operation).resolve().await;
            outcome = outcome.and_then(|outcome| Ok(better(outcome, inserted?)));
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
        let removed = self.in_all_turns(removal, Origin::Written(write), operation);
        self.combined(removed.join().await, |(), ()| ())
    }

    /// Removes expired entries that were kept in case all else failed.
    pub(crate) async fn evict_stale<'f, 'a: 'f, U>(
        &'a self,
        lease: &'f Lease<'f, K, V>,
        stale: &[Found<'a, U>],
        operation: Option<&'f Operation<'a>>,
    ) {
        for stale in stale {
            let tier = self.tier(stale.depth);
            if !tier.facts().read_only {
                let removal = Removal::Expired(lease, stale.entry.metadata());
                // Reported like any other call.
                let _ = tier.remove(removal, Permit::Free, Call::of(operation)).resolve().await;
            }
        }
    }

    /// Inserts into all tiers at once. Returns one result for each entry.
    pub(crate) async fn insert_many<'f, 'a: 'f>(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        write: Option<&'f Write<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Vec<InsertResult>
    where
        K::Owned: 'f,
    {
        let number = entries.len();
        if number == 0 {
            return Vec::new();
        }
        let inserted = self.in_all_turns(InsertMany(entries), Origin::Written(write), operation);
        self.combined_each(number, inserted.join().await, better)
    }

    /// Removes keys from all tiers at once. Returns one result for each key.
    pub(crate) async fn invalidate_many<'f, 'a: 'f>(
        &'a self,
        keys: &'f [&'f K],
        write: Option<&'f Write<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Vec<Result<(), Error>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let removed = self.in_all_turns(InvalidateMany(keys), Origin::Written(write), operation);
        self.combined_each(keys.len(), removed.join().await, |(), ()| ())
    }

    /// What a write comes to: the first error, which says what became of the write in each tier, or the results put together.
    fn combined<T: Effect>(
        &self,
        results: impl IntoIterator<Item = Result<T, Error>>,
        merge: fn(T, T) -> T,
    ) -> Result<T, Error> {
        let results: SmallVec<[Result<T, Error>; USUAL]> = results.into_iter().collect();
        match results.iter().find_map(|result| result.as_ref().err()) {
            None => Ok(results.into_iter().flatten().reduce(merge).unwrap_or(T::NONE)),
            Some(error) => {
                let states = self.iter().zip(&results).filter(|(tier, _)| !tier.facts().read_only);
                let states = states.map(|(tier, result)| (Arc::clone(&tier.facts().identity.name), state(result)));
                Err(error.clone().with_writes(states))
            }
        }
    }

    /// The same for each key, of which every tier has a result.
    fn combined_each<T: Effect>(
        &self,
        keys: usize,
        of_tiers: SmallVec<[Vec<Result<T, Error>>; USUAL]>,
        merge: fn(T, T) -> T,
    ) -> Vec<Result<T, Error>> {
        let mut of_tiers: SmallVec<[_; USUAL]> = of_tiers.into_iter().map(Vec::into_iter).collect();
        let next = |_| self.combined(of_tiers.iter_mut().filter_map(Iterator::next), merge);
        (0..keys).map(next).collect()
    }
}

/// What a tier that has not failed has done.
trait Effect: Copy {
    /// Of no tier at all.
    const NONE: Self;

    fn is_applied(self) -> bool;
}

impl Effect for InsertOutcome {
    const NONE: Self = Self::Rejected;

    fn is_applied(self) -> bool {
        self == Self::Accepted
    }
}

impl Effect for () {
    const NONE: Self = ();

    fn is_applied(self) -> bool {
        true
    }
}

fn state<T: Effect>(result: &Result<T, Error>) -> WriteState {
    match result {
        Ok(effect) if effect.is_applied() => WriteState::Applied,
        Ok(_) => WriteState::NotApplied,
        Err(error) if error.is_before_call() => WriteState::NotApplied,
        Err(_) => WriteState::Unknown,
    }
}

/// The calls of a write, one for each tier.
struct Calls<'f, R>(SmallVec<[MaybeReady<'f, R>; USUAL]>);

impl<R> Calls<'_, R> {
    /// Awaits all of them, concurrently.
    async fn join(self) -> SmallVec<[R; USUAL]> {
        if self.0.iter().any(|call| matches!(call, MaybeReady::Boxed(_))) {
            return join_all(self.0.into_iter().map(MaybeReady::resolve)).await.into();
        }
        // Nothing to wait for, so nothing to allocate for either.
        let mut results = SmallVec::new();
        for call in self.0 {
            results.push(call.resolve().await);
        }
        results
    }
}

#[derive(Clone)]
struct Insert<Q, V> {
    key: Q,
    entry: CacheEntry<V>,
}

impl<'f, K: Key + ?Sized, V: Value> TierWrite<'f, K, V> for Insert<K::Owned, V>
where
    K::Owned: 'f,
{
    type Output = InsertResult;
    const INSERTS: bool = true;

    fn skipped(&self) -> InsertResult {
        Ok(InsertOutcome::Rejected)
    }

    fn call<'a: 'f>(
        self,
        tier: &'a dyn ErasedTier<K, V>,
        origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, InsertResult> {
        tier.insert(self.key, self.entry, origin, permit, call)
    }

    fn failed(&self, error: Error) -> InsertResult {
        Err(error)
    }

    fn into_keys(self) -> impl Iterator<Item = K::Owned> {
        once(self.key)
    }
}

impl<'f, K: Key + ?Sized, V: Value> TierWrite<'f, K, V> for Removal<'f, K, V> {
    type Output = Result<(), Error>;
    const INSERTS: bool = false;

    fn skipped(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call<'a: 'f>(
        self,
        tier: &'a dyn ErasedTier<K, V>,
        _origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Result<(), Error>> {
        tier.remove(self, permit, call)
    }

    fn failed(&self, error: Error) -> Result<(), Error> {
        Err(error)
    }

    fn into_keys(self) -> impl Iterator<Item = K::Owned> {
        if let Self::Key(key) = self { Some(key.to_owned()) } else { None }.into_iter()
    }
}

#[derive(Clone)]
struct InsertMany<Q, V>(Vec<(Q, CacheEntry<V>)>);

impl<'f, K: Key + ?Sized, V: Value> TierWrite<'f, K, V> for InsertMany<K::Owned, V>
where
    K::Owned: 'f,
{
    type Output = Vec<InsertResult>;
    const INSERTS: bool = true;

    fn skipped(&self) -> Vec<InsertResult> {
        vec![Ok(InsertOutcome::Rejected); self.0.len()]
    }

    fn call<'a: 'f>(
        self,
        tier: &'a dyn ErasedTier<K, V>,
        _origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Vec<InsertResult>> {
        tier.insert_many(self.0, BatchPermit::Write(permit), call)
    }

    fn failed(&self, error: Error) -> Vec<InsertResult> {
        vec![Err(error); self.0.len()]
    }

    fn into_keys(self) -> impl Iterator<Item = K::Owned> {
        self.0.into_iter().map(|(key, _)| key)
    }
}

struct InvalidateMany<'f, K: ?Sized>(&'f [&'f K]);

impl<K: ?Sized> Clone for InvalidateMany<'_, K> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<'f, K: Key + ?Sized, V: Value> TierWrite<'f, K, V> for InvalidateMany<'f, K> {
    type Output = Vec<Result<(), Error>>;
    const INSERTS: bool = false;

    fn skipped(&self) -> Vec<Result<(), Error>> {
        vec![Ok(()); self.0.len()]
    }

    fn call<'a: 'f>(
        self,
        tier: &'a dyn ErasedTier<K, V>,
        _origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Vec<Result<(), Error>>> {
        tier.invalidate_many(self.0, permit, call)
    }

    fn failed(&self, error: Error) -> Vec<Result<(), Error>> {
        vec![Err(error); self.0.len()]
    }

    fn into_keys(self) -> impl Iterator<Item = K::Owned> {
        self.0.iter().map(|key| (*key).to_owned())
    }
}

/// What inserts into several tiers come to: acceptance wins over rejection.
fn better(one: InsertOutcome, other: InsertOutcome) -> InsertOutcome {
    match (one, other) {
        (InsertOutcome::Rejected, InsertOutcome::Rejected) => InsertOutcome::Rejected,
        _ => InsertOutcome::Accepted,
    }
}
