//! S39, and what panics of tiers and closures do.

mod tiers;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cachet::telemetry::TierOperation::{self, Clear, Contains, Get, Insert, Invalidate, Len};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent, EventMask};
use cachet::telemetry::{OperationOutcome, Stats};
use cachet::testing::Behavior::Panic;
use cachet::testing::RecordingHandler;
use cachet::{CacheEntry, CacheEventHandler, InsertPolicy, RequestId, Tier};
use cachet_tests::task::pend;
use cachet_tests::tiers::Immediate;
use cachet_tests::{ManualTask, events, invariants, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, secs, stored, value};

fn panic_with(text: &str) -> u32 {
    panic!("{text}")
}

/// The text of the panic that `work` unwinds with.
#[track_caller]
fn panic_of<T>(work: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else { panic!("no panic") };
    assert_eq!(RequestId::current(), None, "a request id outlived a panic");
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).to_owned())
}

// A panic of a tier unwinds, is reported, and the cache stays usable.
#[test]
fn a_panicking_tier_is_reported_and_harms_only_its_caller() {
    type Call = fn(&Ages);
    let calls: [(TierOperation, Call, &[&str]); 6] = [
        (Get, |cache| drop(ready(cache.get("ada"))), &["l1 get: panicked", "get: panicked"]),
        (Contains, |cache| drop(ready(cache.contains("ada"))), &["l1 contains: panicked", "contains: panicked"]),
        (Insert, |cache| drop(ready(cache.insert("ada", 1))), &["l1 insert: panicked", "insert: panicked"]),
        (
            Invalidate,
            |cache| ready(cache.invalidate("ada")).unwrap(),
            &["l1 invalidate: panicked", "invalidate: panicked"],
        ),
        (Clear, |cache| ready(cache.clear()).unwrap(), &["l1 clear: panicked", "clear: panicked"]),
        (Len, |cache| drop(ready(cache.len())), &["l1 len: panicked", "len: panicked"]),
    ];
    for (operation, call, expected) in calls {
        let two = TwoTiers::new();
        two.l1.next(operation, Panic("boom"));
        assert_eq!(panic_of(|| call(&two.cache)), "boom");
        let recorded = two.events();
        assert_eq!(events::lines(&recorded), expected);
        let error = events::tiers(&recorded)[0].error().unwrap();
        assert_eq!((error.is_panic(), error.tier_name()), (true, Some("l1")));
        assert_eq!(format!("{error:#}"), "cache tier `l1` panicked: boom");
        assert!(events::completion(&recorded).error().is_none());

        ready(two.cache.insert("ada", 1)).unwrap();
        assert_eq!(value(&two.cache, "ada"), Some(1));
    }
}

// The same in the second tier, whose siblings have been called.
#[test]
fn a_panicking_second_tier_leaves_what_the_first_has_done() {
    let two = TwoTiers::new();
    two.l2.next(Insert, Panic("boom"));
    panic_of(|| ready(two.cache.insert("ada", 1)));
    assert_eq!(two.lines(), ["l1 insert: inserted", "l2 insert: panicked", "insert: panicked"]);
    two.l2.next(Get, Panic("boom"));
    panic_of(|| ready(two.cache.get("bob")));
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: panicked (fallback)", "get: panicked"]);
}

// A sibling that was still at work is cancelled.
#[test]
fn a_panic_cancels_the_tiers_that_had_not_answered() {
    let two = TwoTiers::new();
    two.l1.next(Insert, cachet::testing::Behavior::Hang);
    two.l2.next(Insert, Panic("boom"));
    let mut insert = ManualTask::new(two.cache.insert("ada", 1));
    panic_of(|| insert.poll());
    drop(insert);
    assert_eq!(two.lines(), ["l2 insert: panicked", "l1 insert: cancelled", "insert: panicked"]);
}

