//! S30: how long a follower waits for its leader.

use std::time::Duration;

use cachet::{CacheEntry, Error, ManualClock, Tier};
use cachet_tests::events::{self, completions};
use cachet_tests::task::pend;
use cachet_tests::{ManualRuntime, ManualTask, ready};

use crate::{Ages, NANO, TestCache, must_not_run, secs, value};

const WAIT: Duration = secs(1);
const NOT_YET: Duration = WAIT.saturating_sub(NANO);

fn test_cache() -> TestCache {
    TestCache::new(Ages::builder("ages").tier(Tier::memory(10).name("l1")).follower_timeout(WAIT))
}

/// Computes a value, after so many polls.
fn ask(
    cache: &Ages,
    value: u32,
    polls: u32,
) -> ManualTask<impl Future<Output = Result<CacheEntry<u32>, Error>> + use<'_>> {
    ManualTask::new(cache.get_or_insert("ada", move || async move {
        pend(polls).await;
        value
    }))
}

/// No operation computes the key any more: the next one begins at once.
#[track_caller]
fn nobody_computes(cache: &Ages) {
    ready(cache.clear()).unwrap();
    assert_eq!(*ask(cache, 9, 0).ready().unwrap(), 9);
}

// S30
#[test]
fn a_follower_that_has_waited_long_enough_computes_for_itself() {
    let it = test_cache();
    let (mut leader, mut follower) = (ask(&it.cache, 1, 1), ask(&it.cache, 2, 0));
    leader.pend(1);
    follower.pend(1);
    it.clock.advance(NOT_YET);
    follower.pend(1);
    assert_eq!(follower.wakes(), 0);
    it.clock.advance(NANO);
    assert_eq!(follower.wakes(), 1);
    assert_eq!(*follower.ready().unwrap(), 2);
    let events = it.events();
    let lines = events::lines(&events);
    assert_eq!(lines, ["l1 get: miss", "l1 get: miss", "l1 insert: inserted", "get_or_insert: computed"]);
    let end = completions(&events)[0];
    assert_eq!((end.coalesced(), end.leader_request_id()), (false, None));
    assert_eq!((end.duration(), end.load_duration()), (Some(WAIT), Some(secs(0))));
    assert_eq!(value(&it.cache, "ada"), Some(2));
    it.lines();

    // The leader is none the wiser.
    assert_eq!(*leader.ready().unwrap(), 1);
    assert_eq!(it.lines(), ["l1 insert: superseded", "get_or_insert: computed"]);
    assert_eq!(value(&it.cache, "ada"), Some(2));
    it.lines();
    nobody_computes(&it.cache);
}

// S30, S25
#[test]
fn a_follower_that_need_not_wait_so_long_gets_what_its_leader_has() {
    let it = test_cache();
    let (mut leader, mut follower) = (ask(&it.cache, 1, 1), ask(&it.cache, 2, 0));
    leader.pend(1);
    follower.pend(1);
    it.clock.advance(NOT_YET);
    assert_eq!(*leader.ready().unwrap(), 1);
    it.clock.advance(secs(5));
    assert_eq!(*follower.ready().unwrap(), 1);
    let ends: Vec<_> = completions(&it.events()).iter().map(|end| end.coalesced()).collect();
    assert_eq!(ends, [false, true]);
    nobody_computes(&it.cache);
}

// S30: of all that wait the first whose limit has passed leads, and the others join it.
#[test]
fn the_others_join_the_first_follower_whose_limit_has_passed() {
    let it = test_cache();
    let (mut leader, mut first, mut second) = (ask(&it.cache, 1, 1), ask(&it.cache, 2, 1), ask(&it.cache, 3, 0));
    leader.pend(1);
    first.pend(1);
    it.clock.advance(secs(1) / 2);
    second.pend(1);
    it.clock.advance(secs(1) / 2);
    first.pend(1);
    second.pend(1);
    assert_eq!(*leader.ready().unwrap(), 1);
    second.pend(1);
    assert_eq!((*first.ready().unwrap(), *second.ready().unwrap()), (2, 2));
    nobody_computes(&it.cache);
}

// S30, S26
#[test]
fn a_follower_takes_over_a_flight_that_is_given_up_whatever_its_limit() {
    let it = test_cache();
    let (mut leader, mut follower) = (ask(&it.cache, 1, 1), ask(&it.cache, 2, 1));
    leader.pend(1);
    follower.pend(1);
    drop(leader);
    follower.pend(1);
    it.clock.advance(WAIT * 2);
    assert_eq!(*follower.ready().unwrap(), 2);
    nobody_computes(&it.cache);
}

