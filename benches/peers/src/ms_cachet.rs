//! The crate that is called `cachet` on the registry, Microsoft's.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cachet_benches::bench::{Bench, runtime};
use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, FreshKeys, KeyForm, Keys};
use cachet_benches::operation::Operation;
use cachet_benches::peer::{Peer, Unsupported};
use cachet_benches::subscribers::{Subscriber, with_subscriber};
use cachet_benches::{awaited, stampede};
use ms_cachet::telemetry::attributes::EVENT_HIT;
use ms_cachet::{
    Cache, CacheBuilder, CacheEventHandler, CacheOperationEvent, CacheTierEvent, InMemoryCache, InsertOutcome,
};
use tick::Clock;

/// The capacity of a first tier that leaves all hits to the second.
const FEW: usize = 64;

/// Microsoft's `cachet`, with one memory tier unless stated otherwise.
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
struct SecondTierHits(Arc<AtomicU64>);

impl CacheEventHandler for SecondTierHits {
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        if event.fallback && event.outcome == EVENT_HIT {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_operation_complete(&self, _event: &CacheOperationEvent<'_>) {}
}

type Builder<K> = CacheBuilder<K, u64, InMemoryCache<K, u64>>;

/// The builder of a cache with one memory tier.
fn memory<K: KeyForm + ?Sized>(capacity: usize) -> Builder<K::Owned> {
    // The creation of its clock needs a runtime, its operations do not.
    let clock = runtime().block_on(async { Clock::new_tokio() });
    Cache::builder(clock).memory_with(|memory| memory.max_capacity(capacity as u64))
}

impl Peer for MsCachet {
    const NAME: &'static str = "cachet (Microsoft)";
    const PACKAGE: Option<&'static str> = Some("cachet");

    type Cache<K: KeyForm + ?Sized> = Cache<K::Owned, u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported> {
        Ok(memory::<K>(capacity).build())
    }

    async fn get<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: &K) -> bool {
        matches!(cache.get(key).await, Ok(Some(_)))
    }

    async fn insert<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: K::Owned, value: u64) -> bool {
        cache.insert(key, value).await.is_ok()
    }

    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported> {
        let builder = || memory::<K>(CAPACITY);
        let logged = || hits::<K>(keys, builder().enable_logs().build());
        Ok(match operation {
            Operation::Hit => hits::<K>(keys, builder().build()),
            Operation::Miss => {
                let cache = Self::filled::<K>(keys)?;
                awaited!(|n| cache.get(K::absent(keys, n).borrow()) => Ok(None))
            }
            Operation::InsertOver => {
                let cache = Self::filled::<K>(keys)?;
                awaited!(|n| cache.insert(K::owned(keys, n), n) => Ok(InsertOutcome::Accepted))
            }
            Operation::HitTtl => hits::<K>(keys, builder().ttl(Duration::from_hours(1)).build()),
            Operation::HitCounted => hits::<K>(keys, builder().event_handler(Counting::default()).build()),
            Operation::HitLogged => with_subscriber(Subscriber::None, logged(), |received, _| received.is_empty()),
            Operation::HitAccepted => {
                with_subscriber(Subscriber::All, logged(), |received, operations| received.events >= operations)
            }
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
                let cache = Self::filled::<K>(keys)?;
                awaited!(|n| async {
                    let inserted = cache.insert(K::owned(keys, n), n).await;
                    (inserted, cache.invalidate(K::resident(keys, n).borrow()).await)
                } => (Ok(_), Ok(())))
            }
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::Stampede => {
                let cache = builder().stampede_protection().build();
                stampede::tasks::<K, _, _>(cache, |cache, key, load| async move {
                    cache.get_or_insert(key.borrow(), || async { load.compute().await }).await.is_ok()
                })
            }
            Operation::GetMany | Operation::InsertMany => return Err("one key at a time"),
        })
    }
}

fn hits<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>) -> Bench {
    let cache = MsCachet::fill::<K>(cache, keys);
    awaited!(|n| cache.get(K::resident(keys, n).borrow()) => Ok(Some(_)))
}

/// Panics unless the second tier answers lookups in key order.
fn assert_promotes<K: KeyForm + ?Sized>(keys: Keys) {
    let second = Arc::new(AtomicU64::new(0));
    let first = memory::<K>(FEW).event_handler(SecondTierHits(Arc::clone(&second)));
    hits::<K>(keys, first.fallback(memory::<K>(CAPACITY)).build()).run(3 * ENTRIES);
    let second = second.load(Ordering::Relaxed);
    assert!(second * 50 > 3 * ENTRIES * 49, "the second tier answered {second} times of {}", 3 * ENTRIES);
}

fn compute_hits<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>) -> Bench {
    let cache = MsCachet::fill::<K>(cache, keys);
    awaited!(|n| cache.get_or_insert(K::resident(keys, n).borrow(), || async { COMPUTED })
        => Ok(entry) if *entry.value() != COMPUTED)
}

fn compute_misses<K: KeyForm + ?Sized>(cache: Cache<K::Owned, u64>) -> Bench {
    let fresh = FreshKeys::starting_at(0);
    awaited!(|_n| cache.get_or_insert(
        fresh.next::<K>().borrow(), || async { COMPUTED })
        => Ok(entry) if *entry.value() == COMPUTED)
}
