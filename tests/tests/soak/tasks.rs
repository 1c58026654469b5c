//! What each task does: operations at random, some of which it gives up.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use cachet::telemetry::CacheOperation;
use cachet::{CacheEntry, ManualClock};
use cachet_tests::task::pend;
use fastrand::Rng;

use crate::{KEYS, Numbers};

/// What has been begun, by kind.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) begun: HashMap<CacheOperation, u64>,
}

impl Done {
    pub(crate) fn add(&mut self, other: &Self) {
        for (operation, count) in &other.begun {
            *self.begun.entry(*operation).or_default() += count;
        }
    }
}

/// Counts an operation that begins.
type Begun = Mutex<Done>;

fn begins(begun: &Begun, operation: CacheOperation) {
    *begun.lock().unwrap().begun.entry(operation).or_default() += 1;
}

/// Polls so often at most, and for a second at most, then drops the future where it stands. Panics are survived.
async fn with_patience<T>(mut future: Pin<Box<dyn Future<Output = T> + Send + '_>>, polls: u32, clock: &ManualClock) {
    let (mut left, mut nap) = (polls, Box::pin(clock.sleep(Duration::from_secs(1))));
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        left -= 1;
        if left == 0 || !matches!(polled, Ok(Poll::Pending)) { Poll::Ready(()) } else { nap.as_mut().poll(cx) }
    })
    .await;
}

/// A closure that may be slow, look something else up, or panic.
async fn compute(cache: &Numbers, begun: &Begun, mut random: Rng) -> u64 {
    match random.u8(..16) {
        0..6 => pend(random.u32(1..4)).await,
        6 => {
            begins(begun, CacheOperation::Get);
            drop(cache.get(&random.u64(..KEYS)).await);
        }
        7 => resume_unwind(Box::new("boom")),
        8 => std::future::pending().await,
        _ => {}
    }
    random.u64(..1000)
}

pub(crate) async fn work(cache: Numbers, clock: ManualClock, seed: u64, operations: u32) -> Done {
    let mut random = Rng::with_seed(seed);
    let begun = Begun::default();
    for _ in 0..operations {
        // Most want the same few keys.
        let key = if random.bool() { random.u64(..8) } else { random.u64(..KEYS) };
        let keys: Vec<u64> = (0..random.usize(1..6)).map(|_| random.u64(..KEYS)).collect();
        let inner = random.fork();
        let value = random.u64(..1000);
        let (cache, begun_here) = (&cache, &begun);
        let (operation, future): (_, Pin<Box<dyn Future<Output = ()> + Send>>) = match random.u8(..32) {
            0..8 => (CacheOperation::Get, Box::pin(async { drop(cache.get(&key).await) })),
            8..10 => (CacheOperation::Contains, Box::pin(async { drop(cache.contains(&key).await) })),
            10..13 => {
                let ttl = (value.is_multiple_of(4)).then(|| Duration::from_millis(value));
                let entry = CacheEntry::new(value).with_ttl(ttl);
                (CacheOperation::Insert, Box::pin(async move { drop(cache.insert(key, entry).await) }))
            }
            13..15 => (CacheOperation::Invalidate, Box::pin(async { drop(cache.invalidate(&key).await) })),
            15 if value < 100 => (CacheOperation::Clear, Box::pin(async { drop(cache.clear().await) })),
            15 => (CacheOperation::Len, Box::pin(async { drop(cache.len().await) })),
            16..20 => (
                CacheOperation::GetOrInsert,
                Box::pin(async { drop(cache.get_or_insert(&key, || compute(cache, begun_here, inner)).await) }),
            ),
            20..23 => (
                CacheOperation::TryGetOrInsert,
                Box::pin(async {
                    let compute = || async move {
                        let value = compute(cache, begun_here, inner).await;
                        if value.is_multiple_of(3) { Err("no") } else { Ok(value) }
                    };
                    drop(cache.try_get_or_insert(&key, compute).await);
                }),
            ),
            23..26 => (
                CacheOperation::OptionallyGetOrInsert,
                Box::pin(async {
                    let compute = || async move {
                        let value = compute(cache, begun_here, inner).await;
                        (!value.is_multiple_of(3)).then_some(value)
                    };
                    drop(cache.optionally_get_or_insert(&key, compute).await);
                }),
            ),
            26..28 => (CacheOperation::GetMany, Box::pin(async { drop(cache.get_many(&keys).await) })),
            28..30 => {
                let entries: Vec<_> = keys.iter().map(|key| (*key, value)).collect();
                (CacheOperation::InsertMany, Box::pin(async { drop(cache.insert_many(entries).await) }))
            }
            _ => (CacheOperation::InvalidateMany, Box::pin(async { drop(cache.invalidate_many(&keys).await) })),
        };
        begins(&begun, operation);
        clock.advance(Duration::from_millis(1));
        let patience = if random.u8(..4) == 0 { random.u32(1..6) } else { u32::MAX };
        with_patience(future, patience, &clock).await;
    }
    begun.into_inner().unwrap()
}
