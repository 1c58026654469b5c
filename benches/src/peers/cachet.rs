//! The cache that all this is about.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cachet::telemetry::Stats;
use cachet::typestate::HasTier;
use cachet::{Cache, CacheBuilder, InsertOutcome, Tier};

use super::{Offer, Operation, Peer};
use crate::handlers::Counting;
use crate::keys::{CAPACITY, COMPUTED, ENTRIES, KeyForm, Keys};
use crate::measure::{Executor, Inline, Loop, ready, runtime};
use crate::replay::Replay;
use crate::subscribers::{Subscribed, under};
use crate::{awaited, contention, stampede};

/// What the first of two tiers holds where everything comes from the second.
const FEW: usize = 64;

/// cachet, with one memory tier unless said otherwise.
#[derive(Debug)]
pub struct Cachet;

impl Peer for Cachet {
    const NAME: &'static str = "cachet";
    const PACKAGE: Option<&'static str> = None;

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        Ok(match operation {
            Operation::Hit => hits(keys, one_tier::<K>()),
            Operation::Miss => {
                let cache = filled(keys, one_tier::<K>());
                awaited!(|n| cache.get(K::absent(keys, n).borrow()) => Ok(None))
            }
            Operation::InsertOver => {
                let cache = filled(keys, one_tier::<K>());
                awaited!(|n| cache.insert(K::owned(keys, n), n) => Ok(InsertOutcome::Accepted))
            }
            Operation::HitTtl => hits(keys, with_ttl::<K>()),
            Operation::HitCounted => hits(keys, one_tier::<K>().event_handler(Counting::default())),
            Operation::HitLogged => {
                under(Subscribed::NoOne, hits(keys, one_tier::<K>().enable_logs()), |received, _| received.is_nothing())
            }
            Operation::HitAccepted => {
                let logged = hits(keys, one_tier::<K>().enable_logs());
                under(Subscribed::Accepting, logged, |received, operations| received.spans == 2 * operations)
            }
            Operation::GetOrInsertHit => compute_hits(keys, one_tier::<K>()),
            Operation::GetOrInsertHitProtected => compute_hits(keys, one_tier::<K>().stampede_protection()),
            Operation::GetOrInsertMiss => compute_misses(one_tier::<K>()),
            Operation::GetOrInsertMissProtected => compute_misses(one_tier::<K>().stampede_protection()),
            Operation::FirstTierHit => hits(keys, one_tier::<K>().tier(Tier::memory(CAPACITY).name("second"))),
            Operation::SecondTierHit => {
                let tiers =
                    || Cache::builder("two").tier(Tier::memory(FEW)).tier(Tier::memory(CAPACITY).name("second"));
                assert_promotes(keys, tiers());
                hits::<K>(keys, tiers())
            }
            Operation::GetMany => {
                let cache = filled(keys, one_tier::<K>());
                let held = K::all(keys);
                awaited!(|n| cache.get_many(K::hundred(&held, n))
                    => found if found.iter().all(|it| matches!(it, Ok(Some(_)))))
                .touching(100)
            }
            Operation::InsertInvalidate => {
                let cache = filled(keys, one_tier::<K>());
                awaited!(|n| async {
                    let inserted = cache.insert(K::owned(keys, n), n).await;
                    (inserted, cache.invalidate(K::resident(keys, n).borrow()).await)
                } => (Ok(InsertOutcome::Accepted), Ok(())))
            }
            Operation::Mixed => mixed(keys, filled(keys, one_tier::<K>()), 1),
            Operation::MixedByTwo => mixed(keys, filled(keys, one_tier::<K>()), 2),
            Operation::Stampede => stampede_of(one_tier::<K>().stampede_protection()),
        })
    }

    fn replay(capacity: usize) -> Offer<Replay> {
        Ok(replayed(Cache::builder("replay").tier(Tier::memory(capacity)).build()))
    }
}

