//! S20–S23: the compute methods.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Mutex};

use cachet::telemetry::TierOperation::Insert;
use cachet::telemetry::{CacheOperationEvent, RequestIdExt};
use cachet::testing::Behavior::{Fail, Reject};
use cachet::{Cache, CacheEntry, CacheTier, Error, InsertOutcome, RequestId, Tier, TierError, cache_tier};
use cachet_tests::{events, ready};

use crate::{Ages, TestCache, TwoTiers, must_not_run, secs, stored, value};

// S20
#[test]
fn on_a_hit_the_closure_does_not_run() {
    let two = TwoTiers::new();
    ready(two.cache.insert("ada", 1)).unwrap();
    two.lines();
    assert_eq!(*ready(two.cache.get_or_insert("ada", || async { must_not_run::<u32>() })).unwrap(), 1);
    assert_eq!(*ready(two.cache.try_get_or_insert("ada", || async { must_not_run::<io::Result<u32>>() })).unwrap(), 1);
    let entry = ready(two.cache.optionally_get_or_insert("ada", || async { must_not_run::<Option<u32>>() })).unwrap();
    assert_eq!(*entry.unwrap(), 1);
    assert_eq!(
        two.lines(),
        [
            "l1 get: hit",
            "get_or_insert: hit",
            "l1 get: hit",
            "try_get_or_insert: hit",
            "l1 get: hit",
            "optionally_get_or_insert: hit",
        ]
    );
}

// S20
#[test]
fn on_a_miss_it_runs_once_and_its_value_is_stored_and_returned() {
    let two = TwoTiers::new();
    // Not `Sync`, and borrowed: the closure may be anything that is `Send`.
    let runs = Cell::new(0);
    let mut runs = runs;
    let entry = ready(two.cache.get_or_insert("ada", || {
        *runs.get_mut() += 1;
        async { 1 }
    }))
    .unwrap();
    assert_eq!((*entry, runs.get()), (1, 1));
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (Some(1), Some(1)));
    let reported = |method| {
        [
            "l1 get: miss".to_owned(),
            "l2 get: miss (fallback)".to_owned(),
            "l1 insert: inserted".to_owned(),
            "l2 insert: inserted".to_owned(),
            format!("{method}: computed"),
        ]
    };
    assert_eq!(two.lines(), reported("get_or_insert"));

    assert_eq!(*ready(two.cache.try_get_or_insert("bob", || async { io::Result::Ok(2) })).unwrap(), 2);
    assert_eq!(two.lines(), reported("try_get_or_insert"));
    assert_eq!(value(&two.cache, "bob"), Some(2));
    two.lines();

    let entry = ready(two.cache.optionally_get_or_insert("eve", || async { Some(3) })).unwrap();
    assert_eq!(*entry.unwrap(), 3);
    assert_eq!(two.lines(), reported("optionally_get_or_insert"));
    assert_eq!(value(&two.cache, "eve"), Some(3));
}

// S20
#[test]
fn an_expired_entry_is_computed_anew() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(1)), |l2| l2.ttl(secs(1)));
    ready(two.cache.get_or_insert("ada", || async { 1 })).unwrap();
    two.clock.advance(secs(2));
    two.lines();
    assert_eq!(*ready(two.cache.get_or_insert("ada", || async { 2 })).unwrap(), 2);
    assert_eq!(
        two.lines(),
        [
            "l1 get: expired",
            "l2 get: expired (fallback)",
            "l1 insert: inserted",
            "l2 insert: inserted",
            "get_or_insert: computed",
        ]
    );
}

// S20
#[test]
fn a_closure_may_give_its_value_a_time_to_live() {
    let two = TwoTiers::new();
    let short = || CacheEntry::expires_after(1, secs(10));
    ready(two.cache.get_or_insert("ada", || async { short() })).unwrap();
    ready(two.cache.try_get_or_insert("bob", || async { io::Result::Ok(short()) })).unwrap();
    ready(two.cache.optionally_get_or_insert("eve", || async { Some(short()) })).unwrap();
    two.clock.advance(secs(11));
    assert_eq!(["ada", "bob", "eve"].map(|key| value(&two.cache, key)), [None, None, None]);
}

