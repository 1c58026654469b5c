//! `moka`, asynchronous and synchronous.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, KeyForm, Keys};
use cachet_benches::measure::{Executor, Inline, Loop, runtime};
use cachet_benches::peers::{Offer, Operation, Peer};
use cachet_benches::replay::Replay;
use cachet_benches::{awaited, called, contention, stampede};
use moka::{future, sync};

/// `moka::future`.
#[derive(Debug)]
pub(crate) struct Future;

/// `moka::sync`.
#[derive(Debug)]
pub(crate) struct Sync;

const TTL: Duration = Duration::from_hours(1);

/// What neither has.
const fn lacks(operation: Operation) -> &'static str {
    match operation {
        Operation::HitCounted => "reports evictions only",
        Operation::HitLogged | Operation::HitAccepted => "no logs of operations",
        Operation::FirstTierHit | Operation::SecondTierHit => "one tier",
        Operation::GetOrInsertHit | Operation::GetOrInsertMiss => "always protects",
        Operation::GetMany => "one key at a time",
        _ => "not offered",
    }
}

impl Peer for Future {
    const NAME: &'static str = "moka (future)";
    const PACKAGE: Option<&'static str> = Some("moka");

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        let builder = || future::Cache::<K::Owned, u64>::builder().max_capacity(CAPACITY as u64);
        let cache = match operation {
            Operation::HitTtl => builder().time_to_live(TTL).build(),
            _ => builder().build(),
        };
        Inline.block_on(async {
            for number in 0..ENTRIES {
                cache.insert(K::owned(keys, number), number).await;
            }
            cache.run_pending_tasks().await;
        });
        Ok(match operation {
            Operation::Hit | Operation::HitTtl => {
                awaited!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_))
            }
            Operation::Miss => awaited!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => awaited!(|n| cache.insert(K::owned(keys, n), n) => ()),
            Operation::GetOrInsertHitProtected => {
                awaited!(|n| cache.get_with_by_ref(K::resident(keys, n).borrow(), async { COMPUTED })
                    => value if *value != COMPUTED)
            }
            Operation::GetOrInsertMissProtected => {
                let next = AtomicU64::new(ENTRIES);
                awaited!(|_n| cache.get_with_by_ref(
                    K::fresh(next.fetch_add(1, Ordering::Relaxed)).borrow(), async { COMPUTED })
                    => value if *value == COMPUTED)
            }
            Operation::InsertInvalidate => awaited!(|n| async {
                cache.insert(K::owned(keys, n), n).await;
                cache.remove(K::resident(keys, n).borrow()).await
            } => Some(_)),
            Operation::Mixed => mixed_async::<K>(keys, cache, 1),
            Operation::MixedByTwo => mixed_async::<K>(keys, cache, 2),
            Operation::Stampede => stampede::tasks(move |number, load| {
                let cache = cache.clone();
                async move {
                    let key = K::fresh(ENTRIES + number);
                    cache.get_with_by_ref(key.borrow(), async { load.compute().await }).await == 1
                }
            }),
            _ => return Err(lacks(operation)),
        })
    }

    fn replay(_capacity: usize) -> Offer<Replay> {
        Err("the same policy as moka (sync)")
    }
}

fn mixed_async<K: KeyForm + ?Sized>(keys: Keys, cache: future::Cache<K::Owned, u64>, threads: usize) -> Loop {
    let writer = cache.clone();
    contention::mixed::<K>(
        keys,
        threads,
        runtime(),
        async move |key| cache.get(key).await.is_some(),
        async move |key, value| {
            writer.insert(key, value).await;
            true
        },
    )
}

impl Peer for Sync {
    const NAME: &'static str = "moka (sync)";
    const PACKAGE: Option<&'static str> = Some("moka");

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        let builder = || sync::Cache::<K::Owned, u64>::builder().max_capacity(CAPACITY as u64);
        let cache = match operation {
            Operation::HitTtl => builder().time_to_live(TTL).build(),
            _ => builder().build(),
        };
        for number in 0..ENTRIES {
            cache.insert(K::owned(keys, number), number);
        }
        cache.run_pending_tasks();
        Ok(match operation {
            Operation::Hit | Operation::HitTtl => called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_)),
            Operation::Miss => called!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => called!(|n| cache.insert(K::owned(keys, n), n) => ()),
            Operation::GetOrInsertHitProtected => {
                called!(|n| cache.get_with_by_ref(K::resident(keys, n).borrow(), || COMPUTED)
                    => value if *value != COMPUTED)
            }
            Operation::GetOrInsertMissProtected => {
                let next = AtomicU64::new(ENTRIES);
                called!(|_n| cache.get_with_by_ref(
                    K::fresh(next.fetch_add(1, Ordering::Relaxed)).borrow(), || COMPUTED)
                    => value if *value == COMPUTED)
            }
            Operation::InsertInvalidate => called!(|n| {
                cache.insert(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => mixed_sync::<K>(keys, cache, 1),
            Operation::MixedByTwo => mixed_sync::<K>(keys, cache, 2),
            Operation::Stampede => return Err("blocks the thread"),
            _ => return Err(lacks(operation)),
        })
    }

    fn replay(capacity: usize) -> Offer<Replay> {
        let cache = sync::Cache::<u64, u64>::new(capacity as u64);
        Ok(Replay::by_page(move |page| {
            let is_hit = cache.get(&page).is_some();
            if !is_hit {
                cache.insert(page, page);
            }
            is_hit
        }))
    }
}

fn mixed_sync<K: KeyForm + ?Sized>(keys: Keys, cache: sync::Cache<K::Owned, u64>, threads: usize) -> Loop {
    let writer = cache.clone();
    contention::mixed::<K>(
        keys,
        threads,
        Inline,
        async move |key| cache.get(key).is_some(),
        async move |key, value| {
            writer.insert(key, value);
            true
        },
    )
}
