//! How long a tier may take, how long a follower waits, how long an entry lives, and what is served when all else fails.

mod followers;
mod lifetimes;
mod operations;
mod stale;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cachet::future::RuntimeFuture;
use cachet::telemetry::TierOperation::{
    Clear, Contains, Get, GetMany, Insert, InsertMany, Invalidate, InvalidateMany, Len,
};
use cachet::testing::Behavior::{Hang, Pend, Work};
use cachet::{Error, InsertOutcome, Runtime, Tier};
use cachet_tests::events::{self, completion, tiers};
use cachet_tests::{ManualRuntime, ManualTask, collected, ready};

use crate::{Ages, Mock, NANO, TestCache, TwoTiers, must_not_run, secs, stored, value};

const LIMIT: Duration = secs(1);
const NOT_YET: Duration = LIMIT.saturating_sub(NANO);

type Operation = for<'c> fn(&'c Ages) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'c>>;

/// A second tier that may take so long.
fn limited() -> TwoTiers {
    TwoTiers::with(|l1| l1, |l2| l2.timeout(LIMIT))
}

/// A first tier that may take so long.
fn first_limited() -> TwoTiers {
    TwoTiers::with(|l1| l1.timeout(LIMIT), |l2| l2)
}

// S14, S35
#[test]
fn a_tier_that_takes_longer_than_it_may_has_failed() {
    let two = limited();
    two.l2.next(Get, Hang);
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    two.clock.advance(NOT_YET);
    get.pend(1);
    assert_eq!(get.wakes(), 0);
    two.clock.advance(NANO);
    assert_eq!(get.wakes(), 1);
    let error = get.ready().unwrap_err();
    assert!(error.is_timeout() && error.is_tier());
    assert_eq!(format!("{error:#}"), "cache tier `l2` did not answer in time: its time limit is 1s");
    let events = two.events();
    let lines = events::lines(&events);
    assert_eq!(lines, ["l1 get: miss", "l2 get: error (fallback)", "get: error"]);
    let (call, end) = (tiers(&events)[1], completion(&events));
    assert_eq!(call.error().map(Error::error_type), Some("timeout"));
    assert_eq!(end.error().map(Error::error_type), Some("timeout"));
    assert_eq!((call.duration(), end.duration()), (Some(LIMIT), Some(LIMIT)));
}