/// How a cache of one memory tier begins.
pub(crate) fn one_tier<K: KeyForm + ?Sized>() -> CacheBuilder<K, u64, HasTier> {
    Cache::builder("measured").tier(Tier::memory(CAPACITY))
}

/// The same, with a time to live that nothing lives to see.
pub(crate) fn with_ttl<K: KeyForm + ?Sized>() -> CacheBuilder<K, u64, HasTier> {
    Cache::builder("measured").tier(Tier::memory(CAPACITY).ttl(Duration::from_hours(1)))
}

/// Builds a cache, and fills it.
pub(crate) fn filled<K: KeyForm + ?Sized>(keys: Keys, builder: CacheBuilder<K, u64, HasTier>) -> Cache<K, u64> {
    let cache = builder.build();
    for number in 0..ENTRIES {
        let inserted = ready(cache.insert(K::owned(keys, number), number));
        assert!(matches!(inserted, Some(Ok(InsertOutcome::Accepted))), "the cache does not fill");
    }
    cache
}

/// Lookups that hit.
pub(crate) fn hits<K: KeyForm + ?Sized>(keys: Keys, builder: CacheBuilder<K, u64, HasTier>) -> Loop {
    let cache = filled(keys, builder);
    awaited!(|n| cache.get(K::resident(keys, n).borrow()) => Ok(Some(_)))
}

/// Stampedes, and what becomes of them.
pub(crate) fn stampede_of<K: KeyForm + ?Sized>(builder: CacheBuilder<K, u64, HasTier>) -> Loop {
    let cache = builder.build();
    stampede::tasks(move |number, load| {
        let cache = cache.clone();
        async move {
            let key = K::fresh(ENTRIES + number);
            cache.get_or_insert(key.borrow(), || async { load.compute().await }).await.is_ok()
        }
    })
}

/// The replay of a trace through any cache.
pub(crate) fn replayed(cache: Cache<u64, u64>) -> Replay {
    Replay::new(move |pages| {
        Inline.block_on(async {
            let mut hits = 0;
            for page in pages {
                if let Ok(Some(_)) = cache.get(page).await {
                    hits += 1;
                } else {
                    let _ = cache.insert(*page, *page).await;
                }
            }
            hits
        })
    })
}

fn compute_hits<K: KeyForm + ?Sized>(keys: Keys, builder: CacheBuilder<K, u64, HasTier>) -> Loop {
    let cache = filled(keys, builder);
    awaited!(|n| cache.get_or_insert(K::resident(keys, n).borrow(), || async { COMPUTED })
        => Ok(entry) if **entry != COMPUTED)
}

fn compute_misses<K: KeyForm + ?Sized>(builder: CacheBuilder<K, u64, HasTier>) -> Loop {
    let cache = builder.build();
    let next = AtomicU64::new(0);
    awaited!(|_n| cache.get_or_insert(
        K::fresh(next.fetch_add(1, Ordering::Relaxed)).borrow(), || async { COMPUTED })
        => Ok(entry) if **entry == COMPUTED)
}

fn mixed<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K, u64>, threads: usize) -> Loop {
    let writer = cache.clone();
    contention::mixed::<K>(
        keys,
        threads,
        runtime(),
        async move |key| matches!(cache.get(key).await, Ok(Some(_))),
        async move |key, value| writer.insert(key, value).await.is_ok(),
    )
}

/// Sees that lookups in turn are answered by the second tier: a first tier that is large enough, or clings to what it has,
/// would have answered some of them.
fn assert_promotes<K: KeyForm + ?Sized>(keys: Keys, builder: CacheBuilder<K, u64, HasTier>) {
    let stats = Stats::new();
    hits(keys, builder.event_handler(stats.clone())).run(3 * ENTRIES);
    let second = stats.tier("two", "second").map_or(0, |tier| tier.hits());
    assert!(second * 50 > 3 * ENTRIES * 49, "the second tier is meant to answer, and did {second} times");
}