// A panic that comes after a wait.
#[test]
fn a_panic_of_a_late_poll_is_reported_as_well() {
    let two = TwoTiers::new();
    let mut compute = ManualTask::new(two.cache.get_or_insert("ada", || async {
        pend(1).await;
        panic_with("late")
    }));
    compute.pend(1);
    assert_eq!(panic_of(|| compute.poll()), "late");
    drop(compute);
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: panicked"]);
}

// A panic of the promotion's insert.
#[test]
fn a_panicking_promotion_is_reported() {
    let two = TwoTiers::new();
    two.l2.put("ada", 1);
    two.l1.next(Insert, Panic("boom"));
    panic_of(|| ready(two.cache.get("ada")));
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: panicked", "get: panicked"]);
    assert_eq!(value(&two.cache, "ada"), Some(1));
}

// A panic while an expired entry is removed is a panic of the tier, too.
#[test]
fn a_tier_that_panics_while_it_removes_an_expired_entry_is_reported() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(1)), |l2| l2);
    ready(two.cache.insert("ada", 1)).unwrap();
    two.clock.advance(secs(2));
    two.lines();
    two.l1.next(Invalidate, Panic("boom"));
    assert_eq!(panic_of(|| ready(two.cache.get("ada"))), "boom");
    let lines = two.lines();
    assert_eq!(lines.last().map(String::as_str), Some("get: panicked"), "{lines:?}");
}

// Without stampede protection a panic of the closure unwinds to the caller.
#[test]
fn a_panicking_closure_unwinds_to_the_caller_and_is_reported() {
    let two = TwoTiers::new();
    assert_eq!(panic_of(|| ready(two.cache.get_or_insert("ada", || async { panic_with("boom") }))), "boom");
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: panicked"]);
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (None, None));

    // Also one that panics before it has made a future.
    let text = panic_of(|| {
        ready(two.cache.get_or_insert("ada", || {
            panic!("earlier");
            #[expect(unreachable_code, reason = "says what type the future has")]
            async {
                1
            }
        }))
    });
    assert_eq!(text, "earlier");
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: panicked"]);

    assert_eq!(*ready(two.cache.get_or_insert("ada", || async { 1 })).unwrap(), 1);
}

// A panic of what the user has configured for a tier is one of that tier.
#[test]
fn a_panicking_insert_policy_is_reported() {
    let two = TwoTiers::with(|l1| l1.insert_policy(InsertPolicy::when(|_, _| panic!("boom"))), |l2| l2);
    assert_eq!(panic_of(|| ready(two.cache.insert("ada", 1))), "boom");
    let lines = two.lines();
    assert_eq!(lines.last().map(String::as_str), Some("insert: panicked"), "{lines:?}");
}

// A panic under the lock that orders late writes must not close the door for the next one.
#[test]
fn memory_whose_weigher_panics_goes_on_working() {
    let below = Mock::new();
    let weigh = |_: &str, value: &u32| {
        assert_ne!(*value, 13, "boom");
        1
    };
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::memory_by_weight(100, weigh).name("l1"))
            .tier(Tier::new(below.clone()).name("l2")),
    );
    below.put("ada", 13);
    panic_of(|| ready(test.cache.get("ada")));
    assert_eq!(test.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: panicked", "get: panicked"]);
    below.put("ada", 14);
    assert_eq!(value(&test.cache, "ada"), Some(14));
    assert_eq!(test.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
}

// A panic is a panic, with and without listeners.
#[test]
fn a_panicking_immediate_tier_is_reported_also_to_those_who_listen_to_operations_only() {
    /// Wants the ends of operations, and nothing else.
    struct Ends(RecordingHandler);

    impl CacheEventHandler for Ends {
        fn interest(&self) -> EventMask {
            EventMask::OPERATIONS
        }

        fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
            self.0.on_operation_event(event);
        }
    }

    let (mock, seen) = (Mock::new(), RecordingHandler::new());
    for (operation, text) in [(Get, "get"), (Insert, "insert"), (Invalidate, "invalidate"), (Clear, "clear")] {
        mock.always(operation, Panic(text));
    }
    let brittle = Immediate { drops_rejected: true, ..Immediate::new(mock) };
    let cache = Ages::builder("ages").tier(Tier::new(brittle)).event_handler(Ends(seen.clone())).build();
    assert_eq!(panic_of(|| ready(cache.get("ada"))), "get");
    assert_eq!(panic_of(|| ready(cache.contains("ada"))), "get");
    assert_eq!(panic_of(|| ready(cache.insert("ada", 1))), "insert");
    assert_eq!(panic_of(|| ready(cache.invalidate("ada"))), "invalidate");
    assert_eq!(panic_of(|| ready(cache.clear())), "clear");
    assert_eq!(panic_of(|| ready(cache.get_or_insert("ada", || async { 1 }))), "get");
    assert_eq!(
        seen.take_lines(),
        [
            "get: panicked",
            "contains: panicked",
            "insert: panicked",
            "invalidate: panicked",
            "clear: panicked",
            "get_or_insert: panicked",
        ]
    );
}

