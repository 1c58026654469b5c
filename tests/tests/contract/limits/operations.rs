//! S49: how long an operation, and how long a loader may take.

use std::future::pending;
use std::pin::Pin;

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::testing::Behavior::{Fail, Hang};
use cachet::testing::MockTier;
use cachet::typestate::HasTier;
use cachet::{Cache, CacheBuilder, Error, Tier};
use cachet_tests::{ManualTask, ready};

use super::{Ages, LIMIT, Mock, NANO, NOT_YET, TestCache, must_not_run, secs, stored, value};

/// A cache of a memory tier and a scripted one, with more settings.
fn cache(
    configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>,
) -> (TestCache, Mock) {
    let below = Mock::new();
    let builder = Ages::builder("ages")
        .tier(Tier::memory(100).name("l1").ttl(secs(60)))
        .tier(Tier::new(below.clone()).name("l2"));
    (TestCache::new(configure(builder)), below)
}

type Operation = for<'c> fn(&'c Ages) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'c>>;

// S49, S35
#[test]
fn every_operation_ends_when_its_time_is_over() {
    let operations: [(&str, Operation, &[&str]); 10] = [
        (
            "get",
            |cache| Box::pin(async { cache.get("ada").await.map(drop) }),
            &["l1 get: miss", "l2 get: cancelled (fallback)", "get: error"],
        ),
        (
            "contains",
            |cache| Box::pin(async { cache.contains("ada").await.map(drop) }),
            &["l1 contains: miss", "l2 contains: cancelled (fallback)", "contains: error"],
        ),
        (
            "get_or_insert",
            |cache| Box::pin(async { cache.get_or_insert("ada", || async { must_not_run::<u32>() }).await.map(drop) }),
            &["l1 get: miss", "l2 get: cancelled (fallback)", "get_or_insert: error"],
        ),
        (
            "get_many",
            |cache| Box::pin(async { cache.get_many(["ada", "bob"]).await.remove(1).map(drop) }),
            &["l1 get_many: miss", "l2 get_many: cancelled (fallback)", "get_many: error"],
        ),
        (
            "insert",
            |cache| Box::pin(async { cache.insert("ada", 1).await.map(drop) }),
            &["l1 insert: inserted", "l2 insert: cancelled", "insert: error"],
        ),
        (
            "insert_many",
            |cache| Box::pin(async { cache.insert_many([("ada", 1)]).await.remove(0).map(drop) }),
            &["l1 insert_many: inserted", "l2 insert_many: cancelled", "insert_many: error"],
        ),
        (
            "invalidate",
            |cache| Box::pin(async { cache.invalidate("ada").await }),
            &["l1 invalidate: invalidated", "l2 invalidate: cancelled", "invalidate: error"],
        ),
        (
            "invalidate_many",
            |cache| Box::pin(async { cache.invalidate_many(["ada"]).await.remove(0) }),
            &["l1 invalidate_many: invalidated", "l2 invalidate_many: cancelled", "invalidate_many: error"],
        ),
        (
            "clear",
            |cache| Box::pin(async { cache.clear().await }),
            &["l1 clear: cleared", "l2 clear: cancelled", "clear: error"],
        ),
        (
            "try_get_or_insert",
            |cache| {
                Box::pin(async { cache.try_get_or_insert("ada", || async { Err::<u32, _>("no") }).await.map(drop) })
            },
            &["l1 get: miss", "l2 get: cancelled (fallback)", "try_get_or_insert: error"],
        ),
    ];
    for (name, operation, lines) in operations {
        for protected in [false, true] {
            let (test, below) = cache(|builder| {
                let builder = builder.time_limit(LIMIT);
                if protected { builder.stampede_protection() } else { builder }
            });
            for call in cachet::telemetry::TierOperation::ALL {
                below.next(*call, Hang);
            }
            let mut running = ManualTask::new(operation(&test.cache));
            running.pend(1);
            test.clock.advance(NOT_YET);
            running.pend(1);
            assert_eq!(running.wakes(), 0, "{name}");
            test.clock.advance(NANO);
            assert_eq!(running.wakes(), 1, "{name}");
            let error = running.ready().unwrap_err();
            assert!(error.is_timeout() && !error.is_tier(), "{name}");
            assert_eq!(format!("{error:#}"), "the cache operation did not end in time: its time limit is 1s");
            assert_eq!((error.error_type(), error.tier_name()), ("timeout", None));
            assert_eq!(test.lines(), lines, "{name}");
        }
    }
}

