//! What lands, or is written, between a lookup and the flight that it leads to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::testing::Behavior::{Fail, Panic};
use cachet::{InsertPolicy, Tier};
use cachet_tests::tiers::Immediate;
use cachet_tests::{events, ready};

use super::{after, ask, never};
use crate::{Ages, Mock, TestCache, secs, slow, stored, value};

/// `l1`, if there is one, over `slow`, with protection.
fn over_slow(l1: Option<Tier<str, u32>>) -> (TestCache, Mock) {
    let below = Mock::new();
    let builder = Ages::builder("ages");
    let builder = match l1 {
        Some(l1) => builder.tier(l1.name("l1")).tier(slow(&below)),
        None => builder.tier(slow(&below)),
    };
    (TestCache::new(builder.stampede_protection()), below)
}

// S25: the lookup is over when the other one lands, the flight is over when this one would join it.
#[test]
fn what_landed_between_lookup_and_flight_is_found_in_memory() {
    let (test, _) = over_slow(Some(Tier::memory(10)));
    let mut first = ask(&test.cache, "ada", after(0, 1));
    let mut second = ask(&test.cache, "ada", never());
    first.pend(1);
    second.pend(1);
    assert_eq!(first.ready().unwrap(), Some(1));
    assert_eq!(second.ready().unwrap(), Some(1));
    assert_eq!(
        events::by_operation(&test.events()),
        [
            &[
                "l1 get: miss",
                "slow get: miss (fallback)",
                "l1 insert: inserted",
                "slow insert: inserted",
                "get_or_insert: computed"
            ][..],
            // S59: the first one's lookup was its own too.
            &["l1 get: miss", "l1 get: hit", "get_or_insert: hit"]
        ]
    );
}

// S25: the same where the first tier has to be waited for.
#[test]
fn what_landed_between_lookup_and_flight_is_found_in_a_tier_that_is_waited_for() {
    let (test, _) = over_slow(None);
    let mut first = ask(&test.cache, "ada", after(0, 1));
    let mut second = ask(&test.cache, "ada", never());
    first.pend(1);
    second.pend(1);
    assert_eq!(first.ready().unwrap(), Some(1));
    second.pend(1);
    assert_eq!(second.ready().unwrap(), Some(1));
    assert_eq!(
        events::by_operation(&test.events()),
        [
            &["slow get: miss", "slow insert: inserted", "get_or_insert: computed"][..],
            &["slow get: hit", "get_or_insert: hit"]
        ]
    );
}

// S25, law 3: what a leader finds is a hit for its followers too.
#[test]
fn whoever_follows_one_that_looks_again_ends_as_that_one_does() {
    let (test, _) = over_slow(None);
    let mut first = ask(&test.cache, "ada", after(0, 1));
    let mut second = ask(&test.cache, "ada", never());
    let mut third = ask(&test.cache, "ada", never());
    for asking in [&mut first, &mut second, &mut third] {
        asking.pend(1);
    }
    assert_eq!(first.ready().unwrap(), Some(1));
    second.pend(1);
    third.pend(1);
    assert_eq!(second.ready().unwrap(), Some(1));
    assert_eq!(third.ready().unwrap(), Some(1));
    let recorded = test.events();
    let [_, second, third] = events::completions(&recorded)[..] else { panic!("three operations") };
    assert_eq!(third.leader_request_id(), Some(second.request_id()));
    assert_eq!(third.outcome(), second.outcome());
}

// S25, S26
#[test]
fn whoever_gives_up_looking_again_leaves_it_to_its_follower() {
    let (test, _) = over_slow(None);
    let mut first = ask(&test.cache, "ada", after(0, 1));
    let mut second = ask(&test.cache, "ada", never());
    let mut third = ask(&test.cache, "ada", never());
    for asking in [&mut first, &mut second, &mut third] {
        asking.pend(1);
    }
    first.ready().unwrap();
    second.pend(1);
    third.pend(1);
    drop(second);
    assert_eq!(third.finish().unwrap(), Some(1));
    assert_eq!(
        events::by_operation(&test.events())[1..],
        [&["slow get: cancelled", "get_or_insert: cancelled"][..], &["slow get: hit", "get_or_insert: hit"]]
    );
}

/// A first tier that wants nothing, so that the second alone has what landed.
fn unwilling() -> [Tier<str, u32>; 2] {
    [Tier::memory(10), Tier::new(Mock::new())].map(|tier| tier.insert_policy(InsertPolicy::never()))
}

