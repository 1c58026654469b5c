//! One tier with everything that belongs to it: name, time to live, insert policy, and observation.

use std::borrow::Borrow;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::clock::Tick;
use crate::entry::Age;
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::Lease;
use crate::policy::InsertPolicy;
use crate::runtime::Spawner;
use crate::telemetry::span::FieldRecorder;
use crate::telemetry::{
    CacheTelemetry, EvictionReporter, Operation, TierCall, TierIdentity, TierOperation, TierOutcome, defer_evictions,
};
use crate::tier::erased::{
    Call, EntryResult, ErasedTier, FromHit, GetResult, InsertResult, MaybeReady, OnMiss, Origin, Read, poll_once,
};
use crate::tier::{CacheTier, InsertOutcome};

mod call;
mod many;

use self::call::{Observed, Timeout};
use crate::expiry::{Freshness, Lifetime};

/// What is set on a [`Tier`](crate::Tier).
pub(crate) struct TierConfig<K: Key + ?Sized, V: Value> {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) lifetime: Lifetime,
    pub(crate) timeout: Option<Duration>,
    pub(crate) policy: InsertPolicy<K, V>,
}

/// Tells the fields that a tier declares for its spans.
type RecordFields<T> = fn(&T, &mut FieldRecorder<'_>);

/// A tier as the cache sees it. `IMMEDIATE` says that it need never be waited for.
pub(crate) struct CacheWrapper<K: Key + ?Sized, V: Value, T, const IMMEDIATE: bool> {
    tier: T,
    record_fields: RecordFields<T>,
    identity: TierIdentity,
    lifetime: Lifetime,
    /// Whether the tier itself does not care how old an entry is.
    untimed: bool,
    limit: Option<Timeout>,
    policy: InsertPolicy<K, V>,
    telemetry: Arc<CacheTelemetry>,
    /// That the tier forgets when entries were inserted is worth saying once.
    warned: AtomicBool,
}

impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool> CacheWrapper<K, V, T, IMMEDIATE> {
    pub(crate) fn new(
        mut tier: T,
        record_fields: RecordFields<T>,
        identity: TierIdentity,
        config: TierConfig<K, V>,
        telemetry: &Arc<CacheTelemetry>,
        spawner: &Spawner,
    ) -> Self {
        tier.attach(EvictionReporter::new(telemetry, &identity));
        Self {
            tier,
            record_fields,
            identity,
            untimed: config.lifetime.ttl.is_none() && config.lifetime.refresh_after.is_none(),
            lifetime: config.lifetime,
            limit: config.timeout.map(|duration| Timeout::new(duration, spawner.clone())),
            policy: config.policy,
            telemetry: Arc::clone(telemetry),
            warned: AtomicBool::new(false),
        }
    }

    /// Begins a call of the tier, which is reported if somebody listens.
    fn begin<'f, 'a>(&'a self, kind: TierOperation, call: Call<'f, 'a>) -> Observed<'f, 'a> {
        Observed {
            tier: &self.identity,
            immediate: IMMEDIATE,
            limit: self.limit.as_ref(),
            call: call.operation.map(|operation| {
                TierCall::start(operation, &self.identity, kind, call.fallback, |recorder| {
                    (self.record_fields)(&self.tier, recorder);
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
            Ok(Some(entry)) => match self.judge(key, &entry, now) {
                Freshness::Fresh { age, refresh_due } => {
                    observed.finish(TierOutcome::Hit, age, None);
                    Read::Hit { entry, age, refresh_due }
                }
                Freshness::Stale(age) => {
                    observed.finish(TierOutcome::Expired, age, None);
                    Read::Stale(entry, age)
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

    /// See [`ErasedTier::hit`]; for every form in which a hit is returned.
    #[inline]
    fn hit_as<R: FromHit<V>>(&self, key: &K, on_miss: OnMiss<'_, V, R>) -> Poll<R> {
        if !IMMEDIATE {
            return on_miss(Poll::Pending);
        }
        match poll_once(self.tier.get(key)) {
            Some(Ok(Some(entry))) if self.is_untimed(&entry) => Poll::Ready(R::from_hit(entry)),
            Some(Ok(None)) => on_miss(Poll::Ready(Ok(None))),
            Some(Ok(Some(entry))) => self.hit_of_age(key, entry, on_miss),
            Some(Err(error)) => on_miss(Poll::Ready(Err(error.in_tier(&self.identity.name)))),
            None => on_miss(Poll::Ready(Err(self.not_immediate()))),
        }
    }

    /// A hit whose age matters. Kept apart, so that it does not weigh on the hits for which it does not.
    #[cold]
    #[inline(never)]
    fn hit_of_age<R: FromHit<V>>(&self, key: &K, entry: CacheEntry<V>, on_miss: OnMiss<'_, V, R>) -> Poll<R> {
        match self.judge(key, &entry, None) {
            Freshness::Fresh { refresh_due: false, .. } => Poll::Ready(R::from_hit(entry)),
            _ => on_miss(Poll::Pending),
        }
    }

    /// Whether the entry's age does not matter.
    #[inline]
    fn is_untimed<U>(&self, entry: &CacheEntry<U>) -> bool {
        self.untimed && !entry.has_ttl()
    }

    fn judge<U>(&self, key: &K, entry: &CacheEntry<U>, now: Option<Tick>) -> Freshness {
        // The clock is read only for those who want to know.
        if now.is_none() && self.is_untimed(entry) {
            return Freshness::Fresh { age: None, refresh_due: false };
        }
        let age = entry.age(&self.telemetry.clock, now);
        if age == Age::Unknown && !self.is_untimed(entry) && !self.warned.swap(true, Ordering::Relaxed) {
            let name = &*self.identity.name;
            self.telemetry.logs.warn(
                &self.telemetry.name,
                name,
                format_args!(
                    "tier `{name}` gave an entry back without the time of its insertion, so it counts as too old; keep the \
                     whole `CacheEntry`, or restore it with `with_inserted_at` (said once per tier)"
                ),
            );
        }
        self.lifetime.judge(key, entry, age)
    }

    #[inline(never)]
    fn insert_slowly<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, InsertResult>
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
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
    ) -> InsertResult {
        let observed = self.begin(TierOperation::Insert, call);
        // A tier that has to be waited for keeps newer writes waiting for the end of an older one. One that answers at
        // once takes a lock instead, further down.
        let storing = origin.lease().filter(|_| !IMMEDIATE).map(Lease::store);
        if let Some(None) = storing {
            observed.finish(TierOutcome::Superseded, None, None);
            return Ok(InsertOutcome::Rejected);
        }
        self.write_now(key, entry, origin, call, observed).await
    }

    /// Policy, stamp, tier, and what has to be undone if it did not work out.
    async fn write_now<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
        mut observed: Observed<'f, 'a>,
    ) -> InsertResult {
        let accepted = observed.run(async { Ok(self.policy.accepts(key.borrow(), &entry)) }).await?;
        let kept = (!accepted || !self.tier.drops_rejected()).then(|| key.clone());
        let written = if accepted {
            let entry = self.stamped(entry, origin);
            let insert = async { self.tier.insert(key, entry).await };
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

    /// The hot path: nothing to wait for, nobody to tell, nothing to undo.
    #[inline]
    fn store(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult {
        match poll_once(self.tier.insert(key, entry)) {
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(error)) => Err(error.in_tier(&self.identity.name)),
            None => Err(self.not_immediate()),
        }
    }

    /// A tier that did not take an entry must not go on serving the one it had before.
    async fn drop_older<'f, 'a: 'f>(&'a self, key: &K, origin: Origin<'f, K, V>, call: Call<'f, 'a>) {
        // What is promoted is no newer than what the tier had: nothing, or something it could not read. And what a newer
        // write has put there meanwhile is none of this one's business.
        let overtaken = origin.lease().is_some_and(|lease| IMMEDIATE && !lease.is_valid());
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
    fn stamped(&self, mut entry: CacheEntry<V>, origin: Origin<'_, K, V>) -> CacheEntry<V> {
        // An entry with a deadline of its own was stamped when its insert began, for all tiers alike.
        let has_begun = entry.has_ttl() && matches!(origin, Origin::Direct | Origin::Computed(_));
        if !has_begun && (!IMMEDIATE || entry.is_stamped() || !self.untimed) {
            entry.stamp(&self.telemetry.clock, !IMMEDIATE);
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
    fn step<'f, R: 'f>(
        &self,
        work: impl Future<Output = R> + Send + 'f,
        late: impl FnOnce(Error) -> R,
    ) -> MaybeReady<'f, R> {
        if IMMEDIATE {
            MaybeReady::Ready(poll_once(work).unwrap_or_else(|| late(self.not_immediate())))
        } else {
            MaybeReady::Boxed(Box::pin(work))
        }
    }
}

impl<K, V, T, const IMMEDIATE: bool> ErasedTier<K, V> for CacheWrapper<K, V, T, IMMEDIATE>
where
    K: Key + ?Sized,
    V: Value,
    T: CacheTier<K, V>,
{
    fn identity(&self) -> &TierIdentity {
        &self.identity
    }

    fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
        (self.record_fields)(&self.tier, recorder);
    }

    fn immediate(&self) -> bool {
        IMMEDIATE
    }

    fn untimed(&self) -> bool {
        self.untimed
    }

    fn inserts_directly(&self) -> bool {
        IMMEDIATE && self.policy.is_always() && self.tier.drops_rejected()
    }

    #[inline]
    fn hit(&self, key: &K, on_miss: OnMiss<'_, V, GetResult<V>>) -> Poll<GetResult<V>> {
        self.hit_as(key, on_miss)
    }

    #[inline]
    fn hit_entry(&self, key: &K, on_miss: OnMiss<'_, V, EntryResult<V>>) -> Poll<EntryResult<V>> {
        self.hit_as(key, on_miss)
    }

    fn get<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> MaybeReady<'f, Read<V>> {
        if call.operation.is_none_or(Operation::ignores_tiers) {
            let _scope = call.operation.map(Operation::enter);
            match self.hit(key, &mut |answer| answer) {
                Poll::Ready(Ok(Some(entry))) => {
                    return MaybeReady::Ready(Read::Hit { entry, age: None, refresh_due: false });
                }
                Poll::Ready(Ok(None)) => return MaybeReady::Ready(Read::Miss),
                Poll::Ready(Err(error)) => return MaybeReady::Ready(Read::Failed(error)),
                Poll::Pending => {}
            }
        }
        // Whatever a method does before its first await, it does as part of the call: so here, and below.
        let found = async move { self.tier.get(key).await };
        self.step(self.read(TierOperation::Get, key, found, call), Read::Failed)
    }

    fn contains<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> MaybeReady<'f, Read<()>> {
        let found = async move { self.tier.peek(key).await };
        self.step(self.read(TierOperation::Contains, key, found, call), Read::Failed)
    }

    #[inline]
    fn put(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult {
        self.store(key, self.stamped(entry, Origin::Direct))
    }

    fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, InsertResult>
    where
        K::Owned: 'f,
    {
        let told = !call.operation.is_none_or(Operation::ignores_tiers);
        if told || !self.inserts_directly() {
            return self.insert_slowly(key, entry, origin, call);
        }
        let _scope = call.operation.map(Operation::enter);
        let entry = self.stamped(entry, origin);
        MaybeReady::Ready(match origin.lease() {
            None => self.store(key, entry),
            Some(lease) => {
                defer_evictions(|| lease.commit(|| self.store(key, entry))).unwrap_or(Ok(InsertOutcome::Rejected))
            }
        })
    }

    fn invalidate<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> MaybeReady<'f, Result<(), Error>> {
        let work = async move { self.tier.invalidate(key).await };
        self.step(self.simple(TierOperation::Invalidate, TierOutcome::Invalidated, work, call), Err)
    }

    fn remove_expired<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        expired: CacheEntry<()>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, Result<(), Error>> {
        let work = async move { self.tier.invalidate_expired(key, &expired).await };
        self.step(self.simple(TierOperation::Invalidate, TierOutcome::Invalidated, work, call), Err)
    }

    fn clear<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> MaybeReady<'f, Result<(), Error>> {
        let work = async move { self.tier.clear().await };
        self.step(self.simple(TierOperation::Clear, TierOutcome::Cleared, work, call), Err)
    }

    fn len<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> MaybeReady<'f, Result<Option<u64>, Error>> {
        let work = async move { self.tier.len().await };
        self.step(self.simple(TierOperation::Len, TierOutcome::Counted, work, call), Err)
    }

    fn get_many<'f, 'a: 'f>(&'a self, keys: &'f [&'f K], call: Call<'f, 'a>) -> MaybeReady<'f, Vec<Read<V>>> {
        self.step(self.read_many(keys, call), |error| keys.iter().map(|_| Read::Failed(error.clone())).collect())
    }

    fn insert_many<'f, 'a: 'f>(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        leases: Option<&'f [&'f Lease<'f, K, V>]>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, Result<Vec<InsertOutcome>, Error>>
    where
        K::Owned: 'f,
    {
        self.step(self.write_many(entries, leases, call), Err)
    }

    fn invalidate_many<'f, 'a: 'f>(
        &'a self,
        keys: &'f [&'f K],
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, Result<(), Error>> {
        self.step(self.remove_many(keys, call), Err)
    }
}
