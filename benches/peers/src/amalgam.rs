//! `amalgam-cache`, whose keys are texts.

use std::borrow::Borrow;
use std::future::{IntoFuture, Ready, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amalgam::{Cache, EntryOptions, FactoryContext, FactoryError, source};
use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, KeyForm, Keys};
use cachet_benches::measure::{Loop, runtime};
use cachet_benches::peers::{Offer, Operation, Peer};
use cachet_benches::replay::Replay;
use cachet_benches::{awaited, contention, stampede};

/// `amalgam-cache`, in memory only. Its work may go on in tasks, so it runs in Tokio.
#[derive(Debug)]
pub(crate) struct Amalgam;

fn text<K: KeyForm + ?Sized>(key: &impl Borrow<K>) -> &str {
    key.borrow().as_text().unwrap_or_default()
}

fn memory() -> Offer<Cache<u64>> {
    Cache::<u64>::builder()
        .max_capacity(CAPACITY as u64)
        .default_options(EntryOptions::new(Duration::from_hours(1)))
        .try_build()
        .map_err(|_| "refuses its configuration")
}

type Factory = fn(FactoryContext<u64>) -> Ready<Result<u64, FactoryError>>;

/// A source that is ready at once.
fn computed() -> Factory {
    source::factory(|_| ready(Ok(COMPUTED)))
}

impl Peer for Amalgam {
    const NAME: &'static str = "amalgam-cache";
    const PACKAGE: Option<&'static str> = Some("amalgam-cache");

    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop> {
        if K::resident(keys, 0).borrow().as_text().is_none() {
            return Err("keys are texts");
        }
        let cache = memory()?;
        // Full, where new keys come: making room is what takes its time.
        let count = if operation == Operation::GetOrInsertMissProtected { CAPACITY as u64 } else { ENTRIES };
        runtime().block_on(async {
            for number in 0..count {
                let set = cache.set(text::<K>(&K::prepared(keys, number)), number).await;
                assert!(set.is_ok(), "the cache does not fill");
            }
        });
        let on = runtime();
        Ok(match operation {
            // There is always a time to live.
            Operation::Hit | Operation::HitTtl => {
                awaited!(in on, |n| cache.try_get(text::<K>(&K::resident(keys, n))).into_future() => Ok(Some(_)))
            }
            Operation::Miss => {
                awaited!(in on, |n| cache.try_get(text::<K>(&K::absent(keys, n))).into_future() => Ok(None))
            }
            Operation::InsertOver => {
                awaited!(in on, |n| cache.set(text::<K>(&K::resident(keys, n)), n).into_future() => Ok(()))
            }
            Operation::GetOrInsertHitProtected => {
                awaited!(in on, |n| cache.get_or_set(text::<K>(&K::resident(keys, n)), computed()).into_future()
                    => Ok(value) if *value != COMPUTED)
            }
            Operation::GetOrInsertMissProtected => {
                let next = AtomicU64::new(CAPACITY as u64);
                awaited!(in on, |_n| cache
                    .get_or_set(text::<K>(&K::fresh(next.fetch_add(1, Ordering::Relaxed))), computed())
                    .into_future() => Ok(value) if *value == COMPUTED)
            }
            Operation::InsertInvalidate => awaited!(in on, |n| async {
                let set = cache.set(text::<K>(&K::resident(keys, n)), n).await;
                (set, cache.remove(text::<K>(&K::resident(keys, n))).await)
            } => (Ok(()), Ok(()))),
            Operation::Mixed => mixed::<K>(keys, cache, 1),
            Operation::MixedByTwo => mixed::<K>(keys, cache, 2),
            Operation::Stampede => stampede::tasks(move |number, load| {
                let cache = cache.clone();
                async move {
                    let key = K::fresh(ENTRIES + number);
                    let load = source::factory(|_| async move { Ok::<u64, FactoryError>(load.compute().await) });
                    cache.get_or_set(text::<K>(&key).to_owned(), load).await.is_ok()
                }
            }),
            Operation::GetOrInsertHit | Operation::GetOrInsertMiss => return Err("always protects"),
            Operation::HitCounted => return Err("its events go through a channel, to be counted elsewhere"),
            Operation::HitLogged | Operation::HitAccepted => return Err("logs are not switched on by cache"),
            Operation::FirstTierHit | Operation::SecondTierHit => {
                return Err("its second tier is a server's, of bytes");
            }
            Operation::GetMany => return Err("one key at a time"),
        })
    }

    fn replay(_capacity: usize) -> Offer<Replay> {
        Err("keys are texts")
    }
}

fn mixed<K: KeyForm + ?Sized>(keys: Keys, cache: Cache<u64>, threads: usize) -> Loop {
    let writer = cache.clone();
    contention::mixed::<K>(
        keys,
        threads,
        runtime(),
        async move |key: &K| matches!(cache.try_get(key.as_text().unwrap_or_default()).await, Ok(Some(_))),
        async move |key: K::Owned, value| writer.set(text::<K>(&key), value).await.is_ok(),
    )
}
