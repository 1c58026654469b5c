//! The memory tier, and S40: evictions.

use std::sync::{Arc, Mutex};

use cachet::telemetry::{OperationOutcome, TierOperation, TierOutcome};
use cachet::testing::{Recorded, RecordingHandler};
use cachet::{Cache, CacheEntry, CacheTier, InsertOutcome, Tier, TierContext, TierError, cache_tier};
use cachet_tests::{events, invariants, ready};

use crate::{Ages, Mock, TestCache, secs, value};

// S12: memory stays bounded.
#[test]
fn memory_never_holds_much_more_than_its_capacity_and_reports_what_it_evicts() {
    let seen = RecordingHandler::new();
    let cache =
        Cache::<u64, u64>::builder("numbers").tier(Tier::memory(100).name("l1")).event_handler(seen.clone()).build();
    for number in 0..1000_u64 {
        ready(cache.insert(number, number)).unwrap();
    }
    let len = ready(cache.len()).unwrap().unwrap();
    assert!(len <= 100, "{len} entries");
    let recorded = seen.take();
    invariants::check(&recorded);
    let evicted = events::tiers(&recorded).iter().filter(|event| event.outcome() == TierOutcome::Evicted).count();
    assert_eq!(u64::try_from(evicted).unwrap() + len, 1000);
}

// S40
#[test]
fn an_eviction_inside_an_operation_carries_its_id() {
    let test = TestCache::new(Ages::builder("ages").tier(Tier::memory(1).name("l1").ttl(secs(60))));
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(secs(3));
    test.lines();
    ready(test.cache.insert("bob", 2)).unwrap();
    let recorded = test.events();
    assert_eq!(events::lines(&recorded), ["l1 evict: evicted", "l1 insert: inserted", "insert: inserted"]);
    let evicted = events::tiers(&recorded)[0];
    let end = events::completion(&recorded);
    assert_eq!(evicted.request_id(), Some(end.request_id()));
    assert_eq!((evicted.operation(), evicted.age(), evicted.duration()), (TierOperation::Evict, Some(secs(3)), None));
    // It is no call of a tier.
    assert_eq!(end.tiers().len(), 1);
    assert_eq!((value(&test.cache, "ada"), value(&test.cache, "bob")), (None, Some(2)));
}

// S40
#[test]
fn an_eviction_by_a_promotion_carries_the_id_of_the_read() {
    let below = Mock::new();
    let test = TestCache::new(
        Ages::builder("ages").tier(Tier::memory(1).name("l1")).tier(Tier::new(below.clone()).name("l2")),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    below.put("bob", 2);
    test.lines();
    assert_eq!(value(&test.cache, "bob"), Some(2));
    let recorded = test.events();
    assert_eq!(
        events::lines(&recorded),
        ["l1 get: miss", "l2 get: hit (fallback)", "l1 evict: evicted", "l1 insert: inserted", "get: hit"]
    );
    let id = events::completion(&recorded).request_id();
    assert!(events::tiers(&recorded).iter().all(|event| event.request_id() == Some(id)));
}

/// Drops entries on request.
#[derive(Clone, Default)]
struct Reaper(Arc<Mutex<Option<TierContext<str>>>>);

#[cache_tier(name = "reaper")]
impl CacheTier<str, u32> for Reaper {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(None)
    }

    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }

    fn attach(&self, context: TierContext<str>) {
        *self.0.lock().unwrap() = Some(context);
    }
}

// S40
#[test]
fn an_eviction_outside_of_every_operation_carries_no_id() {
    let reaper = Reaper::default();
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(reaper.clone())));
    let context = reaper.0.lock().unwrap().clone().unwrap();
    assert!(context.is_observed());
    let entry = CacheEntry::restore((), None, test.clock.wall() - secs(5));
    context.evicted("ada", &entry);
    context.expired("ada", &entry);
    let recorded = test.events();
    let reported: Vec<_> = events::tiers(&recorded)
        .iter()
        .map(|event| (event.cache(), event.tier(), event.operation(), event.outcome(), event.request_id(), event.age()))
        .collect();
    let evict = TierOperation::Evict;
    assert_eq!(
        reported,
        [
            ("ages", "reaper", evict, TierOutcome::Evicted, None, Some(secs(5))),
            ("ages", "reaper", evict, TierOutcome::Expired, None, Some(secs(5))),
        ]
    );
    assert!(matches!(recorded[..], [Recorded::Tier(_), Recorded::Tier(_)]));
}

