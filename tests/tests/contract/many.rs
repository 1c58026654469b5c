//! Several keys in one operation: what each key gets is what it would have got alone, and each tier is called once.

use cachet::telemetry::{CacheOperation, Stats, TierOperation, TierOutcome};
use cachet::testing::{Behavior, Recorded};
use cachet::{CacheEntry, CacheTier, InsertOutcome, InsertPolicy, Tier, TierError, cache_tier};
use cachet_tests::tiers::Minimal;
use cachet_tests::{ManualTask, collected, events, ready};

use super::{Ages, Mock, TestCache, TwoTiers, millis, secs, stored, value};

/// The values of several keys, in their order.
#[track_caller]
fn values(cache: &Ages, keys: &[&str]) -> Vec<Option<u32>> {
    let answers = ManualTask::new(cache.get_many(keys.iter().copied())).finish();
    answers.into_iter().map(|answer| answer.unwrap().map(CacheEntry::into_value)).collect()
}

fn numbers(event: &Recorded) -> (Option<usize>, Option<usize>) {
    match event {
        Recorded::Tier(event) => (event.keys(), event.hits()),
        Recorded::Operation(event) => (event.keys(), event.hits()),
    }
}

#[test]
fn the_answers_are_in_the_order_of_the_keys_and_every_tier_is_called_once() {
    let two = TwoTiers::new();
    two.l1.put("a", 1);
    two.l2.put("b", 2);
    assert_eq!(values(&two.cache, &["b", "x", "a", "b"]), [Some(2), None, Some(1), Some(2)]);
    let events = two.events();
    let lines = events::lines(&events);
    assert_eq!(
        lines,
        ["l1 get_many: miss", "l2 get_many: miss (fallback)", "l1 insert_many: inserted", "get_many: miss"]
    );
    let numbers: Vec<_> = events.iter().map(numbers).collect();
    assert_eq!(numbers, [(Some(4), Some(1)), (Some(3), Some(2)), (Some(2), None), (Some(4), Some(3))]);
    assert_eq!(two.l2.calls(), [TierOperation::GetMany]);
}

#[test]
fn what_a_later_tier_had_is_promoted() {
    let two = TwoTiers::new();
    two.l2.put("a", 1);
    two.l2.put("b", 2);
    assert_eq!(values(&two.cache, &["a", "b"]), [Some(1), Some(2)]);
    assert_eq!((stored(&two.l1, "a"), stored(&two.l1, "b")), (Some(1), Some(2)));
    two.lines();
    assert_eq!(values(&two.cache, &["a", "b"]), [Some(1), Some(2)]);
    assert_eq!(two.lines(), ["l1 get_many: hit", "get_many: hit"]);
}

#[test]
fn only_what_is_missing_is_asked_of_the_next_tier() {
    let two = TwoTiers::new();
    two.l1.put("a", 1);
    two.l2.put("a", 7);
    assert_eq!(values(&two.cache, &["a"]), [Some(1)]);
    assert_eq!(two.l2.calls(), []);
}

#[test]
fn no_keys_are_fine_and_no_tier_is_called() {
    let two = TwoTiers::new();
    assert!(ready(two.cache.get_many::<str>([])).is_empty());
    assert!(collected(ready(two.cache.insert_many::<&str, u32>([]))).unwrap().is_empty());
    collected(ready(two.cache.invalidate_many::<str>([]))).unwrap();
    assert_eq!(two.lines(), ["get_many: hit", "insert_many: inserted", "invalidate_many: invalidated"]);
    assert!(two.l1.calls().is_empty() && two.l2.calls().is_empty());
}

