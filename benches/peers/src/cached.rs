//! `cached`'s sharded stores.

use std::borrow::Borrow;
use std::time::Duration;

use cached::{ShardedLruCache, ShardedLruTtlCache};
use cachet_benches::bench::Bench;
use cachet_benches::called;
use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, FreshKeys, KeyForm, Keys};
use cachet_benches::operation::Operation;
use cachet_benches::peer::{Peer, Unsupported};

/// `ShardedLruCache`, and its like with a time to live.
#[derive(Debug)]
pub(crate) struct ShardedLru;

impl Peer for ShardedLru {
    const NAME: &'static str = "cached (sharded)";
    const PACKAGE: Option<&'static str> = Some("cached");

    type Cache<K: KeyForm + ?Sized> = ShardedLruCache<K::Owned, u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported> {
        Ok(ShardedLruCache::new(capacity))
    }

    async fn get<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: &K) -> bool {
        cache.get(key).is_some()
    }

    async fn insert<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: K::Owned, value: u64) -> bool {
        cache.set(key, value);
        true
    }

    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported> {
        let cache = Self::filled::<K>(keys)?;
        let fresh = FreshKeys::starting_at(ENTRIES);
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
                called!(|_n| cache.get_or_set_with(fresh.next::<K>().borrow().to_owned(), || COMPUTED)
                    => value if *value == COMPUTED)
            }
            Operation::InsertInvalidate => called!(|n| {
                cache.set(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::GetOrInsertHitProtected | Operation::GetOrInsertMissProtected | Operation::Stampede => {
                return Err("protects functions, with its macros, not stores");
            }
            Operation::HitCounted => return Err("counts hits itself, in every lookup"),
            Operation::HitLogged | Operation::HitAccepted => return Err("no logs"),
            Operation::FirstTierHit | Operation::SecondTierHit => return Err("one tier"),
            Operation::GetMany | Operation::InsertMany => return Err("one key at a time"),
        })
    }
}
