//! S13–S18: several tiers.

use cachet::telemetry::TierOperation::{self, Clear, Contains, Get, Insert, Invalidate};
use cachet::testing::Behavior::{Fail, Pend, Reject};
use cachet::{CacheEntry, InsertOutcome, InsertPolicy, Tier};
use cachet_tests::{ManualTask, events, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, must_not_run, stored, value};

// S13
#[test]
fn the_first_to_answer_wins_and_the_others_are_not_asked() {
    let two = TwoTiers::new();
    two.l1.put("ada", 1);
    two.l2.put("ada", 2);
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.lines(), ["l1 get: hit", "get: hit"]);
    assert_eq!(two.l2.calls(), []);
}

// S13
#[test]
fn a_hit_in_the_last_of_three_tiers_is_promoted_into_both_before_it() {
    let tiers = [Mock::new(), Mock::new(), Mock::new()];
    let [l1, l2, l3] = tiers.clone();
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::new(l1).name("l1"))
            .tier(Tier::new(l2).name("l2"))
            .tier(Tier::new(l3).name("l3")),
    );
    tiers[2].put("ada", 3);
    assert_eq!(value(&test.cache, "ada"), Some(3));
    assert_eq!(
        test.lines(),
        [
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "l3 get: hit (fallback)",
            "l1 insert: inserted",
            "l2 insert: inserted",
            "get: hit",
        ]
    );
    assert_eq!(tiers.each_ref().map(|tier| stored(tier, "ada")), [Some(3), Some(3), Some(3)]);
    assert_eq!(value(&test.cache, "ada"), Some(3));
    assert_eq!(test.lines(), ["l1 get: hit", "get: hit"]);
}

// S13
#[test]
fn a_compute_method_promotes_like_a_get() {
    let two = TwoTiers::new();
    two.l2.put("ada", 2);
    let entry = ready(two.cache.get_or_insert("ada", || async { must_not_run::<u32>() })).unwrap();
    assert_eq!((*entry, stored(&two.l1, "ada")), (2, Some(2)));
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get_or_insert: hit"]);
}

// S14
#[test]
fn a_failing_first_tier_counts_as_a_miss_and_the_second_answers() {
    let two = TwoTiers::new();
    two.l2.put("ada", 2);
    two.l1.always(Get, Fail("unplugged"));
    assert_eq!(value(&two.cache, "ada"), Some(2));
    let recorded = two.events();
    let lines = events::lines(&recorded);
    assert_eq!(lines, ["l1 get: error", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
    assert_eq!(format!("{:#}", events::tiers(&recorded)[0].error().unwrap()), "cache tier `l1` failed: unplugged");
    assert!(events::completion(&recorded).error().is_none());
}

// S14
#[test]
fn when_nothing_answers_and_some_tier_failed_the_call_fails() {
    for (first, second, name) in
        [(Some("one"), None, "l1"), (None, Some("two"), "l2"), (Some("one"), Some("two"), "l1")]
    {
        let two = TwoTiers::new();
        for operation in [Get, Contains] {
            for (tier, failure) in [(&two.l1, first), (&two.l2, second)] {
                if let Some(message) = failure {
                    tier.always(operation, Fail(message));
                }
            }
        }
        let said = |failure: Option<&str>| if failure.is_some() { "error" } else { "miss" };

        let error = ready(two.cache.get("ada")).unwrap_err();
        assert_eq!((error.tier_name(), error.is_tier()), (Some(name), true));
        let (first, second) = (said(first), said(second));
        assert_eq!(
            two.lines(),
            [format!("l1 get: {first}"), format!("l2 get: {second} (fallback)"), "get: error".to_owned()]
        );

        let error = ready(two.cache.contains("ada")).unwrap_err();
        assert_eq!(error.tier_name(), Some(name));
        assert_eq!(
            two.lines(),
            [
                format!("l1 contains: {first}"),
                format!("l2 contains: {second} (fallback)"),
                "contains: error".to_owned()
            ]
        );
    }
}

// S14
#[test]
fn contains_falls_through_a_failing_tier() {
    let two = TwoTiers::new();
    two.l2.put("ada", 2);
    two.l1.always(Contains, Fail("unplugged"));
    assert!(ready(two.cache.contains("ada")).unwrap());
    assert_eq!(two.lines(), ["l1 contains: error", "l2 contains: hit (fallback)", "contains: hit"]);
}

// S14
#[test]
fn compute_methods_fail_open() {
    let two = TwoTiers::new();
    two.l1.always(Get, Fail("unplugged"));
    two.l2.always(Get, Fail("unplugged too"));
    assert_eq!(*ready(two.cache.get_or_insert("ada", || async { 1 })).unwrap(), 1);
    assert_eq!(
        two.lines(),
        [
            "l1 get: error",
            "l2 get: error (fallback)",
            "l1 insert: inserted",
            "l2 insert: inserted",
            "get_or_insert: computed",
        ]
    );
}

// S14
#[test]
fn a_cache_that_fails_closed_returns_the_error_and_does_not_compute() {
    let mock = Mock::new();
    let test = TestCache::new(
        Ages::builder("ages").tier(Tier::memory(10).name("l1")).tier(Tier::new(mock.clone()).name("l2")).fail_closed(),
    );
    mock.always(Get, Fail("unplugged"));
    let error = ready(test.cache.get_or_insert("ada", || async { must_not_run::<u32>() })).unwrap_err();
    assert_eq!(format!("{error:#}"), "cache tier `l2` failed: unplugged");
    assert_eq!(test.lines(), ["l1 get: miss", "l2 get: error (fallback)", "get_or_insert: error"]);

    let error =
        ready(test.cache.try_get_or_insert("ada", || async { must_not_run::<std::io::Result<u32>>() })).unwrap_err();
    assert!(error.is_tier());
    let error =
        ready(test.cache.optionally_get_or_insert("ada", || async { must_not_run::<Option<u32>>() })).unwrap_err();
    assert!(error.is_tier());
    test.lines();

    // Only errors close it.
    mock.always(Get, cachet::testing::Behavior::Work);
    assert_eq!(*ready(test.cache.get_or_insert("ada", || async { 1 })).unwrap(), 1);
    mock.always(Get, Fail("unplugged"));
    assert_eq!(*ready(test.cache.get_or_insert("ada", || async { must_not_run::<u32>() })).unwrap(), 1);
}

// S14
#[test]
fn a_cache_of_one_tier_that_fails_closed_does_not_compute_either() {
    let mock = Mock::new();
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(mock.clone()).name("l1")).fail_closed());
    mock.always(Get, Fail("unplugged"));
    assert!(ready(test.cache.get_or_insert("ada", || async { must_not_run::<u32>() })).is_err());
    assert_eq!(test.lines(), ["l1 get: error", "get_or_insert: error"]);
}

