//! One summary line per operation, made in two ways that have to agree.
//!
//! 1. `FromCompletion` reads it off the completion event, which carries the operation's tier events in order.
//! 2. `Accumulator` is told the tier events one by one as they happen, collects them by request id, and writes the line
//!    when the completion event arrives.
//!
//! **Use the first.** It is a few lines, holds no state, and cannot leak. The second is for consumers that cannot keep
//! the trail together, such as a pipeline that ships every event by itself and joins them elsewhere: it costs a
//! shared map and a copy of every event, and whoever may lose completion events (a queue that overflows, a sampler)
//! needs a bound on top, since what was collected for such an operation would stay for ever.
//!
//! ```text
//! cargo run -p cachet-examples --example telemetry_accumulator
//! ```

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cachet::telemetry::TierOperation;
use cachet::{
    Cache, CacheEntry, CacheEventHandler, CacheOperationEvent, CacheTier, CacheTierEvent, Error, InsertOutcome,
    EventMask, RequestId, Tier, cache_tier,
};
use dashmap::DashMap;

/// Finished lines, by the id of their operation.
type Lines = Mutex<BTreeMap<RequestId, String>>;

/// The first way: everything is in the completion event.
#[derive(Default)]
struct FromCompletion {
    lines: Lines,
}

impl CacheEventHandler for FromCompletion {
    fn interest(&self) -> EventMask {
        // The trail is what fills `event.tiers()`. The events of tiers themselves are not asked for.
        EventMask::OPERATIONS | EventMask::TRAIL | EventMask::TIMING
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        keep(&self.lines, event.request_id(), summary(event, event.tiers()));
    }
}

/// The second way: tier events are collected until the completion event of their operation arrives.
#[derive(Default)]
struct Accumulator {
    /// Several threads work on different operations at once, so the map has to take concurrent writes.
    unfinished: DashMap<RequestId, Vec<CacheTierEvent<'static>>>,
    lines: Lines,
}

impl CacheEventHandler for Accumulator {
    fn interest(&self) -> EventMask {
        // No trail this time.
        EventMask::OPERATIONS | EventMask::TIERS | EventMask::TIMING
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        // An eviction is no call of a tier: it happens to whichever entry has to make room, often that of another
        // key. It carries the id of the operation that caused it, if one did, and is not part of the trail.
        if event.operation() == TierOperation::Evict {
            return;
        }
        // Without an id, the tier did something outside of every operation.
        if let Some(id) = event.request_id() {
            // An event borrows from the operation. To be kept, it has to own what it refers to.
            self.unfinished.entry(id).or_default().push(event.clone().into_owned());
        }
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        // Every operation completes exactly once, after all of its tier events, however it ends. So this is the place to
        // forget it, and nothing is left behind, not even for operations that were cancelled.
        let calls = self.unfinished.remove(&event.request_id()).map(|(_, calls)| calls).unwrap_or_default();
        keep(&self.lines, event.request_id(), summary(event, &calls));
    }
}

fn keep(lines: &Lines, id: RequestId, line: String) {
    lines.lock().unwrap_or_else(PoisonError::into_inner).insert(id, line);
}

/// `#7 get 12µs: hit, in shelf | l1 get: miss 1µs | shelf get: hit 8µs | l1 insert: inserted 2µs`
fn summary(event: &CacheOperationEvent<'_>, calls: &[CacheTierEvent<'_>]) -> String {
    let mut ending =
        vec![format!("#{} {}{}: {}", event.request_id(), event.operation(), took(event.duration()), event.outcome())];
    ending.extend(event.hit_tier().map(|tier| format!("in {tier}")));
    ending.extend(event.error().map(|error| format!("{error:#}")));
    ending.extend(event.parent_request_id().map(|parent| format!("on behalf of #{parent}")));

    let mut line = vec![ending.join(", ")];
    line.extend(
        calls
            .iter()
            .map(|call| format!("{} {}: {}{}", call.tier(), call.operation(), call.outcome(), took(call.duration()))),
    );
    line.join(" | ")
}

fn took(duration: Option<Duration>) -> String {
    duration.map(|duration| format!(" {duration:.0?}")).unwrap_or_default()
}

/// A second tier that takes its time, so that operations overlap.
#[derive(Default)]
struct Shelf(DashMap<u64, CacheEntry<u64>>);

#[cache_tier(name = "shelf")]
impl CacheTier<u64, u64> for Shelf {
    async fn get(&self, key: &u64) -> Result<Option<CacheEntry<u64>>, Error> {
        tokio::time::sleep(Duration::from_micros(200)).await;
        Ok(self.0.get(key).map(|entry| entry.clone()))
    }

    async fn insert(&self, key: u64, entry: CacheEntry<u64>) -> Result<InsertOutcome, Error> {
        tokio::time::sleep(Duration::from_micros(200)).await;
        self.0.insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &u64) -> Result<(), Error> {
        self.0.remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), Error> {
        self.0.clear();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let from_completion = Arc::new(FromCompletion::default());
    let accumulator = Arc::new(Accumulator::default());
    let squares = Cache::<u64, u64>::builder("squares")
        // Too small for all keys, so that some are found only on the shelf.
        .tier(Tier::memory(20).name("l1"))
        .tier(Tier::new(Shelf::default()))
        .event_handler(Arc::clone(&from_completion))
        .event_handler(Arc::clone(&accumulator))
        .build();

    one_of_each(&squares).await?;
    many_at_once(&squares).await?;

    let from_completion = from_completion.lines.lock().unwrap_or_else(PoisonError::into_inner);
    let accumulated = accumulator.lines.lock().unwrap_or_else(PoisonError::into_inner);
    for line in from_completion.values().take(9) {
        println!("{line}");
    }
    println!("… and {} more", from_completion.len() - 9);

    assert_eq!(*from_completion, *accumulated, "both ways give the same lines, durations included");
    assert!(accumulator.unfinished.is_empty(), "nothing is left of operations that have ended");
    println!("\nBoth ways agree on all {} operations, and the accumulator is empty.", accumulated.len());
    Ok(())
}

/// Every way in which an operation can end, one after the other.
async fn one_of_each(squares: &Cache<u64, u64>) -> Result<(), Error> {
    squares.get(&3).await?;
    squares.get_or_insert(&3, || async { 9 }).await?;
    squares.get(&3).await?;

    // A closure that fails. The error is the caller's to handle; here it is only of interest what is reported.
    let failed = squares.try_get_or_insert(&4, || async { Err::<u64, _>(io::Error::other("out of paper")) }).await;
    assert!(failed.is_err_and(|error| error.is_load()));

    // A closure that asks the cache again: an operation of its own, which names the one it works for.
    squares
        .get_or_insert(&5, || async {
            let three = squares.get(&3).await.ok().flatten();
            three.map_or(25, |nine| *nine + 16)
        })
        .await?;

    // A caller that goes away half-way.
    let never = squares.get_or_insert(&6, pending::<u64>);
    assert!(tokio::time::timeout(Duration::from_millis(20), never).await.is_err());

    squares.insert(7_u64, 49).await?;
    squares.invalidate(&7).await
}

/// Four tasks on several threads: each operation keeps its own id wherever it is polled, so no events get mixed up.
async fn many_at_once(squares: &Cache<u64, u64>) -> Result<(), Box<dyn std::error::Error>> {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let squares = squares.clone();
        tasks.spawn(async move {
            for step in 0..100 {
                let key = (task * 7 + step * 3) % 50;
                squares.get_or_insert(&key, || async { key * key }).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(finished) = tasks.join_next().await {
        finished??;
    }
    Ok(())
}
