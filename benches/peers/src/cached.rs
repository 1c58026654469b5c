//! `cached`'s sharded stores.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cached::{ShardedLruCache, ShardedLruTtlCache};
use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, KeyForm, Keys};
use cachet_benches::measure::{Inline, Loop};
use cachet_benches::peers::{Offer, Operation, Peer};
use cachet_benches::replay::Replay;
use cachet_benches::{called, contention};

/// `ShardedLruCache`, and its like with a time to live.
#[derive(Debug)]
pub(crate) struct ShardedLru;

impl Peer for ShardedLru {
    const NAME: &'static str = "cached (sharded)";
    const PACKAGE: Option<&'static str> = Some("cached");

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        let cache = ShardedLruCache::<K::Owned, u64>::new(CAPACITY);
        for number in 0..ENTRIES {
            cache.set(K::owned(keys, number), number);
        }
        Ok(match operation {
            Operation::Hit => called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_)),
            Operation::Miss => called!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => called!(|n| cache.set(K::owned(keys, n), n) => Some(_)),
            Operation::HitTtl => {
                let builder = ShardedLruTtlCache::builder().max_size(CAPACITY).ttl(Duration::from_hours(1));
                let cache = builder.build().map_err(|_| "refuses its configuration")?;
                for number in 0..ENTRIES {
                    cache.set(K::owned(keys, number), number);
                }
                called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_))
            }
            Operation::GetOrInsertHit => called!(|n| cache.get_or_set_with(K::owned(keys, n), || COMPUTED)
                => value if *value != COMPUTED),
            Operation::GetOrInsertMiss => {
                let next = AtomicU64::new(ENTRIES);
                called!(|_n| cache.get_or_set_with(
                    K::fresh(next.fetch_add(1, Ordering::Relaxed)).borrow().to_owned(), || COMPUTED)
                    => value if *value == COMPUTED)
            }
            Operation::InsertInvalidate => called!(|n| {
                cache.set(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => mixed::<K>(keys, cache, 1),
            Operation::MixedByTwo => mixed::<K>(keys, cache, 2),
            Operation::GetOrInsertHitProtected | Operation::GetOrInsertMissProtected | Operation::Stampede => {
                return Err("protects functions, with its macros, not stores");
            }
            Operation::HitCounted => return Err("counts hits itself, in every lookup"),
            Operation::HitLogged | Operation::HitAccepted => return Err("no logs"),
            Operation::FirstTierHit | Operation::SecondTierHit => return Err("one tier"),
            Operation::GetMany => return Err("one key at a time"),
        })
    }

    fn replay(capacity: usize) -> Offer<Replay> {
        let cache = ShardedLruCache::<u64, u64>::new(capacity);
        Ok(Replay::by_page(move |page| {
            let is_hit = cache.get(&page).is_some();
            if !is_hit {
                cache.set(page, page);
            }
            is_hit
        }))
    }
}

fn mixed<K: KeyForm + ?Sized>(keys: Keys, cache: ShardedLruCache<K::Owned, u64>, threads: usize) -> Loop {
    let writer = cache.clone();
    contention::mixed::<K>(
        keys,
        threads,
        Inline,
        async move |key| cache.get(key).is_some(),
        async move |key, value| writer.set(key, value).is_some(),
    )
}