// S36, S40
#[test]
fn with_nobody_listening_a_reporter_says_so() {
    let reaper = Reaper::default();
    let cache = Ages::builder("ages").tier(Tier::new(reaper.clone())).build();
    let context = reaper.0.lock().unwrap().clone().unwrap();
    assert!(!context.is_observed());
    context.evicted("ada", &CacheEntry::new(()));
    drop(cache);
}

// S3, S20: what does not fit is computed and returned, and rejected.
#[test]
fn memory_without_capacity_holds_nothing() {
    let test = TestCache::new(Ages::builder("ages").tier(Tier::memory(0).name("l1")));
    assert_eq!(ready(test.cache.insert("ada", 1)).unwrap(), InsertOutcome::Rejected);
    assert_eq!(value(&test.cache, "ada"), None);
    assert_eq!(*ready(test.cache.get_or_insert("ada", || async { 2 })).unwrap(), 2);
    assert_eq!(ready(test.cache.len()).unwrap(), Some(0));
    assert_eq!(
        test.lines(),
        [
            "l1 insert: rejected",
            "insert: rejected",
            "l1 get: miss",
            "get: miss",
            "l1 get: miss",
            "l1 insert: rejected",
            "get_or_insert: computed",
            "l1 len: counted",
            "len: counted",
        ]
    );
}

// S13
#[test]
fn memory_without_capacity_over_another_tier_is_transparent() {
    let below = Mock::new();
    let test = TestCache::new(Ages::builder("ages").tier(Tier::memory(0).name("l1")).tier(Tier::new(below).name("l2")));
    assert_eq!(ready(test.cache.insert("ada", 1)).unwrap(), InsertOutcome::Accepted);
    assert_eq!(value(&test.cache, "ada"), Some(1));
    let recorded = test.events();
    let ends: Vec<_> = events::completions(&recorded).iter().map(|end| (end.outcome(), end.hit_tier())).collect();
    assert_eq!(ends, [(OperationOutcome::Inserted, None), (OperationOutcome::Hit, Some("l2"))]);
}

// S3
#[test]
fn weight_is_asked_once_and_decides() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asks = Arc::clone(&asked);
    let cache = Ages::builder("ages")
        .tier(Tier::memory_by_weight(1000, move |key: &str, value: &u32| {
            asks.lock().unwrap().push((key.to_owned(), *value));
            u64::from(*value)
        }))
        .build();
    assert_eq!(ready(cache.insert("light", 0)).unwrap(), InsertOutcome::Accepted);
    assert_eq!(ready(cache.insert("heavy", 1001)).unwrap(), InsertOutcome::Rejected);
    assert_eq!(value(&cache, "light"), Some(0));
    assert_eq!(*asked.lock().unwrap(), [("light".to_owned(), 0), ("heavy".to_owned(), 1001)]);
}

// S13: two memory tiers, and nothing that ever waits.
#[test]
fn two_memory_tiers_promote_like_any_others() {
    let test =
        TestCache::new(Ages::builder("ages").tier(Tier::memory(1).name("l1")).tier(Tier::memory(100).name("l2")));
    ready(test.cache.insert("ada", 1)).unwrap();
    ready(test.cache.insert("bob", 2)).unwrap();
    test.lines();
    assert_eq!(value(&test.cache, "ada"), Some(1));
    assert_eq!(
        test.lines(),
        ["l1 get: miss", "l2 get: hit (fallback)", "l1 evict: evicted", "l1 insert: inserted", "get: hit"]
    );
}
