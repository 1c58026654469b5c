//! `moka`, asynchronous and synchronous.

use std::borrow::Borrow;
use std::time::Duration;

use cachet_benches::bench::Bench;
use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, FreshKeys, KeyForm, Keys};
use cachet_benches::operation::Operation;
use cachet_benches::peer::{Peer, Unsupported};
use cachet_benches::{awaited, called, stampede};
use moka::{future, sync};

/// `moka::future`.
#[derive(Debug)]
pub(crate) struct Future;

/// `moka::sync`.
#[derive(Debug)]
pub(crate) struct Sync;

const TTL: Duration = Duration::from_hours(1);

/// What neither has.
const fn missing(operation: Operation) -> Unsupported {
    match operation {
        Operation::HitCounted => "reports evictions only",
        Operation::HitLogged | Operation::HitAccepted => "no logs of operations",
        Operation::FirstTierHit | Operation::SecondTierHit => "one tier",
        Operation::GetOrInsertHit | Operation::GetOrInsertMiss => "always protects",
        Operation::GetMany | Operation::InsertMany => "one key at a time",
        _ => "not offered",
    }
}

impl Peer for Future {
    const NAME: &'static str = "moka (future)";
    const PACKAGE: Option<&'static str> = Some("moka");

    type Cache<K: KeyForm + ?Sized> = future::Cache<K::Owned, u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported> {
        Ok(future::Cache::new(capacity as u64))
    }

    async fn get<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: &K) -> bool {
        cache.get(key).await.is_some()
    }

    async fn insert<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: K::Owned, value: u64) -> bool {
        cache.insert(key, value).await;
        true
    }

    async fn settle<K: KeyForm + ?Sized>(cache: &Self::Cache<K>) {
        cache.run_pending_tasks().await;
    }

    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported> {
        let cache = Self::filled::<K>(keys)?;
        let fresh = FreshKeys::starting_at(ENTRIES);
        Ok(match operation {
            Operation::Hit => awaited!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_)),
            Operation::HitTtl => {
                let cache = future::Cache::builder().max_capacity(CAPACITY as u64).time_to_live(TTL).build();
                let cache = Self::fill::<K>(cache, keys);
                awaited!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_))
            }
            Operation::Miss => awaited!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => awaited!(|n| cache.insert(K::owned(keys, n), n) => ()),
            Operation::GetOrInsertHitProtected => {
                awaited!(|n| cache.get_with_by_ref(K::resident(keys, n).borrow(), async { COMPUTED })
                    => value if *value != COMPUTED)
            }
            Operation::GetOrInsertMissProtected => {
                awaited!(|_n| cache.get_with_by_ref(fresh.next::<K>().borrow(), async { COMPUTED })
                    => value if *value == COMPUTED)
            }
            Operation::InsertInvalidate => awaited!(|n| async {
                cache.insert(K::owned(keys, n), n).await;
                cache.remove(K::resident(keys, n).borrow()).await
            } => Some(_)),
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::Stampede => stampede::tasks::<K, _, _>(cache, |cache, key, load| async move {
                cache.get_with_by_ref(key.borrow(), async { load.compute().await }).await == 1
            }),
            _ => return Err(missing(operation)),
        })
    }
}

impl Peer for Sync {
    const NAME: &'static str = "moka (sync)";
    const PACKAGE: Option<&'static str> = Some("moka");

    type Cache<K: KeyForm + ?Sized> = sync::Cache<K::Owned, u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported> {
        Ok(sync::Cache::new(capacity as u64))
    }

    async fn get<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: &K) -> bool {
        cache.get(key).is_some()
    }

    async fn insert<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: K::Owned, value: u64) -> bool {
        cache.insert(key, value);
        true
    }

    async fn settle<K: KeyForm + ?Sized>(cache: &Self::Cache<K>) {
        cache.run_pending_tasks();
    }

    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported> {
        let cache = Self::filled::<K>(keys)?;
        let fresh = FreshKeys::starting_at(ENTRIES);
        Ok(match operation {
            Operation::Hit => called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_)),
            Operation::HitTtl => {
                let cache = sync::Cache::builder().max_capacity(CAPACITY as u64).time_to_live(TTL).build();
                let cache = Self::fill::<K>(cache, keys);
                called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_))
            }
            Operation::Miss => called!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => called!(|n| cache.insert(K::owned(keys, n), n) => ()),
            Operation::GetOrInsertHitProtected => {
                called!(|n| cache.get_with_by_ref(K::resident(keys, n).borrow(), || COMPUTED)
                    => value if *value != COMPUTED)
            }
            Operation::GetOrInsertMissProtected => {
                called!(|_n| cache.get_with_by_ref(fresh.next::<K>().borrow(), || COMPUTED)
                    => value if *value == COMPUTED)
            }
            Operation::InsertInvalidate => called!(|n| {
                cache.insert(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::Stampede => return Err("blocks the thread"),
            _ => return Err(missing(operation)),
        })
    }
}
