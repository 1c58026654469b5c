//! S36: logs enabled, and no subscriber in the whole process.

use std::time::Duration;

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::telemetry::{CacheOperationEvent, SpanLevel, SpanPolicy};
use cachet::testing::{Behavior, MockTier, RecordingHandler};
use cachet::{Cache, CacheEventHandler, RequestId, Tier};
use cachet_tests::{ManualTask, invariants, ready};

type Ages = Cache<str, u32>;

// S36
#[test]
fn without_a_subscriber_everything_works_and_handlers_are_told_everything() {
    for policy in [SpanPolicy::All, SpanPolicy::SlowPath, SpanPolicy::Off] {
        let (below, seen) = (MockTier::new(), RecordingHandler::new());
        let cache = Ages::builder("ages")
            .tier(Tier::memory(10).name("l1").ttl(Duration::from_mins(1)))
            .tier(Tier::new(below.clone()).name("l2"))
            .enable_logs()
            .span_policy(policy)
            .span_level(SpanLevel::Info)
            .event_handler(seen.clone())
            .build();
        below.put("ada", 1);
        assert!(ready(cache.get("ada")).unwrap().is_some());
        ready(cache.insert("bob", 2)).unwrap();
        assert_eq!(*ready(cache.get_or_insert("eve", || async { 3 })).unwrap(), 3);
        below.next(Get, Behavior::Fail("unplugged"));
        drop(ready(cache.get("absent")).unwrap_err());
        below.next(Insert, Behavior::Hang);
        ManualTask::new(cache.insert("late", 4)).pend(1);
        ready(cache.clear()).unwrap();

        let recorded = seen.take();
        invariants::check(&recorded);
        assert_eq!(
            recorded.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "l1 get: miss",
                "l2 get: hit (fallback)",
                "l1 insert: inserted",
                "get: hit",
                "l1 insert: inserted",
                "l2 insert: inserted",
                "insert: inserted",
                "l1 get: miss",
                "l2 get: miss (fallback)",
                "l1 insert: inserted",
                "l2 insert: inserted",
                "get_or_insert: computed",
                "l1 get: miss",
                "l2 get: error (fallback)",
                "get: error",
                "l1 insert: inserted",
                "l2 insert: cancelled",
                "insert: cancelled",
                "l1 clear: cleared",
                "l2 clear: cleared",
                "clear: cleared",
            ]
        );
    }
}

// S36
#[test]
fn logs_that_nobody_takes_are_free_of_ids() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).enable_logs().build();
    let mut inside = None;
    ready(cache.get_or_insert("ada", || {
        inside = Some(RequestId::current());
        async { 1 }
    }))
    .unwrap();
    assert_eq!(inside, Some(None));
}

/// Panics at every event.
struct Bomb;

impl CacheEventHandler for Bomb {
    fn on_operation_event(&self, _: &CacheOperationEvent<'_>) {
        panic!("bomb");
    }
}

// S36, S39
#[test]
fn a_panicking_handler_is_counted_even_where_nobody_can_be_warned() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).enable_logs().event_handler(Bomb).build();
    ready(cache.len()).unwrap();
    ready(cache.len()).unwrap();
    assert_eq!(cache.handler_panics(), 2);
}
