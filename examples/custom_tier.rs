//! The smallest custom tier, explained line by line, and its telemetry.
//!
//! A tier implements lookups and storage in four short methods, without code for telemetry. The cache implements expiry, the order
//! of tiers, promotion, statistics and tracing.
//!
//! ```text
//! cargo run -p cachet-examples --example custom_tier
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cachet::telemetry::Stats;
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent, EventMask};
use cachet::{Cache, CacheEntry, CacheEventHandler, CacheTier, Error, InsertOutcome, Tier, TierError, cache_tier};

/// A placeholder for a real storage: a directory, Redis, a database.
///
/// The map stores whole entries rather than values: an entry contains its time of insertion and its time to live, which the cache
/// checks when it reads the entry.
struct Shelf(Mutex<HashMap<String, CacheEntry<u32>>>);

impl Shelf {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, CacheEntry<u32>>> {
        // A panic poisons the lock, but none of the methods below can leave the map in an inconsistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// The attribute adds the telemetry; `Tier::new` accepts only annotated types. Spans, events and statistics report the tier under
// this name, unless `Tier::name` sets another one.
#[cache_tier(name = "shelf")]
// `str` is the borrowed form of the key. `insert` receives its owned form, `String`.
impl CacheTier<str, u32> for Shelf {
    // The key is borrowed, so a lookup does not allocate. A missing entry is `Ok(None)`. An error means that the lookup failed: the
    // cache reports it and asks the next tier.
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(self.entries().get(key).cloned())
    }

    // `Accepted` means that the entry was stored. A tier that does not accept an entry, for example because it is too large, returns
    // `Rejected`, which is not an error.
    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.entries().insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    // A missing entry is not an error.
    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        self.entries().remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.entries().clear();
        Ok(())
    }

    // `metadata`, `len`, `get_many` and others have defaults. Override them if the storage has a faster way.
}

/// Prints every operation and its tier calls.
struct Printer;

impl CacheEventHandler for Printer {
    // The cache collects only the data that its handlers request.
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS | EventMask::TRAIL
    }

    // Printing inline is acceptable in an example. A handler in production must not block.
    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        println!("  {}: {}", event.operation(), event.outcome());
        for call in event.tiers() {
            println!("    {}", describe(call));
        }
    }
}

fn describe(call: &CacheTierEvent<'_>) -> String {
    format!("{:<6} {:<10} -> {}", call.tier(), call.operation(), call.outcome())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // The shelf already has one entry, like a storage that outlives the process.
    let shelf = Shelf(Mutex::new(HashMap::from([("ada".to_owned(), CacheEntry::new(36))])));
    let stats = Stats::new();
    let ages = Cache::<str, u32>::builder("ages")
        .tier(Tier::memory(100).name("l1"))
        .tier(Tier::new(shelf))
        .event_handler(Printer)
        .event_handler(stats.clone())
        .build();

    println!("get \"ada\", which only the shelf has: it is promoted into l1");
    ages.get("ada").await?;

    println!("\nget \"ada\" again: l1 has it now");
    ages.get("ada").await?;

    println!("\nget \"bob\", which no tier has: every tier is asked");
    ages.get("bob").await?;

    println!("\nget or insert \"bob\": computed, and stored in every tier");
    ages.get_or_insert("bob", || async { 41 }).await?;

    println!("\ninvalidate \"ada\": removed from every tier");
    ages.invalidate("ada").await?;

    print!("\nThe counters of `Stats`:\n\n{stats}");
    Ok(())
}
