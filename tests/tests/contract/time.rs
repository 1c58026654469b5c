//! S8–S12: expiry, by the injected clock.

use std::task::{Context, Waker};
use std::time::{Duration, UNIX_EPOCH};

use cachet::telemetry::{OperationOutcome, TierOperation, TierOutcome};
use cachet::testing::Behavior;
use cachet::{CacheEntry, ManualClock, Tier};
use cachet_tests::{ManualTask, events, ready};

use crate::{Ages, Mock, NANO, TestCache, TwoTiers, millis, mins, secs, stored, value};

fn memory(ttl: Duration) -> TestCache {
    TestCache::new(Ages::builder("ages").tier(Tier::memory(100).name("l1").ttl(ttl)))
}

// S8
#[test]
fn while_a_manual_clock_stands_still_nothing_expires() {
    let test = memory(NANO);
    ready(test.cache.insert("ada", 1)).unwrap();
    // Real time has moved by more than that in between.
    assert_eq!(value(&test.cache, "ada"), Some(1));
    test.clock.advance(NANO);
    assert_eq!(value(&test.cache, "ada"), Some(1));
    test.clock.advance(NANO);
    assert_eq!(value(&test.cache, "ada"), None);
}

// S9
#[test]
fn an_entry_is_fresh_at_its_time_to_live_and_expired_after() {
    for builder in [
        Ages::builder("ages").tier(Tier::memory(100).name("l1").ttl(secs(60))),
        Ages::builder("ages").tier(Tier::new(Mock::new()).name("l1").ttl(secs(60))),
    ] {
        let test = TestCache::new(builder);
        ready(test.cache.insert("ada", 1)).unwrap();
        test.clock.advance(secs(60));
        assert_eq!(value(&test.cache, "ada"), Some(1));
        test.clock.advance(NANO);
        assert_eq!(value(&test.cache, "ada"), None);
        assert_eq!(
            test.lines(),
            ["l1 insert: inserted", "insert: inserted", "l1 get: hit", "get: hit", "l1 get: expired", "get: miss"]
        );
    }
}

// S9
#[test]
fn the_entrys_own_time_to_live_beats_the_tiers_in_both_directions() {
    let test = memory(secs(60));
    ready(test.cache.insert("short", CacheEntry::expires_after(1, secs(10)))).unwrap();
    ready(test.cache.insert("long", CacheEntry::expires_after(2, secs(100)))).unwrap();
    ready(test.cache.insert("plain", 3)).unwrap();
    let values = || ["short", "plain", "long"].map(|key| value(&test.cache, key));

    test.clock.advance(secs(10));
    assert_eq!(values(), [Some(1), Some(3), Some(2)]);
    test.clock.advance(NANO);
    assert_eq!(values(), [None, Some(3), Some(2)]);
    test.clock.advance(secs(50));
    assert_eq!(values(), [None, None, Some(2)]);
    test.clock.advance(millis(39_999));
    assert_eq!(values(), [None, None, Some(2)]);
    test.clock.advance(millis(1));
    assert_eq!(values(), [None, None, None]);
}

// S9
#[test]
fn an_overwritten_entry_starts_a_new_life() {
    let test = memory(secs(60));
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(secs(59));
    ready(test.cache.insert("ada", 2)).unwrap();
    test.clock.advance(secs(60));
    assert_eq!(value(&test.cache, "ada"), Some(2));
}

// S10
#[test]
fn an_entrys_own_deadline_travels_with_it_between_tiers() {
    let two = TwoTiers::new();
    ready(two.cache.insert("ada", CacheEntry::expires_after(1, secs(100)))).unwrap();
    ready(cachet::CacheTier::clear(&two.l1)).unwrap();
    two.lines();

    two.clock.advance(secs(60));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
    assert_eq!(two.l1.stored("ada").unwrap().ttl(), Some(secs(40)));

    two.clock.advance(secs(40));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.lines(), ["l1 get: hit", "get: hit"]);
    two.clock.advance(NANO);
    assert_eq!(value(&two.cache, "ada"), None);
    assert_eq!(two.lines(), ["l1 get: expired", "l2 get: expired (fallback)", "get: miss"]);
}

