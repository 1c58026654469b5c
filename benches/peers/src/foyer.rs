//! `foyer`'s cache in memory.

use std::borrow::Borrow;
use std::io;

use cachet_benches::bench::{Bench, runtime};
use cachet_benches::keys::{COMPUTED, ENTRIES, FreshKeys, KeyForm, Keys};
use cachet_benches::operation::Operation;
use cachet_benches::peer::{Peer, Unsupported};
use cachet_benches::{awaited, called, stampede};
use foyer_memory::Cache;

/// `foyer` without its disk. Fetching starts tasks, so it runs in Tokio.
#[derive(Debug)]
pub(crate) struct Memory;

impl Peer for Memory {
    const NAME: &'static str = "foyer (memory)";
    const PACKAGE: Option<&'static str> = Some("foyer-memory");

    type Cache<K: KeyForm + ?Sized> = Cache<K::Owned, u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported> {
        Ok(Cache::builder(capacity).build())
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
            Operation::InsertOver => called!(|n| cache.insert(K::owned(keys, n), n) => _),
            Operation::GetOrInsertHitProtected => awaited!(in runtime(), |n| cache.get_or_fetch(
                K::resident(keys, n).borrow(), || async { Ok::<_, io::Error>(COMPUTED) })
                => Ok(entry) if *entry.value() != COMPUTED),
            Operation::GetOrInsertMissProtected => awaited!(in runtime(), |_n| cache.get_or_fetch(
                fresh.next::<K>().borrow(), || async { Ok::<_, io::Error>(COMPUTED) })
                => Ok(entry) if *entry.value() == COMPUTED),
            Operation::InsertInvalidate => called!(|n| {
                cache.insert(K::owned(keys, n), n);
                cache.remove(K::resident(keys, n).borrow())
            } => Some(_)),
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::Stampede => stampede::tasks::<K, _, _>(cache, |cache, key, load| async move {
                let load = || async move { Ok::<_, io::Error>(load.compute().await) };
                cache.get_or_fetch(key.borrow(), load).await.is_ok()
            }),
            Operation::GetOrInsertHit | Operation::GetOrInsertMiss => return Err("always protects"),
            Operation::HitTtl => return Err("no time to live"),
            Operation::HitCounted => return Err("reports removals only"),
            Operation::HitLogged | Operation::HitAccepted => return Err("no logs of operations"),
            Operation::FirstTierHit | Operation::SecondTierHit => return Err("its second tier is a disk"),
            Operation::GetMany | Operation::InsertMany => return Err("one key at a time"),
        })
    }
}