// S21
#[test]
fn an_error_keeps_its_type_is_not_stored_and_the_next_call_tries_again() {
    let two = TwoTiers::new();
    let error =
        ready(two.cache.try_get_or_insert("ada", || async { Err::<u32, _>(io::Error::other("renderer is down")) }))
            .unwrap_err();
    assert_eq!((error.is_load(), error.is_tier(), error.is_panic(), error.tier_name()), (true, false, false, None));
    assert_eq!(error.source_as::<io::Error>().unwrap().to_string(), "renderer is down");
    assert_eq!(format!("{error:#}"), "the loader failed: renderer is down");
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "try_get_or_insert: error"]);
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (None, None));

    assert_eq!(*ready(two.cache.try_get_or_insert("ada", || async { io::Result::Ok(1) })).unwrap(), 1);
    assert_eq!(value(&two.cache, "ada"), Some(1));
}

// S21
#[test]
fn a_closures_error_may_be_a_box_or_a_text() {
    let two = TwoTiers::new();
    let error = ready(two.cache.try_get_or_insert("ada", || async { Err::<u32, _>("no such user") })).unwrap_err();
    assert_eq!(format!("{error:#}"), "the loader failed: no such user");
    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(io::Error::from(io::ErrorKind::NotFound));
    let error = ready(two.cache.try_get_or_insert("ada", || async { Err::<u32, _>(boxed) })).unwrap_err();
    assert_eq!(error.source_as::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
}

// S21
#[test]
fn a_tiers_error_that_a_closure_passes_on_is_the_closures() {
    let (outer, inner) = (TwoTiers::new(), TwoTiers::new());
    inner.l1.always(cachet::telemetry::TierOperation::Get, Fail("unplugged"));
    let error = ready(
        outer.cache.try_get_or_insert("ada", || async { Ok::<_, Error>(inner.cache.get("ada").await?.unwrap()) }),
    )
    .unwrap_err();
    assert_eq!((error.is_load(), error.is_tier(), error.tier_name()), (true, false, None));
    assert_eq!(format!("{error:#}"), "the loader failed: cache tier `l1` failed: unplugged");
    assert_eq!(error.source_as::<Error>().unwrap().tier_name(), Some("l1"));
}

// S21
#[test]
fn none_is_not_stored_and_the_next_call_asks_again() {
    let two = TwoTiers::new();
    for _ in 0..2 {
        let nothing = ready(two.cache.optionally_get_or_insert("ada", || async { None::<u32> })).unwrap();
        assert!(nothing.is_none());
        assert_eq!(two.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "optionally_get_or_insert: none"]);
    }
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (None, None));
    assert!(ready(two.cache.optionally_get_or_insert("ada", || async { Some(1) })).unwrap().is_some());
}

// S22
#[test]
fn when_storing_fails_the_computed_value_is_returned_and_the_failure_reported() {
    for (behaviour, outcome) in [(Fail("full"), "error"), (Reject, "rejected")] {
        let two = TwoTiers::new();
        two.l1.next(Insert, behaviour.clone());
        two.l2.next(Insert, behaviour);
        assert_eq!(*ready(two.cache.get_or_insert("ada", || async { 1 })).unwrap(), 1);
        assert_eq!(
            two.lines(),
            [
                "l1 get: miss",
                "l2 get: miss (fallback)",
                &format!("l1 insert: {outcome}"),
                "l1 invalidate: invalidated",
                &format!("l2 insert: {outcome}"),
                "l2 invalidate: invalidated",
                "get_or_insert: computed",
            ]
        );
        assert_eq!(value(&two.cache, "ada"), None);
    }
}

