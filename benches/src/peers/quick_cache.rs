//! The engine of cachet's memory tier: the limit of what cachet can reach.

use std::borrow::Borrow;

use quick_cache::sync::Cache;

use crate::bench::Bench;
use crate::keys::{COMPUTED, ENTRIES, FreshKeys, KeyForm, Keys};
use crate::operation::Operation;
use crate::peer::{Peer, Unsupported};
use crate::{awaited, called, stampede};

/// Raw `quick_cache`.
#[derive(Debug)]
pub(crate) struct QuickCache;

impl Peer for QuickCache {
    const NAME: &'static str = "quick_cache";
    const PACKAGE: Option<&'static str> = Some("quick_cache");

    type Cache<K: KeyForm + ?Sized> = Cache<K::Owned, u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported> {
        Ok(Cache::new(capacity))
    }

    async fn get<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: &K) -> bool {
        cache.get(key).is_some()
    }

    async fn insert<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: K::Owned, value: u64) -> bool {
        cache.insert(key, value);
        true
    }

    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported> {
        let cache = Self::filled::<K>(keys)?;
        let fresh = FreshKeys::starting_at(ENTRIES);
        Ok(match operation {
            Operation::Hit => called!(|n| cache.get(K::resident(keys, n).borrow()) => Some(_)),
            Operation::Miss => called!(|n| cache.get(K::absent(keys, n).borrow()) => None),
            Operation::InsertOver => called!(|n| cache.insert(K::owned(keys, n), n) => ()),
            Operation::GetOrInsertHitProtected => awaited!(|n| cache.get_or_insert_async(
                K::resident(keys, n).borrow(), async { Ok::<_, ()>(COMPUTED) }) => Ok(value) if *value != COMPUTED),
            Operation::GetOrInsertMissProtected => awaited!(|_n| cache.get_or_insert_async(
                fresh.next::<K>().borrow(), async { Ok::<_, ()>(COMPUTED) }) => Ok(value) if *value == COMPUTED),
            Operation::GetMany => {
                let held = K::all(keys);
                called!(|n| K::hundred(&held, n).map(|key| cache.get(key)).collect::<Vec<_>>()
                    => found if found.iter().all(Option::is_some))
                .with_elements(100)
            }
            Operation::InsertMany => {
                let held = K::all(keys);
                called!(|n| K::hundred(&held, n).for_each(|key| cache.insert(key.to_owned(), n)) => ())
                    .with_elements(100)
            }
            Operation::InsertInvalidate => called!(|n| {
                cache.insert(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::Stampede => stampede::tasks::<K, _, _>(cache, |cache, key, load| async move {
                let load = async { Ok::<_, ()>(load.compute().await) };
                cache.get_or_insert_async(key.borrow(), load).await.is_ok()
            }),
            Operation::GetOrInsertHit | Operation::GetOrInsertMiss => return Err("always protects"),
            Operation::HitTtl => return Err("no time to live"),
            Operation::HitCounted => return Err("no handlers"),
            Operation::HitLogged | Operation::HitAccepted => return Err("no logs"),
            Operation::FirstTierHit | Operation::SecondTierHit => return Err("one tier"),
        })
    }
}
