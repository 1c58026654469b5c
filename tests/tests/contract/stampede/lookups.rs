//! S59: one lookup of the tiers that have to be waited for.

use cachet::telemetry::TierOperation::Get;
use cachet::testing::Behavior::{Fail, Pend};
use cachet::{Cache, CacheEntry, Tier};
use cachet_tests::{ManualTask, ready};

use super::{after, ask, never};
use crate::{Ages, Mock, TestCache};

/// Memory over a tier that is pending once in every lookup.
fn over_pending() -> (TestCache, Mock) {
    let below = Mock::new();
    below.always(Get, Pend(1));
    let builder = Ages::builder("ages").tier(Tier::memory(10).name("l1")).tier(Tier::new(below.clone()).name("l2"));
    (TestCache::new(builder.stampede_protection()), below)
}

fn get(cache: &Ages) -> ManualTask<impl Future<Output = Option<u32>> + '_> {
    ManualTask::new(async { cache.get("ada").await.unwrap().map(CacheEntry::into_value) })
}

fn lookups(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.starts_with("l2 get")).count()
}

// S59
#[test]
fn three_who_miss_make_one_lookup_of_the_second_tier_whatever_they_ask_with() {
    let (test, below) = over_pending();
    below.put("ada", 1);
    let cache = &test.cache;
    let (mut first, mut second, mut third) = (get(cache), ask(cache, "ada", never()), get(cache));
    first.pend(1);
    second.pend(1);
    third.pend(1);
    assert_eq!(first.ready(), Some(1));
    assert_eq!((second.ready().unwrap(), third.ready()), (Some(1), Some(1)));
    assert_eq!(lookups(&test.lines()), 1);
}

// S59: nor does a `get` wait for a closure.
#[test]
fn a_get_shares_a_lookup_that_finds_nothing_and_does_not_wait_for_the_closure() {
    let (test, _) = over_pending();
    let cache = &test.cache;
    let (mut computing, mut getting) = (ask(cache, "ada", after(1, 1)), get(cache));
    computing.pend(1);
    getting.pend(1);
    computing.pend(1);
    assert_eq!(getting.ready(), None);
    assert_eq!(computing.ready().unwrap(), Some(1));
    assert_eq!(lookups(&test.lines()), 1);
}

// S59, S14
#[test]
fn the_error_of_a_shared_lookup_is_that_of_all() {
    let (test, below) = over_pending();
    let cache: &Cache<str, u32> = &test.cache;
    let (mut first, mut second) = (ManualTask::new(cache.get("ada")), ManualTask::new(cache.get("ada")));
    below.always(Get, Pend(1));
    first.pend(1);
    second.pend(1);
    // One lookup, and no second one, has succeeded: both say that there is nothing.
    assert!(first.ready().unwrap().is_none() && second.ready().unwrap().is_none());
    below.always(Get, Fail("unplugged"));
    assert_eq!(ready(cache.get("ada")).unwrap_err().tier_name(), Some("l2"));
}

// S59, S26
#[test]
fn a_lookup_that_is_dropped_is_taken_over() {
    let (test, below) = over_pending();
    below.put("ada", 1);
    let cache = &test.cache;
    let (mut first, mut second, mut third) = (get(cache), get(cache), get(cache));
    first.pend(1);
    second.pend(1);
    third.pend(1);
    drop(first);
    second.pend(1);
    third.pend(1);
    assert_eq!((second.ready(), third.ready()), (Some(1), Some(1)));
    assert_eq!(lookups(&test.lines()), 2);
}

// S59, S45, S47
#[test]
fn who_asks_after_a_write_does_not_get_what_was_looked_up_before_and_who_asked_before_is_not_kept_waiting() {
    let (test, below) = over_pending();
    below.always(Get, Pend(3));
    below.put("ada", 1);
    let cache = &test.cache;
    let (mut old, mut early) = (get(cache), get(cache));
    old.pend(1);
    early.pend(1);
    ready(cache.invalidate("ada")).unwrap();
    // However many begin anew, those before them keep what they wait for.
    let mut late: Vec<_> = (0..3).map(|_| get(cache)).collect();
    for late in &mut late {
        late.pend(1);
    }
    old.pend(2);
    let _ = old.ready();
    assert_eq!(early.wakes(), 1);
    let _ = early.ready();
    late[0].pend(2);
    assert!(late.into_iter().all(|late| late.ready().is_none()));
    assert_eq!(lookups(&test.lines()), 2);
}
