//! `Tier::breaker`: a tier that is down costs a probe now and then, and not its time limit at every call.

use cachet::telemetry::TierOperation::{Clear, Get, GetMany, Insert, Invalidate, Len};
use cachet::testing::Behavior::{Fail, Hang, Panic, Work};
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, Tier};
use cachet_tests::{ManualTask, ready};

use crate::{Ages, Mock, TestCache, secs, stored, value};

/// A memory tier above one whose breaker opens after two failures, for ten seconds.
fn cache(
    configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>,
) -> (TestCache, Mock) {
    let below = Mock::new();
    let builder = Ages::builder("ages")
        .tier(Tier::memory(100).name("l1").ttl(secs(60)))
        .tier(Tier::new(below.clone()).name("l2").timeout(secs(1)).breaker(2, secs(10)));
    (TestCache::new(configure(builder)), below)
}

/// The same after the failures.
fn open_cache() -> (TestCache, Mock) {
    let (test, below) = cache(|builder| builder);
    below.always(Get, Fail("down"));
    for _ in 0..2 {
        assert!(ready(test.cache.get("ada")).unwrap_err().is_tier());
    }
    test.lines();
    (test, below)
}

// S49
#[test]
fn it_opens_after_so_many_failures_in_a_row_and_closes_after_a_probe() {
    let (test, below) = cache(|builder| builder);
    below.next(Get, Fail("down"));
    below.next(Get, Work);
    for _ in 0..2 {
        below.next(Get, Fail("down"));
    }
    for _ in 0..4 {
        let _ = ready(test.cache.get("ada"));
    }
    assert_eq!(
        test.lines(),
        [
            "l1 get: miss",
            "l2 get: error (fallback)",
            "get: error",
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "get: miss",
            "l1 get: miss",
            "l2 get: error (fallback)",
            "get: error",
            "l1 get: miss",
            "l2 get: error (fallback)",
            "l2 breaker: opened (fallback)",
            "get: error",
        ]
    );
    assert!(test.cache.tier_status()[1].breaker_open);
    test.clock.advance(secs(9));
    let error = ready(test.cache.get("ada")).unwrap_err();
    assert_eq!(format!("{error:#}"), "cache tier `l2` was not called: its breaker is open");
    assert!(error.is_breaker_open() && error.is_tier() && !error.is_timeout());
    assert_eq!((error.error_type(), error.tier_name()), ("breaker_open", Some("l2")));
    assert_eq!(test.lines(), ["l1 get: miss", "l2 get: skipped (fallback)", "get: error"]);
    assert_eq!(below.calls().len(), 4);

    test.clock.advance(secs(1));
    assert_eq!(value(&test.cache, "ada"), None);
    assert_eq!(test.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "l2 breaker: closed (fallback)", "get: miss"]);
    assert!(!test.cache.tier_status()[1].breaker_open);
}

// S49
#[test]
fn a_probe_that_fails_keeps_it_open_for_as_long_again() {
    let (test, below) = open_cache();
    for _ in 0..3 {
        test.clock.advance(secs(10));
        for _ in 0..5 {
            assert!(ready(test.cache.get("ada")).is_err());
        }
        // It had been open, so nothing has opened.
        let lines = test.lines();
        assert_eq!(lines[..3], ["l1 get: miss", "l2 get: error (fallback)", "get: error"]);
        assert_eq!(lines[3..6], ["l1 get: miss", "l2 get: skipped (fallback)", "get: error"]);
    }
    assert_eq!(below.calls().len(), 2 + 3);
}

// S49
#[test]
fn one_probe_at_a_time_and_another_if_it_is_dropped_or_panics() {
    let (test, below) = open_cache();
    test.clock.advance(secs(10));
    below.next(Get, Hang);
    let mut probe = ManualTask::new(test.cache.get("ada"));
    probe.pend(1);
    assert!(ready(test.cache.get("ada")).unwrap_err().is_breaker_open());
    drop(probe);
    below.next(Get, Panic("bug"));
    let panicking = std::panic::AssertUnwindSafe(|| ready(test.cache.get("ada")));
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert!(ready(test.cache.get("ada")).unwrap_err().is_breaker_open(), "the panic was a failure");
    test.clock.advance(secs(10));
    below.next(Get, Work);
    assert_eq!(value(&test.cache, "ada"), None);
    assert!(!test.cache.tier_status()[1].breaker_open);
}