/// What a handler received, checked against the laws.
#[track_caller]
fn lines(seen: &RecordingHandler) -> Vec<String> {
    let recorded = seen.take();
    invariants::check(&recorded);
    recorded.iter().map(ToString::to_string).collect()
}

/// Panics at every event.
struct Bomb;

impl CacheEventHandler for Bomb {
    fn on_tier_event(&self, _: &CacheTierEvent<'_>) {
        panic!("tier bomb");
    }

    fn on_operation_event(&self, _: &CacheOperationEvent<'_>) {
        panic!("operation bomb");
    }
}

// S39
#[test]
fn a_panicking_handler_harms_nobody_and_is_counted() {
    let (before, after) = (RecordingHandler::new(), RecordingHandler::new());
    let cache = Ages::builder("ages")
        .tier(Tier::memory(10).name("l1"))
        .tier(Tier::new(Mock::new()).name("l2"))
        .event_handler(before.clone())
        .event_handler(Bomb)
        .event_handler(after.clone())
        .build();
    assert_eq!(cache.handler_panics(), 0);
    ready(cache.insert("ada", 1)).unwrap();
    assert_eq!(value(&cache, "ada"), Some(1));
    assert_eq!(value(&cache, "bob"), None);
    let reported = lines(&before);
    assert_eq!(
        reported,
        [
            "l1 insert: inserted",
            "l2 insert: inserted",
            "insert: inserted",
            "l1 get: hit",
            "get: hit",
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "get: miss",
        ]
    );
    assert_eq!(lines(&after), reported);
    assert_eq!(cache.handler_panics(), 8);
}

// S39: also while a panic unwinds, and while a future is dropped.
#[test]
fn a_handler_that_panics_during_an_unwinding_or_a_drop_harms_nobody() {
    let (mock, seen) = (Mock::new(), RecordingHandler::new());
    let cache = Ages::builder("ages")
        .tier(Tier::new(mock.clone()).name("l1"))
        .event_handler(Bomb)
        .event_handler(seen.clone())
        .build();
    mock.next(Get, Panic("boom"));
    assert_eq!(panic_of(|| ready(cache.get("ada"))), "boom");
    mock.next(Get, cachet::testing::Behavior::Hang);
    let mut get = ManualTask::new(cache.get("ada"));
    get.pend(1);
    drop(get);
    assert_eq!(lines(&seen), ["l1 get: panicked", "get: panicked", "l1 get: cancelled", "get: cancelled"]);
    assert_eq!(cache.handler_panics(), 4);
}

// S39: panics of the closure reach handlers that only count.
#[test]
fn panics_are_counted_as_such() {
    let stats = Stats::new();
    let cache = Ages::builder("ages").tier(Tier::memory(10)).event_handler(stats.clone()).build();
    panic_of(|| ready(cache.get_or_insert("ada", || async { panic!("boom") as CacheEntry<u32> })));
    let operation = cachet::telemetry::CacheOperation::GetOrInsert;
    assert_eq!(stats.operations(operation, OperationOutcome::Panicked), 1);
    assert_eq!(stats.operations_of(operation), 1);
}