#[test]
fn keys_may_be_given_in_any_form_that_can_be_borrowed() {
    let cache = Ages::builder("ages").tier(Tier::memory(100)).build();
    collected(ready(cache.insert_many(vec![("a".to_owned(), 1)]))).unwrap();
    let owned = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(ready(cache.get_many(&owned)).len(), 2);
    assert_eq!(ready(cache.get_many(owned.iter().map(String::as_str))).len(), 2);
    assert_eq!(ready(cache.get_many(["a", "b"])).len(), 2);
    collected(ready(cache.invalidate_many(&owned))).unwrap();
    assert_eq!(value(&cache, "a"), None);
    let numbers = cachet::Cache::<u64, u64>::builder("numbers").tier(Tier::memory(100)).build();
    collected(ready(numbers.insert_many((0..3).map(|n| (n, n * n))))).unwrap();
    assert_eq!(ready(numbers.get_many(&[2, 9])).len(), 2);
}

#[test]
fn a_failing_tier_fails_only_the_keys_that_nobody_else_has() {
    // S14
    let two = TwoTiers::new();
    two.l1.put("a", 1);
    two.l2.next(TierOperation::GetMany, Behavior::Fail("on fire"));
    let answers = ready(two.cache.get_many(["a", "b"]));
    assert_eq!(*answers[0].as_ref().unwrap().as_ref().unwrap().value(), 1);
    assert_eq!(answers[1].as_ref().unwrap_err().tier_name(), Some("l2"));
    assert_eq!(two.lines(), ["l1 get_many: miss", "l2 get_many: error (fallback)", "get_many: error"]);
}

#[test]
fn a_failing_first_tier_is_passed_over() {
    let two = TwoTiers::new();
    two.l1.next(TierOperation::GetMany, Behavior::Fail("on fire"));
    two.l2.put("a", 1);
    assert_eq!(values(&two.cache, &["a"]), [Some(1)]);
    assert_eq!(
        two.lines(),
        ["l1 get_many: error", "l2 get_many: hit (fallback)", "l1 insert_many: inserted", "get_many: hit"]
    );
}

#[test]
fn expired_entries_are_misses_and_are_removed() {
    // S12
    let two = TwoTiers::with(|l1| l1.ttl(secs(10)), |l2| l2);
    collected(ready(two.cache.insert_many([("a", 1), ("b", 2)]))).unwrap();
    collected(ready(two.cache.invalidate_many(["b"]))).unwrap();
    two.clock.advance(secs(11));
    two.l2.always(TierOperation::GetMany, Behavior::Fail("on fire"));
    two.lines();
    assert!(ready(two.cache.get_many(["a"]))[0].is_err());
    assert_eq!(stored(&two.l1, "a"), None);
    assert_eq!(two.lines(), ["l1 get_many: miss", "l2 get_many: error (fallback)", "get_many: error"]);
}

#[test]
fn expired_entries_are_served_where_all_else_fails_and_the_cache_may() {
    let two = {
        let (l1, l2) = (Mock::new(), Mock::new());
        let builder = Ages::builder("ages")
            .tier(Tier::new(l1.clone()).name("l1").ttl(secs(10)))
            .tier(Tier::new(l2.clone()).name("l2"))
            .serve_stale_on_error(secs(60));
        (TestCache::new(builder), l1, l2)
    };
    let (test, l1, l2) = two;
    ready(test.cache.insert("a", 1)).unwrap();
    ready(l2.clear()).unwrap();
    test.clock.advance(secs(11));
    l2.next(TierOperation::GetMany, Behavior::Fail("on fire"));
    test.lines();
    assert_eq!(values(&test.cache, &["a"]), [Some(1)]);
    assert_eq!(test.lines(), ["l1 get_many: miss", "l2 get_many: error (fallback)", "get_many: stale"]);
    // Now all tiers answer, and none has the key.
    assert_eq!(values(&test.cache, &["a"]), [None]);
    assert_eq!(
        test.lines(),
        ["l1 get_many: miss", "l2 get_many: miss (fallback)", "l1 invalidate: invalidated", "get_many: miss"]
    );
    assert_eq!(stored(&l1, "a"), None);
}

