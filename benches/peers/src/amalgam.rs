//! `amalgam-cache`, whose keys are texts.

use std::borrow::Borrow;
use std::future::{IntoFuture, Ready, ready};
use std::time::Duration;

use amalgam::{Cache, EntryOptions, FactoryContext, FactoryError, source};
use cachet_benches::bench::{Bench, runtime};
use cachet_benches::keys::{CAPACITY, COMPUTED, ENTRIES, FreshKeys, KeyForm, Keys};
use cachet_benches::operation::Operation;
use cachet_benches::peer::{Peer, Unsupported};
use cachet_benches::{awaited, stampede};

/// `amalgam-cache`, in memory only. Its work may continue in tasks, so it runs in Tokio.
#[derive(Debug)]
pub(crate) struct Amalgam;

fn text<K: KeyForm + ?Sized>(key: &impl Borrow<K>) -> &str {
    key.borrow().as_text().unwrap_or_default()
}

type Factory = fn(FactoryContext<u64>) -> Ready<Result<u64, FactoryError>>;

/// A source that is ready at once.
fn computed() -> Factory {
    source::factory(|_| ready(Ok(COMPUTED)))
}

impl Peer for Amalgam {
    const NAME: &'static str = "amalgam-cache";
    const PACKAGE: Option<&'static str> = Some("amalgam-cache");

    type Cache<K: KeyForm + ?Sized> = Cache<u64>;

    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Cache<u64>, Unsupported> {
        if K::NAME != str::NAME {
            return Err("keys are texts");
        }
        let options = EntryOptions::new(Duration::from_hours(1));
        let builder = Cache::<u64>::builder().max_capacity(capacity as u64).default_options(options);
        builder.try_build().map_err(|_| "refuses its configuration")
    }

    async fn get<K: KeyForm + ?Sized>(cache: &Cache<u64>, key: &K) -> bool {
        matches!(cache.try_get(key.as_text().unwrap_or_default()).await, Ok(Some(_)))
    }

    async fn insert<K: KeyForm + ?Sized>(cache: &Cache<u64>, key: K::Owned, value: u64) -> bool {
        cache.set(text::<K>(&key), value).await.is_ok()
    }

    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported> {
        let cache = Self::filled::<K>(keys)?;
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
                // A full cache, since eviction takes most of the time.
                for number in ENTRIES..CAPACITY as u64 {
                    let set = on.block_on(async { cache.set(text::<K>(&K::prepared(keys, number)), number).await });
                    assert!(set.is_ok(), "the cache does not fill");
                }
                let fresh = FreshKeys::starting_at(CAPACITY as u64);
                awaited!(in on, |_n| cache.get_or_set(text::<K>(&fresh.next::<K>()), computed()).into_future()
                    => Ok(value) if *value == COMPUTED)
            }
            Operation::InsertInvalidate => awaited!(in on, |n| async {
                let set = cache.set(text::<K>(&K::resident(keys, n)), n).await;
                (set, cache.remove(text::<K>(&K::resident(keys, n))).await)
            } => (Ok(()), Ok(()))),
            Operation::Mixed => Self::mixed::<K>(keys, 1)?,
            Operation::MixedByTwo => Self::mixed::<K>(keys, 2)?,
            Operation::Stampede => stampede::tasks::<K, _, _>(cache, |cache, key, load| async move {
                let load = source::factory(|_| async move { Ok::<u64, FactoryError>(load.compute().await) });
                cache.get_or_set(text::<K>(&key).to_owned(), load).await.is_ok()
            }),
            Operation::GetOrInsertHit | Operation::GetOrInsertMiss => return Err("always protects"),
            Operation::HitCounted => return Err("its events go through a channel, to be counted elsewhere"),
            Operation::HitLogged | Operation::HitAccepted => return Err("logs are not switched on by cache"),
            Operation::FirstTierHit | Operation::SecondTierHit => {
                return Err("its second tier is a server's, of bytes");
            }
            Operation::GetMany | Operation::InsertMany => return Err("one key at a time"),
        })
    }
}
