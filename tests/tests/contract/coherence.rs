//! S19: newer beats older.

use cachet::telemetry::TierOperation::{Get, Insert, Invalidate};
use cachet::testing::{Behavior, MockTier};
use cachet::{CacheEntry, CacheTier, InsertOutcome, InsertPolicy, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, finish_both, ready};

use crate::{Ages, Mock, Newer, TestCache, TwoTiers, slow, stored, value};

/// `l1` is memory, or a tier of one's own; `slow` holds 1 for "ada".
fn over_slow(l1: Tier<str, u32>) -> (TestCache, Mock) {
    let below = Mock::new();
    below.put("ada", 1);
    let test = TestCache::new(Ages::builder("ages").tier(l1.name("l1")).tier(slow(&below)));
    (test, below)
}

// S19
#[test]
fn a_promotion_that_a_newer_write_overtook_is_superseded() {
    for newer in Newer::ALL {
        for l1 in [Tier::memory(10), Tier::new(Mock::new())] {
            let (test, below) = over_slow(l1);
            let mut get = ManualTask::new(test.cache.get("ada"));
            get.pend(1);
            ready(newer.write(&test.cache));
            test.lines();
            // It was read before the write.
            assert_eq!(get.finish().unwrap().map(CacheEntry::into_value), Some(1), "{newer:?}");
            assert_eq!(test.lines(), ["slow get: hit (fallback)", "l1 insert: superseded", "get: hit"], "{newer:?}");
            assert_eq!(stored(&below, "ada"), newer.leaves());
            assert_eq!(
                ManualTask::new(test.cache.get("ada")).finish().unwrap().map(CacheEntry::into_value),
                newer.leaves()
            );
        }
    }
}

// S19
#[test]
fn a_write_of_another_key_does_not_disturb_a_promotion() {
    for l1 in [Tier::memory(10), Tier::new(Mock::new())] {
        let (test, _) = over_slow(l1);
        let mut get = ManualTask::new(test.cache.get("ada"));
        get.pend(1);
        ready(test.cache.insert("bob", 7)).unwrap();
        ready(test.cache.invalidate("eve")).unwrap();
        test.lines();
        get.finish().unwrap();
        assert_eq!(test.lines(), ["slow get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
        assert_eq!(value(&test.cache, "ada"), Some(1));
        assert_eq!(test.lines(), ["l1 get: hit", "get: hit"]);
    }
}

// S19
#[test]
fn reads_do_not_disturb_a_promotion() {
    let (test, _) = over_slow(Tier::memory(10));
    let mut first = ManualTask::new(test.cache.get("ada"));
    let mut second = ManualTask::new(test.cache.get("ada"));
    first.pend(1);
    second.pend(1);
    first.finish().unwrap();
    second.finish().unwrap();
    assert_eq!(
        test.lines(),
        [
            "l1 get: miss",
            "l1 get: miss",
            "slow get: hit (fallback)",
            "l1 insert: inserted",
            "get: hit",
            "slow get: hit (fallback)",
            "l1 insert: inserted",
            "get: hit",
        ]
    );
}

// S19: the write began before the read, and is not over.
#[test]
fn a_promotion_of_what_was_read_while_a_write_was_under_way_is_superseded() {
    let two = TwoTiers::new();
    two.l2.put("ada", 1);
    two.l2.next(Insert, Behavior::Pend(1));
    let mut insert = ManualTask::new(two.cache.insert("ada", 2));
    insert.pend(1);
    ready(CacheTier::invalidate(&two.l1, "ada")).unwrap();
    assert_eq!(value(&two.cache, "ada"), Some(1));
    insert.finish().unwrap();
    assert_eq!(
        two.lines(),
        [
            "l1 insert: inserted",
            "l1 get: miss",
            "l2 get: hit (fallback)",
            "l1 insert: superseded",
            "get: hit",
            "l2 insert: inserted",
            "insert: inserted",
        ]
    );
    assert_eq!(value(&two.cache, "ada"), Some(2));
}

// S19: whether the newer write waits for the older one, or the older one is undone.
#[test]
fn a_promotion_overtaken_while_it_stores_does_not_stay() {
    for newer in Newer::ALL {
        let two = TwoTiers::new();
        two.l2.put("ada", 1);
        two.l1.next(Insert, Behavior::Pend(1));
        let mut get = ManualTask::new(two.cache.get("ada"));
        get.pend(1);
        let mut write = ManualTask::new(newer.write(&two.cache));
        let (found, ()) = if write.poll().is_ready() { (get.finish(), ()) } else { finish_both(get, write) };
        assert_eq!(found.unwrap().map(CacheEntry::into_value), Some(1), "it was read before the write");
        assert_ne!(stored(&two.l1, "ada"), Some(1), "{newer:?}");
        assert_eq!(value(&two.cache, "ada"), newer.leaves(), "{newer:?}");
    }
}

// S19
#[test]
fn a_promotion_overtaken_before_it_came_to_the_next_tier_stores_nothing_there() {
    let (l1, l3) = (Mock::new(), Mock::new());
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::new(l1.clone()).name("l1"))
            .tier(Tier::memory(10).name("l2"))
            .tier(Tier::new(l3.clone()).name("l3")),
    );
    l3.put("ada", 1);
    l1.next(Insert, Behavior::Pend(1));
    let mut get = ManualTask::new(test.cache.get("ada"));
    get.pend(1);
    let mut insert = ManualTask::new(test.cache.insert("ada", 2));
    if insert.poll().is_ready() {
        get.finish().unwrap();
    } else {
        let (found, inserted) = finish_both(get, insert);
        assert_eq!((found.is_ok(), inserted.unwrap()), (true, InsertOutcome::Accepted));
    }
    ready(l1.clear()).unwrap();
    test.lines();
    assert_eq!(value(&test.cache, "ada"), Some(2));
    assert_eq!(test.lines()[..2], ["l1 get: miss", "l2 get: hit (fallback)"]);
}

