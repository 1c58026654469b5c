//! S38: a future that is dropped half-way, at every point where it can wait.

use std::io;
use std::pin::Pin;

use cachet::telemetry::TierOperation::{self, Clear, Contains, Get, Insert, Invalidate, Len};
use cachet::testing::Behavior::{Hang, Pend, Reject, Work};
use cachet::{CacheEntry, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, must_not_run, secs, stored};

type Operation = for<'c> fn(&'c Ages) -> Pin<Box<dyn Future<Output = ()> + Send + 'c>>;

/// Drops the operation after every number of polls, and at last lets it finish. `expected` are the lines for each
/// number, beginning with none.
#[track_caller]
fn drop_after_every_poll(arrange: fn(&TwoTiers), operation: Operation, expected: &[&[&str]]) {
    for (polls, expected_lines) in expected.iter().enumerate() {
        let two = TwoTiers::new();
        arrange(&two);
        let mut stepped = ManualTask::new(operation(&two.cache));
        if polls + 1 == expected.len() {
            stepped.pend(polls - 1);
            stepped.ready();
        } else {
            stepped.pend(polls);
            drop(stepped);
        }
        let lines = two.lines();
        assert_eq!(lines, *expected_lines, "after {polls} polls");
        // Exactly one event for each call.
        for (tier, name) in [(&two.l1, "l1 "), (&two.l2, "l2 ")] {
            let reported = lines.iter().filter(|line| line.starts_with(name)).count();
            assert_eq!(tier.calls().len(), reported, "calls of {name} after {polls} polls");
        }
        still_works(&two);
    }
}

#[track_caller]
fn still_works(two: &TwoTiers) {
    for operation in TierOperation::ALL {
        two.l1.always(*operation, Work);
        two.l2.always(*operation, Work);
    }
    let get = |key| ManualTask::new(two.cache.get(key)).finish().unwrap().map(CacheEntry::into_value);
    ManualTask::new(two.cache.insert("ada", 77)).finish().unwrap();
    assert_eq!(get("ada"), Some(77));
    // With the time of its insertion: after a clear that has failed, a tier has to know that it is newer.
    two.l2.put("bob", CacheEntry::restore(78, None, two.clock.wall()));
    assert_eq!((get("bob"), stored(&two.l1, "bob")), (Some(78), Some(78)));
    ManualTask::new(two.cache.invalidate("ada")).finish().unwrap();
    assert_eq!(get("ada"), None);
}

// S38
#[test]
fn a_get_reports_cancelled_wherever_it_is_dropped() {
    let in_l1: &[&str] = &["l1 get: cancelled", "get: cancelled"];
    let in_l2: &[&str] = &["l1 get: miss", "l2 get: cancelled (fallback)", "get: cancelled"];
    let promoting: &[&str] = &["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: cancelled", "get: cancelled"];
    drop_after_every_poll(
        |two| {
            two.l2.put("ada", 1);
            two.l1.next(Get, Pend(2));
            two.l2.next(Get, Pend(2));
            two.l1.next(Insert, Pend(2));
        },
        |cache| Box::pin(async move { assert!(cache.get("ada").await.unwrap().is_some()) }),
        &[
            &[],
            in_l1,
            in_l1,
            in_l2,
            in_l2,
            promoting,
            promoting,
            &["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"],
        ],
    );
}

// S38
#[test]
fn a_contains_reports_cancelled_wherever_it_is_dropped() {
    drop_after_every_poll(
        |two| {
            two.l1.next(Contains, Pend(1));
            two.l2.next(Contains, Pend(1));
        },
        |cache| Box::pin(async move { assert!(!cache.contains("ada").await.unwrap()) }),
        &[
            &[],
            &["l1 contains: cancelled", "contains: cancelled"],
            &["l1 contains: miss", "l2 contains: cancelled (fallback)", "contains: cancelled"],
            &["l1 contains: miss", "l2 contains: miss (fallback)", "contains: miss"],
        ],
    );
}

// S38
#[test]
fn an_insert_reports_cancelled_for_every_tier_that_has_not_answered() {
    let both: &[&str] = &["l1 insert: cancelled", "l2 insert: cancelled", "insert: cancelled"];
    let second: &[&str] = &["l1 insert: inserted", "l2 insert: cancelled", "insert: cancelled"];
    drop_after_every_poll(
        |two| {
            two.l1.next(Insert, Pend(2));
            two.l2.next(Insert, Pend(4));
        },
        |cache| Box::pin(async move { assert!(cache.insert("ada", 1).await.is_ok()) }),
        &[&[], both, both, second, second, &["l1 insert: inserted", "l2 insert: inserted", "insert: inserted"]],
    );
}

// S38, S17
#[test]
fn an_insert_dropped_while_a_tier_drops_its_older_value_reports_both_calls() {
    drop_after_every_poll(
        |two| {
            two.l1.next(Insert, Reject);
            two.l1.next(Invalidate, Pend(1));
        },
        |cache| Box::pin(async move { assert!(cache.insert("ada", 1).await.is_ok()) }),
        &[
            &[],
            &["l2 insert: inserted", "l1 insert: rejected", "l1 invalidate: cancelled", "insert: cancelled"],
            &["l2 insert: inserted", "l1 insert: rejected", "l1 invalidate: invalidated", "insert: inserted"],
        ],
    );
}

// S38
#[test]
fn an_invalidate_reports_cancelled_for_every_tier_that_has_not_answered() {
    drop_after_every_poll(
        |two| {
            two.l1.next(Invalidate, Pend(2));
            two.l2.next(Invalidate, Pend(1));
        },
        |cache| Box::pin(async move { cache.invalidate("ada").await.unwrap() }),
        &[
            &[],
            &["l1 invalidate: cancelled", "l2 invalidate: cancelled", "invalidate: cancelled"],
            &["l2 invalidate: invalidated", "l1 invalidate: cancelled", "invalidate: cancelled"],
            &["l2 invalidate: invalidated", "l1 invalidate: invalidated", "invalidate: invalidated"],
        ],
    );
}

