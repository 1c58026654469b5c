//! S58: an error of a write says what became of it in each tier.

use cachet::status::WriteState::{self, Applied, NotApplied, Unknown};
use cachet::telemetry::TierOperation::{Clear, Get, Insert, InsertMany, Invalidate, InvalidateMany};
use cachet::testing::Behavior::{Fail, Hang};
use cachet::{Error, InsertPolicy, Tier};
use cachet_tests::{ManualTask, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, secs};

fn states(error: &Error) -> Vec<(&str, WriteState)> {
    error.write_states().collect()
}

// S16, S58
#[test]
fn every_write_tells_of_each_tier() {
    let two = TwoTiers::new();
    two.l2.next(Insert, Fail("full"));
    let error = ready(two.cache.insert("ada", 1)).unwrap_err();
    assert_eq!(states(&error), [("l1", Applied), ("l2", Unknown)]);
    assert_eq!(error.tier_name(), Some("l2"));

    two.l1.next(Invalidate, Fail("stuck"));
    assert_eq!(states(&ready(two.cache.invalidate("ada")).unwrap_err()), [("l1", Unknown), ("l2", Applied)]);

    two.l1.next(Clear, Fail("stuck"));
    two.l2.next(Clear, Fail("stuck too"));
    let error = ready(two.cache.clear()).unwrap_err();
    assert_eq!((states(&error), error.tier_name()), (vec![("l1", Unknown), ("l2", Unknown)], Some("l1")));

    two.l1.next(InsertMany, Fail("full"));
    for result in ready(two.cache.insert_many([("ada", 1), ("bob", 2)])) {
        assert_eq!(states(&result.unwrap_err()), [("l1", Unknown), ("l2", Applied)]);
    }
    two.l2.next(InvalidateMany, Fail("stuck"));
    for result in ready(two.cache.invalidate_many(["ada", "bob"])) {
        assert_eq!(states(&result.unwrap_err()), [("l1", Applied), ("l2", Unknown)]);
    }
}

// S58
#[test]
fn a_tier_that_rejects_or_is_not_called_is_as_it_was() {
    let below = Mock::new();
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::new(Mock::new()).name("l1").insert_policy(InsertPolicy::never()))
            .tier(Tier::new(below.clone()).name("l2").breaker(1, secs(1)))
            .tier(Tier::memory(10).name("l3")),
    );
    below.next(Insert, Fail("full"));
    let error = ready(test.cache.insert("ada", 1)).unwrap_err();
    assert_eq!(states(&error), [("l1", NotApplied), ("l2", Unknown), ("l3", Applied)]);
    let error = ready(test.cache.insert("ada", 1)).unwrap_err();
    assert_eq!(states(&error), [("l1", NotApplied), ("l2", NotApplied), ("l3", Applied)]);
}

// S58
#[test]
fn a_cache_of_one_tier_says_so_too() {
    let l1 = Mock::new();
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(l1.clone()).name("l1").timeout(secs(1))));
    l1.next(Insert, Hang);
    let mut inserting = ManualTask::new(test.cache.insert("ada", 1));
    inserting.pend(1);
    test.clock.advance(secs(1));
    assert_eq!(states(&inserting.ready().unwrap_err()), [("l1", Unknown)]);
}

// S58
#[test]
fn other_errors_tell_of_no_write() {
    let two = TwoTiers::new();
    two.l1.always(Get, Fail("down"));
    let error = ready(two.cache.get("ada")).unwrap_err();
    assert_eq!(states(&error), []);
    let error = ready(two.cache.try_get_or_insert("ada", || async { Err::<u32, _>("no") })).unwrap_err();
    assert_eq!(states(&error), []);
}