// S29, S30
#[test]
fn whoever_goes_away_leaves_nothing_behind() {
    for (leader_first, timed_out) in [(true, true), (true, false), (false, true), (false, false)] {
        let it = test_cache();
        let (mut leader, mut follower) = (ask(&it.cache, 1, 5), ask(&it.cache, 2, 5));
        leader.pend(1);
        follower.pend(1);
        if timed_out {
            it.clock.advance(WAIT);
            follower.pend(1);
        }
        if leader_first {
            drop(leader);
            drop(follower);
        } else {
            drop(follower);
            drop(leader);
        }
        // One that has waited long enough leads a flight of its own.
        let followed = if timed_out { "get_or_insert: cancelled" } else { "get_or_insert: cancelled (coalesced)" };
        let mut ends = ["get_or_insert: cancelled", followed];
        if !leader_first {
            ends.reverse();
        }
        assert_eq!(it.lines(), ["l1 get: miss", "l1 get: miss", ends[0], ends[1]]);
        nobody_computes(&it.cache);
    }
}

// S30, S27, S21: what goes wrong then is its own.
#[test]
fn a_follower_that_computes_for_itself_fails_for_itself() {
    for panics in [false, true] {
        let it = test_cache();
        let mut leader = ask(&it.cache, 1, 1);
        let mut follower = ManualTask::new(it.cache.try_get_or_insert("ada", || async {
            assert!(!panics, "boom");
            Err::<u32, _>("no")
        }));
        leader.pend(1);
        follower.pend(1);
        it.clock.advance(WAIT);
        let error = follower.ready().unwrap_err();
        assert_eq!((error.is_load(), error.is_panic()), (!panics, panics));
        assert_eq!(*leader.ready().unwrap(), 1);
        assert_eq!(value(&it.cache, "ada"), Some(1));
        nobody_computes(&it.cache);
    }
}

// S28, S30
#[test]
fn a_closure_that_asks_for_its_own_key_is_told_so_at_once() {
    let it = test_cache();
    let cache = it.cache.clone();
    let answer = ready(it.cache.try_get_or_insert("ada", || async move {
        cache.get_or_insert("ada", || async { must_not_run::<u32>() }).await
    }));
    assert!(answer.unwrap_err().source_as::<Error>().is_some_and(Error::is_reentrant));
    nobody_computes(&it.cache);
}

// With the clock of the system, it is the runtime that waits.
#[test]
fn the_timer_of_a_follower_ends_with_its_wait() {
    let runtime = ManualRuntime::new();
    let cache = Ages::builder("ages").tier(Tier::memory(10)).follower_timeout(WAIT).runtime(runtime.clone()).build();
    let (mut leader, mut follower, mut other) = (ask(&cache, 1, 2), ask(&cache, 2, 1), ask(&cache, 3, 0));
    leader.pend(1);
    assert_eq!(runtime.timers(), 0);
    follower.pend(1);
    other.pend(1);
    assert_eq!(runtime.timers(), 2);
    drop(other);
    assert_eq!(runtime.timers(), 1);
    runtime.pass(WAIT);
    assert_eq!(follower.wakes(), 1);
    follower.pend(1);
    assert_eq!(runtime.timers(), 0);
    assert_eq!((*follower.ready().unwrap(), *leader.finish().unwrap()), (2, 1));
}

#[test]
fn without_a_runtime_a_follower_fails_and_its_leader_does_not() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).follower_timeout(WAIT).build();
    let (mut leader, follower) = (ask(&cache, 1, 1), ask(&cache, 2, 0));
    leader.pend(1);
    assert_eq!(follower.ready().unwrap_err().error_type(), "no_runtime");
    assert_eq!(*leader.ready().unwrap(), 1);
    nobody_computes(&cache);
}

// S36
#[test]
fn who_listens_makes_no_difference() {
    let clock = ManualClock::new();
    let cache = Ages::builder("ages").tier(Tier::memory(10)).follower_timeout(WAIT).clock(clock.clone()).build();
    let (mut leader, mut follower) = (ask(&cache, 1, 1), ask(&cache, 2, 0));
    leader.pend(1);
    follower.pend(1);
    clock.advance(WAIT);
    assert_eq!((*follower.ready().unwrap(), *leader.ready().unwrap()), (2, 1));
    nobody_computes(&cache);
}
