//! One summary line per operation, built in two ways that must agree.
//!
//! 1. `FromCompletion` reads the completion event, which contains the tier events of the operation in order.
//! 2. `Accumulator` receives each tier event as it happens, collects the events by request id, and builds the line when the completion
//!    event arrives.
//!
//! **Use the first.** It is short, has no state and cannot leak. The second is for a pipeline that ships every event separately and
//! joins the events elsewhere. It costs a shared map and a copy of every event. If completion events can be lost, by a full queue or
//! a sampler, the map also needs a size limit, since the events of such an operation are never removed.
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
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent, EventMask};
use cachet::{
    Cache, CacheEntry, CacheEventHandler, CacheTier, Error, InsertOutcome, RequestId, Tier, TierError, cache_tier,
};
use dashmap::DashMap;

/// Finished lines, by the id of their operation.
type Lines = Mutex<BTreeMap<RequestId, String>>;

/// The first way: reads the completion event.
#[derive(Default)]
struct FromCompletion {
    lines: Lines,
}

impl CacheEventHandler for FromCompletion {
    fn interest(&self) -> EventMask {
        // `TRAIL` fills `event.tiers()`. Single tier events are not requested.
        EventMask::OPERATIONS | EventMask::TRAIL | EventMask::TIMING
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        keep(&self.lines, event.request_id(), summary(event, event.tiers()));
    }
}

/// The second way: collects tier events until the completion event of their operation arrives.
#[derive(Default)]
struct Accumulator {
    /// Several threads run operations at the same time, so the map must support concurrent writes.
    unfinished: DashMap<RequestId, Vec<CacheTierEvent<'static>>>,
    lines: Lines,
}

impl CacheEventHandler for Accumulator {
    fn interest(&self) -> EventMask {
        // No trail here.
        EventMask::OPERATIONS | EventMask::TIERS | EventMask::TIMING
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        // An eviction is not a call of a tier and not part of the trail. It usually removes the entry of another key, and carries
        // the id of the operation that caused it, if any.
        if event.operation() == TierOperation::Evict {
            return;
        }
        // Without an id, the event happened outside of an operation.
        if let Some(id) = event.request_id() {
            // An event borrows from the operation and must be converted to be stored.
            self.unfinished.entry(id).or_default().push(event.clone().into_owned());
        }
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        // Every operation completes exactly once, after all of its tier events, also if it is cancelled. Removing the events here
        // therefore leaves none behind.
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

/// A slow second tier, so that operations overlap.
#[derive(Default)]
struct Shelf(DashMap<u64, CacheEntry<u64>>);

#[cache_tier(name = "shelf")]
impl CacheTier<u64, u64> for Shelf {
    async fn get(&self, key: &u64) -> Result<Option<CacheEntry<u64>>, TierError> {
        tokio::time::sleep(Duration::from_micros(200)).await;
        Ok(self.0.get(key).map(|entry| entry.clone()))
    }

    async fn insert(&self, key: u64, entry: CacheEntry<u64>) -> Result<InsertOutcome, TierError> {
        tokio::time::sleep(Duration::from_micros(200)).await;
        self.0.insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &u64) -> Result<(), TierError> {
        self.0.remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.clear();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let from_completion = Arc::new(FromCompletion::default());
    let accumulator = Arc::new(Accumulator::default());
    let squares = Cache::<u64, u64>::builder("squares")
        // Too small for all keys, so that only the shelf has some of them.
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

/// Runs operations with every outcome, one after the other.
async fn one_of_each(squares: &Cache<u64, u64>) -> Result<(), Error> {
    squares.get(&3).await?;
    squares.get_or_insert(&3, || async { 9 }).await?;
    squares.get(&3).await?;

    // A loader that fails. This example ignores the error and shows only its report.
    let failed = squares.try_get_or_insert(&4, || async { Err::<u64, _>(io::Error::other("out of paper")) }).await;
    assert!(failed.is_err_and(|error| error.is_load()));

    // A loader that calls the cache: a separate operation, with the outer one as its parent.
    squares
        .get_or_insert(&5, || async {
            let three = squares.get(&3).await.ok().flatten();
            three.map_or(25, |nine| *nine + 16)
        })
        .await?;

    // A caller that is cancelled half-way.
    let never = squares.get_or_insert(&6, pending::<u64>);
    assert!(tokio::time::timeout(Duration::from_millis(20), never).await.is_err());

    squares.insert(7_u64, 49).await?;
    squares.invalidate(&7).await
}

/// Runs four tasks on several threads. Each operation keeps its id on any thread, so events are never mixed up.
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