// S10
#[test]
fn a_promoted_entry_gets_its_full_residence_in_the_first_tier() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(10)), |l2| l2.ttl(secs(100)));
    ready(two.cache.insert("ada", 1)).unwrap();
    two.clock.advance(secs(50));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    two.lines();

    two.clock.advance(secs(10));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.lines(), ["l1 get: hit", "get: hit"]);
    two.clock.advance(NANO);
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.lines(), ["l1 get: expired", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
}

// S10
#[test]
fn no_promotion_prolongs_an_entry_beyond_its_own_deadline() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(100)), |l2| l2.ttl(secs(1000)));
    ready(two.cache.insert("ada", CacheEntry::expires_after(1, secs(60)))).unwrap();
    for _ in 0..6 {
        ready(cachet::CacheTier::clear(&two.l1)).unwrap();
        assert_eq!(value(&two.cache, "ada"), Some(1));
        two.clock.advance(secs(10));
    }
    assert_eq!(value(&two.cache, "ada"), Some(1));
    two.clock.advance(NANO);
    assert_eq!(value(&two.cache, "ada"), None);
}

// S10
#[test]
fn an_entry_promoted_at_its_very_deadline_is_served_and_then_gone() {
    let two = TwoTiers::new();
    ready(two.cache.insert("ada", CacheEntry::expires_after(1, secs(60)))).unwrap();
    ready(cachet::CacheTier::clear(&two.l1)).unwrap();
    two.clock.advance(secs(60));
    assert_eq!((value(&two.cache, "ada"), value(&two.cache, "ada")), (Some(1), Some(1)));
    two.clock.advance(NANO);
    assert_eq!(value(&two.cache, "ada"), None);
}

// S10
#[test]
fn a_computed_entry_keeps_its_deadline_in_every_tier() {
    let two = TwoTiers::new();
    let entry = ready(two.cache.get_or_insert("ada", || async { CacheEntry::expires_after(1, secs(60)) })).unwrap();
    assert_eq!(entry.ttl(), Some(secs(60)));
    two.clock.advance(secs(60));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    two.clock.advance(NANO);
    assert_eq!(value(&two.cache, "ada"), None);
}

// S10
#[test]
fn an_entry_that_is_inserted_again_keeps_the_deadline_it_came_with() {
    let (from, to) = (TwoTiers::new(), TwoTiers::new());
    ready(from.cache.insert("ada", CacheEntry::expires_after(1, secs(60)))).unwrap();
    from.clock.advance(secs(20));
    to.clock.advance(secs(20));
    let entry = ready(from.cache.get("ada")).unwrap().unwrap();
    ready(to.cache.insert("ada", entry)).unwrap();
    assert_eq!(to.l1.stored("ada").unwrap().ttl(), Some(secs(40)));
}

// S10
#[test]
fn waiting_for_a_slow_tier_counts_against_an_entrys_own_deadline() {
    let two = TwoTiers::new();
    two.l1.next(TierOperation::Insert, Behavior::Pend(1));
    let mut insert = ManualTask::new(two.cache.insert("ada", CacheEntry::expires_after(1, secs(60))));
    insert.pend(1);
    two.clock.advance(secs(30));
    insert.finish().unwrap();
    two.clock.advance(secs(30));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    two.clock.advance(NANO);
    assert_eq!(value(&two.cache, "ada"), None);
}

// S11
#[test]
fn steps_of_the_wall_clock_neither_expire_nor_revive_entries_of_this_process() {
    for tier in [Tier::memory(100), Tier::new(Mock::new())] {
        let test = TestCache::new(Ages::builder("ages").tier(tier.ttl(secs(60))));
        let (cache, clock) = (&test.cache, &test.clock);
        ready(cache.insert("tier", 1)).unwrap();
        ready(cache.insert("own", CacheEntry::expires_after(2, secs(60)))).unwrap();
        let start = clock.wall();

        clock.set_wall(start + secs(1_000_000));
        assert_eq!((value(cache, "tier"), value(cache, "own")), (Some(1), Some(2)));
        clock.set_wall(UNIX_EPOCH);
        assert_eq!((value(cache, "tier"), value(cache, "own")), (Some(1), Some(2)));
        clock.advance(secs(61));
        clock.set_wall(start);
        assert_eq!((value(cache, "tier"), value(cache, "own")), (None, None));
    }
}