#[test]
fn a_newer_write_beats_a_promotion_of_several_keys() {
    // S19
    let two = TwoTiers::new();
    two.l2.put("a", 1);
    two.l2.put("b", 1);
    two.l2.next(TierOperation::GetMany, Behavior::Pend(1));
    let mut reading = ManualTask::new(two.cache.get_many(["a", "b"]));
    reading.pend(1);
    ready(two.cache.insert("a", 2)).unwrap();
    two.lines();
    let read: Vec<_> = reading.ready().into_iter().map(|answer| answer.unwrap().map(CacheEntry::into_value)).collect();
    assert_eq!(read, [Some(2), Some(1)]);
    assert_eq!((stored(&two.l1, "a"), stored(&two.l1, "b")), (Some(2), Some(1)));
    assert_eq!(two.lines(), ["l2 get_many: hit (fallback)", "l1 insert_many: inserted", "get_many: hit"]);
}

#[test]
fn a_promotion_all_of_which_is_overtaken_is_superseded() {
    // S19
    for immediate in [false, true] {
        let l2 = Mock::new();
        let first = if immediate { Tier::memory(100).name("l1") } else { Tier::new(Mock::new()).name("l1") };
        let test = TestCache::new(Ages::builder("ages").tier(first).tier(Tier::new(l2.clone()).name("l2")));
        l2.put("a", 1);
        l2.next(TierOperation::GetMany, Behavior::Pend(1));
        let mut reading = ManualTask::new(test.cache.get_many(["a"]));
        reading.pend(1);
        ready(test.cache.clear()).unwrap();
        l2.put("a", 1);
        test.lines();
        reading.ready();
        assert_eq!(
            test.lines(),
            ["l2 get_many: hit (fallback)", "l1 insert_many: superseded", "get_many: hit"],
            "immediate: {immediate}"
        );
        l2.always(TierOperation::Get, Behavior::Fail("not to be asked"));
        assert!(ready(test.cache.get("a")).is_err(), "the first tier has what was overtaken");
    }
}

#[test]
fn a_write_of_several_keys_voids_what_is_on_its_way_for_each() {
    // S19
    for write in [true, false] {
        let two = TwoTiers::new();
        two.l2.put("a", 1);
        two.l2.next(TierOperation::Get, Behavior::Pend(1));
        let mut reading = ManualTask::new(two.cache.get("a"));
        reading.pend(1);
        if write {
            collected(ready(two.cache.insert_many([("x", 0), ("a", 2)]))).unwrap();
        } else {
            collected(ready(two.cache.invalidate_many(["x", "a"]))).unwrap();
        }
        reading.ready().unwrap();
        assert_eq!(stored(&two.l1, "a"), write.then_some(2));
    }
}

#[test]
fn several_entries_go_to_every_tier_with_one_call_and_the_later_of_a_key_stays() {
    let two = TwoTiers::new();
    let outcomes = collected(ready(two.cache.insert_many([("a", 1), ("b", 2), ("a", 3)]))).unwrap();
    assert_eq!(outcomes, [InsertOutcome::Accepted; 3]);
    assert_eq!((stored(&two.l1, "a"), stored(&two.l2, "a"), stored(&two.l2, "b")), (Some(3), Some(3), Some(2)));
    assert_eq!(two.lines(), ["l1 insert_many: inserted", "l2 insert_many: inserted", "insert_many: inserted"]);
}

#[test]
fn an_entry_is_accepted_if_any_tier_took_it_and_no_older_one_is_left_where_it_was_not() {
    // S16, S17, S18
    let odd = InsertPolicy::when(|_: &str, entry: &CacheEntry<u32>| entry.value() % 2 == 1);
    let two = TwoTiers::with(|l1| l1.insert_policy(odd), |l2| l2.insert_policy(InsertPolicy::never()));
    two.l1.put("even", 0);
    let outcomes = collected(ready(two.cache.insert_many([("odd", 1), ("even", 2)]))).unwrap();
    assert_eq!(outcomes, [InsertOutcome::Accepted, InsertOutcome::Rejected]);
    assert_eq!((stored(&two.l1, "odd"), stored(&two.l1, "even")), (Some(1), None));
    assert_eq!(
        two.lines(),
        [
            "l1 insert_many: inserted",
            "l1 invalidate_many: invalidated",
            "l2 insert_many: rejected",
            "insert_many: inserted"
        ]
    );
}

