//! `CacheWrapper`: one tier with everything that belongs to it: name, expiry, insert policy, and observation.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::{Error, Limited};
use crate::expiry::Expiry;
use crate::inflight::debts::Debts;
use crate::inflight::{InFlight, Origin, Permit};
use crate::limit::TimeLimit;
use crate::policy::InsertPolicy;
use crate::runtime::Spawner;
use crate::telemetry::record_keys::RecordKeys;
use crate::telemetry::span::FieldRecorder;
use crate::telemetry::{CacheTelemetry, TierCall, TierIdentity, TierOperation, TierOutcome};
use crate::tier::CacheTier;
use crate::tier::context::TierContext;
use crate::tier::erased::{
    BatchPermit, Call, EntryResult, ErasedTier, GetResult, InsertResult, MaybeReady, OnMiss, Read, Removal, TierFacts,
    poll_once,
};
use crate::tier::layers::breaker::Breaker;
use crate::tier::layers::timeout::Deadline;
use crate::tier::status::TierStatus;

mod call;
mod many;
mod pay;
mod read;
mod write;

use self::call::ObservedCall;

/// What is set on a [`Tier`](crate::Tier).
pub(crate) struct TierConfig<K: Key + ?Sized, V: Value> {
    pub(crate) name: Option<Arc<str>>,
    /// Its type has no methods that write.
    pub(crate) read_only: bool,
    pub(crate) expiry: Expiry,
    pub(crate) timeout: Option<Duration>,
    /// After so many failures, and for so long.
    pub(crate) breaker: Option<(u32, Duration)>,
    pub(crate) policy: InsertPolicy<K, V>,
}

/// What the tiers of a cache have in common.
pub(crate) struct Surroundings<'b, K: Key + ?Sized, V> {
    pub(crate) telemetry: &'b Arc<CacheTelemetry>,
    pub(crate) spawner: &'b Spawner,
    pub(crate) record_keys: &'b RecordKeys<K>,
    pub(crate) in_flight: &'b Arc<InFlight<K, V>>,
}