// S15
#[test]
fn a_failed_promotion_does_not_fail_the_read() {
    for (behaviour, outcome) in [(Fail("full"), "error"), (Reject, "rejected")] {
        let two = TwoTiers::new();
        two.l2.put("ada", 2);
        two.l1.next(Insert, behaviour);
        assert_eq!(value(&two.cache, "ada"), Some(2));
        assert_eq!(
            two.lines(),
            ["l1 get: miss", "l2 get: hit (fallback)", &format!("l1 insert: {outcome}"), "get: hit"]
        );
    }
}

// S16
#[test]
fn writes_go_to_all_tiers_concurrently() {
    type Write = fn(&Ages) -> std::pin::Pin<Box<dyn Future<Output = bool> + '_>>;
    let writes: [(TierOperation, Write); 3] = [
        (Insert, |cache| Box::pin(async { cache.insert("ada", 1).await.is_ok() })),
        (Invalidate, |cache| Box::pin(async { cache.invalidate("ada").await.is_ok() })),
        (Clear, |cache| Box::pin(async { cache.clear().await.is_ok() })),
    ];
    for (operation, write) in writes {
        let two = TwoTiers::new();
        two.l1.next(operation, Pend(3));
        two.l2.next(operation, Pend(2));
        let mut stepped = ManualTask::new(write(&two.cache));
        stepped.pend(1);
        assert_eq!((two.l1.calls(), two.l2.calls()), (vec![operation], vec![operation]));
        stepped.pend(2);
        assert!(stepped.ready());
        let ended: Vec<_> = two.lines().into_iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(ended, ["l2", "l1", &format!("{operation}:")]);
    }
}

