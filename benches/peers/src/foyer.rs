//! `foyer`'s cache in memory.

use std::borrow::Borrow;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, KeyForm, Keys};
use cachet_benches::measure::{Inline, Loop, runtime};
use cachet_benches::peers::{Offer, Operation, Peer};
use cachet_benches::replay::Replay;
use cachet_benches::{awaited, called, contention, stampede};
use foyer_memory::Cache;

/// `foyer` without its disk. Fetching starts tasks, so it runs in Tokio.
#[derive(Debug)]
pub(crate) struct Memory;

impl Peer for Memory {
    const NAME: &'static str = "foyer (memory)";
    const PACKAGE: Option<&'static str> = Some("foyer-memory");

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        let cache: Cache<K::Owned, u64> = Cache::builder(CAPACITY).build();
        for number in 0..ENTRIES {
            cache.insert(K::owned(keys, number), number);
        }
        Ok(match operation {
            Operation::Hit => called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_)),
            Operation::Miss => called!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => called!(|n| cache.insert(K::owned(keys, n), n) => _),
            Operation::GetOrInsertHitProtected => awaited!(in runtime(), |n| cache.get_or_fetch(
                K::resident(keys, n).borrow(), || async { Ok::<_, io::Error>(COMPUTED) })
                => Ok(entry) if *entry.value() != COMPUTED),
            Operation::GetOrInsertMissProtected => {
                let next = AtomicU64::new(ENTRIES);
                awaited!(in runtime(), |_n| cache.get_or_fetch(
                    K::fresh(next.fetch_add(1, Ordering::Relaxed)).borrow(),
                    || async { Ok::<_, io::Error>(COMPUTED) })
                    => Ok(entry) if *entry.value() == COMPUTED)
            }
            Operation::InsertInvalidate => called!(|n| {
                cache.insert(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => mixed::<K>(keys, cache, 1),
            Operation::MixedByTwo => mixed::<K>(keys, cache, 2),
            Operation::Stampede => stampede::tasks(move |number, load| {
                let cache = cache.clone();
                async move {
                    let key = K::fresh(ENTRIES + number);
                    let load = || async move { Ok::<_, io::Error>(load.compute().await) };
                    cache.get_or_fetch(key.borrow(), load).await.is_ok()
                }
            }),
            Operation::GetOrInsertHit | Operation::GetOrInsertMiss => return Err("always protects"),
            Operation::HitTtl => return Err("no time to live"),
            Operation::HitCounted => return Err("reports removals only"),
            Operation::HitLogged | Operation::HitAccepted => return Err("no logs of operations"),
            Operation::FirstTierHit | Operation::SecondTierHit => return Err("its second tier is a disk"),
            Operation::GetMany => return Err("one key at a time"),
        })
    }

    fn replay(capacity: usize) -> Offer<Replay> {
        let cache: Cache<u64, u64> = Cache::builder(capacity).build();
        Ok(Replay::by_page(move |page| {
            let is_hit = cache.get(&page).is_some();
            if !is_hit {
                cache.insert(page, page);
            }
            is_hit
        }))
    }
}

fn mixed<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<K::Owned, u64>, threads: usize) -> Loop {
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
