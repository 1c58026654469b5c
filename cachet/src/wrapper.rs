//! One tier with everything that belongs to it: name, time to live, insert policy, and observation.

use std::borrow::Borrow;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::clock::Tick;
use crate::coherence::Ticket;
use crate::entry::Age;
use crate::policy::InsertPolicy;
use crate::telemetry::{
    CacheTelemetry, EvictionReporter, Operation, TierCall, TierIdentity, TierOperation, TierOutcome, hold_back,
};
use crate::tier::InstrumentedTier;
use crate::tier::erased::{Answer, Call, ErasedTier, Origin, Otherwise, Read, Step, Written, poll_once};
use crate::{CacheEntry, CacheTier, Error, InsertOutcome, Key, Value};

mod observed;

use self::observed::Observed;

/// What is set on a [`Tier`](crate::Tier).
pub(crate) struct TierConfig<K: Key + ?Sized, V: Value> {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) policy: InsertPolicy<K, V>,
}

/// A tier as the cache sees it.
pub(crate) struct CacheWrapper<K: Key + ?Sized, V: Value, T> {
    tier: T,
    identity: TierIdentity,
    ttl: Option<Duration>,
    policy: InsertPolicy<K, V>,
    telemetry: Arc<CacheTelemetry>,
    /// That the tier forgets when entries were inserted is worth saying once.
    warned: AtomicBool,
}

impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V> + InstrumentedTier<K, V>> CacheWrapper<K, V, T> {
    pub(crate) fn new(
        mut tier: T,
        identity: TierIdentity,
        config: TierConfig<K, V>,
        telemetry: &Arc<CacheTelemetry>,
    ) -> Self {
        tier.attach(EvictionReporter::new(telemetry, &identity));
        let telemetry = Arc::clone(telemetry);
        Self { tier, identity, ttl: config.ttl, policy: config.policy, telemetry, warned: AtomicBool::new(false) }
    }

    /// Begins a call of the tier, which is reported if somebody listens.
    fn begin<'f, 'a>(&'a self, kind: TierOperation, call: Call<'f, 'a>) -> Observed<'f, 'a> {
        Observed {
            tier: &self.identity,
            immediate: T::IMMEDIATE,
            call: call.operation.map(|operation| {
                TierCall::start(operation, &self.identity, kind, call.fallback, |recorder| {
                    self.tier.record_fields(recorder);
                })
            }),
        }
    }

    /// A lookup: awaits the tier, and tells fresh entries from expired ones, which are removed.
    async fn read<'f, 'a: 'f, U: Send>(
        &'a self,
        kind: TierOperation,
        key: &'f K,
        found: impl Future<Output = Result<Option<CacheEntry<U>>, Error>> + Send,
        call: Call<'f, 'a>,
    ) -> Read<U> {
        let mut observed = self.begin(kind, call);
        let found = observed.run(found).await;
        let now = observed.answered();
        match found {
            Ok(Some(entry)) => match self.judge(&entry, now) {
                Freshness::Fresh(age) => {
                    observed.finish(TierOutcome::Hit, age, None);
                    Read::Hit(entry, age)
                }
                Freshness::Expired(age) => {
                    let removed = observed.run(self.tier.invalidate_expired(key, &entry.metadata())).await;
                    observed.answered();
                    observed.finish(TierOutcome::Expired, age, removed.as_ref().err());
                    Read::Miss
                }
            },
            Ok(None) => {
                observed.finish(TierOutcome::Miss, None, None);
                Read::Miss
            }
            Err(error) => {
                observed.finish(TierOutcome::Error, None, Some(&error));
                Read::Failed(error)
            }
        }
    }

    /// A hit whose age matters, or none. Kept apart, so that it does not weigh on the hits for which it does not.
    #[cold]
    #[inline(never)]
    fn hit_or_not(
        &self,
        found: Option<Result<Option<CacheEntry<V>>, Error>>,
        otherwise: Otherwise<'_, V>,
    ) -> Answer<V> {
        otherwise(match found {
            Some(Ok(Some(entry))) if self.judge(&entry, None).is_expired() => Poll::Pending,
            Some(Ok(found)) => Poll::Ready(Ok(found)),
            Some(Err(error)) => Poll::Ready(Err(error.in_tier(&self.identity.name))),
            None => Poll::Ready(Err(self.not_immediate())),
        })
    }

    /// Whether neither the entry nor the tier sets a time to live.
    #[inline]
    fn is_eternal<U>(&self, entry: &CacheEntry<U>) -> bool {
        self.ttl.is_none() && !entry.has_ttl()
    }

    /// An entry's own time to live beats the tier's, in both directions.
    fn judge<U>(&self, entry: &CacheEntry<U>, now: Option<Tick>) -> Freshness {
        let ttl = entry.ttl().or(self.ttl);
        // The clock is read only for those who want to know.
        if ttl.is_none() && now.is_none() {
            return Freshness::Fresh(None);
        }
        let age = entry.age(&self.telemetry.clock, now);
        if ttl.is_some() && age == Age::Unknown && !self.warned.swap(true, Ordering::Relaxed) {
            self.telemetry.logs.age_unknown(&self.telemetry.name, &self.identity);
        }
        let expired = ttl.is_some_and(|ttl| match age {
            Age::Known(age) => age > ttl,
            Age::Future | Age::Unknown => true,
        });
        if expired { Freshness::Expired(age.known()) } else { Freshness::Fresh(age.known()) }
    }

    #[inline(never)]
    fn insert_slowly<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f>,
        call: Call<'f, 'a>,
    ) -> Step<'f, Written>
    where
        K::Owned: 'f,
    {
        self.step(self.write(key, entry, origin, call), Err)
    }

    /// An insert of any origin, unless a newer write of the key gets in the way.
    async fn write<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f>,
        call: Call<'f, 'a>,
    ) -> Written {
        let observed = self.begin(TierOperation::Insert, call);
        // A tier that has to be waited for keeps newer writes waiting for the end of an older one. One that answers at
        // once takes a lock instead, further down.
        let storing = origin.ticket().filter(|_| !T::IMMEDIATE).map(Ticket::store);
        if let Some(None) = storing {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        }
        self.put(key, entry, origin, call, observed).await
    }

    /// Policy, stamp, tier, and what has to be undone if it did not work out.
    async fn put<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f>,
        call: Call<'f, 'a>,
        mut observed: Observed<'f, 'a>,
    ) -> Written {
        let accepted = observed.run(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await?;
        let kept = (!accepted || !self.tier.drops_rejected()).then(|| key.clone());
        let written = if accepted {
            let insert = self.tier.insert(key, self.stamped(entry, origin));
            observed.run_in_order(origin, insert).await
        } else {
            Some(Ok(InsertOutcome::Rejected))
        };
        let Some(written) = written else {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        };
        let outcome = match written {
            Ok(InsertOutcome::Accepted) => TierOutcome::Inserted,
            Ok(InsertOutcome::Rejected) => TierOutcome::Rejected,
            Err(_) => TierOutcome::Error,
        };
        observed.finish(outcome, None, written.as_ref().err());
        if let (TierOutcome::Rejected | TierOutcome::Error, Some(key)) = (outcome, kept) {
            self.drop_older(key.borrow(), origin, call).await;
        }
        written
    }

    /// A tier that did not take an entry must not go on serving the one it had before.
    async fn drop_older<'f, 'a: 'f>(&'a self, key: &K, origin: Origin<'f>, call: Call<'f, 'a>) {
        // What is promoted is no newer than what the tier had: nothing, or something it could not read. And what a newer
        // write has put there meanwhile is none of this one's business.
        let overtaken = origin.ticket().is_some_and(|ticket| T::IMMEDIATE && !ticket.is_current());
        if overtaken || matches!(origin, Origin::Promoted(_)) {
            return;
        }
        let mut observed = self.begin(TierOperation::Invalidate, call);
        // Reported like any other call; there is nobody who could do more about a failure.
        match observed.run_in_order(origin, self.tier.invalidate(key)).await {
            None => observed.withdraw(),
            Some(Ok(())) => observed.finish(TierOutcome::Invalidated, None, None),
            Some(Err(error)) => observed.finish(TierOutcome::Error, None, Some(&error)),
        }
    }

    /// Stamps an entry that is about to be inserted, if its age will ever matter here.
    #[inline]
    fn stamped(&self, mut entry: CacheEntry<V>, origin: Origin<'_>) -> CacheEntry<V> {
        // An entry with a deadline of its own was stamped when its insert began, for all tiers alike.
        let has_begun = entry.has_ttl() && !matches!(origin, Origin::Promoted(_));
        if !has_begun && (!T::IMMEDIATE || entry.is_stamped() || self.ttl.is_some()) {
            entry.stamp(&self.telemetry.clock, !T::IMMEDIATE);
        }
        entry
    }

    /// Calls that either work or fail.
    async fn simple<'a, R>(
        &'a self,
        kind: TierOperation,
        outcome: TierOutcome,
        work: impl Future<Output = Result<R, Error>> + Send,
        call: Call<'_, 'a>,
    ) -> Result<R, Error> {
        let mut observed = self.begin(kind, call);
        let result = observed.run(work).await;
        observed.finish(if result.is_ok() { outcome } else { TierOutcome::Error }, None, result.as_ref().err());
        result
    }

    fn not_immediate(&self) -> Error {
        Error::not_immediate().in_tier(&self.identity.name)
    }

    /// An immediate tier's answer at once, any other's in a box.
    fn step<'f, R: 'f>(&self, work: impl Future<Output = R> + Send + 'f, late: impl FnOnce(Error) -> R) -> Step<'f, R> {
        if T::IMMEDIATE {
            Step::Ready(poll_once(work).unwrap_or_else(|| late(self.not_immediate())))
        } else {
            Step::Wait(Box::pin(work))
        }
    }
}