/// One tier, or two, of either kind.
fn stacks() -> Vec<(&'static [&'static str], TestCache)> {
    let memory = || Tier::memory(10).name("l1");
    let mock = |name| Tier::new(Mock::new()).name(name);
    vec![
        (&["l1"], TestCache::new(Ages::builder("ages").tier(memory()))),
        (&["l1"], TestCache::new(Ages::builder("ages").tier(mock("l1")))),
        (&["l1", "l2"], TestCache::new(Ages::builder("ages").tier(memory()).tier(mock("l2")))),
        (&["l1", "l2"], TestCache::new(Ages::builder("ages").tier(mock("l1")).tier(mock("l2")))),
    ]
}

// S19
#[test]
fn a_computed_insert_that_a_newer_write_overtook_is_superseded_in_every_tier() {
    for newer in Newer::ALL {
        for (tiers, test) in stacks() {
            let mut compute = ManualTask::new(test.cache.get_or_insert("ada", || async {
                pend(1).await;
                1
            }));
            compute.pend(1);
            ready(newer.write(&test.cache));
            test.lines();
            assert_eq!(*compute.finish().unwrap(), 1, "{newer:?}");
            let mut expected: Vec<_> = tiers.iter().map(|tier| format!("{tier} insert: superseded")).collect();
            expected.push("get_or_insert: computed".to_owned());
            assert_eq!(test.lines(), expected, "{newer:?}");
            assert_eq!(value(&test.cache, "ada"), newer.leaves(), "{newer:?}");
        }
    }
}

// S19
#[test]
fn a_write_of_another_key_does_not_disturb_a_computed_insert() {
    for (tiers, test) in stacks() {
        let mut compute = ManualTask::new(test.cache.get_or_insert("ada", || async {
            pend(1).await;
            1
        }));
        compute.pend(1);
        ready(test.cache.insert("bob", 7)).unwrap();
        ready(test.cache.invalidate("eve")).unwrap();
        test.lines();
        compute.finish().unwrap();
        let mut expected: Vec<_> = tiers.iter().map(|tier| format!("{tier} insert: inserted")).collect();
        expected.push("get_or_insert: computed".to_owned());
        assert_eq!(test.lines(), expected);
        assert_eq!(value(&test.cache, "ada"), Some(1));
    }
}

// S19
#[test]
fn an_insert_that_overtakes_a_computed_one_while_it_stores_wins() {
    for tiers in [1, 2] {
        let (l1, l2) = (Mock::new(), Mock::new());
        let mut builder = Ages::builder("ages").tier(Tier::new(l1.clone()).name("l1"));
        if tiers == 2 {
            builder = builder.tier(Tier::new(l2).name("l2"));
        }
        let test = TestCache::new(builder);
        l1.next(Insert, Behavior::Pend(1));
        let mut compute = ManualTask::new(test.cache.get_or_insert("ada", || async { 1 }));
        compute.pend(1);
        let mut insert = ManualTask::new(test.cache.insert("ada", 2));
        let computed = if insert.poll().is_ready() {
            compute.finish()
        } else {
            let (computed, inserted) = finish_both(compute, insert);
            assert_eq!(inserted.unwrap(), InsertOutcome::Accepted);
            computed
        };
        assert_eq!(*computed.unwrap(), 1);
        // In the tier where the late one was overtaken while it stored, the key is owed, and then invalidated (S46).
        test.lines();
        assert_eq!(stored(&l1, "ada"), None);
        assert_eq!(value(&test.cache, "ada"), (tiers == 2).then_some(2), "with {tiers} tiers");
    }
}

// S19, S38
#[test]
fn once_a_newer_insert_is_over_the_late_one_is_never_seen_not_even_when_it_is_given_up() {
    let two = TwoTiers::new();
    two.l1.next(Insert, Behavior::Pend(1));
    let mut compute = ManualTask::new(two.cache.get_or_insert("ada", || async { 1 }));
    compute.pend(1);
    let mut insert = ManualTask::new(two.cache.insert("ada", 2));
    let mut inserted = insert.poll().is_ready();
    // If the late one has to be undone, that takes its time.
    two.l1.next(Invalidate, Behavior::Hang);
    let computed = compute.poll().is_ready();
    inserted = inserted || insert.poll().is_ready();
    assert!(inserted, "nothing is left to wait for: computed {computed}");
    assert_eq!(value(&two.cache, "ada"), Some(2), "while the late one is ending");
    drop(compute);
    assert_eq!(value(&two.cache, "ada"), Some(2), "after it was given up");
}

