//! Law 5: `Stats` counts what a handler receives.

use std::collections::BTreeMap;

use cachet::telemetry::{CacheOperation, OperationOutcome, Stats, TierOperation, TierOutcome};
use cachet::testing::{Behavior, Recorded};
use cachet::{CacheTier, Tier};
use cachet_tests::{ManualTask, events, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, millis, secs};

/// How often each line occurs, as `Stats` has it.
fn counted_by_stats(stats: &Stats) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for operation in CacheOperation::ALL {
        for outcome in OperationOutcome::ALL {
            counts.insert(format!("{operation}: {outcome}"), stats.operations(*operation, *outcome));
        }
    }
    for tier in stats.tiers() {
        for operation in TierOperation::ALL {
            for outcome in TierOutcome::ALL {
                counts.insert(format!("{} {operation}: {outcome}", tier.name()), tier.count(*operation, *outcome));
            }
        }
    }
    counts.retain(|_, count| *count > 0);
    counts
}

/// The same, as a handler received it.
fn counted_by_hand(recorded: &[Recorded]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in recorded {
        *counts.entry(event.to_string().replace(" (fallback)", "")).or_default() += 1;
    }
    counts
}

// S35, law 5
#[test]
fn stats_count_what_a_handler_is_told() {
    let stats = Stats::new();
    let (l2, l1_capacity) = (Mock::new(), 4);
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::memory(l1_capacity).name("l1").ttl(secs(10)))
            .tier(Tier::new(l2.clone()).name("l2").ttl(secs(100)))
            .event_handler(stats.clone()),
    );
    let (cache, clock) = (&test.cache, &test.clock);
    for round in 0..40_u32 {
        let key = format!("{}", round % 9);
        if round % 5 == 0 {
            l2.next(TierOperation::Get, Behavior::Fail("busy"));
        }
        if round % 7 == 0 {
            l2.next(TierOperation::Insert, if round % 2 == 0 { Behavior::Reject } else { Behavior::Fail("full") });
        }
        drop(ready(cache.get(&key)));
        drop(ready(cache.contains(&key)));
        drop(ready(cache.get_or_insert(&key, || async { round })));
        drop(ready(cache.insert(key.as_str(), round)));
        drop(ready(cache.try_get_or_insert("broken", || async { Err::<u32, _>("no") })));
        drop(ready(cache.optionally_get_or_insert("nothing", || async { None::<u32> })));
        if round % 11 == 0 {
            drop(ready(cache.invalidate(&key)));
            l2.next(TierOperation::Get, Behavior::Hang);
            let mut get = ManualTask::new(cache.get("absent"));
            get.pend(1);
            drop(get);
            drop(ready(cache.len()));
        }
        if round == 30 {
            drop(ready(cache.clear()));
        }
        clock.advance(secs(3));
    }
    let recorded = test.events();
    let by_hand = counted_by_hand(&recorded);
    assert_eq!(counted_by_stats(&stats), by_hand);
    assert!(by_hand.len() > 20, "too few kinds to prove anything: {by_hand:#?}");
    assert_eq!(stats.durations().count(), u64::try_from(events::completions(&recorded).len()).unwrap());
    let loads = events::completions(&recorded).iter().filter(|end| end.load_duration().is_some()).count();
    assert_eq!(stats.loads().count(), u64::try_from(loads).unwrap());
    assert_eq!(stats.coalesced(), 0);
}

// S35: law 3, as numbers.
#[test]
fn the_ends_of_reads_add_up_to_the_reads() {
    let stats = Stats::new();
    let mock = Mock::new();
    let cache = Ages::builder("ages").tier(Tier::new(mock.clone()).name("l1")).event_handler(stats.clone()).build();
    mock.put("ada", 1);
    drop(ready(cache.get("ada")));
    drop(ready(cache.get("bob")));
    mock.next(TierOperation::Get, Behavior::Fail("x"));
    drop(ready(cache.get("ada")));
    mock.next(TierOperation::Get, Behavior::Hang);
    let mut get = ManualTask::new(cache.get("ada"));
    get.pend(1);
    drop(get);
    let of = |outcome| stats.operations(CacheOperation::Get, outcome);
    assert_eq!(
        [OperationOutcome::Hit, OperationOutcome::Miss, OperationOutcome::Error, OperationOutcome::Cancelled].map(of),
        [1, 1, 1, 1]
    );
    assert_eq!(stats.operations_of(CacheOperation::Get), 4);
    let l1 = &stats.tiers()[0];
    assert_eq!((l1.hits(), l1.misses(), l1.hit_ratio()), (1, 3, Some(0.25)));
}

// S35
#[test]
fn stats_of_several_caches_tell_their_tiers_apart() {
    let stats = Stats::new();
    let build =
        |name: &'static str| Ages::builder(name).tier(Tier::memory(10).name("l1")).event_handler(stats.clone()).build();
    let (first, second) = (build("first"), build("second"));
    ready(first.get("ada")).unwrap();
    ready(second.get("ada")).unwrap();
    ready(second.get("ada")).unwrap();
    let tiers: Vec<_> =
        stats.tiers().iter().map(|tier| (tier.cache().to_owned(), tier.name().to_owned(), tier.misses())).collect();
    assert_eq!(tiers, [("first".to_owned(), "l1".to_owned(), 1), ("second".to_owned(), "l1".to_owned(), 2)]);
}

// S35, S8
#[test]
fn stats_keep_durations_by_the_injected_clock() {
    let stats = Stats::new();
    let mock = Mock::new();
    let test =
        TestCache::new(Ages::builder("ages").tier(Tier::new(mock.clone()).name("l1")).event_handler(stats.clone()));
    mock.next(TierOperation::Get, Behavior::Pend(1));
    let mut get = ManualTask::new(test.cache.get("ada"));
    get.pend(1);
    test.clock.advance(millis(8));
    get.ready().unwrap();
    for histogram in [stats.durations(), stats.tiers()[0].durations(TierOperation::Get)] {
        let median = histogram.quantile(0.5).unwrap().as_secs_f64();
        assert!((median / 0.008 - 1.0).abs() <= 0.0625, "{median}");
    }
}

// S12, S35: a failed removal of an expired entry does not count twice.
#[test]
fn an_expired_entry_that_cannot_be_removed_counts_once() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(1)), |l2| l2);
    ready(CacheTier::insert(&two.l1, "ada".to_owned(), 1.into())).unwrap();
    two.l1.always(TierOperation::Invalidate, Behavior::Fail("read-only"));
    two.clock.advance(secs(2));
    ready(two.cache.get("ada")).unwrap();
    assert_eq!(two.lines(), ["l1 get: expired", "l2 get: miss (fallback)", "get: miss"]);
}