// S11
#[test]
fn entries_from_outside_the_process_follow_the_wall_clock() {
    let two = TwoTiers::with(|l1| l1, |l2| l2.ttl(secs(60)));
    let written = two.clock.wall();
    two.l2.put("ada", CacheEntry::restore(1, None, written));

    two.clock.set_wall(written + secs(61));
    assert_eq!(value(&two.cache, "ada"), None);
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: expired (fallback)", "get: miss"]);

    two.l2.put("ada", CacheEntry::restore(1, None, written + secs(61)));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
}

// S11
#[test]
fn a_stored_entry_from_the_future_is_of_now_up_to_a_tolerance_and_beyond_it_a_miss() {
    for (tolerance, configured) in [(mins(5), false), (secs(1), true)] {
        let two = TwoTiers::with(
            |l1| l1,
            |l2| {
                let l2 = l2.ttl(secs(60)).refresh_after(secs(30));
                if configured { l2.clock_tolerance(tolerance) } else { l2 }
            },
        );
        let ahead = two.clock.wall() + tolerance;
        two.l2.put("ada", CacheEntry::restore(1, Some(secs(60)), ahead));
        assert_eq!(value(&two.cache, "ada"), Some(1));
        let recorded = two.events();
        let hit = events::tiers(&recorded)[1];
        assert_eq!((hit.outcome(), hit.age()), (TierOutcome::Hit, Some(secs(0))));
        // Promoted, it lives as long as it was to live.
        assert_eq!(two.l1.stored("ada").unwrap().ttl(), Some(secs(60)));

        two.l2.put("bob", CacheEntry::restore(1, None, ahead + NANO));
        assert_eq!(value(&two.cache, "bob"), None);
        assert_eq!(two.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "get: miss"]);
        assert_eq!(stored(&two.l2, "bob"), Some(1), "it is never removed");
    }
}

// S11
#[test]
fn a_stored_entrys_own_deadline_holds_after_its_promotion() {
    let two = TwoTiers::new();
    let written = two.clock.wall() - secs(30);
    two.l2.put("ada", CacheEntry::restore(1, Some(secs(60)), written));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(two.l1.stored("ada").unwrap().ttl(), Some(secs(30)));
    two.clock.advance(secs(30));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    two.clock.advance(NANO);
    assert_eq!(value(&two.cache, "ada"), None);
}

// S9, S11: what carries no date cannot be shown to be fresh.
#[test]
fn an_entry_of_unknown_age_is_expired_in_a_tier_with_a_time_to_live_and_fresh_without() {
    let two = TwoTiers::with(|l1| l1, |l2| l2.ttl(secs(60)));
    two.l1.put("plain", 1);
    two.l2.put("ada", 2);
    assert_eq!((value(&two.cache, "plain"), value(&two.cache, "ada")), (Some(1), None));
}

// S12
#[test]
fn an_expired_entry_is_removed_from_memory() {
    let test = memory(secs(60));
    for key in ["ada", "bob"] {
        ready(test.cache.insert(key, 1)).unwrap();
    }
    test.lines();
    test.clock.advance(secs(61));
    assert_eq!(ready(test.cache.len()).unwrap(), Some(2));
    assert_eq!(value(&test.cache, "ada"), None);
    assert_eq!(ready(test.cache.len()).unwrap(), Some(1));
    assert!(!ready(test.cache.contains("bob")).unwrap());
    assert_eq!(ready(test.cache.len()).unwrap(), Some(0));
    assert_eq!(value(&test.cache, "ada"), None);
    assert_eq!(
        test.lines(),
        [
            "l1 len: counted",
            "len: counted",
            "l1 get: expired",
            "get: miss",
            "l1 len: counted",
            "len: counted",
            "l1 contains: expired",
            "contains: miss",
            "l1 len: counted",
            "len: counted",
            "l1 get: miss",
            "get: miss",
        ]
    );
}

