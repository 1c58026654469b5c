//! What the library takes: allocations, bytes of futures, and what its types promise to the compiler.

use std::mem::size_of_val;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cachet::telemetry::{
    Buffered, CacheOperation, Filtered, Histogram, OperationOutcome, Sampled, Stats, TierOperation, TierOutcome,
    TierStats,
};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent, EventMask, RecordKeys, WithRequestId};
use cachet::testing::{MockTier, RecordingHandler};
use cachet::typestate::HasTier;
use cachet::{
    Cache, CacheBuilder, CacheEntry, CacheEventHandler, Clock, Error, InsertOutcome, InsertPolicy, ManualClock,
    RequestId, Tier, TierContext,
};
use cachet_tests::{collected, ready};

type Numbers = Cache<u64, u64>;

const ACCEPTED: InsertOutcome = InsertOutcome::Accepted;

/// Counts what it receives, and listens to this.
#[derive(Clone)]
struct Counting(EventMask, Arc<AtomicU64>);

impl Counting {
    fn new(interest: EventMask) -> Self {
        Self(interest, Arc::default())
    }
}

impl CacheEventHandler for Counting {
    fn interest(&self) -> EventMask {
        self.0
    }

    fn on_tier_event(&self, _: &CacheTierEvent<'_>) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    fn on_operation_event(&self, _: &CacheOperationEvent<'_>) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often `work` allocates, after it has run once to warm up.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    allocation_counter::measure(work).count_total
}

type Listen = fn(CacheBuilder<u64, u64, HasTier>) -> CacheBuilder<u64, u64, HasTier>;

/// Every way to listen that has to be free of allocations.
fn listeners() -> [(&'static str, Listen); 5] {
    [
        ("no listener", |builder| builder),
        ("a counting handler", |builder| builder.event_handler(Counting::new(EventMask::OPERATIONS))),
        ("a handler that wants everything", |builder| builder.event_handler(Counting::new(EventMask::ALL))),
        ("logs without a subscriber", CacheBuilder::enable_logs),
        ("stats", |builder| builder.event_handler(Stats::new())),
    ]
}

// What the counts below would be if they counted nothing.
#[test]
fn allocations_are_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

// S6, S36
#[test]
fn memory_allocates_nothing_for_reads_and_overwrites_whoever_listens() {
    for (who, listen) in listeners() {
        for ttl in [None, Some(Duration::from_mins(1))] {
            let tier = Tier::memory(1000).name("l1");
            let tier = if let Some(ttl) = ttl { tier.ttl(ttl) } else { tier };
            let cache = listen(Numbers::builder("numbers").tier(tier)).build();
            ready(cache.insert(1_u64, 1)).unwrap();
            let counts = [
                ("hit", allocations(|| assert!(ready_in_place(cache.get(&1)).unwrap().is_some()))),
                ("miss", allocations(|| assert!(ready_in_place(cache.get(&2)).unwrap().is_none()))),
                ("contains", allocations(|| assert!(ready_in_place(cache.contains(&1)).unwrap()))),
                ("contains not", allocations(|| assert!(!ready_in_place(cache.contains(&2)).unwrap()))),
                ("insert over", allocations(|| assert_eq!(ready_in_place(cache.insert(1_u64, 2)).unwrap(), ACCEPTED))),
                ("invalidate nothing", allocations(|| ready_in_place(cache.invalidate(&3)).unwrap())),
                ("len", allocations(|| assert!(ready_in_place(cache.len()).unwrap().is_some()))),
                (
                    "get_or_insert, hit",
                    allocations(|| assert_eq!(*ready_in_place(cache.get_or_insert(&1, || async { 1 })).unwrap(), 2)),
                ),
                (
                    "try_get_or_insert, hit",
                    allocations(|| {
                        assert_eq!(
                            *ready_in_place(cache.try_get_or_insert(&1, || async { Ok::<u64, Error>(1) })).unwrap(),
                            2
                        );
                    }),
                ),
                (
                    "optionally_get_or_insert, hit",
                    allocations(|| {
                        assert!(
                            ready_in_place(cache.optionally_get_or_insert(&1, || async { Some(1) })).unwrap().is_some()
                        );
                    }),
                ),
            ];
            for (what, count) in counts {
                assert_eq!(count, 0, "{what}, with {who}, time to live {ttl:?}");
            }
        }
    }
}

/// Polls on the stack: a box for the future would be counted.
#[track_caller]
fn ready_in_place<F: Future>(future: F) -> F::Output {
    use std::task::{Context, Poll, Waker};
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("pending"),
    }
}

