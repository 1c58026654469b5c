//! The cache under test.

use std::borrow::Borrow;
use std::time::Duration;

use cachet::telemetry::Stats;
use cachet::typestate::HasTier;
use cachet::{Cache, CacheBuilder, InsertOutcome, Tier};

use crate::bench::Bench;
use crate::handlers::Counting;
use crate::keys::{CAPACITY, COMPUTED, ENTRIES, FreshKeys, KeyForm, Keys};
use crate::operation::Operation;
use crate::peer::{Peer, Unsupported};
use crate::subscribers::{Subscriber, with_subscriber};
use crate::{awaited, stampede};

/// The capacity of a first tier that leaves all hits to the second.
const FEW: usize = 64;

/// A time to live that does not end before the program.
const TTL: Duration = Duration::from_hours(1);

/// The builder of a cache that has its tiers.
pub(crate) type Builder<K> = CacheBuilder<K, u64, HasTier>;

/// cachet, with one memory tier unless stated otherwise.
#[derive(Debug)]
pub(crate) struct Cachet;

impl Peer for Cachet {
    const NAME: &'static str = "cachet";
    const PACKAGE: Option<&'static str> = None;

    type Cache<K: KeyForm + ?Sized> = Cache<K, u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported> {
        Ok(Cache::builder("measured").tier(Tier::memory(capacity)).build())
    }

    async fn get<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: &K) -> bool {
        matches!(cache.get(key).await, Ok(Some(_)))
    }

    async fn insert<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: K::Owned, value: u64) -> bool {
        matches!(cache.insert(key, value).await, Ok(InsertOutcome::Accepted))
    }

    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported> {
        Ok(match operation {
            Operation::Hit => hits(keys, one_tier::<K>()),
            Operation::Miss => {
                let cache = Self::filled::<K>(keys)?;
                awaited!(|n| cache.get(K::absent(keys, n).borrow()) => Ok(None))
            }
            Operation::InsertOver => inserts(keys, one_tier::<K>()),
            Operation::HitTtl => hits(keys, with_ttl::<K>()),
            Operation::HitCounted => hits(keys, one_tier::<K>().event_handler(Counting::default())),
            Operation::HitLogged => {
                let logged = hits(keys, one_tier::<K>().enable_logs());
                with_subscriber(Subscriber::None, logged, |received, _| received.is_empty())
            }
            Operation::HitAccepted => {
                let logged = hits(keys, one_tier::<K>().enable_logs());
                with_subscriber(Subscriber::All, logged, |received, operations| received.spans == 2 * operations)
            }
            Operation::GetOrInsertHit => compute_hits(keys, one_tier::<K>()),
            Operation::GetOrInsertHitProtected => compute_hits(keys, one_tier::<K>().stampede_protection()),
            Operation::GetOrInsertMiss => compute_misses(one_tier::<K>()),
            Operation::GetOrInsertMissProtected => compute_misses(one_tier::<K>().stampede_protection()),
            Operation::FirstTierHit => hits(keys, one_tier::<K>().tier(Tier::memory(CAPACITY).name("second"))),
            Operation::SecondTierHit => second_tier_hits(keys, two_tiers::<K>),
            Operation::GetMany => {
                let (cache, held) = (Self::filled::<K>(keys)?, K::all(keys));
                awaited!(|n| cache.get_many(K::hundred(&held, n))
                    => found if found.iter().all(|it| matches!(it, Ok(Some(_)))))
                .with_elements(100)
            }
            Operation::InsertMany => {
                let (cache, held) = (Self::filled::<K>(keys)?, K::all(keys));
                awaited!(|n| cache.insert_many(K::hundred(&held, n).map(|key| (key.to_owned(), n)))
                    => outcomes if outcomes.iter().all(|it| matches!(it, Ok(InsertOutcome::Accepted))))
                .with_elements(100)
            }
            Operation::InsertInvalidate => {
                let cache = Self::filled::<K>(keys)?;
                awaited!(|n| async {
                    let inserted = cache.insert(K::owned(keys, n), n).await;
                    (inserted, cache.invalidate(K::resident(keys, n).borrow()).await)
                } => (Ok(InsertOutcome::Accepted), Ok(())))
            }
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::Stampede => stampedes(one_tier::<K>().stampede_protection()),
        })
    }
}