// S49
#[test]
fn a_time_limit_that_is_exceeded_is_a_failure() {
    let (test, below) = cache(|builder| builder);
    below.always(Get, Hang);
    for _ in 0..2 {
        let mut reading = ManualTask::new(test.cache.get("ada"));
        reading.pend(1);
        test.clock.advance(secs(1));
        assert!(reading.ready().unwrap_err().is_timeout());
    }
    assert!(ready(test.cache.get("ada")).unwrap_err().is_breaker_open());
}

// S44, S45, S58: what is not written there may not be read there either, until it has been removed.
#[test]
fn a_write_fails_at_once_and_its_key_is_owed() {
    let (test, below) = open_cache();
    below.put("ada", 1);
    let inserted = ready(test.cache.insert("ada", 2));
    assert!(inserted.unwrap_err().is_breaker_open());
    assert!(ready(test.cache.invalidate("bob")).unwrap_err().is_breaker_open());
    assert!(ready(test.cache.insert_many([("eve", 3)])).remove(0).unwrap_err().is_breaker_open());
    assert_eq!(
        test.lines(),
        [
            "l1 insert: inserted",
            "l2 insert: skipped",
            "insert: error",
            "l1 invalidate: invalidated",
            "l2 invalidate: skipped",
            "invalidate: error",
            "l1 insert_many: inserted",
            "l2 insert_many: skipped",
            "insert_many: error",
        ]
    );
    assert_eq!(test.cache.tier_status()[1].owed_keys, 3);
    assert_eq!(below.calls(), [Get, Get]);
    // The probe, and then what is owed.
    test.clock.advance(secs(61));
    below.always(Get, Work);
    assert_eq!(value(&test.cache, "zoe"), None);
    assert_eq!(below.calls(), [Get, Get, Get, Invalidate, Invalidate, Invalidate]);
    assert_eq!((test.cache.tier_status()[1].owed_keys, stored(&below, "ada")), (0, None));
    assert_eq!(value(&test.cache, "ada"), None);
}

// S14: it counts as one that has failed.
#[test]
fn a_cache_that_fails_closed_or_serves_stale_entries_takes_it_for_a_failure() {
    let (test, below) = cache(|builder| builder.fail_closed().serve_stale_on_error(secs(3600)));
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(secs(61));
    below.always(Get, Fail("down"));
    for _ in 0..4 {
        assert_eq!(value(&test.cache, "ada"), Some(1));
        assert!(
            ready(test.cache.get_or_insert("bob", || async { crate::must_not_run::<u32>() })).unwrap_err().is_tier()
        );
    }
    assert_eq!(below.calls().iter().filter(|call| **call == Get).count(), 2);
}

// S55
#[test]
fn of_several_keys_a_call_has_failed_if_all_have() {
    let (test, below) = cache(|builder| builder);
    below.always(GetMany, Fail("down"));
    for _ in 0..2 {
        assert!(ready(test.cache.get_many(["ada", "bob"])).iter().all(Result::is_err));
    }
    test.lines();
    let results = ready(test.cache.get_many(["ada", "bob"]));
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().is_breaker_open()));
    assert_eq!(test.lines(), ["l1 get_many: miss", "l2 get_many: skipped (fallback)", "get_many: error"]);
}

// S49: every method of the tier.
#[test]
fn it_guards_every_method() {
    let below = Mock::new();
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(below.clone()).name("l1").breaker(1, secs(10))));
    below.next(Insert, Fail("down"));
    below.next(Invalidate, Fail("down"));
    assert!(ready(test.cache.insert("ada", 1)).is_err());
    let calls = below.calls();
    assert!(ready(test.cache.get("ada")).is_ok(), "skipped, since it is owed");
    assert!(ready(test.cache.contains("bob")).is_err());
    assert!(ready(test.cache.len()).is_err());
    assert!(ready(test.cache.clear()).is_err());
    assert!(ready(test.cache.invalidate_many(["ada"])).remove(0).is_err());
    assert_eq!(below.calls(), calls);
    assert!(!calls.contains(&Len) && !calls.contains(&Clear));
    assert!(test.cache.tier_status()[0].distrusts_older);
}

// A tier that answers at once costs nothing when it fails.
#[test]
fn it_is_of_no_use_to_a_tier_that_answers_at_once() {
    let test = TestCache::new(Ages::builder("ages").tier(Tier::memory(10).name("l1").breaker(1, secs(10))));
    ready(test.cache.insert("ada", 1)).unwrap();
    assert_eq!(value(&test.cache, "ada"), Some(1));
    assert!(!test.cache.tier_status()[0].breaker_open);
}
