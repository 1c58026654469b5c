//! Expired entries, served when every other source has failed.

use std::time::Duration;

use cachet::telemetry::TierOperation::{Contains, Get, GetMany};
use cachet::testing::Behavior::{Fail, Hang};
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, CacheEntry, CacheTier, Error, ManualClock, Tier};
use cachet_tests::events::{self, completion, completions};
use cachet_tests::task::pend;
use cachet_tests::{ManualRuntime, ManualTask, ready};

use crate::{Ages, Mock, NANO, TestCache, millis, must_not_run, secs, stored, value};

const TTL: Duration = secs(10);
const MAX_AGE: Duration = secs(60);

/// Two scripted tiers, of which the first has `ada` at 1, and expired, and the second has nothing.
struct Expired {
    test: TestCache,
    l1: Mock,
    l2: Mock,
}

impl Expired {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>) -> Self {
        let (l1, l2) = (Mock::new(), Mock::new());
        let builder = Ages::builder("ages")
            .tier(Tier::new(l1.clone()).name("l1").ttl(TTL))
            .tier(Tier::new(l2.clone()).name("l2"))
            .serve_stale_on_error(MAX_AGE);
        let test = TestCache::new(configure(builder));
        ready(test.cache.insert("ada", 1)).unwrap();
        ready(l2.clear()).unwrap();
        test.clock.advance(TTL + NANO);
        test.lines();
        Self { test, l1, l2 }
    }

    fn cache(&self) -> &Ages {
        &self.test.cache
    }

    fn lines(&self) -> Vec<String> {
        self.test.lines()
    }
}

// S14, S35
#[test]
fn an_expired_entry_is_served_in_place_of_an_error_and_reported_as_stale_with_the_error() {
    let it = Expired::new();
    it.l2.next(Get, Fail("down"));
    assert_eq!(value(it.cache(), "ada"), Some(1));
    let events = it.test.events();
    let lines = events::lines(&events);
    assert_eq!(lines, ["l1 get: expired", "l2 get: error (fallback)", "get: stale"]);
    let end = completion(&events);
    assert_eq!((end.hit_tier(), end.age(), end.fallback()), (Some("l1"), Some(TTL + NANO), true));
    assert_eq!(format!("{:#}", end.error().unwrap()), "cache tier `l2` failed: down");
    // It stays, as it is, for the next time.
    it.l2.next(Get, Fail("down"));
    assert_eq!((value(it.cache(), "ada"), stored(&it.l1, "ada")), (Some(1), Some(1)));
    assert_eq!(it.lines(), ["l1 get: expired", "l2 get: error (fallback)", "get: stale"]);
}

// S12
#[test]
fn it_is_served_up_to_its_greatest_age_and_then_removed() {
    let it = Expired::new();
    it.l2.always(Get, Fail("down"));
    it.test.clock.advance(MAX_AGE.saturating_sub(TTL + NANO));
    assert_eq!(value(it.cache(), "ada"), Some(1));
    it.lines();
    it.test.clock.advance(NANO);
    assert_eq!(ready(it.cache().get("ada")).unwrap_err().tier_name(), Some("l2"));
    assert_eq!(it.lines(), ["l1 get: expired", "l2 get: error (fallback)", "get: error"]);
    assert_eq!(stored(&it.l1, "ada"), None);
}

// S12
#[test]
fn it_is_removed_once_every_source_has_answered_that_there_is_none() {
    let it = Expired::new();
    assert_eq!(value(it.cache(), "ada"), None);
    assert_eq!(it.lines(), ["l1 get: expired", "l2 get: miss (fallback)", "l1 invalidate: invalidated", "get: miss"]);
    assert_eq!(stored(&it.l1, "ada"), None);
}