// S16
#[test]
fn all_tiers_are_attempted_and_the_error_says_which_failed() {
    for (broken, name) in [(0, "l1"), (1, "l2")] {
        let two = TwoTiers::new();
        let tiers = [&two.l1, &two.l2];
        for operation in [Insert, Invalidate, Clear] {
            tiers[broken].always(operation, Fail("unplugged"));
        }
        let insert = ready(two.cache.insert("ada", 1)).unwrap_err();
        assert_eq!(stored(tiers[1 - broken], "ada"), Some(1));
        let invalidate = ready(two.cache.invalidate("ada")).unwrap_err();
        assert_eq!(stored(tiers[1 - broken], "ada"), None);
        tiers[1 - broken].put("ada", 1);
        let clear = ready(two.cache.clear()).unwrap_err();
        assert_eq!(stored(tiers[1 - broken], "ada"), None);
        for error in [insert, invalidate, clear] {
            assert_eq!(error.tier_name(), Some(name));
        }
        two.lines();
    }
}

// S16
#[test]
fn when_both_tiers_fail_the_first_ones_error_is_returned() {
    let two = TwoTiers::new();
    for operation in [Insert, Invalidate, Clear] {
        two.l1.always(operation, Fail("one"));
        two.l2.always(operation, Fail("two"));
    }
    assert_eq!(ready(two.cache.insert("ada", 1)).unwrap_err().tier_name(), Some("l1"));
    assert_eq!(
        two.lines(),
        ["l1 insert: error", "l1 invalidate: error", "l2 insert: error", "l2 invalidate: error", "insert: error"]
    );
    assert_eq!(ready(two.cache.invalidate("ada")).unwrap_err().tier_name(), Some("l1"));
    assert_eq!(two.lines(), ["l1 invalidate: error", "l2 invalidate: error", "invalidate: error"]);
    assert_eq!(ready(two.cache.clear()).unwrap_err().tier_name(), Some("l1"));
    assert_eq!(two.lines(), ["l1 clear: error", "l2 clear: error", "clear: error"]);
}

// S16
#[test]
fn acceptance_wins_over_rejection_and_an_error_over_both() {
    use cachet::testing::Behavior::Work;
    let accepted = Ok(InsertOutcome::Accepted);
    let rejected = Ok(InsertOutcome::Rejected);
    for (first, second, expected) in [
        (Work, Work, accepted),
        (Work, Reject, accepted),
        (Reject, Work, accepted),
        (Reject, Reject, rejected),
        (Fail("x"), Work, Err("l1")),
        (Work, Fail("x"), Err("l2")),
        (Fail("x"), Reject, Err("l1")),
        (Reject, Fail("x"), Err("l2")),
    ] {
        let two = TwoTiers::new();
        two.l1.next(Insert, first);
        two.l2.next(Insert, second);
        let outcome = ready(two.cache.insert("ada", 1));
        assert_eq!(outcome.as_ref().copied().map_err(|error| error.tier_name().unwrap()), expected);
        let last = two.lines().pop().unwrap();
        let reported = match expected {
            Ok(InsertOutcome::Accepted) => "inserted",
            Ok(_) => "rejected",
            Err(_) => "error",
        };
        assert_eq!(last, format!("insert: {reported}"));
    }
}

// S17
#[test]
fn a_tier_that_rejects_or_fails_an_insert_drops_the_older_value() {
    for (behaviour, outcome) in [(Reject, "rejected"), (Fail("full"), "error")] {
        let two = TwoTiers::new();
        ready(two.cache.insert("ada", 1)).unwrap();
        two.lines();
        two.l1.next(Insert, behaviour);
        let result = ready(two.cache.insert("ada", 2));
        assert_eq!(result.is_err(), outcome == "error");
        let end = if outcome == "error" { "error" } else { "inserted" };
        assert_eq!(
            two.lines(),
            [
                format!("l1 insert: {outcome}"),
                "l1 invalidate: invalidated".to_owned(),
                "l2 insert: inserted".to_owned(),
                format!("insert: {end}"),
            ]
        );
        assert_eq!((stored(&two.l1, "ada"), value(&two.cache, "ada")), (None, Some(2)));
    }
}

