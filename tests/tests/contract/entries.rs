//! S1–S7: entries and basic operations.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, UNIX_EPOCH};

use cachet::telemetry::TierOperation;
use cachet::testing::Behavior;
use cachet::{Cache, CacheEntry, Error, InsertOutcome, Tier, TierError};
use cachet_tests::ready;
use cachet_tests::tiers::Minimal;

use crate::{Ages, Mock, TestCache, TwoTiers, secs, stored, value};

// S1
#[test]
fn a_new_entry_has_neither_a_time_to_live_nor_a_date() {
    let entry = CacheEntry::new(36);
    assert_eq!((entry.ttl(), entry.inserted_at(), entry.expires_at()), (None, None, None));
    assert_eq!(entry, CacheEntry::from(36));
    assert_eq!((*entry, *entry.value(), *entry.as_ref(), entry.into_value()), (36, 36, 36, 36));
}

// S1
#[test]
fn an_entry_with_a_time_to_live_says_so() {
    let entry = CacheEntry::expires_after("ada", secs(5));
    assert_eq!(entry.ttl(), Some(secs(5)));
    assert_ne!(entry, CacheEntry::new("ada"));
    assert_eq!(entry.with_ttl(None), CacheEntry::new("ada"));
}

// S1
#[test]
fn whatever_happens_to_the_value_its_metadata_survive() {
    let inserted = UNIX_EPOCH + secs(1_000);
    let entry = CacheEntry::restore("36", Some(secs(5)), inserted);

    let mapped = entry.clone().map(str::len);
    assert_eq!((mapped.ttl(), mapped.inserted_at(), *mapped), (Some(secs(5)), Some(inserted), 2));
    assert_eq!(mapped.expires_at(), Some(inserted + secs(5)));

    let parsed = entry.clone().try_map(str::parse::<u32>).unwrap();
    assert_eq!((parsed.ttl(), parsed.inserted_at(), *parsed), (Some(secs(5)), Some(inserted), 36));
    assert!(entry.clone().map(|_| "x").try_map(str::parse::<u32>).is_err());

    let metadata = entry.metadata();
    assert_eq!((metadata.ttl(), metadata.inserted_at()), (Some(secs(5)), Some(inserted)));
}

// S2
#[test]
fn an_absent_key_is_none() {
    let two = TwoTiers::new();
    assert_eq!(value(&two.cache, "ada"), None);
    assert_eq!(two.lines(), ["l1 get: miss", "l2 get: miss (fallback)", "get: miss"]);
}

// S2
#[test]
fn an_insert_overwrites_in_every_tier() {
    let two = TwoTiers::new();
    assert_eq!(ready(two.cache.insert("ada", 1)).unwrap(), InsertOutcome::Accepted);
    assert_eq!(ready(two.cache.insert("ada", 2)).unwrap(), InsertOutcome::Accepted);
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada"), value(&two.cache, "ada")), (Some(2), Some(2), Some(2)));
    let insert = ["l1 insert: inserted", "l2 insert: inserted", "insert: inserted"];
    assert_eq!(two.lines(), [&insert[..], &insert, &["l1 get: hit", "get: hit"]].concat());
}

// S2
#[test]
fn invalidating_an_absent_key_and_clearing_an_empty_cache_are_fine() {
    let two = TwoTiers::new();
    ready(two.cache.invalidate("ada")).unwrap();
    ready(two.cache.clear()).unwrap();
    assert_eq!(
        two.lines(),
        [
            "l1 invalidate: invalidated",
            "l2 invalidate: invalidated",
            "invalidate: invalidated",
            "l1 clear: cleared",
            "l2 clear: cleared",
            "clear: cleared",
        ]
    );
}

// S2
#[test]
fn what_was_invalidated_or_cleared_is_gone() {
    let two = TwoTiers::new();
    for key in ["ada", "bob", "eve"] {
        ready(two.cache.insert(key, 1)).unwrap();
    }
    ready(two.cache.invalidate("ada")).unwrap();
    assert_eq!((value(&two.cache, "ada"), value(&two.cache, "bob")), (None, Some(1)));
    ready(two.cache.clear()).unwrap();
    assert_eq!((value(&two.cache, "bob"), value(&two.cache, "eve")), (None, None));
}

// S3
#[test]
fn a_rejection_is_no_error() {
    let two = TwoTiers::new();
    two.l1.next(TierOperation::Insert, Behavior::Reject);
    two.l2.next(TierOperation::Insert, Behavior::Reject);
    assert_eq!(ready(two.cache.insert("ada", 1)).unwrap(), InsertOutcome::Rejected);
    assert_eq!(
        two.lines(),
        [
            "l1 insert: rejected",
            "l1 invalidate: invalidated",
            "l2 insert: rejected",
            "l2 invalidate: invalidated",
            "insert: rejected",
        ]
    );
}

/// Counts how often it is cloned.
#[derive(Debug, Default)]
struct Cloned(Arc<AtomicUsize>);