// S6: keys are looked up borrowed.
#[test]
fn a_lookup_by_str_allocates_nothing() {
    let cache = Cache::<str, u64>::builder("names").tier(Tier::memory(1000)).build();
    ready(cache.insert("ada", 1)).unwrap();
    let counts = [
        allocations(|| assert!(ready_in_place(cache.get("ada")).unwrap().is_some())),
        allocations(|| assert!(ready_in_place(cache.get("bob")).unwrap().is_none())),
        allocations(|| assert!(ready_in_place(cache.contains("ada")).unwrap())),
        allocations(|| ready_in_place(cache.invalidate("bob")).unwrap()),
        allocations(|| assert_eq!(*ready_in_place(cache.get_or_insert("ada", || async { 2 })).unwrap(), 1)),
    ];
    assert_eq!(counts, [0; 5]);
}

// S13: a hit of the second tier, both in memory, with its promotion.
#[test]
fn a_promotion_between_two_memory_tiers_allocates_nothing_whoever_listens() {
    for (who, listen) in listeners() {
        let cache =
            listen(Numbers::builder("numbers").tier(Tier::memory(1).name("l1")).tier(Tier::memory(1000).name("l2")))
                .build();
        for number in 0..8_u64 {
            ready(cache.insert(number, number)).unwrap();
        }
        // Each read evicts the other from the first tier.
        let round = || {
            for number in [0, 1] {
                assert!(ready_in_place(cache.get(&number)).unwrap().is_some());
            }
        };
        for _ in 0..4 {
            round();
        }
        assert_eq!(allocations(round), 0, "with {who}");
    }
}

// The lists that are passed on and given back, whatever the number of keys; nothing for each of them.
#[test]
fn an_operation_of_several_keys_allocates_its_lists_whoever_listens() {
    for (who, listen) in listeners() {
        let cache = listen(Numbers::builder("numbers").tier(Tier::memory(1000).name("l1"))).build();
        let hundred: [u64; 100] = std::array::from_fn(|number| number as u64);
        let pairs = || hundred.map(|number| (number, number));
        collected(ready(cache.insert_many(pairs()))).unwrap();
        let absent = hundred.map(|number| number + 1000);
        let counts = [
            allocations(|| assert!(ready_in_place(cache.get_many(&hundred)).iter().all(Result::is_ok))),
            allocations(|| assert!(ready_in_place(cache.get_many(&hundred[..3])).iter().all(Result::is_ok))),
            allocations(|| assert!(ready_in_place(cache.get_many(&absent)).iter().all(Result::is_ok))),
            allocations(|| drop(ready_in_place(cache.get_many::<u64>([])))),
            allocations(|| assert_eq!(ready_in_place(cache.insert_many(pairs())).len(), 100)),
            allocations(|| drop(ready_in_place(cache.invalidate_many(&absent)))),
        ];
        assert_eq!(counts, [13, 8, 13, 0, 9, 4], "with {who}");
    }
}

// S24, S25: no other operation wants the key.
#[test]
fn a_miss_that_is_computed_with_stampede_protection_allocates_twice_at_most() {
    for (who, listen) in listeners() {
        let cache =
            listen(Numbers::builder("numbers").tier(Tier::memory(1000).name("l1")).stampede_protection()).build();
        let mut left = 100;
        // Each one is a miss, and its value is stored.
        let mut compute = || {
            ready_in_place(cache.invalidate(&1)).unwrap();
            left -= 1;
            assert_eq!(*ready_in_place(cache.get_or_insert(&1, || async { left })).unwrap(), left);
        };
        let mut counts = [0; 8].map(|_: u64| allocations(&mut compute));
        counts.sort_unstable();
        assert!(counts[7] <= 2, "with {who}: {counts:?}");
    }
}

// A tier that may wait is asked through one box for the operation, and two for each call: its own future, and what the cache
// does around that.
#[test]
fn a_tier_that_may_wait_costs_two_boxes_per_call_and_one_for_the_operation() {
    let below = MockTier::<u64, u64>::new();
    let cache = Numbers::builder("numbers").tier(Tier::memory(100)).tier(Tier::new(below)).build();
    // What the scripted tier allocates for itself has been allocated when it has warmed up, but for its list of calls.
    for _ in 0..100 {
        drop(ready_in_place(cache.get(&1)));
    }
    let counts: Vec<u64> =
        (0..8).map(|_| allocations(|| assert!(ready_in_place(cache.get(&1)).unwrap().is_none()))).collect();
    assert!(counts.iter().filter(|count| **count == 3).count() >= 7, "{counts:?}");
}