/// Records the fields that a tier declares for its spans.
type RecordFields<T> = fn(&T, &mut FieldRecorder<'_>);

/// A tier as the cache sees it. `IMMEDIATE` says that it never has to be waited for.
pub(crate) struct CacheWrapper<K: Key + ?Sized, V: Value, T, const IMMEDIATE: bool> {
    tier: T,
    record_fields: RecordFields<T>,
    facts: TierFacts,
    /// The number of the tier in its cache.
    number: usize,
    in_flight: Arc<InFlight<K, V>>,
    /// Whether a write can fail and leave something outdated behind.
    may_owe: bool,
    /// Whether there is nothing to judge about an entry without a time to live of its own.
    hits_are_plain: bool,
    expiry: Expiry,
    timeout: Option<TimeLimit>,
    breaker: Option<Breaker>,
    policy: InsertPolicy<K, V>,
    telemetry: Arc<CacheTelemetry>,
    /// Whether the warning that the tier loses the insertion times of its entries has been given.
    warned: AtomicBool,
}

impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V>, const IMMEDIATE: bool> CacheWrapper<K, V, T, IMMEDIATE> {
    pub(crate) fn new(
        tier: T,
        record_fields: RecordFields<T>,
        identity: TierIdentity,
        number: usize,
        config: TierConfig<K, V>,
        surroundings: &Surroundings<'_, K, V>,
    ) -> Self {
        let Surroundings { telemetry, spawner, record_keys, in_flight } = surroundings;
        tier.attach(TierContext::new(telemetry, &identity, config.expiry, (*record_keys).clone()));
        let facts = TierFacts {
            identity,
            immediate: IMMEDIATE,
            read_only: config.read_only,
            never_inserts: config.policy.is_never(),
            inserts_directly: IMMEDIATE && config.policy.is_always() && tier.drops_rejected() && !config.read_only,
            untimed: config.expiry.ttl.is_none() && config.expiry.refresh_after.is_none(),
        };
        let may_owe = !(IMMEDIATE && tier.drops_rejected());
        let hits_are_plain = facts.untimed && !may_owe;
        Self {
            tier,
            record_fields,
            facts,
            number,
            in_flight: Arc::clone(in_flight),
            may_owe,
            hits_are_plain,
            expiry: config.expiry,
            timeout: config.timeout.map(|limit| TimeLimit::new(Limited::Tier, limit, spawner)),
            breaker: config
                .breaker
                .filter(|_| !IMMEDIATE)
                .map(|(failures, open_for)| Breaker::new(failures, open_for, telemetry.clock.clone())),
            policy: config.policy,
            telemetry: Arc::clone(telemetry),
            warned: AtomicBool::new(false),
        }
    }

    fn debts(&self) -> &Debts<K::Owned> {
        self.in_flight.debts(self.number)
    }

    fn name(&self) -> &Arc<str> {
        &self.facts.identity.name
    }

    /// Begins a call of the tier, which is reported if its operation is observed.
    fn begin<'f, 'a>(&'a self, kind: TierOperation, call: Call<'f, 'a, K, V>) -> ObservedCall<'f, 'a> {
        let admission =
            self.breaker.as_ref().map(|breaker| breaker.admit().map_err(|error| error.in_tier(self.name())));
        let report = match &admission {
            Some(Err(error)) => {
                self.report_skipped(kind, call, Some(error));
                None
            }
            _ => call.operation.map(|operation| {
                TierCall::start(operation, &self.facts.identity, kind, call.fallback, |recorder| {
                    (self.record_fields)(&self.tier, recorder);
                })
            }),
        };
        let deadline = Deadline::start(IMMEDIATE, self.timeout.as_ref());
        ObservedCall { tier: &self.facts.identity, deadline, admission, report }
    }

    fn not_immediate(&self) -> Error {
        Error::not_immediate().in_tier(self.name())
    }

    /// The answer of an immediate tier at once, that of any other in a box.
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
    fn facts(&self) -> &TierFacts {
        &self.facts
    }

    fn status(&self) -> TierStatus {
        TierStatus {
            name: Arc::clone(self.name()),
            owed_keys: self.debts().count(),
            distrusts_older: self.debts().distrusted_until().is_some(),
            breaker_open: self.breaker.as_ref().is_some_and(Breaker::is_open),
        }
    }

    fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
        (self.record_fields)(&self.tier, recorder);
    }

    #[inline]
    fn hit(&self, key: &K, on_miss: OnMiss<'_, GetResult<V>>) -> Poll<GetResult<V>> {
        self.hit_as(key, on_miss)
    }

    #[inline]
    fn hit_entry(&self, key: &K, on_miss: OnMiss<'_, EntryResult<V>>) -> Poll<EntryResult<V>> {
        self.hit_as(key, on_miss)
    }

    fn get<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Read<V>> {
        match self.get_directly(key, call) {
            Some(read) => MaybeReady::Ready(read),
            // Whatever a method does before its first await, it does as part of the call: so here, and below.
            None => self
                .step(self.read(TierOperation::Get, key, async move { self.tier.get(key).await }, call), Read::Failed),
        }
    }

    fn contains<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Read<()>> {
        let found = async move { self.tier.metadata(key).await };
        self.step(self.read(TierOperation::Contains, key, found, call), Read::Failed)
    }

    #[inline]
    fn insert_now(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult {
        self.store(key, self.stamped(entry, &Origin::Written(None)))
    }

    fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, InsertResult>
    where
        K::Owned: 'f,
    {
        if self.facts.inserts_directly && call.operation.is_none_or(|operation| !operation.wants_tiers()) {
            MaybeReady::Ready(self.insert_directly(key, entry, origin, permit, call))
        } else {
            self.step(self.insert_observed(key, entry, origin, permit, call), Err)
        }
    }

    fn remove<'f, 'a: 'f>(
        &'a self,
        removal: Removal<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Result<(), Error>> {
        match removal {
            Removal::Key(key) => self.step(self.invalidate(key, permit, call), Err),
            Removal::Expired(lease, expired) => self.step(self.remove_expired(lease, expired, call), Err),
            Removal::All => self.step(self.clear(permit, call), Err),
        }
    }

    fn len<'f, 'a: 'f>(&'a self, call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Result<Option<u64>, Error>> {
        let count = async move {
            let mut observed = self.begin(TierOperation::Len, call);
            let counted = observed.run(async { self.tier.len().await }).await;
            let outcome = if counted.is_ok() { TierOutcome::Counted } else { TierOutcome::Error };
            observed.finish(outcome, None, counted.as_ref().err());
            counted
        };
        self.step(count, Err)
    }

    fn get_many<'f, 'a: 'f>(&'a self, keys: &'f [&'f K], call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Vec<Read<V>>> {
        self.step(self.read_many(keys, call), |error| keys.iter().map(|_| Read::Failed(error.clone())).collect())
    }

    fn insert_many<'f, 'a: 'f>(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        permit: BatchPermit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Vec<InsertResult>>
    where
        K::Owned: 'f,
    {
        let number = entries.len();
        self.step(self.write_many(entries, permit, call), |error| vec![Err(error); number])
    }

    fn invalidate_many<'f, 'a: 'f>(
        &'a self,
        keys: &'f [&'f K],
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Vec<Result<(), Error>>> {
        self.step(self.remove_many(keys, permit, call), |error| vec![Err(error); keys.len()])
    }
}