impl Clone for Cloned {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

// S4
#[test]
fn contains_does_not_clone_the_value() {
    let count = Arc::new(AtomicUsize::new(0));
    let cache = Cache::<str, Cloned>::builder("clones").tier(Tier::memory(10)).build();
    ready(cache.insert("ada", Cloned(Arc::clone(&count)))).unwrap();
    let before = count.load(Ordering::Relaxed);
    assert!(ready(cache.contains("ada")).unwrap());
    assert_eq!(count.load(Ordering::Relaxed), before);
    assert!(ready(cache.get("ada")).unwrap().is_some());
    assert_eq!(count.load(Ordering::Relaxed), before + 1);
}

// S4
#[test]
fn contains_says_whether_get_would_return_an_entry_and_promotes_nothing() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(5)), |l2| l2.ttl(secs(60)));
    assert!(!ready(two.cache.contains("ada")).unwrap());
    ready(two.cache.insert("ada", 1)).unwrap();
    assert!(ready(two.cache.contains("ada")).unwrap());
    two.lines();

    two.clock.advance(secs(6));
    assert!(ready(two.cache.contains("ada")).unwrap());
    assert_eq!(two.lines(), ["l1 contains: expired", "l2 contains: hit (fallback)", "contains: hit"]);
    assert_eq!(stored(&two.l1, "ada"), None);

    two.clock.advance(secs(55));
    assert!(!ready(two.cache.contains("ada")).unwrap());
    assert_eq!(two.lines(), ["l1 contains: miss", "l2 contains: expired (fallback)", "contains: miss"]);
}

// S5
#[test]
fn len_is_the_count_of_the_first_tier_alone() {
    let two = TwoTiers::new();
    two.l1.put("ada", 1);
    two.l1.put("bob", 2);
    two.l2.put("eve", 3);
    assert_eq!(ready(two.cache.len()).unwrap(), Some(2));
    assert_eq!(two.lines(), ["l1 len: counted", "len: counted"]);
}

// S5
#[test]
fn len_of_a_tier_that_cannot_tell_is_none() {
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(Minimal(Mock::new()))));
    assert_eq!(ready(test.cache.len()).unwrap(), None);
    assert_eq!(test.lines(), ["minimal len: counted", "len: counted"]);
}

// S5
#[test]
fn len_of_a_failing_tier_is_its_error() {
    let two = TwoTiers::new();
    two.l1.next(TierOperation::Len, Behavior::Fail("no idea"));
    let error = ready(two.cache.len()).unwrap_err();
    assert_eq!(format!("{error:#}"), "cache tier `l1` failed: no idea");
    assert_eq!(two.lines(), ["l1 len: error", "len: error"]);
}

// S5
#[test]
fn len_of_memory_counts_its_entries() {
    let cache = Ages::builder("ages").tier(Tier::memory(100)).build();
    for key in ["ada", "bob", "eve"] {
        ready(cache.insert(key, 1)).unwrap();
    }
    assert_eq!(ready(cache.len()).unwrap(), Some(3));
}

// S6
#[test]
fn keys_of_every_shape_are_looked_up_borrowed() {
    let bytes = Cache::<[u8], u32>::builder("bytes").tier(Tier::memory(10)).build();
    ready(bytes.insert(vec![1, 2], 1)).unwrap();
    assert!(ready(bytes.contains(&[1, 2])).unwrap());

    let paths = Cache::<Path, u32>::builder("paths").tier(Tier::memory(10)).build();
    ready(paths.insert(PathBuf::from("/etc"), 1)).unwrap();
    ready(paths.insert("/usr", 2)).unwrap();
    assert!(ready(paths.contains(Path::new("/usr"))).unwrap());

    let numbers = Cache::<u64, u32>::builder("numbers").tier(Tier::memory(10)).build();
    ready(numbers.insert(7_u64, 1)).unwrap();
    assert!(ready(numbers.contains(&7)).unwrap());

    let strings = Cache::<String, u32>::builder("strings").tier(Tier::memory(10)).build();
    ready(strings.insert("ada", 1)).unwrap();
    assert!(ready(strings.contains(&"ada".to_owned())).unwrap());
}

// S7
#[test]
fn clones_are_handles_to_the_same_cache() {
    let two = TwoTiers::new();
    let clone = two.cache.clone();
    ready(clone.insert("ada", 1)).unwrap();
    assert_eq!(value(&two.cache, "ada"), Some(1));
    assert_eq!(clone.name(), "ages");
    assert_eq!(clone.tier_names().collect::<Vec<_>>(), ["l1", "l2"]);
    assert_eq!(format!("{clone:?}"), r#"Cache { name: "ages", tiers: ["l1", "l2"], .. }"#);
}

// S7
#[test]
fn an_error_and_its_clones_keep_the_type_of_their_source() {
    let error = Error::from(TierError::from(std::io::Error::from(std::io::ErrorKind::PermissionDenied)));
    let clone = error.clone();
    drop(error);
    assert_eq!(clone.source_as::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::PermissionDenied);
    assert!(clone.source_as::<std::fmt::Error>().is_none());
}

// S2: futures are lazy.
#[test]
fn a_future_that_is_never_polled_does_nothing() {
    let two = TwoTiers::new();
    drop(two.cache.get("ada"));
    drop(two.cache.insert("ada", 1));
    drop(two.cache.invalidate("ada"));
    drop(two.cache.clear());
    drop(two.cache.len());
    drop(two.cache.contains("ada"));
    drop(two.cache.get_or_insert("ada", || async { 1 }));
    assert_eq!((two.l1.calls(), two.l2.calls()), (vec![], vec![]));
    assert_eq!(two.lines(), [""; 0]);
}

// S1: durations beyond what fits are as long as fits.
#[test]
fn a_time_to_live_beyond_all_measure_is_kept_as_very_long() {
    let entry = CacheEntry::expires_after(1, Duration::MAX);
    assert!(entry.ttl().unwrap() > secs(500 * 365 * 24 * 60 * 60));
}

// S7
#[test]
fn a_get_that_is_polled_once_more_after_its_end_does_not_panic() {
    let cache = Ages::builder("ages").tier(Tier::new(Mock::new())).build();
    let mut get = Box::pin(cache.get("a"));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(get.as_mut().poll(&mut cx).is_ready());
    assert!(get.as_mut().poll(&mut cx).is_pending());
}