// S38
#[test]
fn a_clear_reports_cancelled_for_every_tier_that_has_not_answered() {
    drop_after_every_poll(
        |two| {
            two.l1.next(Clear, Pend(1));
            two.l2.next(Clear, Pend(2));
        },
        |cache| Box::pin(async move { cache.clear().await.unwrap() }),
        &[
            &[],
            &["l1 clear: cancelled", "l2 clear: cancelled", "clear: cancelled"],
            &["l1 clear: cleared", "l2 clear: cancelled", "clear: cancelled"],
            &["l1 clear: cleared", "l2 clear: cleared", "clear: cleared"],
        ],
    );
}

// S38
#[test]
fn a_len_reports_cancelled() {
    drop_after_every_poll(
        |two| two.l1.next(Len, Pend(1)),
        |cache| Box::pin(async move { assert!(cache.len().await.is_ok()) }),
        &[&[], &["l1 len: cancelled", "len: cancelled"], &["l1 len: counted", "len: counted"]],
    );
}

// S38
#[test]
fn a_compute_reports_cancelled_wherever_it_is_dropped() {
    let in_l1: &[&str] = &["l1 get: cancelled", "try_get_or_insert: cancelled"];
    let in_l2: &[&str] = &["l1 get: miss", "l2 get: cancelled (fallback)", "try_get_or_insert: cancelled"];
    let loading: &[&str] = &["l1 get: miss", "l2 get: miss (fallback)", "try_get_or_insert: cancelled"];
    drop_after_every_poll(
        |two| {
            two.l1.next(Get, Pend(2));
            two.l2.next(Get, Pend(2));
            two.l1.next(Insert, Pend(1));
            two.l2.next(Insert, Pend(2));
        },
        |cache| {
            Box::pin(async move {
                let entry = cache
                    .try_get_or_insert("ada", || async {
                        pend(2).await;
                        io::Result::Ok(1)
                    })
                    .await;
                assert_eq!(*entry.unwrap(), 1);
            })
        },
        &[
            &[],
            in_l1,
            in_l1,
            in_l2,
            in_l2,
            loading,
            loading,
            &[
                "l1 get: miss",
                "l2 get: miss (fallback)",
                "l1 insert: cancelled",
                "l2 insert: cancelled",
                "try_get_or_insert: cancelled",
            ],
            &[
                "l1 get: miss",
                "l2 get: miss (fallback)",
                "l1 insert: inserted",
                "l2 insert: cancelled",
                "try_get_or_insert: cancelled",
            ],
            &[
                "l1 get: miss",
                "l2 get: miss (fallback)",
                "l1 insert: inserted",
                "l2 insert: inserted",
                "try_get_or_insert: computed",
            ],
        ],
    );
}

// S38
#[test]
fn a_compute_that_promotes_reports_cancelled_wherever_it_is_dropped() {
    drop_after_every_poll(
        |two| {
            two.l2.put("ada", 1);
            two.l2.next(Get, Pend(1));
            two.l1.next(Insert, Pend(1));
        },
        |cache| {
            Box::pin(async move {
                assert_eq!(*cache.get_or_insert("ada", || async { must_not_run::<u32>() }).await.unwrap(), 1);
            })
        },
        &[
            &[],
            &["l1 get: miss", "l2 get: cancelled (fallback)", "get_or_insert: cancelled"],
            &["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: cancelled", "get_or_insert: cancelled"],
            &["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get_or_insert: hit"],
        ],
    );
}

// S38, S12
#[test]
fn a_get_dropped_while_it_removes_an_expired_entry_reports_cancelled() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(1)), |l2| l2);
    ready(two.cache.insert("ada", 1)).unwrap();
    two.clock.advance(secs(2));
    two.lines();
    two.l1.next(Invalidate, Hang);
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    drop(get);
    assert_eq!(two.lines(), ["l1 get: cancelled", "get: cancelled"]);
    still_works(&two);
}

// S38
#[test]
fn a_tier_below_memory_reports_cancelled_too() {
    let below = Mock::new();
    let test = TestCache::new(
        Ages::builder("ages").tier(Tier::memory(10).name("l1")).tier(Tier::new(below.clone()).name("l2")),
    );
    below.always(Get, Hang);
    below.always(Insert, Hang);
    let mut get = ManualTask::new(test.cache.get("ada"));
    get.pend(3);
    drop(get);
    assert_eq!(test.lines(), ["l1 get: miss", "l2 get: cancelled (fallback)", "get: cancelled"]);
    let mut insert = ManualTask::new(test.cache.insert("ada", 1));
    insert.pend(3);
    drop(insert);
    assert_eq!(test.lines(), ["l1 insert: inserted", "l2 insert: cancelled", "insert: cancelled"]);
}

// S38, S23: parent and child are cancelled, the child first.
#[test]
fn a_nested_operation_is_cancelled_with_its_parent() {
    let two = TwoTiers::new();
    let mut compute = ManualTask::new(two.cache.get_or_insert("ada", || async {
        two.l1.next(Get, Hang);
        two.cache.get("bob").await.unwrap();
        1
    }));
    compute.pend(1);
    drop(compute);
    assert_eq!(
        two.lines(),
        ["l1 get: miss", "l2 get: miss (fallback)", "l1 get: cancelled", "get: cancelled", "get_or_insert: cancelled",]
    );
}