#[test]
fn a_tier_that_fails_to_store_several_entries_loses_what_it_had_of_them() {
    // S16, S17
    let two = TwoTiers::new();
    two.l1.put("a", 0);
    two.l1.next(TierOperation::InsertMany, Behavior::Fail("full"));
    let error = collected(ready(two.cache.insert_many([("a", 1)]))).unwrap_err();
    assert_eq!(error.tier_name(), Some("l1"));
    assert_eq!((stored(&two.l1, "a"), stored(&two.l2, "a")), (None, Some(1)));
}

#[test]
fn several_keys_are_removed_from_every_tier_with_one_call() {
    let two = TwoTiers::new();
    collected(ready(two.cache.insert_many([("a", 1), ("b", 2), ("c", 3)]))).unwrap();
    two.lines();
    collected(ready(two.cache.invalidate_many(["a", "c", "x"]))).unwrap();
    assert_eq!(
        two.lines(),
        ["l1 invalidate_many: invalidated", "l2 invalidate_many: invalidated", "invalidate_many: invalidated"]
    );
    assert_eq!(values(&two.cache, &["a", "b", "c"]), [None, Some(2), None]);
    two.l2.next(TierOperation::InvalidateMany, Behavior::Fail("read-only"));
    assert_eq!(collected(ready(two.cache.invalidate_many(["b"]))).unwrap_err().tier_name(), Some("l2"));
    assert_eq!(stored(&two.l1, "b"), None);
}

#[test]
fn an_entry_of_its_own_ttl_keeps_its_deadline() {
    // S9, S10
    let two = TwoTiers::with(|l1| l1.ttl(secs(100)), |l2| l2.ttl(secs(100)));
    collected(ready(two.cache.insert_many([("a", CacheEntry::expires_after(1, secs(5))), ("b", CacheEntry::new(2))])))
        .unwrap();
    two.clock.advance(secs(3));
    ready(two.l1.clear()).unwrap();
    assert_eq!(values(&two.cache, &["a", "b"]), [Some(1), Some(2)]);
    two.clock.advance(secs(2) + millis(1));
    assert_eq!(values(&two.cache, &["a", "b"]), [None, Some(2)]);
}

#[test]
fn dropped_half_way_an_operation_of_several_keys_reports_so() {
    // S38
    let two = TwoTiers::new();
    two.l2.next(TierOperation::GetMany, Behavior::Hang);
    let mut reading = ManualTask::new(two.cache.get_many(["a", "b"]));
    reading.pend(2);
    drop(reading);
    assert_eq!(two.lines(), ["l1 get_many: miss", "l2 get_many: cancelled (fallback)", "get_many: cancelled"]);
}

#[test]
fn statistics_count_the_keys_of_a_lookup_of_several() {
    let stats = Stats::new();
    let cache = Ages::builder("ages").tier(Tier::memory(100).name("l1")).event_handler(stats.clone()).build();
    ready(cache.insert("a", 1)).unwrap();
    ready(cache.get("a")).unwrap();
    ready(cache.get_many(["a", "b", "c"]));
    let tier = stats.tier("ages", "l1").unwrap();
    assert_eq!((tier.hits(), tier.misses()), (2, 2));
    assert_eq!(tier.count(TierOperation::GetMany, TierOutcome::Miss), 1);
    assert_eq!(stats.operations_of(CacheOperation::GetMany), 1);
}