// S25
#[test]
fn what_landed_is_found_also_where_the_first_tier_did_not_take_it() {
    for (name, l1) in ["memory", "mock"].into_iter().zip(unwilling()) {
        let (test, below) = over_slow(Some(l1));
        let mut first = ask(&test.cache, "ada", after(0, 1));
        let mut second = ask(&test.cache, "ada", after(0, 2));
        first.pend(1);
        second.pend(1);
        assert_eq!(first.ready().unwrap(), Some(1));
        assert_eq!(stored(&below, "ada"), Some(1));
        assert_eq!(second.finish().unwrap(), Some(1), "{name}: a second closure has run");
    }
}

// S13, law 4: what is found in a later tier is promoted, whenever it is found.
#[test]
fn what_is_found_below_when_looking_again_is_promoted() {
    let l1 = Mock::new();
    let (test, _) = over_slow(Some(Tier::new(l1.clone())));
    let mut first = ask(&test.cache, "ada", after(0, 1));
    let mut second = ask(&test.cache, "ada", never());
    first.pend(1);
    second.pend(1);
    l1.next(Insert, Fail("busy"));
    assert_eq!(first.ready().unwrap(), Some(1));
    assert_eq!(second.finish().unwrap(), Some(1));
    assert_eq!(
        events::by_operation(&test.events())[1],
        ["l1 get: miss", "slow get: hit (fallback)", "l1 insert: inserted", "get_or_insert: hit"]
    );
    assert_eq!(stored(&l1, "ada"), Some(1));
}

// S25, S19
#[test]
fn what_landed_and_is_gone_again_is_computed() {
    for memory in [true, false] {
        let (test, _) = over_slow(memory.then(|| Tier::memory(10)));
        let mut first = ask(&test.cache, "ada", after(0, 1));
        let mut second = ask(&test.cache, "ada", after(0, 2));
        first.pend(1);
        second.pend(1);
        first.ready().unwrap();
        ready(test.cache.invalidate("ada")).unwrap();
        assert_eq!(second.finish().unwrap(), Some(2));
    }
}

// S25, S14
#[test]
fn a_second_look_that_fails_is_followed_by_a_closure_as_the_first_one_is() {
    let (test, below) = over_slow(None);
    let mut first = ask(&test.cache, "ada", after(0, 1));
    let mut second = ask(&test.cache, "ada", after(0, 2));
    first.pend(1);
    second.pend(1);
    first.ready().unwrap();
    below.next(Get, Fail("unplugged"));
    assert_eq!(second.finish().unwrap(), Some(2));
    assert_eq!(
        events::by_operation(&test.events())[1],
        ["slow get: error", "slow insert: inserted", "get_or_insert: computed"]
    );
}

// S25, law 1: a tier that panics when it is asked again is reported as it is when it is asked at first.
#[test]
fn a_tier_that_panics_when_it_is_asked_again_is_reported() {
    let l1 = Mock::new();
    let (test, _) = over_slow(Some(Tier::new(Immediate::new(l1.clone()))));
    let mut first = ask(&test.cache, "ada", after(0, 1));
    let mut second = ask(&test.cache, "ada", after(0, 2));
    first.pend(1);
    second.pend(1);
    first.ready().unwrap();
    test.events();
    l1.next(Get, Panic("boom"));
    assert!(catch_unwind(AssertUnwindSafe(|| second.poll())).is_err());
    drop(second);
    assert_eq!(events::lines(&test.events()), ["l1 get: panicked", "get_or_insert: panicked"]);
    assert_eq!(ask(&test.cache, "ada", never()).finish().unwrap(), Some(1));
}

// S25: landings of other keys make no operation miss anything.
#[test]
fn landings_of_other_keys_change_nothing() {
    let (test, _) = over_slow(Some(Tier::memory(10)));
    let mut asking = ask(&test.cache, "ada", after(0, 1));
    asking.pend(1);
    ask(&test.cache, "bob", after(0, 2)).finish().unwrap();
    assert_eq!(asking.finish().unwrap(), Some(1));
    assert_eq!(test.lines().last().unwrap(), "get_or_insert: computed");
    assert_eq!(value(&test.cache, "bob"), Some(2));
}

// S12, S25
#[test]
fn an_expired_entry_is_computed_by_one() {
    let test =
        TestCache::new(Ages::builder("ages").tier(Tier::memory(10).name("l1").ttl(secs(1))).stampede_protection());
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(secs(2));
    test.events();
    let mut leader = ask(&test.cache, "ada", after(1, 2));
    let mut follower = ask(&test.cache, "ada", never());
    leader.pend(1);
    follower.pend(1);
    assert_eq!(leader.ready().unwrap(), Some(2));
    assert_eq!(follower.ready().unwrap(), Some(2));
    assert_eq!(
        events::lines(&test.events()),
        [
            "l1 get: expired",
            "l1 get: miss",
            "l1 insert: inserted",
            "get_or_insert: computed",
            "get_or_insert: computed (coalesced)"
        ]
    );
}
