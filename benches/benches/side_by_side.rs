//! What a cache operation costs, next to the engine it is built on.
//!
//! `cargo bench -p cachet-benches` runs everything; a word after `--` picks the scenarios whose names contain it, and
//! `--quick` measures less.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cachet::telemetry::Stats;
use cachet::{Cache, CacheEventHandler, CacheOperationEvent, Interest, RequestId, RequestIdExt, SpanPolicy, Tier};
use cachet_benches::{ALLOCATOR, CountingAllocator, Effort, Suite, Table, awaited, ready};

#[global_allocator]
static GLOBAL: &CountingAllocator = ALLOCATOR;

/// Resident entries; capacities are larger, so that nothing is evicted.
const ENTRIES: u64 = 10_000;
const CAPACITY: usize = 20_000;

#[derive(Default)]
struct Counting(AtomicU64);

impl CacheEventHandler for Counting {
    fn interest(&self) -> Interest {
        Interest::OPERATIONS
    }

    fn on_operation_event(&self, _event: &CacheOperationEvent<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Timing(AtomicU64);

impl CacheEventHandler for Timing {
    fn interest(&self) -> Interest {
        Interest::OPERATIONS | Interest::TIMING
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        let nanos = event.duration().map_or(0, |duration| u64::from(duration.subsec_nanos()));
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

struct Everything;

impl CacheEventHandler for Everything {}

/// What is measured lives as long as the process.
fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn filled_u64(cache: Cache<u64, u64>) -> &'static Cache<u64, u64> {
    for key in 0..ENTRIES {
        let _ = ready(cache.insert(key, key));
    }
    keep(cache)
}

fn memory(capacity: usize) -> Tier<u64, u64> {
    Tier::memory(capacity)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let filter = arguments.iter().find(|argument| !argument.starts_with("--")).cloned().unwrap_or_default();
    let effort =
        if quick { Effort { rounds: 11, operations: 20_000 } } else { Effort { rounds: 101, operations: 50_000 } };

    // Sixteen bytes each, and spread over the shards like the numbers.
    let texts: &[String] = keep((0..ENTRIES).map(|key| format!("{key:016x}")).collect::<Vec<_>>());
    let text = move |number: u64| texts[usize::try_from(number % ENTRIES).unwrap_or(0)].as_str();
    let mut suite = Suite::new();

    let raw = keep(quick_cache::sync::Cache::<u64, u64>::new(CAPACITY));
    let raw_str = keep(quick_cache::sync::Cache::<String, u64>::new(CAPACITY));
    for key in 0..ENTRIES {
        raw.insert(key, key);
        raw_str.insert(texts[usize::try_from(key).unwrap_or(0)].clone(), key);
    }
    let plain = filled_u64(Cache::builder("plain").tier(memory(CAPACITY)).build());
    let plain_str = keep(Cache::<str, u64>::builder("plain").tier(Tier::memory(CAPACITY)).build());
    for text in texts {
        let _ = ready(plain_str.insert(text.as_str(), 1_u64));
    }
    suite.add("raw quick_cache: hit u64", move |n| raw.get(&(n % ENTRIES)));
    suite.compare_loop("hit u64", "raw quick_cache: hit u64", awaited!(|n| plain.get(&(n % ENTRIES))));
    suite.add("raw quick_cache: hit str", move |n| raw_str.get(text(n)));
    suite.compare_loop("hit str", "raw quick_cache: hit str", awaited!(|n| plain_str.get(text(n))));
    suite.add("raw quick_cache: miss u64", move |n| raw.get(&(ENTRIES + n)));
    suite.compare_loop("miss u64", "raw quick_cache: miss u64", awaited!(|n| plain.get(&(ENTRIES + n))));
    suite.add("raw quick_cache: insert over u64", move |n| raw.insert(n % ENTRIES, n));
    suite.compare_loop(
        "insert over u64",
        "raw quick_cache: insert over u64",
        awaited!(|n| plain.insert(n % ENTRIES, n)),
    );
    suite.compare_loop("contains u64", "hit u64", awaited!(|n| plain.contains(&(n % ENTRIES))));

    let ttl = filled_u64(Cache::builder("ttl").tier(memory(CAPACITY).ttl(Duration::from_hours(1))).build());
    suite.compare_loop("hit u64, tier has a ttl", "hit u64", awaited!(|n| ttl.get(&(n % ENTRIES))));

    let counting = Arc::new(Counting::default());
    let counted = filled_u64(Cache::builder("counted").tier(memory(CAPACITY)).event_handler(counting).build());
    suite.compare_loop("hit u64, counting handler", "hit u64", awaited!(|n| counted.get(&(n % ENTRIES))));
    let timing = Arc::new(Timing::default());
    let timed = filled_u64(Cache::builder("timed").tier(memory(CAPACITY)).event_handler(timing).build());
    suite.compare_loop("hit u64, timing handler", "hit u64", awaited!(|n| timed.get(&(n % ENTRIES))));
    let stats = filled_u64(Cache::builder("stats").tier(memory(CAPACITY)).event_handler(Stats::new()).build());
    suite.compare_loop("hit u64, Stats", "hit u64", awaited!(|n| stats.get(&(n % ENTRIES))));
    let everything = filled_u64(Cache::builder("all").tier(memory(CAPACITY)).event_handler(Everything).build());
    suite.compare_loop("hit u64, handler that wants all", "hit u64", awaited!(|n| everything.get(&(n % ENTRIES))));

    let logged = filled_u64(Cache::builder("logged").tier(memory(CAPACITY)).enable_logs().build());
    suite.compare_loop("hit u64, logs on, no subscriber", "hit u64", awaited!(|n| logged.get(&(n % ENTRIES))));
    let slow_path = Cache::builder("slow").tier(memory(CAPACITY)).enable_logs().span_policy(SpanPolicy::SlowPath);
    let slow_path = filled_u64(slow_path.build());
    suite.compare_loop("hit u64, SlowPath, no subscriber", "hit u64", awaited!(|n| slow_path.get(&(n % ENTRIES))));

    suite.compare_loop(
        "get_or_insert hit u64",
        "hit u64",
        awaited!(|n| plain.get_or_insert(&(n % ENTRIES), || async { 0_u64 })),
    );
    let raw_runtime = keep(quick_cache::sync::Cache::<u64, u64>::new(CAPACITY));
    let mut next = 0;
    suite.add("raw quick_cache: get_or_insert_async miss", move |_| {
        next += 1;
        ready(raw_runtime.get_or_insert_async(&next, async { Ok::<_, ()>(1) }))
    });
    let computing = keep(Cache::<u64, u64>::builder("computing").tier(memory(CAPACITY)).build());
    let next_key = keep(AtomicU64::new(1));
    suite.compare_loop(
        "get_or_insert miss u64",
        "raw quick_cache: get_or_insert_async miss",
        awaited!(|_number| computing.get_or_insert(&next_key.fetch_add(1, Ordering::Relaxed), || async { 1_u64 })),
    );

    let protected = Cache::<u64, u64>::builder("protected").tier(memory(CAPACITY)).stampede_protection();
    let protected = filled_u64(protected.build());
    suite.compare_loop(
        "get_or_insert hit u64, stampede protection",
        "get_or_insert hit u64",
        awaited!(|n| protected.get_or_insert(&(n % ENTRIES), || async { 0_u64 })),
    );
    let alone = keep(Cache::<u64, u64>::builder("alone").tier(memory(CAPACITY)).stampede_protection().build());
    let next_alone = keep(AtomicU64::new(1));
    suite.compare_loop(
        "get_or_insert miss u64, stampede protection",
        "raw quick_cache: get_or_insert_async miss",
        awaited!(|_number| alone.get_or_insert(&next_alone.fetch_add(1, Ordering::Relaxed), || async { 1_u64 })),
    );

    let two = Cache::<u64, u64>::builder("two").tier(memory(0)).tier(memory(CAPACITY).name("l2")).build();
    let two = filled_u64(two);
    suite.compare_loop("second-tier hit, promotion turned away", "hit u64", awaited!(|n| two.get(&(n % ENTRIES))));
    // The first tier holds fewer entries than are asked for in turn, so that every lookup is promoted.
    let small = filled_u64(Cache::builder("small").tier(memory(64)).tier(memory(CAPACITY).name("l2")).build());
    suite.compare_loop("second-tier hit with promotion", "hit u64", awaited!(|n| small.get(&(n * 64 % ENTRIES))));

    suite.add("a ready future", move |n| ready(std::future::ready(n)));
    suite.compare("a ready future, WithRequestId", "a ready future", |n| {
        let id = RequestId::from_u64(n + 1).unwrap_or_else(RequestId::next);
        ready(async { black_box(RequestId::current()) }.with_request_id(id))
    });
    suite.add("RequestId::next", move |_| RequestId::next());

    println!("cachet {} on quick_cache; {effort:?}; nanoseconds per operation", env!("CARGO_PKG_VERSION"));
    println!("{}", Table(&suite.run(&filter, effort)));
    println!("size of the future of `get`: {} bytes", size_of_val(&two.get(&0)));
    println!(
        "size of the future of `get_or_insert`: {} bytes",
        size_of_val(&two.get_or_insert(&0, || async { 0_u64 }))
    );
}