#[test]
fn a_tier_without_methods_for_several_keys_is_asked_for_each_at_once() {
    let mock = Mock::new();
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(Minimal(mock.clone()))));
    collected(ready(test.cache.insert_many((0..40).map(|n| (format!("{n}"), n))))).unwrap();
    test.lines();
    mock.always(TierOperation::Get, Behavior::Pend(1));
    let keys: Vec<_> = (0..40).map(|n| format!("{n}")).collect();
    let mut reading = ManualTask::new(test.cache.get_many(&keys));
    // All of them wait at the same time.
    reading.pend(1);
    let answers: Vec<_> = reading.finish().into_iter().map(|answer| *answer.unwrap().unwrap()).collect();
    assert_eq!(answers, (0..40).collect::<Vec<_>>());
    assert_eq!(test.lines(), ["minimal get_many: hit", "get_many: hit"]);
}

#[test]
fn by_default_one_failing_key_fails_alone() {
    let mock = Mock::new();
    let cache = Ages::builder("ages").tier(Tier::new(Minimal(mock.clone()))).build();
    mock.put("a", 0);
    let fail = Behavior::Fail("bad key");
    mock.next(TierOperation::Get, Behavior::Work);
    mock.next(TierOperation::Get, fail.clone());
    assert!(matches!(ready(cache.get_many(["a", "bad"]))[..], [Ok(Some(_)), Err(_)]));
    mock.next(TierOperation::Insert, fail.clone());
    mock.always(TierOperation::Invalidate, fail.clone());
    assert!(matches!(ready(cache.insert_many([("bad", 1), ("a", 1)]))[..], [Err(_), Ok(InsertOutcome::Accepted)]));
    // What failed is owed: the tier is not asked for it (S44).
    assert!(matches!(ready(cache.get_many(["a", "bad"]))[..], [Ok(Some(_)), Ok(None)]));
    mock.next(TierOperation::Invalidate, fail);
    mock.always(TierOperation::Invalidate, Behavior::Work);
    assert!(matches!(ready(cache.invalidate_many(["bad", "a"]))[..], [Err(_), Ok(())]));
    assert_eq!(stored(&mock, "a"), None);
}

/// Gives fewer answers than it was asked for.
struct Miscounting;

#[cache_tier(name = "miscounting")]
impl CacheTier<str, u32> for Miscounting {
    async fn get(&self, _key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(None)
    }

    async fn insert(&self, _key: String, _entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, _key: &str) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }

    async fn get_many(&self, _keys: &[&str]) -> Vec<Result<Option<CacheEntry<u32>>, TierError>> {
        vec![Ok(Some(CacheEntry::new(7)))]
    }

    async fn insert_many(&self, _entries: Vec<(String, CacheEntry<u32>)>) -> Vec<Result<InsertOutcome, TierError>> {
        Vec::new()
    }
}

#[test]
fn a_tier_that_miscounts_has_failed_and_no_key_gets_anothers_value() {
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(Miscounting)));
    let answers = ready(test.cache.get_many(["a", "b"]));
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!(format!("{error:#}"), "cache tier `miscounting` failed: it returned 1 results for 2 keys");
    assert!(answers[1].is_err());
    assert!(ready(test.cache.insert_many([("a", 1)]))[0].is_err());
    assert_eq!(
        test.lines(),
        [
            "miscounting get_many: error",
            "get_many: error",
            "miscounting insert_many: error",
            "miscounting invalidate_many: invalidated",
            "insert_many: error"
        ]
    );
}

// S16, S17
#[test]
fn insert_many_keeps_the_later_of_a_key_where_the_policy_rejects_the_earlier() {
    let cache = Ages::builder("ages")
        .tier(Tier::memory(10).insert_policy(InsertPolicy::when(|_: &str, e: &CacheEntry<u32>| **e > 1)))
        .build();
    let outcomes = collected(ready(cache.insert_many([("a", 1), ("a", 2)]))).unwrap();
    assert_eq!(outcomes, [InsertOutcome::Rejected, InsertOutcome::Accepted]);
    assert_eq!(value(&cache, "a"), Some(2));
}