/// A cache with one memory tier.
pub(crate) fn one_tier<K: KeyForm + ?Sized>() -> Builder<K> {
    Cache::builder("measured").tier(Tier::memory(CAPACITY))
}

/// A cache with one memory tier that has a time to live.
pub(crate) fn with_ttl<K: KeyForm + ?Sized>() -> Builder<K> {
    Cache::builder("measured").tier(Tier::memory(CAPACITY).ttl(TTL))
}

/// A cache with two memory tiers, of which the first is too small for any hit.
pub(crate) fn two_tiers<K: KeyForm + ?Sized>() -> Builder<K> {
    Cache::builder("measured").tier(Tier::memory(FEW)).tier(Tier::memory(CAPACITY).name("second"))
}

/// The same, with a time to live of both tiers.
pub(crate) fn two_tiers_with_ttl<K: KeyForm + ?Sized>() -> Builder<K> {
    Cache::builder("measured").tier(Tier::memory(FEW).ttl(TTL)).tier(Tier::memory(CAPACITY).name("second").ttl(TTL))
}

/// Builds a cache, and fills it.
pub(crate) fn filled<K: KeyForm + ?Sized>(keys: Keys, builder: Builder<K>) -> Cache<K, u64> {
    Cachet::fill::<K>(builder.build(), keys)
}

/// Lookups that hit.
pub(crate) fn hits<K: KeyForm + ?Sized>(keys: Keys, builder: Builder<K>) -> Bench {
    let cache = filled(keys, builder);
    awaited!(|n| cache.get(K::resident(keys, n).borrow()) => Ok(Some(_)))
}

/// Inserts that replace an entry.
pub(crate) fn inserts<K: KeyForm + ?Sized>(keys: Keys, builder: Builder<K>) -> Bench {
    let cache = filled(keys, builder);
    awaited!(|n| cache.insert(K::owned(keys, n), n) => Ok(InsertOutcome::Accepted))
}

/// Lookups that hit in the second tier. A first tier that is large enough, or keeps what it has, would answer some of them.
pub(crate) fn second_tier_hits<K: KeyForm + ?Sized>(keys: Keys, builder: impl Fn() -> Builder<K>) -> Bench {
    let stats = Stats::new();
    hits(keys, builder().event_handler(stats.clone())).run(3 * ENTRIES);
    let second = stats.tier("measured", "second").map_or(0, |tier| tier.hits());
    assert!(second * 50 > 3 * ENTRIES * 49, "the second tier answered {second} times of {}", 3 * ENTRIES);
    hits(keys, builder())
}

/// Many tasks that need the same missing key.
pub(crate) fn stampedes<K: KeyForm + ?Sized>(builder: Builder<K>) -> Bench {
    stampede::tasks::<K, _, _>(builder.build(), |cache, key, load| async move {
        cache.get_or_insert(key.borrow(), || async { load.compute().await }).await.is_ok()
    })
}

fn compute_hits<K: KeyForm + ?Sized>(keys: Keys, builder: Builder<K>) -> Bench {
    let cache = filled(keys, builder);
    awaited!(|n| cache.get_or_insert(K::resident(keys, n).borrow(), || async { COMPUTED })
        => Ok(entry) if **entry != COMPUTED)
}

fn compute_misses<K: KeyForm + ?Sized>(builder: Builder<K>) -> Bench {
    let (cache, fresh) = (builder.build(), FreshKeys::starting_at(0));
    awaited!(|_n| cache.get_or_insert(fresh.next::<K>().borrow(), || async { COMPUTED })
        => Ok(entry) if **entry == COMPUTED)
}