// S7
#[test]
fn futures_are_small() {
    let below = MockTier::<str, String>::new();
    let cache =
        Cache::<str, String>::builder("names").tier(Tier::memory(10)).tier(Tier::new(below)).enable_logs().build();
    let compute = || async { String::new() };
    let sizes = [
        ("get", size_of_val(&cache.get("ada"))),
        ("contains", size_of_val(&cache.contains("ada"))),
        ("insert", size_of_val(&cache.insert("ada", "x".to_owned()))),
        ("invalidate", size_of_val(&cache.invalidate("ada"))),
        ("clear", size_of_val(&cache.clear())),
        ("len", size_of_val(&cache.len())),
        ("get_or_insert", size_of_val(&cache.get_or_insert("ada", compute))),
        ("try_get_or_insert", size_of_val(&cache.try_get_or_insert("ada", || async { Ok::<_, Error>(String::new()) }))),
        (
            "optionally_get_or_insert",
            size_of_val(&cache.optionally_get_or_insert("ada", || async { Some(String::new()) })),
        ),
        ("get_many", size_of_val(&cache.get_many(["ada", "bob"]))),
        ("insert_many", size_of_val(&cache.insert_many([("ada", "x".to_owned())]))),
        ("invalidate_many", size_of_val(&cache.invalidate_many(["ada", "bob"]))),
    ];
    for (name, size) in sizes {
        assert!(size <= 256, "the future of {name} takes {size} bytes; all: {sizes:?}");
    }
}

fn is_send<T: Send>(_: &T) {}

// S7
#[test]
fn every_future_is_send() {
    let cache = Cache::<str, String>::builder("names").tier(Tier::new(MockTier::new())).build();
    is_send(&cache.get("ada"));
    is_send(&cache.contains("ada"));
    is_send(&cache.insert("ada", String::new()));
    is_send(&cache.invalidate("ada"));
    is_send(&cache.clear());
    is_send(&cache.len());
    is_send(&cache.get_or_insert("ada", || async { String::new() }));
    is_send(&cache.try_get_or_insert("ada", || async { Ok::<_, Error>(String::new()) }));
    is_send(&cache.optionally_get_or_insert("ada", || async { Some(String::new()) }));
    is_send(&cache.get_many(["ada"]));
    is_send(&cache.insert_many([("ada", String::new())]));
    is_send(&cache.invalidate_many(["ada"]));
}

// S7: what the types promise; that this compiles is the test.
#[test]
fn types_keep_their_promises() {
    fn handle<T: Clone + Send + Sync + std::fmt::Debug + 'static>() {}
    fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
    fn source<T: std::error::Error + Send + Sync>() {}
    fn sendable<T: Send>() {}
    handle::<Cache<str, String>>();
    handle::<Cache<[u8], Vec<u8>>>();
    handle::<Error>();
    handle::<CacheEntry<String>>();
    handle::<Clock>();
    handle::<ManualClock>();
    handle::<RequestId>();
    handle::<EventMask>();
    handle::<Stats>();
    handle::<TierStats>();
    handle::<Buffered>();
    handle::<InsertPolicy<str, String>>();
    handle::<RecordKeys<str>>();
    handle::<TierContext<str>>();
    handle::<CacheTierEvent<'static>>();
    handle::<CacheOperationEvent<'static>>();
    handle::<TierOperation>();
    handle::<TierOutcome>();
    handle::<CacheOperation>();
    handle::<OperationOutcome>();
    handle::<MockTier<str, String>>();
    handle::<RecordingHandler>();
    shared::<Histogram>();
    shared::<Filtered<Stats>>();
    shared::<Sampled<Stats>>();
    source::<Error>();
    sendable::<Tier<str, String>>();
    sendable::<WithRequestId<std::future::Ready<()>>>();
}

// S36: handlers are kept as trait objects.
#[test]
fn the_handler_trait_is_object_safe() {
    let handler: Box<dyn CacheEventHandler> = Box::new(Counting::new(EventMask::NONE));
    assert_eq!(handler.interest(), EventMask::NONE);
    let shared: Arc<dyn CacheEventHandler> = Arc::new(Stats::new());
    let cache = Numbers::builder("numbers").tier(Tier::memory(1)).event_handler(shared).event_handler(handler).build();
    assert!(ready(cache.get(&1)).unwrap().is_none());
}
