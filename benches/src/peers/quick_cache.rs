//! The engine that cachet's memory tier is built on: the limit of what it can reach.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use super::{Offer, Operation, Peer};
use crate::keys::{CAPACITY, COMPUTED, ENTRIES, KeyForm, Keys};
use crate::measure::{Inline, Loop};
use crate::replay::Replay;
use crate::{awaited, called, contention, stampede};

/// Raw `quick_cache`.
#[derive(Debug)]
pub struct QuickCache;

impl Peer for QuickCache {
    const NAME: &'static str = "quick_cache";
    const PACKAGE: Option<&'static str> = Some("quick_cache");

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        let cache = filled::<K>(keys);
        Ok(match operation {
            Operation::Hit => called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_)),
            Operation::Miss => called!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => called!(|n| cache.insert(K::owned(keys, n), n) => ()),
            Operation::GetOrInsertHitProtected => awaited!(|n| cache.get_or_insert_async(
                K::resident(keys, n).borrow(), async { Ok::<_, ()>(COMPUTED) }) => Ok(value) if *value != COMPUTED),
            Operation::GetOrInsertMissProtected => {
                let next = AtomicU64::new(ENTRIES);
                awaited!(|_n| cache.get_or_insert_async(
                    K::fresh(next.fetch_add(1, Ordering::Relaxed)).borrow(), async { Ok::<_, ()>(COMPUTED) })
                    => Ok(value) if *value == COMPUTED)
            }
            Operation::GetMany => {
                let held = K::all(keys);
                called!(|n| K::hundred(&held, n).map(|key| cache.get(key)).collect::<Vec<_>>()
                    => found if found.iter().all(Option::is_some))
                .touching(100)
            }
            Operation::InsertInvalidate => called!(|n| {
                cache.insert(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => mixed::<K>(keys, cache, 1),
            Operation::MixedByTwo => mixed::<K>(keys, cache, 2),
            Operation::Stampede => {
                let cache = Arc::new(cache);
                stampede::tasks(move |number, load| {
                    let cache = Arc::clone(&cache);
                    async move {
                        let key = K::fresh(ENTRIES + number);
                        cache
                            .get_or_insert_async(key.borrow(), async { Ok::<_, ()>(load.compute().await) })
                            .await
                            .is_ok()
                    }
                })
            }
            Operation::GetOrInsertHit | Operation::GetOrInsertMiss => return Err("always protects"),
            Operation::HitTtl => return Err("no time to live"),
            Operation::HitCounted => return Err("no handlers"),
            Operation::HitLogged | Operation::HitAccepted => return Err("no logs"),
            Operation::FirstTierHit | Operation::SecondTierHit => return Err("one tier"),
        })
    }

    fn replay(capacity: usize) -> Offer<Replay> {
        let cache = Cache::<u64, u64>::new(capacity);
        Ok(Replay::by_page(move |page| {
            let is_hit = cache.get(&page).is_some();
            if !is_hit {
                cache.insert(page, page);
            }
            is_hit
        }))
    }
}

fn filled<K: KeyForm + ?Sized>(keys: Keys) -> Cache<K::Owned, u64> {
    let cache = Cache::new(CAPACITY);
    for number in 0..ENTRIES {
        cache.insert(K::owned(keys, number), number);
    }
    cache
}

fn mixed<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>, threads: usize) -> Loop {
    let cache = Arc::new(cache);
    let writer = Arc::clone(&cache);
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