// S23
#[test]
fn a_nested_operation_has_its_own_id_and_names_its_parent() {
    let two = TwoTiers::new();
    let inside = Mutex::new(None);
    ready(two.cache.get_or_insert("ada", || async {
        let id = RequestId::current();
        assert_eq!(two.cache.get("bob").await.unwrap(), None);
        assert_eq!(RequestId::current(), id, "the nested operation has left its id behind");
        *inside.lock().unwrap() = id;
        1
    }))
    .unwrap();

    let recorded = two.events();
    let lines = events::lines(&recorded);
    assert_eq!(
        lines,
        [
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "get: miss",
            "l1 insert: inserted",
            "l2 insert: inserted",
            "get_or_insert: computed",
        ]
    );
    let [inner, outer] = events::completions(&recorded)[..] else { panic!("two operations") };
    assert_ne!(inner.request_id(), outer.request_id());
    assert_eq!((inner.parent_request_id(), outer.parent_request_id()), (Some(outer.request_id()), None));
    assert_eq!(inside.into_inner().unwrap(), Some(outer.request_id()));
}

// S23
#[test]
fn nesting_goes_as_deep_as_it_likes() {
    let two = TwoTiers::new();
    let (cache, seen) = (&two.cache, &two.seen);
    ready(cache.get_or_insert("a", || async {
        *cache
            .get_or_insert("b", || async { *cache.get_or_insert("c", || async { 3 }).await.unwrap() + 1 })
            .await
            .unwrap()
            + 1
    }))
    .unwrap();
    assert_eq!(["a", "b", "c"].map(|key| stored(&two.l1, key)), [Some(5), Some(4), Some(3)]);
    let recorded = seen.take();
    let [c, b, a] = events::completions(&recorded)[..] else { panic!("three operations") };
    assert_eq!(
        [c, b, a].map(CacheOperationEvent::parent_request_id),
        [Some(b.request_id()), Some(a.request_id()), None]
    );
}

/// A tier that is itself a cache.
struct Stacked(Cache<str, u32>, Arc<Mutex<Vec<Option<RequestId>>>>);

#[cache_tier(name = "stacked")]
impl CacheTier<str, u32> for Stacked {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.1.lock().unwrap().push(RequestId::current());
        Ok(self.0.get(key).await?)
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        Ok(self.0.insert(key, entry).await?)
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        Ok(self.0.invalidate(key).await?)
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(self.0.clear().await?)
    }
}

// S23
#[test]
fn an_operation_nested_in_a_tier_names_its_parent_and_its_error_keeps_its_tier() {
    let inner = TwoTiers::new();
    let ids = Arc::default();
    let outer = TestCache::new(Ages::builder("outer").tier(Tier::new(Stacked(inner.cache.clone(), Arc::clone(&ids)))));
    assert_eq!(value(&outer.cache, "ada"), None);
    let (outside, inside) = (outer.events(), inner.events());
    let (parent, child) = (events::completion(&outside), events::completion(&inside));
    assert_eq!(child.parent_request_id(), Some(parent.request_id()));
    assert_eq!(*ids.lock().unwrap(), [Some(parent.request_id())]);

    inner.l1.always(Insert, Fail("unplugged"));
    let error = ready(outer.cache.insert("ada", 1)).unwrap_err();
    assert_eq!(format!("{error:#}"), "cache tier `l1` failed: unplugged");
    drop(inner.events());
    drop(outer.seen.take());
}

// S23
#[test]
fn an_id_from_outside_is_the_parent() {
    let two = TwoTiers::new();
    let id = RequestId::from_u64(u64::MAX - 1).unwrap();
    ready(two.cache.get("ada").with_request_id(id)).unwrap();
    let recorded = two.events();
    assert_eq!(events::completion(&recorded).parent_request_id(), Some(id));
    assert_ne!(events::completion(&recorded).request_id(), id);
}
