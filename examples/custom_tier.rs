//! The smallest tier of your own, line by line, and what telemetry shows of it from then on.
//!
//! A tier only stores. Expiry, the order in which tiers are asked, promotion, statistics and tracing are the cache's
//! business, so a tier is four short methods, and nothing in them is about telemetry.
//!
//! ```text
//! cargo run -p cachet-examples --example custom_tier
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cachet::telemetry::Stats;
use cachet::{
    Cache, CacheEntry, CacheEventHandler, CacheOperationEvent, CacheTier, CacheTierEvent, Error, InsertOutcome,
    EventMask, Tier, cache_tier,
};

/// Stands for whatever you want to store in: a directory, Redis, a database.
///
/// The map holds whole entries rather than values: an entry knows when it was inserted and how long it may live, and
/// the cache judges it by that when it comes back.
struct Shelf(Mutex<HashMap<String, CacheEntry<u32>>>);

impl Shelf {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, CacheEntry<u32>>> {
        // A lock is poisoned when its holder panicked. None of the methods below can leave the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// The attribute is what makes the tier visible; without it, `Tier::new` does not accept the type. The name is the one
// under which spans, events and statistics report the tier, unless the cache gives it another.
#[cache_tier(name = "shelf")]
// `str` is the key as it is looked up. What is stored is its owned form, `String`: see `insert`.
impl CacheTier<str, u32> for Shelf {
    // The key is borrowed, so that a lookup allocates nothing. That there is no entry is `Ok(None)`; an error means that
    // the tier could not find out. The cache reports the error, and asks the next tier.
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, Error> {
        Ok(self.entries().get(key).cloned())
    }

    // `Accepted` says that the entry was stored. A tier that does not want an entry, because it is too big, say, answers
    // `Rejected`, which is not an error.
    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, Error> {
        self.entries().insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    // Removing what is not there is fine.
    async fn invalidate(&self, key: &str) -> Result<(), Error> {
        self.entries().remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), Error> {
        self.entries().clear();
        Ok(())
    }

    // `peek`, `len` and a few more have defaults, which are worth overriding where the tier can do better.
}

/// Prints every operation and, below it, the tiers that took part in it.
struct Printer;

impl CacheEventHandler for Printer {
    // A handler says what it wants to be told, and the cache finds out no more than that.
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS | EventMask::TRAIL
    }

    // Printing inline is all right for an example. A handler of a real program must not block.
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
    // One entry is there already, as it would be in a storage that outlives the process.
    let shelf = Shelf(Mutex::new(HashMap::from([("ada".to_owned(), CacheEntry::new(36))])));
    let stats = Stats::new();
    let ages = Cache::<str, u32>::builder("ages")
        .tier(Tier::memory(100).name("l1"))
        .tier(Tier::new(shelf))
        .event_handler(Printer)
        .event_handler(stats.clone())
        .build();

    println!("get \"ada\", which only the shelf has: it is promoted into l1 on the way");
    ages.get("ada").await?;

    println!("\nget \"ada\" again: the shelf is not asked any more");
    ages.get("ada").await?;

    println!("\nget \"bob\", whom nobody knows: every tier is asked");
    ages.get("bob").await?;

    println!("\nget or insert \"bob\": computed, and stored in every tier");
    ages.get_or_insert("bob", || async { 41 }).await?;

    println!("\ninvalidate \"ada\": removed from every tier");
    ages.invalidate("ada").await?;

    print!("\nWhat `Stats` counted meanwhile:\n\n{stats}");
    Ok(())
}
