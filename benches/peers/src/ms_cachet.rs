//! The crate that is called `cachet` on the registry, Microsoft's.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, KeyForm, Keys};
use cachet_benches::measure::{Executor, Inline, Loop, runtime};
use cachet_benches::peers::{Offer, Operation, Peer};
use cachet_benches::replay::Replay;
use cachet_benches::subscribers::{Subscribed, under};
use cachet_benches::{awaited, contention, stampede};
use ms_cachet::telemetry::attributes::EVENT_HIT;
use ms_cachet::{
    Cache, CacheBuilder, CacheEventHandler, CacheOperationEvent, CacheTierEvent, InMemoryCache, InsertOutcome,
};
use tick::Clock;

/// Microsoft's `cachet`, with one memory tier unless said otherwise.
#[derive(Debug)]
pub(crate) struct MsCachet;

/// Counts operations.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl CacheEventHandler for Counting {
    fn on_tier_event(&self, _event: &CacheTierEvent<'_>) {}

    fn on_operation_complete(&self, _event: &CacheOperationEvent<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts the hits of a second tier; the handler of the first receives both.
struct Answers(Arc<AtomicU64>);

impl CacheEventHandler for Answers {
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        if event.fallback && event.outcome == EVENT_HIT {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_operation_complete(&self, _event: &CacheOperationEvent<'_>) {}
}

type Builder<K> = CacheBuilder<K, u64, InMemoryCache<K, u64>>;

/// How a cache of one memory tier begins.
fn memory<K: KeyForm + ?Sized>(capacity: usize) -> Builder<K::Owned> {
    // Its clock needs a runtime to be made, and its operations none.
    let clock = runtime().block_on(async { Clock::new_tokio() });
    Cache::builder(clock).memory_with(|memory| memory.max_capacity(capacity as u64))
}

fn filled<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>) -> Cache<K::Owned, u64> {
    Inline.block_on(async {
        for number in 0..ENTRIES {
            let inserted = cache.insert(K::owned(keys, number), number).await;
            assert!(inserted.is_ok(), "the cache does not fill");
        }
    });
    cache
}

fn hits<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>) -> Loop {
    let cache = filled::<K>(keys, cache);
    awaited!(|n| cache.get(K::resident(keys, n).borrow()) => Ok(Some(_)))
}

impl Peer for MsCachet {
    const NAME: &'static str = "cachet (Microsoft)";
    const PACKAGE: Option<&'static str> = Some("cachet");

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        let builder = || memory::<K>(CAPACITY);
        let plain = || filled::<K>(keys, builder().build());
        let logged = |subscribed| hits_under::<K>(subscribed, keys, builder().enable_logs().build());
        Ok(match operation {
            Operation::Hit => hits::<K>(keys, builder().build()),
            Operation::Miss => {
                let cache = plain();
                awaited!(|n| cache.get(K::absent(keys, n).borrow()) => Ok(None))
            }
            Operation::InsertOver => {
                let cache = plain();
                awaited!(|n| cache.insert(K::owned(keys, n), n) => Ok(InsertOutcome::Accepted))
            }
            Operation::HitTtl => hits::<K>(keys, builder().ttl(Duration::from_hours(1)).build()),
            Operation::HitCounted => hits::<K>(keys, builder().event_handler(Counting::default()).build()),
            Operation::HitLogged => logged(Subscribed::NoOne),
            Operation::HitAccepted => logged(Subscribed::Accepting),
            Operation::GetOrInsertHit => compute_hits::<K>(keys, builder().build()),
            Operation::GetOrInsertHitProtected => compute_hits::<K>(keys, builder().stampede_protection().build()),
            Operation::GetOrInsertMiss => compute_misses::<K>(builder().build()),
            Operation::GetOrInsertMissProtected => compute_misses::<K>(builder().stampede_protection().build()),
            Operation::FirstTierHit => hits::<K>(keys, builder().fallback(builder()).build()),
            Operation::SecondTierHit => {
                assert_promotes::<K>(keys);
                hits::<K>(keys, memory::<K>(FEW).fallback(builder()).build())
            }
            Operation::InsertInvalidate => {
                let cache = plain();
                awaited!(|n| async {
                    let inserted = cache.insert(K::owned(keys, n), n).await;
                    (inserted, cache.invalidate(K::resident(keys, n).borrow()).await)
                } => (Ok(_), Ok(())))
            }
            Operation::Mixed => mixed::<K>(keys, plain(), 1),
            Operation::MixedByTwo => mixed::<K>(keys, plain(), 2),
            Operation::Stampede => {
                let cache = Arc::new(builder().stampede_protection().build());
                stampede::tasks(move |number, load| {
                    let cache = Arc::clone(&cache);
                    async move {
                        let key = K::fresh(ENTRIES + number);
                        cache.get_or_insert(key.borrow(), || async { load.compute().await }).await.is_ok()
                    }
                })
            }
            Operation::GetMany => return Err("one key at a time"),
        })
    }

    fn replay(capacity: usize) -> Offer<Replay> {
        let cache = memory::<u64>(capacity).build();
        Ok(Replay::new(move |pages| {
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
        }))
    }
}

/// What the first of two tiers holds where everything comes from the second.
const FEW: usize = 64;

/// Sees that lookups in turn are answered by the second tier.
fn assert_promotes<K: KeyForm + ?Sized>(keys: Keys) {
    let second = Arc::new(AtomicU64::new(0));
    let first = memory::<K>(FEW).event_handler(Answers(Arc::clone(&second)));
    hits::<K>(keys, first.fallback(memory::<K>(CAPACITY)).build()).run(3 * ENTRIES);
    let second = second.load(Ordering::Relaxed);
    assert!(second * 50 > 3 * ENTRIES * 49, "the second tier is meant to answer, and did {second} times");
}

fn hits_under<K: KeyForm + ?Sized>(subscribed: Subscribed, keys: Keys, cache: Cache<K::Owned, u64>) -> Loop {
    under(subscribed, hits::<K>(keys, cache), move |received, operations| match subscribed {
        Subscribed::NoOne => received.is_nothing(),
        _ => received.events >= operations,
    })
}

fn compute_hits<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>) -> Loop {
    let cache = filled::<K>(keys, cache);
    awaited!(|n| cache.get_or_insert(K::resident(keys, n).borrow(), || async { COMPUTED })
        => Ok(entry) if *entry.value() != COMPUTED)
}

fn compute_misses<K: KeyForm + ?Sized>(cache: Cache<K::Owned, u64>) -> Loop {
    let next = AtomicU64::new(0);
    awaited!(|_n| cache.get_or_insert(
        K::fresh(next.fetch_add(1, Ordering::Relaxed)).borrow(), || async { COMPUTED })
        => Ok(entry) if *entry.value() == COMPUTED)
}

fn mixed<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>, threads: usize) -> Loop {
    let cache = Arc::new(cache);
    let writer = Arc::clone(&cache);
    contention::mixed::<K>(
        keys,
        threads,
        runtime(),
        async move |key| matches!(cache.get(key).await, Ok(Some(_))),
        async move |key, value| writer.insert(key, value).await.is_ok(),
    )
}