enum Freshness {
    Fresh(Option<Duration>),
    Expired(Option<Duration>),
}

impl Freshness {
    fn is_expired(&self) -> bool {
        matches!(self, Self::Expired(_))
    }
}

impl<K, V, T> ErasedTier<K, V> for CacheWrapper<K, V, T>
where
    K: Key + ?Sized,
    V: Value,
    T: CacheTier<K, V> + InstrumentedTier<K, V>,
{
    fn identity(&self) -> &TierIdentity {
        &self.identity
    }

    fn immediate(&self) -> bool {
        T::IMMEDIATE
    }

    #[inline]
    fn hit(&self, key: &K, otherwise: Otherwise<'_, V>) -> Answer<V> {
        if !T::IMMEDIATE {
            return otherwise(Poll::Pending);
        }
        match poll_once(self.tier.get(key)) {
            Some(Ok(Some(entry))) if self.is_eternal(&entry) => Poll::Ready(Ok(Some(entry))),
            Some(Ok(None)) => otherwise(Poll::Ready(Ok(None))),
            found => self.hit_or_not(found, otherwise),
        }
    }

    fn get<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Read<V>> {
        if call.operation.is_none_or(Operation::ignores_tiers) {
            let _scope = call.operation.map(Operation::enter);
            match self.hit(key, &mut |answer| answer) {
                Poll::Ready(Ok(Some(entry))) => return Step::Ready(Read::Hit(entry, None)),
                Poll::Ready(Ok(None)) => return Step::Ready(Read::Miss),
                Poll::Ready(Err(error)) => return Step::Ready(Read::Failed(error)),
                Poll::Pending => {}
            }
        }
        self.step(self.read(TierOperation::Get, key, self.tier.get(key), call), Read::Failed)
    }

    fn contains<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Read<()>> {
        self.step(self.read(TierOperation::Contains, key, self.tier.peek(key), call), Read::Failed)
    }

    fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f>,
        call: Call<'f, 'a>,
    ) -> Step<'f, Written>
    where
        K::Owned: 'f,
    {
        let told = !call.operation.is_none_or(Operation::ignores_tiers);
        if !T::IMMEDIATE || told || !self.policy.is_always() || !self.tier.drops_rejected() {
            return self.insert_slowly(key, entry, origin, call);
        }
        // The hot path: nothing to wait for, nobody to tell, nothing to undo.
        let _scope = call.operation.map(Operation::enter);
        let store = || match poll_once(self.tier.insert(key, self.stamped(entry, origin))) {
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(error)) => Err(error.in_tier(&self.identity.name)),
            None => Err(self.not_immediate()),
        };
        Step::Ready(match origin.ticket() {
            None => store(),
            Some(ticket) => hold_back(|| ticket.redeem(store)).unwrap_or(Ok(InsertOutcome::Rejected)),
        })
    }

    fn invalidate<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Result<(), Error>> {
        let work = self.tier.invalidate(key);
        self.step(self.simple(TierOperation::Invalidate, TierOutcome::Invalidated, work, call), Err)
    }

    fn clear<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> Step<'f, Result<(), Error>> {
        self.step(self.simple(TierOperation::Clear, TierOutcome::Cleared, self.tier.clear(), call), Err)
    }

    fn len<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> Step<'f, Result<Option<u64>, Error>> {
        self.step(self.simple(TierOperation::Len, TierOutcome::Counted, self.tier.len(), call), Err)
    }
}
