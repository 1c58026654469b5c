//! S61: a source is read, and never written; S17: a tier that accepts nothing loses only what the cache stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use cachet::telemetry::CacheTierEvent;
use cachet::telemetry::TierOperation::{Get, Insert, Invalidate};
use cachet::testing::Behavior::{Fail, Hang};
use cachet::testing::{MockTier, RecordingHandler};
use cachet::{Cache, CacheBuilder, CacheEntry, InsertOutcome, InsertPolicy, Source, Tier, TierError, cache_tier};
use cachet_tests::{events, ready};

use crate::{Mock, stored};

/// Knows everyone's age but bob's.
#[derive(Clone, Default)]
struct Registry(Arc<AtomicUsize>);

impl Registry {
    fn calls(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

#[cache_tier(name = "registry")]
impl Source<str, u32> for Registry {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        match key {
            "bob" => Ok(None),
            "eve" => Err("unknown to us".into()),
            _ => Ok(Some(CacheEntry::new(36))),
        }
    }
}

/// Everything it has expired long ago.
struct Archive;

#[cache_tier(name = "archive", immediate)]
impl Source<str, u32> for Archive {
    async fn get(&self, _key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        Ok(Some(CacheEntry::restore(1, Some(Duration::from_secs(1)), long_ago)))
    }
}

fn cache(tiers: impl IntoIterator<Item = Tier<str, u32>>) -> (Cache<str, u32>, RecordingHandler) {
    let seen = RecordingHandler::new();
    let mut tiers = tiers.into_iter();
    let builder = Cache::<str, u32>::builder("ages").tier(tiers.next().unwrap());
    (tiers.fold(builder, CacheBuilder::tier).event_handler(seen.clone()).build(), seen)
}

// S61
#[test]
fn a_source_is_read_and_what_it_has_is_promoted() {
    let (l1, registry) = (Mock::new(), Registry::default());
    let (cache, seen) = cache([Tier::new(l1.clone()).name("l1"), Tier::source(registry.clone())]);
    assert_eq!(ready(cache.get("ada")).unwrap().as_deref(), Some(&36));
    assert_eq!(seen.take_lines(), ["l1 get: miss", "registry get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
    assert_eq!(stored(&l1, "ada"), Some(36));
    assert!(ready(cache.get("bob")).unwrap().is_none());
    assert_eq!(ready(cache.get("eve")).unwrap_err().tier_name(), Some("registry"));
    let many = ready(cache.get_many(["ada", "bob", "zoe"]));
    let values: Vec<_> = many.into_iter().map(|found| found.unwrap().map(CacheEntry::into_value)).collect();
    assert_eq!((values, registry.calls()), (vec![Some(36), None, Some(36)], 5));
}

// S17, S61: a row of the database is not the cache's to remove.
#[test]
fn no_write_reaches_a_source() {
    let registry = Registry::default();
    let (cache, seen) = cache([Tier::new(Mock::new()).name("l1"), Tier::source(registry.clone())]);
    assert_eq!(ready(cache.insert("ada", 1)).unwrap(), InsertOutcome::Accepted);
    ready(cache.invalidate("ada")).unwrap();
    assert!(ready(cache.insert_many([("ada", 1), ("bob", 2)])).iter().all(Result::is_ok));
    assert!(ready(cache.invalidate_many(["ada", "bob"])).iter().all(Result::is_ok));
    ready(cache.clear()).unwrap();
    assert_eq!(*ready(cache.get_or_insert("bob", || async { 2 })).unwrap(), 2);
    assert_eq!(registry.calls(), 1, "but that of the lookup");
    let recorded = seen.take();
    let of_registry: Vec<_> = events::tiers(&recorded)
        .into_iter()
        .filter(|event| event.tier() == "registry")
        .map(CacheTierEvent::operation)
        .collect();
    assert_eq!(of_registry, [Get]);
}

// S61, S14
#[test]
fn a_failed_read_of_a_source_followed_by_a_load_removes_nothing() {
    let registry = Registry::default();
    let (cache, seen) = cache([Tier::new(Mock::new()).name("l1"), Tier::source(registry)]);
    assert_eq!(*ready(cache.get_or_insert("eve", || async { 2 })).unwrap(), 2);
    assert_eq!(
        seen.take_lines(),
        ["l1 get: miss", "registry get: error (fallback)", "l1 insert: inserted", "get_or_insert: computed"]
    );
}

// S12, S61
#[test]
fn what_a_source_returns_expired_is_a_miss_and_stays_where_it_is() {
    let (cache, seen) = cache([Tier::source(Archive)]);
    assert!(ready(cache.get("ada")).unwrap().is_none());
    assert!(ready(cache.get_many(["ada"])).remove(0).unwrap().is_none());
    assert_eq!(seen.take_lines(), ["archive get: expired", "get: miss", "archive get_many: miss", "get_many: miss"]);
}

// S61
#[test]
fn a_cache_of_a_source_alone_stores_nothing() {
    let (cache, seen) = cache([Tier::source(Archive)]);
    assert_eq!(ready(cache.insert("ada", 1)).unwrap(), InsertOutcome::Rejected);
    ready(cache.invalidate("ada")).unwrap();
    ready(cache.clear()).unwrap();
    assert_eq!(*ready(cache.get_or_insert("ada", || async { 2 })).unwrap(), 2);
    assert_eq!(
        seen.take_lines(),
        [
            "insert: rejected",
            "invalidate: invalidated",
            "clear: cleared",
            "archive get: expired",
            "get_or_insert: computed"
        ]
    );
}

// S17: what the database has is not older than what the cache stored, since the cache stored nothing there.
#[test]
fn a_tier_that_accepts_nothing_is_not_emptied_by_an_insert() {
    let [l1, rows] = [Mock::new(), Mock::new()];
    let rows_tier = Tier::new(rows.clone()).name("rows").insert_policy(InsertPolicy::never());
    let (cache, seen) = cache([Tier::new(l1.clone()).name("l1"), rows_tier]);
    rows.put("ada", 1);
    rows.put("bob", 1);
    ready(cache.insert("ada", 2)).unwrap();
    assert!(ready(cache.insert_many([("ada", 3), ("bob", 3)])).iter().all(Result::is_ok));
    rows.next(Get, Fail("out of reach"));
    ready(cache.invalidate("zoe")).unwrap();
    rows.put("zoe", 1);
    assert_eq!(*ready(cache.get_or_insert("zoe", || async { 4 })).unwrap(), 4);
    assert_eq!(["ada", "bob", "zoe"].map(|key| stored(&rows, key)), [Some(1); 3]);
    assert_eq!(rows.calls(), [Invalidate, Get]);
    assert!(!seen.take_lines().is_empty());
    // But by an invalidate, which says so.
    ready(cache.invalidate("ada")).unwrap();
    assert_eq!(stored(&rows, "ada"), None);
}

// S17, S44: what was not to be stored there leaves no debt, which would be paid by removing the row.
#[test]
fn an_insert_that_is_given_up_owes_nothing_to_a_tier_that_accepts_nothing() {
    let [l1, rows] = [Mock::new(), MockTier::new()];
    let rows_tier = Tier::new(rows.clone()).name("rows").insert_policy(InsertPolicy::never());
    let (cache, _seen) = cache([Tier::new(l1.clone()).name("l1"), rows_tier]);
    rows.put("ada", 1);
    // An invalidate hangs there, so that the insert is queued behind it.
    rows.next(Invalidate, Hang);
    let mut removing = cachet_tests::ManualTask::new(cache.invalidate("ada"));
    removing.pend(1);
    let mut inserting = cachet_tests::ManualTask::new(cache.insert("ada", 2));
    inserting.pend(1);
    drop(inserting);
    assert_eq!(stored(&l1, "ada"), Some(2));
    drop(removing);
    // The invalidate was given up half-way, which is a debt.
    ready(cache.get("zoe")).unwrap();
    assert_eq!(rows.calls(), [Invalidate, Get, Invalidate]);
    rows.put("ada", 1);
    l1.next(Insert, Hang);
    drop(cachet_tests::ManualTask::new(cache.insert("ada", 3)));
    ready(cache.get("zoe")).unwrap();
    assert_eq!(stored(&rows, "ada"), Some(1));
}