// S13, S14
#[test]
fn the_next_tier_is_asked_when_the_time_is_over() {
    let two = first_limited();
    two.l1.next(Get, Hang);
    two.l2.put("ada", 1);
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    two.clock.advance(LIMIT);
    assert_eq!(*get.ready().unwrap().unwrap(), 1);
    assert_eq!(two.lines(), ["l1 get: error", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
}

// S16, S17: every call of the tier, and every one for itself.
#[test]
fn the_limit_holds_for_every_method() {
    let cases: [(&str, Operation, &[&str]); 9] = [
        (
            "get",
            |cache| Box::pin(async { cache.get("ada").await.map(drop) }),
            &["l1 get: error", "l2 get: error (fallback)", "get: error"],
        ),
        (
            "contains",
            |cache| Box::pin(async { cache.contains("ada").await.map(drop) }),
            &["l1 contains: error", "l2 contains: error (fallback)", "contains: error"],
        ),
        (
            "insert",
            |cache| Box::pin(async { cache.insert("ada", 1).await.map(drop) }),
            &["l1 insert: error", "l2 insert: error", "insert: error"],
        ),
        (
            "invalidate",
            |cache| Box::pin(async { cache.invalidate("ada").await }),
            &["l1 invalidate: error", "l2 invalidate: error", "invalidate: error"],
        ),
        (
            "clear",
            |cache| Box::pin(async { cache.clear().await }),
            &["l1 clear: error", "l2 clear: error", "clear: error"],
        ),
        ("len", |cache| Box::pin(async { cache.len().await.map(drop) }), &["l1 len: error", "len: error"]),
        (
            "get_many",
            |cache| Box::pin(async { cache.get_many(["ada"]).await.remove(0).map(drop) }),
            &["l1 get_many: error", "l2 get_many: error (fallback)", "get_many: error"],
        ),
        (
            "insert_many",
            |cache| Box::pin(async { collected(cache.insert_many([("ada", 1)]).await).map(drop) }),
            &["l1 insert_many: error", "l2 insert_many: error", "insert_many: error"],
        ),
        (
            "invalidate_many",
            |cache| Box::pin(async { collected(cache.invalidate_many(["ada"]).await).map(drop) }),
            &["l1 invalidate_many: error", "l2 invalidate_many: error", "invalidate_many: error"],
        ),
    ];
    for (name, operation, expected) in cases {
        let two = TwoTiers::with(|l1| l1.timeout(LIMIT), |l2| l2.timeout(LIMIT));
        for kind in [Get, Contains, Insert, Invalidate, Clear, Len, GetMany, InsertMany, InvalidateMany] {
            two.l1.always(kind, Hang);
            two.l2.always(kind, Hang);
        }
        let mut stepped = ManualTask::new(operation(&two.cache));
        let error = loop {
            match stepped.poll() {
                std::task::Poll::Ready(result) => break result.unwrap_err(),
                std::task::Poll::Pending => two.clock.advance(LIMIT),
            }
        };
        assert_eq!((error.is_timeout(), error.tier_name()), (true, Some("l1")), "{name}");
        assert_eq!(two.lines(), expected, "{name}");
        // Writes of the key are not kept waiting by what has timed out.
        for kind in [Insert, Invalidate] {
            two.l1.always(kind, Work);
            two.l2.always(kind, Work);
        }
        assert_eq!(ready(two.cache.insert("ada", 2)).unwrap(), InsertOutcome::Accepted, "{name}");
    }
}

// S16: the other tiers are not held up.
#[test]
fn a_write_that_one_tier_is_too_slow_for_is_done_in_the_other() {
    let two = limited();
    two.l2.put("ada", 0);
    two.l2.next(Insert, Hang);
    let mut insert = ManualTask::new(two.cache.insert("ada", 1));
    insert.pend(1);
    assert_eq!(stored(&two.l1, "ada"), Some(1));
    two.clock.advance(LIMIT);
    assert_eq!(insert.ready().unwrap_err().tier_name(), Some("l2"));
    assert_eq!(two.lines(), ["l1 insert: inserted", "l2 insert: error", "insert: error"]);
    // Whatever it may have stored of it is not read, and is removed after the next call that succeeds (S44).
    assert_eq!(stored(&two.l2, "ada"), Some(0));
    assert!(ready(two.cache.get("bob")).unwrap().is_none());
    assert_eq!(stored(&two.l2, "ada"), None);
}

// S15
#[test]
fn a_promotion_that_takes_too_long_does_not_fail_the_read() {
    let two = first_limited();
    two.l2.put("ada", 1);
    two.l1.next(Insert, Hang);
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    two.clock.advance(LIMIT);
    assert_eq!(*get.ready().unwrap().unwrap(), 1);
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: error", "get: hit"]);
}

// S14, S22
#[test]
fn a_compute_goes_on_without_a_tier_that_is_too_slow() {
    let two = limited();
    two.l2.next(Get, Hang);
    two.l2.next(Insert, Hang);
    let mut compute = ManualTask::new(two.cache.get_or_insert("ada", || async { 1 }));
    compute.pend(1);
    two.clock.advance(LIMIT);
    compute.pend(1);
    two.clock.advance(LIMIT);
    assert_eq!(*compute.ready().unwrap(), 1);
    assert_eq!(
        two.lines(),
        [
            "l1 get: miss",
            "l2 get: error (fallback)",
            "l1 insert: inserted",
            "l2 insert: error",
            "get_or_insert: computed"
        ]
    );
}

// S14
#[test]
fn a_cache_that_fails_closed_returns_the_timeout() {
    let (l1, clock) = (Mock::new(), cachet::ManualClock::new());
    let cache =
        Ages::builder("ages").tier(Tier::new(l1.clone()).timeout(LIMIT)).fail_closed().clock(clock.clone()).build();
    l1.next(Get, Hang);
    let mut compute = ManualTask::new(cache.get_or_insert("ada", || async { must_not_run::<u32>() }));
    compute.pend(1);
    clock.advance(LIMIT);
    assert!(compute.ready().unwrap_err().is_timeout());
}

#[test]
fn every_call_has_a_limit_of_its_own() {
    let two = TwoTiers::with(|l1| l1.timeout(LIMIT), |l2| l2.timeout(LIMIT));
    two.l1.next(Get, Pend(1));
    two.l2.next(Get, Pend(1));
    two.l1.next(Insert, Pend(1));
    two.l2.put("ada", 1);
    let mut get = ManualTask::new(two.cache.get("ada"));
    for _ in 0..3 {
        get.pend(1);
        two.clock.advance(NOT_YET);
    }
    assert_eq!(*get.ready().unwrap().unwrap(), 1);
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
}

#[test]
fn an_answer_that_is_there_when_the_time_is_over_is_taken() {
    let two = limited();
    two.l2.next(Get, Pend(1));
    two.l2.put("ada", 1);
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    two.clock.advance(LIMIT * 2);
    assert_eq!(*get.ready().unwrap().unwrap(), 1);
}

#[test]
fn with_no_time_at_all_a_tier_may_not_be_waited_for() {
    let two = TwoTiers::with(|l1| l1, |l2| l2.timeout(secs(0)));
    two.l2.put("ada", 1);
    assert_eq!(value(&two.cache, "ada"), Some(1));
    two.l2.next(Get, Pend(1));
    assert!(ready(two.cache.get("bob")).unwrap_err().is_timeout());
}

// S14, S38
#[test]
fn a_call_that_takes_too_long_is_dropped() {
    let (mock, clock, dropped) = (Mock::new(), cachet::ManualClock::new(), Arc::new(AtomicBool::new(false)));
    let cache = Ages::builder("ages").tier(Tier::new(mock.clone()).timeout(LIMIT)).clock(clock.clone()).build();
    mock.next(Get, Hang);
    let flag = Arc::clone(&dropped);
    mock.cancelled(Get, move || flag.store(true, Ordering::Relaxed));
    let mut get = ManualTask::new(cache.get("ada"));
    get.pend(1);
    assert!(!dropped.load(Ordering::Relaxed));
    clock.advance(LIMIT);
    assert!(get.poll().is_ready());
    assert!(dropped.load(Ordering::Relaxed), "by the operation, which still exists");
}

// With the clock of the system, it is the runtime that waits.
#[test]
fn a_timer_is_started_when_the_tier_has_to_be_waited_for_and_ends_with_the_call() {
    let (mock, runtime) = (Mock::new(), ManualRuntime::new());
    let cache = Ages::builder("ages").tier(Tier::new(mock.clone()).timeout(LIMIT)).runtime(runtime.clone()).build();
    ready(cache.insert("ada", 1)).unwrap();
    assert_eq!(runtime.timers(), 0);
    // It answers in time.
    mock.next(Get, Pend(2));
    let mut get = ManualTask::new(cache.get("ada"));
    get.pend(2);
    assert_eq!(runtime.timers(), 1);
    assert!(get.poll().is_ready());
    assert_eq!(runtime.timers(), 0);
    // It does not.
    mock.next(Get, Hang);
    let mut get = ManualTask::new(cache.get("ada"));
    get.pend(1);
    runtime.pass(LIMIT);
    assert_eq!(get.wakes(), 1);
    assert!(matches!(get.poll(), std::task::Poll::Ready(Err(error)) if error.is_timeout()));
    assert_eq!(runtime.timers(), 0);
    // No operation waits any more.
    mock.next(Get, Hang);
    let mut get = ManualTask::new(cache.get("ada"));
    get.pend(1);
    assert_eq!(runtime.timers(), 1);
    drop(get);
    assert_eq!(runtime.timers(), 0);
}

// It answers at once, or not at all: no runtime is needed.
#[test]
fn a_tier_that_answers_at_once_is_not_affected() {
    let cache = Ages::builder("ages").tier(Tier::memory(10).timeout(secs(0))).build();
    ready(cache.insert("ada", 1)).unwrap();
    assert_eq!(value(&cache, "ada"), Some(1));
    assert_eq!(*ready(cache.get_or_insert("bob", || async { 2 })).unwrap(), 2);
    assert_eq!(ready(cache.len()).unwrap(), Some(2));
    ready(cache.clear()).unwrap();
}

/// Has its timers not enabled.
struct Timeless;

impl Runtime for Timeless {
    fn spawn(&self, _task: RuntimeFuture) {}

    fn sleep(&self, _duration: Duration) -> RuntimeFuture {
        panic!("timers are disabled")
    }
}

// S14: the tier cannot be held to its limit, so it has failed.
#[test]
fn without_a_runtime_a_limit_is_an_error_that_says_so() {
    for refuses in [false, true] {
        let (l1, l2) = (Mock::new(), Mock::new());
        let builder = Ages::builder("ages").tier(Tier::new(l1.clone()).timeout(LIMIT)).tier(Tier::new(l2.clone()));
        let cache = if refuses { builder.runtime(Timeless) } else { builder }.build();
        l2.put("ada", 1);
        l1.next(Get, Hang);
        assert_eq!(value(&cache, "ada"), Some(1));
        l1.next(Get, Hang);
        let error = ready(cache.get("bob")).unwrap_err();
        assert_eq!((error.error_type(), error.tier_name()), ("no_runtime", Some("mock")));
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(cause.as_deref(), refuses.then_some("timers are disabled"));
    }
}

// S31: a refresh waits no longer than anybody else.
#[test]
fn the_limit_holds_for_refreshes() {
    let (l2, tasks) = (Mock::new(), ManualRuntime::new());
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::memory(10).name("l1").refresh_after(secs(60)))
            .tier(Tier::new(l2.clone()).name("l2").timeout(LIMIT))
            .runtime(tasks.clone()),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(secs(60));
    l2.next(Get, Hang);
    assert_eq!(value(&test.cache, "ada"), Some(1));
    tasks.poll();
    test.clock.advance(LIMIT);
    test.lines();
    tasks.run();
    assert_eq!(test.lines(), ["l2 get: error", "refresh: error"]);
    assert_eq!((test.cache.refreshes().running, test.cache.refreshes().cooling_down), (0, 1));
}