// S12
#[test]
fn an_expired_entry_is_removed_from_a_tier_of_ones_own() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(1)), |l2| l2.ttl(secs(1)));
    ready(two.cache.insert("ada", 1)).unwrap();
    two.clock.advance(secs(2));
    assert_eq!(value(&two.cache, "ada"), None);
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (None, None));
}

// S12, S14
#[test]
fn an_expired_entry_that_cannot_be_removed_is_a_miss_all_the_same() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(1)), |l2| l2);
    ready(two.cache.insert("ada", 1)).unwrap();
    ready(two.cache.insert("bob", 2)).unwrap();
    two.clock.advance(secs(2));
    two.l1.next(TierOperation::Invalidate, Behavior::Fail("read-only"));
    assert_eq!(value(&two.cache, "ada"), Some(1));
    let recorded = two.events();
    let expired = events::tiers(&recorded)[4];
    assert_eq!(expired.outcome(), TierOutcome::Expired);
    assert_eq!(format!("{:#}", expired.error().unwrap()), "cache tier `l1` failed: read-only");
}

// S9, S12, S35: its age is reported.
#[test]
fn hits_and_expired_entries_tell_their_age() {
    let test = memory(secs(60));
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(millis(1500));
    value(&test.cache, "ada");
    test.clock.advance(secs(60));
    value(&test.cache, "ada");

    let recorded = test.events();
    let ages: Vec<_> = events::tiers(&recorded).iter().map(|event| event.age()).collect();
    assert_eq!(ages, [None, Some(millis(1500)), Some(millis(61_500))]);
    let ends: Vec<_> = events::completions(&recorded).iter().map(|event| (event.outcome(), event.age())).collect();
    assert_eq!(
        ends,
        [
            (OperationOutcome::Inserted, None),
            (OperationOutcome::Hit, Some(millis(1500))),
            (OperationOutcome::Miss, None)
        ]
    );
}

// S10, S35: the age is the one in the tier that answered.
#[test]
fn a_promoted_entrys_age_starts_over() {
    let two = TwoTiers::new();
    two.l2.put("ada", CacheEntry::restore(1, None, two.clock.wall()));
    two.clock.advance(secs(30));
    value(&two.cache, "ada");
    two.clock.advance(secs(5));
    value(&two.cache, "ada");
    let recorded = two.events();
    let ages: Vec<_> = events::completions(&recorded).iter().map(|event| (event.hit_tier(), event.age())).collect();
    assert_eq!(ages, [(Some("l2"), Some(secs(30))), (Some("l1"), Some(secs(5)))]);
}

// S9
#[test]
fn a_time_to_live_of_zero_is_over_as_soon_as_the_clock_moves() {
    let test = memory(Duration::ZERO);
    ready(test.cache.insert("ada", 1)).unwrap();
    assert_eq!(value(&test.cache, "ada"), Some(1));
    test.clock.advance(NANO);
    assert_eq!(value(&test.cache, "ada"), None);
}

// S8
#[test]
fn a_manual_clock_that_is_advanced_beyond_its_end_does_not_go_back() {
    let clock = ManualClock::new();
    let cache = Ages::builder("ages").tier(Tier::memory(10).ttl(secs(60))).clock(clock.clone()).build();
    clock.advance(secs(1));
    ready(cache.insert("a", 1)).unwrap();
    let before = clock.wall();
    clock.advance(Duration::MAX);
    assert!(clock.wall() >= before, "the wall clock went back");
    assert_eq!(value(&cache, "a"), None);
}

// S8
#[test]
fn whoever_sleeps_is_woken_by_the_end_of_time() {
    let clock = ManualClock::new();
    clock.advance(secs(1));
    let mut nap = Box::pin(clock.sleep(secs(8)));
    assert!(nap.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(Duration::MAX);
    assert!(nap.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}