// S19, S17: a late value that the policy does not even want must not take the newer one with it.
#[test]
fn a_late_computed_insert_that_is_turned_away_leaves_the_newer_value_alone() {
    for l1 in [Tier::memory(10), Tier::new(Mock::new())] {
        let small = InsertPolicy::when(|_: &str, entry: &CacheEntry<u32>| **entry < 10);
        let test = TestCache::new(Ages::builder("ages").tier(l1.name("l1").insert_policy(small)));
        let mut compute = ManualTask::new(test.cache.get_or_insert("ada", || async {
            pend(1).await;
            100
        }));
        compute.pend(1);
        ready(test.cache.insert("ada", 2)).unwrap();
        test.lines();
        assert_eq!(*compute.finish().unwrap(), 100);
        test.lines();
        assert_eq!(value(&test.cache, "ada"), Some(2));
    }
}

// S19, S17: the same where the tier itself turns it away, or fails.
#[test]
fn a_late_computed_insert_that_fails_leaves_the_newer_value_alone() {
    for behaviour in [Behavior::Reject, Behavior::Fail("full")] {
        let two = TwoTiers::new();
        let mut compute = ManualTask::new(two.cache.get_or_insert("ada", || async {
            pend(1).await;
            1
        }));
        compute.pend(1);
        ready(two.cache.insert("ada", 2)).unwrap();
        two.l1.next(Insert, behaviour);
        compute.finish().unwrap();
        assert_eq!((stored(&two.l1, "ada"), value(&two.cache, "ada")), (Some(2), Some(2)));
    }
}

// S19
#[test]
fn a_write_that_is_given_up_half_way_still_counts_as_newer() {
    let (test, below) = over_slow(Tier::memory(10));
    let mut get = ManualTask::new(test.cache.get("ada"));
    get.pend(1);
    below.next(Invalidate, Behavior::Pend(1));
    let mut invalidate = ManualTask::new(test.cache.invalidate("ada"));
    invalidate.pend(1);
    drop(invalidate);
    test.lines();
    get.finish().unwrap();
    // The second tier owes the key, and pays as soon as a call of it has succeeded (S44).
    assert_eq!(
        test.lines(),
        [
            "slow get: hit (fallback)",
            "slow invalidate: invalidated",
            "repay: invalidated",
            "l1 insert: superseded",
            "get: hit"
        ]
    );
}

// S19
#[test]
fn after_a_race_promotions_work_as_before() {
    let two = TwoTiers::new();
    for _ in 0..3 {
        two.l2.put("ada", 1);
        two.l1.next(Insert, Behavior::Pend(1));
        let mut get = ManualTask::new(two.cache.get("ada"));
        get.pend(1);
        let mut invalidate = ManualTask::new(two.cache.invalidate("ada"));
        if invalidate.poll().is_ready() {
            get.finish().unwrap();
        } else {
            finish_both(get, invalidate).0.unwrap();
        }
        two.lines();

        two.l2.put("ada", 1);
        assert_eq!(value(&two.cache, "ada"), Some(1));
        assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
        ready(CacheTier::<str, u32>::clear(&two.l1)).unwrap();
    }
}

// S19: a get that was given up leaves nothing behind that would make later ones late.
#[test]
fn a_get_that_is_given_up_leaves_no_trace() {
    let two = TwoTiers::new();
    two.l2.put("ada", 1);
    two.l2.next(Get, Behavior::Hang);
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    ready(two.cache.insert("bob", 2)).unwrap();
    drop(get);
    two.lines();
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
}

// S19
#[test]
fn keys_are_told_apart() {
    let below = MockTier::<u64, u64>::new();
    let cache =
        cachet::Cache::<u64, u64>::builder("numbers").tier(Tier::memory(1000)).tier(Tier::new(below.clone())).build();
    for key in 0..100 {
        below.put(key, key);
    }
    let mut gets: Vec<_> = (0..100_u64)
        .map(|key| {
            below.next(Get, Behavior::Pend(1));
            let cache = cache.clone();
            let mut get = ManualTask::new(async move { cache.get(&key).await });
            get.pend(1);
            get
        })
        .collect();
    for key in (0..100_u64).step_by(2) {
        ready(cache.insert(key, key + 1000)).unwrap();
    }
    for get in gets.drain(..) {
        get.finish().unwrap();
    }
    for key in 0..100_u64 {
        let expected = if key % 2 == 0 { key + 1000 } else { key };
        assert_eq!(ready(cache.get(&key)).unwrap().map(CacheEntry::into_value), Some(expected));
    }
}