#[test]
fn it_is_replaced_by_what_a_later_tier_has() {
    let it = Expired::new();
    it.l2.put("ada", 2);
    assert_eq!(value(it.cache(), "ada"), Some(2));
    assert_eq!(it.lines(), ["l1 get: expired", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
    it.l2.always(Get, Fail("down"));
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

// Without it, nothing is kept.
#[test]
fn without_being_told_to_a_cache_serves_no_expired_entry() {
    let (l1, l2) = (Mock::new(), Mock::new());
    let test = TestCache::new(
        Ages::builder("ages").tier(Tier::new(l1.clone()).name("l1").ttl(TTL)).tier(Tier::new(l2.clone()).name("l2")),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(TTL + NANO);
    l2.next(Get, Fail("down"));
    assert!(ready(test.cache.get("ada")).is_err());
    assert_eq!(stored(&l1, "ada"), None);
}

// S4
#[test]
fn contains_says_what_get_would_find() {
    let it = Expired::new();
    it.l2.next(Contains, Fail("down"));
    assert!(ready(it.cache().contains("ada")).unwrap());
    assert_eq!(it.lines(), ["l1 contains: expired", "l2 contains: error (fallback)", "contains: stale"]);
    assert!(!ready(it.cache().contains("ada")).unwrap());
    assert_eq!(
        it.lines(),
        ["l1 contains: expired", "l2 contains: miss (fallback)", "l1 invalidate: invalidated", "contains: miss"]
    );
    assert_eq!(stored(&it.l1, "ada"), None);
}

// S14, S21
#[test]
fn a_closure_that_fails_is_a_source_that_has_failed() {
    let it = Expired::new();
    let found = ready(it.cache().try_get_or_insert("ada", || async { Err::<u32, _>("renderer is down") })).unwrap();
    assert_eq!(*found, 1);
    let events = it.test.events();
    let lines = events::lines(&events);
    assert_eq!(lines, ["l1 get: expired", "l2 get: miss (fallback)", "try_get_or_insert: stale"]);
    let end = completion(&events);
    assert!(end.error().is_some_and(Error::is_load));
    assert_eq!((end.hit_tier(), end.load_duration()), (Some("l1"), Some(secs(0))));
    assert_eq!(stored(&it.l1, "ada"), Some(1));
}

// S14: fail open, and the closure has the last word.
#[test]
fn a_closure_that_gives_a_value_is_better_than_an_expired_entry() {
    for tier_fails in [true, false] {
        let it = Expired::new();
        if tier_fails {
            it.l2.next(Get, Fail("down"));
        }
        assert_eq!(*ready(it.cache().get_or_insert("ada", || async { 2 })).unwrap(), 2);
        assert_eq!(it.lines()[2..], ["l1 insert: inserted", "l2 insert: inserted", "get_or_insert: computed"]);
        assert_eq!(value(it.cache(), "ada"), Some(2));
    }
}

// S21: "nothing" is an answer.
#[test]
fn a_closure_that_has_nothing_to_give_has_not_failed() {
    let it = Expired::new();
    assert!(ready(it.cache().optionally_get_or_insert("ada", || async { None::<u32> })).unwrap().is_none());
    assert_eq!(
        it.lines(),
        ["l1 get: expired", "l2 get: miss (fallback)", "l1 invalidate: invalidated", "optionally_get_or_insert: none"]
    );
    assert_eq!(stored(&it.l1, "ada"), None);
}

// A tier that has failed has not answered that there is none.
#[test]
fn it_is_not_removed_as_long_as_some_source_has_not_answered() {
    let it = Expired::new();
    it.l2.next(Get, Fail("down"));
    assert!(ready(it.cache().optionally_get_or_insert("ada", || async { None::<u32> })).unwrap().is_none());
    assert_eq!(it.lines(), ["l1 get: expired", "l2 get: error (fallback)", "optionally_get_or_insert: none"]);
    assert_eq!(stored(&it.l1, "ada"), Some(1));
}

// S27: with stampede protection a panic is an error, and so is made good.
#[test]
fn a_closure_that_panics_is_made_good_where_its_panic_would_be_an_error() {
    let it = Expired::with(CacheBuilder::stampede_protection);
    let boom = || async { if true { panic!("boom") } else { 2 } };
    assert_eq!(*ready(it.cache().get_or_insert("ada", boom)).unwrap(), 1);
    let events = it.test.events();
    assert_eq!(events.last().unwrap().to_string(), "get_or_insert: stale");
    assert!(completion(&events).error().is_some_and(Error::is_panic));
}

// S25
#[test]
fn leader_and_followers_are_served_when_the_closure_fails() {
    let it = Expired::with(CacheBuilder::stampede_protection);
    let ask = || {
        ManualTask::new(it.cache().try_get_or_insert("ada", || async {
            pend(1).await;
            Err::<u32, _>("no")
        }))
    };
    let (mut leader, mut follower) = (ask(), ask());
    leader.pend(1);
    follower.pend(1);
    assert_eq!((*leader.ready().unwrap(), *follower.ready().unwrap()), (1, 1));
    let events = it.test.events();
    let ends: Vec<_> =
        completions(&events).iter().map(|end| (end.to_owned().outcome().as_str(), end.coalesced())).collect();
    assert_eq!(ends, [("stale", false), ("stale", true)]);
    assert!(completions(&events).iter().all(|end| end.error().is_some_and(Error::is_load)));
}

// S28: a mistake is not to be covered up.
#[test]
fn a_closure_that_asks_for_its_own_key_is_told_so_and_served_nothing() {
    let it = Expired::with(CacheBuilder::stampede_protection);
    let cache = it.cache().clone();
    let mut inner = None;
    let outer = ready(it.cache().get_or_insert("ada", || async {
        inner = Some(cache.get_or_insert("ada", || async { must_not_run::<u32>() }).await);
        2
    }));
    assert_eq!(*outer.unwrap(), 2);
    assert!(inner.unwrap().unwrap_err().is_reentrant());
}

// S14: the closure is not asked.
#[test]
fn a_cache_that_fails_closed_serves_it_in_place_of_the_tiers_error() {
    let it = Expired::with(CacheBuilder::fail_closed);
    it.l2.next(Get, Fail("down"));
    assert_eq!(*ready(it.cache().get_or_insert("ada", || async { must_not_run::<u32>() })).unwrap(), 1);
    assert_eq!(it.lines(), ["l1 get: expired", "l2 get: error (fallback)", "get_or_insert: stale"]);
    it.l2.next(Get, Fail("down"));
    assert!(ready(it.cache().get_or_insert("bob", || async { must_not_run::<u32>() })).is_err());
}

#[test]
fn of_several_keys_those_are_served_that_have_an_expired_entry() {
    let it = Expired::new();
    ready(it.cache().insert("eve", 3)).unwrap();
    it.l2.next(GetMany, Fail("down"));
    it.lines();
    let answers = ready(it.cache().get_many(["ada", "bob", "eve"]));
    let answers: Vec<_> =
        answers.into_iter().map(|answer| answer.map(|found| found.map(CacheEntry::into_value)).ok()).collect();
    assert_eq!(answers, [Some(Some(1)), None, Some(Some(3))]);
    let events = it.test.events();
    let lines = events::lines(&events);
    assert_eq!(lines, ["l1 get_many: miss", "l2 get_many: error (fallback)", "get_many: error"]);
    assert_eq!((completion(&events).keys(), completion(&events).hits()), (Some(3), Some(2)));

    it.l2.next(GetMany, Fail("down"));
    let answers = ready(it.cache().get_many(["ada", "eve"]));
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().is_some()));
    let events = it.test.events();
    let end = completion(&events);
    assert_eq!((end.outcome().as_str(), end.hits()), ("stale", Some(2)));
    assert_eq!(end.error().and_then(Error::tier_name), Some("l2"));
}

// S9, S10: whatever made it expire, its age counts from the insertion.
#[test]
fn an_entry_of_its_own_time_to_live_is_kept_as_well() {
    let it = Expired::new();
    ready(it.cache().insert("bob", CacheEntry::expires_after(2, secs(1)))).unwrap();
    it.test.clock.advance(secs(60));
    it.l2.always(Get, Fail("down"));
    assert_eq!(value(it.cache(), "bob"), Some(2));
    it.test.clock.advance(NANO);
    assert!(ready(it.cache().get("bob")).is_err());
}

// S13
#[test]
fn of_two_expired_entries_the_nearer_one_is_served_and_both_are_kept() {
    let [l1, l2, l3] = [Mock::new(), Mock::new(), Mock::new()];
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::new(l1.clone()).name("l1").ttl(TTL))
            .tier(Tier::new(l2.clone()).name("l2").ttl(TTL))
            .tier(Tier::new(l3.clone()).name("l3"))
            .serve_stale_on_error(MAX_AGE),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(TTL + millis(1));
    l3.next(Get, Fail("down"));
    test.lines();
    assert_eq!(value(&test.cache, "ada"), Some(1));
    assert_eq!(
        test.lines(),
        ["l1 get: expired", "l2 get: expired (fallback)", "l3 get: error (fallback)", "get: stale"]
    );
    ready(l3.clear()).unwrap();
    assert_eq!(value(&test.cache, "ada"), None);
    assert_eq!(
        test.lines(),
        [
            "l1 get: expired",
            "l2 get: expired (fallback)",
            "l3 get: miss (fallback)",
            "l1 invalidate: invalidated",
            "l2 invalidate: invalidated",
            "get: miss"
        ]
    );
    assert_eq!((stored(&l1, "ada"), stored(&l2, "ada")), (None, None));
}

// S36: over a memory tier, alone and with another one, and without a listener.
#[test]
fn who_listens_makes_no_difference() {
    for below in [true, false] {
        for listening in [true, false] {
            let (l2, clock) = (Mock::new(), ManualClock::new());
            let mut builder = Ages::builder("ages")
                .tier(Tier::memory(10).ttl(TTL))
                .serve_stale_on_error(MAX_AGE)
                .clock(clock.clone());
            if below {
                builder = builder.tier(Tier::new(l2.clone()));
            }
            if listening {
                builder = builder.event_handler(cachet::telemetry::Stats::new());
            }
            let cache = builder.build();
            ready(cache.insert("ada", 1)).unwrap();
            ready(l2.clear()).unwrap();
            clock.advance(TTL + NANO);
            let fail = || cache.try_get_or_insert("ada", || async { Err::<u32, _>("no") });
            assert_eq!(*ready(fail()).unwrap(), 1, "below: {below}, listening: {listening}");
            if below {
                l2.next(Get, Fail("down"));
                assert_eq!(value(&cache, "ada"), Some(1));
                assert_eq!(*ready(fail()).unwrap(), 1);
            }
            assert_eq!(value(&cache, "ada"), None);
            assert_eq!(ready(cache.len()).unwrap(), Some(0));
            assert!(ready(fail()).unwrap_err().is_load());
        }
    }
}

// A time limit is a way to fail.
#[test]
fn a_tier_that_is_too_slow_has_failed() {
    let (l2, first) = (Mock::new(), Tier::memory(10).name("l1").ttl(TTL));
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(first)
            .tier(Tier::new(l2.clone()).name("l2").timeout(secs(1)))
            .serve_stale_on_error(MAX_AGE),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(TTL + NANO);
    l2.next(Get, Hang);
    test.lines();
    let mut get = ManualTask::new(test.cache.get("ada"));
    get.pend(1);
    test.clock.advance(secs(1));
    assert_eq!(*get.ready().unwrap().unwrap(), 1);
    let events = test.events();
    assert_eq!(completion(&events).error().map(Error::error_type), Some("timeout"));
    assert_eq!(completion(&events).outcome().as_str(), "stale");
}

// S19: an older entry that is only served does not come back.
#[test]
fn a_write_while_all_else_fails_is_not_undone() {
    let it = Expired::new();
    it.l2.next(Get, Hang);
    let mut get = ManualTask::new(it.cache().get("ada"));
    get.pend(1);
    ready(it.cache().insert("ada", 2)).unwrap();
    drop(get);
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

// S31: an expired entry below is nothing to refresh with.
#[test]
fn a_refresh_is_never_served_an_expired_entry() {
    let ([l1, l2, l3], tasks) = ([Mock::new(), Mock::new(), Mock::new()], ManualRuntime::new());
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::new(l1.clone()).name("l1").refresh_after(secs(20)))
            .tier(Tier::new(l2.clone()).name("l2").ttl(TTL))
            .tier(Tier::new(l3.clone()).name("l3"))
            .serve_stale_on_error(MAX_AGE)
            .runtime(tasks.clone()),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(secs(20));
    l3.next(Get, Fail("down"));
    assert_eq!(value(&test.cache, "ada"), Some(1));
    test.lines();
    tasks.run();
    assert_eq!(test.lines(), ["l2 get: expired", "l3 get: error (fallback)", "refresh: error"]);
    assert_eq!((stored(&l1, "ada"), stored(&l2, "ada")), (Some(1), Some(1)));
}