// S17
#[test]
fn a_tier_whose_policy_turns_an_insert_away_drops_the_older_value() {
    for tier in [Tier::memory(10), Tier::new(Mock::new())] {
        let below = Mock::new();
        let small = InsertPolicy::when(|_: &str, entry: &CacheEntry<u32>| **entry < 10);
        let test = TestCache::new(
            Ages::builder("ages").tier(tier.name("l1").insert_policy(small)).tier(Tier::new(below.clone()).name("l2")),
        );
        ready(test.cache.insert("ada", 1)).unwrap();
        test.lines();
        assert_eq!(ready(test.cache.insert("ada", 20)).unwrap(), InsertOutcome::Accepted);
        assert_eq!(
            test.lines(),
            ["l1 insert: rejected", "l1 invalidate: invalidated", "l2 insert: inserted", "insert: inserted"]
        );
        assert_eq!(value(&test.cache, "ada"), Some(20));
        assert_eq!(test.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: rejected", "get: hit"]);
    }
}

// S17
#[test]
fn memory_that_finds_an_entry_too_heavy_drops_the_older_value() {
    let below = Mock::new();
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::memory_by_weight(100, |_: &str, weight: &u32| u64::from(*weight)).name("l1"))
            .tier(Tier::new(below).name("l2")),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    assert_eq!(ready(test.cache.insert("ada", 101)).unwrap(), InsertOutcome::Accepted);
    assert_eq!(value(&test.cache, "ada"), Some(101));
    assert_eq!(
        test.lines(),
        [
            "l1 insert: inserted",
            "l2 insert: inserted",
            "insert: inserted",
            "l1 insert: rejected",
            "l2 insert: inserted",
            "insert: inserted",
            "l1 get: miss",
            "l2 get: hit (fallback)",
            "l1 insert: rejected",
            "get: hit",
        ]
    );
}

// S17
#[test]
fn a_tier_that_fails_a_computed_insert_drops_the_older_value() {
    let two = TwoTiers::new();
    ready(two.cache.insert("ada", 1)).unwrap();
    // It cannot be read, so it is computed again.
    two.l1.next(Get, Fail("busy"));
    two.l2.next(Get, Fail("busy"));
    two.l1.next(Insert, Fail("full"));
    two.lines();
    assert_eq!(*ready(two.cache.get_or_insert("ada", || async { 2 })).unwrap(), 2);
    assert_eq!(
        two.lines(),
        [
            "l1 get: error",
            "l2 get: error (fallback)",
            "l1 insert: error",
            "l1 invalidate: invalidated",
            "l2 insert: inserted",
            "get_or_insert: computed",
        ]
    );
    assert_eq!(value(&two.cache, "ada"), Some(2));
}

// S17
#[test]
fn when_the_older_value_cannot_be_dropped_either_that_is_reported() {
    let two = TwoTiers::new();
    two.l1.next(Insert, Reject);
    two.l1.next(Invalidate, Fail("stuck"));
    assert_eq!(ready(two.cache.insert("ada", 1)).unwrap(), InsertOutcome::Accepted);
    assert_eq!(two.lines(), ["l1 insert: rejected", "l1 invalidate: error", "l2 insert: inserted", "insert: inserted"]);
}

// S18
#[test]
fn the_insert_policy_rules_direct_computed_and_promoted_inserts() {
    let two = TwoTiers::with(|l1| l1.insert_policy(InsertPolicy::when(|_: &str, _: &CacheEntry<u32>| false)), |l2| l2);
    ready(two.cache.insert("direct", 1)).unwrap();
    ready(two.cache.get_or_insert("computed", || async { 2 })).unwrap();
    two.l2.put("promoted", 3);
    assert_eq!(value(&two.cache, "promoted"), Some(3));
    assert_eq!(
        two.lines(),
        [
            "l1 insert: rejected",
            "l1 invalidate: invalidated",
            "l2 insert: inserted",
            "insert: inserted",
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "l1 insert: rejected",
            "l1 invalidate: invalidated",
            "l2 insert: inserted",
            "get_or_insert: computed",
            "l1 get: miss",
            "l2 get: hit (fallback)",
            "l1 insert: rejected",
            "get: hit",
        ]
    );
    assert!(!two.l1.calls().contains(&Insert));
    assert_eq!(ready(two.cache.len()).unwrap(), Some(0));
}

// S18
#[test]
fn a_policy_sees_the_key_and_the_entry_with_its_time_to_live() {
    let policy = InsertPolicy::when(|key: &str, entry: &CacheEntry<u32>| key == "ada" && entry.ttl().is_some());
    let two = TwoTiers::with(|l1| l1.insert_policy(policy), |l2| l2);
    ready(two.cache.insert("ada", CacheEntry::expires_after(1, crate::secs(9)))).unwrap();
    assert_eq!(stored(&two.l1, "ada"), Some(1));
    ready(two.cache.insert("ada", 1)).unwrap();
    assert_eq!(stored(&two.l1, "ada"), None);
    ready(two.cache.insert("bob", CacheEntry::expires_after(1, crate::secs(9)))).unwrap();
    assert_eq!(stored(&two.l1, "bob"), None);
}