// S49, S24
#[test]
fn what_has_to_wait_for_nothing_needs_no_timer() {
    let below = MockTier::new();
    // With neither a runtime nor a manual clock.
    let cache = Cache::<str, u32>::builder("ages")
        .tier(Tier::memory(100))
        .tier(Tier::new(below.clone()))
        .time_limit(LIMIT)
        .load_timeout(LIMIT)
        .build();
    assert_eq!(*ready(cache.get_or_insert("ada", || async { 1 })).unwrap(), 1);
    assert_eq!(value(&cache, "ada"), Some(1));
    below.next(Get, Hang);
    assert!(ready(cache.get("bob")).unwrap_err().is_no_runtime());
    assert!(ready(cache.get_or_insert("eve", pending::<u32>)).unwrap_err().is_no_runtime());
}

// S44, S45, S49
#[test]
fn a_write_whose_time_is_over_leaves_no_older_value_to_be_read() {
    let (test, below) = cache(|builder| builder.time_limit(LIMIT));
    below.put("ada", 1);
    below.next(Insert, Hang);
    let mut inserting = ManualTask::new(test.cache.insert("ada", 2));
    inserting.pend(1);
    test.clock.advance(LIMIT);
    assert!(inserting.ready().unwrap_err().is_timeout());
    assert_eq!(value(&test.cache, "ada"), Some(2));
    test.clock.advance(secs(61));
    assert_eq!(value(&test.cache, "ada"), None, "although it is still there");
    assert_eq!(stored(&below, "ada"), Some(1));
}

// S49, S50
#[test]
fn a_loader_whose_time_is_over_fails_for_all_who_wait_and_the_next_call_loads() {
    let (test, _below) = cache(|builder| builder.load_timeout(LIMIT).stampede_protection());
    let cache = &test.cache;
    let mut leader = ManualTask::new(cache.get_or_insert("ada", pending::<u32>));
    leader.pend(1);
    let mut follower = ManualTask::new(cache.get_or_insert("ada", || async { must_not_run::<u32>() }));
    follower.pend(1);
    test.clock.advance(LIMIT);
    for error in [leader.ready().unwrap_err(), follower.ready().unwrap_err()] {
        assert!(error.is_timeout() && !error.is_tier() && !error.is_load());
        assert_eq!(format!("{error:#}"), "the loader did not end in time: its time limit is 1s");
    }
    assert_eq!(*ready(cache.get_or_insert("ada", || async { 2 })).unwrap(), 2);
}

// S49
#[test]
fn a_loader_has_its_own_time_also_where_it_is_the_only_thing_to_wait_for() {
    for protected in [false, true] {
        let builder = Ages::builder("ages").tier(Tier::memory(100).name("l1")).load_timeout(LIMIT);
        let test = TestCache::new(if protected { builder.stampede_protection() } else { builder });
        let mut loading = ManualTask::new(test.cache.try_get_or_insert("ada", pending::<Result<u32, Error>>));
        loading.pend(1);
        test.clock.advance(LIMIT);
        assert!(loading.ready().unwrap_err().is_timeout());
        assert_eq!(test.lines(), ["l1 get: miss", "try_get_or_insert: error"]);
    }
}

// S49: stale-if-error
#[test]
fn an_expired_entry_is_served_in_place_of_a_loader_that_takes_too_long() {
    let (test, below) = cache(|builder| builder.load_timeout(LIMIT).serve_stale_on_error(secs(3600)));
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(secs(61));
    below.always(Get, Fail("unplugged"));
    let mut loading = ManualTask::new(test.cache.get_or_insert("ada", pending::<u32>));
    loading.pend(1);
    test.clock.advance(LIMIT);
    assert_eq!(*loading.ready().unwrap(), 1);
}

// S26, S49, S59: the followers of a lookup do not share the fate of its leader.
#[test]
fn a_leader_whose_time_is_over_leaves_the_lookup_to_a_follower() {
    let (test, below) = cache(|builder| builder.time_limit(LIMIT).stampede_protection());
    below.next(Get, Hang);
    below.put("ada", 1);
    let mut leader = ManualTask::new(test.cache.get("ada"));
    leader.pend(1);
    test.clock.advance(NOT_YET);
    let mut follower = ManualTask::new(test.cache.get("ada"));
    follower.pend(1);
    test.clock.advance(NANO);
    assert!(leader.ready().unwrap_err().is_timeout());
    assert_eq!(*follower.ready().unwrap().unwrap(), 1);
}
