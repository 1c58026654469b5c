//! What a user may get wrong at run time: never a panic, always an answer.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use cachet::telemetry::TierOperation;
use cachet::testing::Behavior;
use cachet::{CacheEntry, CacheTier, Error, InsertOutcome, Tier, TierError, cache_tier};
use cachet_tests::tiers::Immediate;
use cachet_tests::{events, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, secs, value};

// S35: every event carries a name.
#[test]
fn a_cache_without_a_name_is_called_unnamed() {
    assert_eq!(Ages::builder("").tier(Tier::memory(1)).build().name(), "unnamed");
    assert_eq!(Ages::builder(String::from("owned")).tier(Tier::memory(1)).build().name(), "owned");
}

// S35
#[test]
fn tiers_of_the_same_name_are_told_apart() {
    let mock = || Tier::new(Mock::new());
    let cache = Ages::builder("ages")
        .tier(mock())
        .tier(mock().name("l1"))
        .tier(mock())
        .tier(mock().name("mock-2"))
        .tier(mock().name(""))
        .tier(mock().name("l1"))
        .build();
    assert_eq!(cache.tier_names().collect::<Vec<_>>(), ["mock", "l1", "mock-2", "mock-2-2", "mock-3", "l1-2"]);
}

// S35: and so events and errors tell which one it was.
#[test]
fn errors_of_tiers_of_the_same_name_are_told_apart() {
    let second = Mock::new();
    let cache = Ages::builder("ages").tier(Tier::new(Mock::new())).tier(Tier::new(second.clone())).build();
    second.always(TierOperation::Insert, Behavior::Fail("full"));
    assert_eq!(ready(cache.insert("ada", 1)).unwrap_err().tier_name(), Some("mock-2"));
}

// S9
#[test]
fn a_time_to_live_without_end_never_ends() {
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::memory(10).name("l1").ttl(Duration::MAX))
            .tier(Tier::new(Mock::new()).name("l2").ttl(Duration::MAX)),
    );
    ready(test.cache.insert("tier", 1)).unwrap();
    ready(test.cache.insert("own", CacheEntry::expires_after(2, Duration::MAX))).unwrap();
    test.clock.advance(secs(100 * 365 * 24 * 60 * 60));
    assert_eq!((value(&test.cache, "tier"), value(&test.cache, "own")), (Some(1), Some(2)));
    assert_eq!(ready(test.cache.get("own")).unwrap().unwrap().expires_at(), None);
}

// S11: dates that no clock can show.
#[test]
fn dates_before_1970_and_beyond_all_measure_are_survived() {
    let two = TwoTiers::with(|l1| l1.ttl(secs(60)), |l2| l2.ttl(secs(60)));
    two.clock.set_wall(std::time::UNIX_EPOCH - secs(60));
    two.l2.put("old", CacheEntry::restore(1, None, std::time::UNIX_EPOCH - secs(1_000_000)));
    assert_eq!(value(&two.cache, "old"), Some(1), "both count as 1970");
    two.l2.put("far", CacheEntry::restore(1, Some(Duration::MAX), two.clock.wall()));
    assert!(two.l2.stored("far").unwrap().expires_at().is_some());
    assert_eq!(value(&two.cache, "far"), Some(1));
}

// S14, S16
#[test]
fn a_tier_that_always_fails_is_survived() {
    let two = TwoTiers::new();
    for operation in TierOperation::ALL {
        two.l1.always(*operation, Behavior::Fail("gone"));
    }
    let cache = &two.cache;
    assert!(ready(cache.insert("ada", 1)).is_err());
    assert_eq!(value(cache, "ada"), Some(1));
    assert!(ready(cache.contains("ada")).unwrap());
    assert!(ready(cache.len()).is_err());
    assert_eq!(*ready(cache.get_or_insert("bob", || async { 2 })).unwrap(), 2);
    assert_eq!(value(cache, "bob"), Some(2));
    assert!(ready(cache.invalidate("ada")).is_err());
    assert!(ready(cache.get("eve")).is_err());
    // The second tier may still have it, and so is not asked.
    assert!(ready(cache.get("ada")).unwrap().is_none());
    assert!(ready(cache.clear()).is_err());
    let ends: Vec<_> = events::completions(&two.events())
        .iter()
        .map(|end| format!("{}: {}", end.operation(), end.outcome()))
        .collect();
    assert_eq!(
        ends,
        [
            "insert: error",
            "get: hit",
            "contains: hit",
            "len: error",
            "get_or_insert: computed",
            "get: hit",
            "invalidate: error",
            "get: error",
            "get: miss",
            "clear: error",
        ]
    );
}

/// Says that it answers at once, and waits.
fn liar() -> Tier<str, u32> {
    let mock = Mock::new();
    for operation in TierOperation::ALL {
        mock.always(*operation, Behavior::Pend(1));
    }
    Tier::new(Immediate::new(mock)).name("liar")
}

const LIES: &str =
    "cache tier `liar` is declared `immediate`, but had to wait; remove `immediate` from its `#[cache_tier]`";

// S14, S16
#[test]
fn an_immediate_tier_that_waits_gets_an_error_that_says_what_to_do() {
    let test = TestCache::new(Ages::builder("ages").tier(liar()));
    let cache = &test.cache;
    let errors = [
        ready(cache.get("ada")).unwrap_err(),
        ready(cache.contains("ada")).unwrap_err(),
        ready(cache.insert("ada", 1)).unwrap_err(),
        ready(cache.invalidate("ada")).unwrap_err(),
        ready(cache.clear()).unwrap_err(),
        ready(cache.len()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), LIES);
        assert_eq!((error.is_tier(), error.error_type(), error.tier_name()), (true, "not_immediate", Some("liar")));
    }
    assert_eq!(*ready(cache.get_or_insert("ada", || async { 1 })).unwrap(), 1);
}

// S14, S35: a tier that breaks its promise has failed; no caller has gone away.
#[test]
fn an_immediate_tier_that_waits_is_reported_as_failing() {
    let test = TestCache::new(Ages::builder("ages").tier(liar()).tier(Tier::new(Mock::new()).name("l2")));
    assert_eq!(*ready(test.cache.get_or_insert("ada", || async { 2 })).unwrap(), 2);
    let recorded = test.events();
    let reads: Vec<_> = recorded[..2].iter().map(ToString::to_string).collect();
    assert_eq!(reads, ["liar get: error", "l2 get: miss (fallback)"]);
    assert_eq!(events::tiers(&recorded)[0].error().unwrap().to_string(), LIES);

    assert!(ready(test.cache.insert("ada", 1)).is_err());
    assert_eq!(test.lines()[0], "liar insert: error");
}

// S17: an insert that fails because the tier waited leaves no older value behind either.
#[test]
fn an_immediate_tier_that_waits_in_an_insert_drops_the_older_value() {
    let mock = Mock::new();
    let test = TestCache::new(
        Ages::builder("ages").tier(Tier::new(Immediate::new(mock.clone()))).tier(Tier::new(Mock::new()).name("l2")),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    mock.next(TierOperation::Insert, Behavior::Pend(1));
    assert!(ready(test.cache.insert("ada", 2)).is_err());
    assert_eq!(value(&test.cache, "ada"), Some(2));
}

#[derive(Debug)]
struct Outer(io::Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot load the page")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

// S7
#[test]
fn an_errors_whole_chain_is_printed_and_searched() {
    let error = Error::from(TierError::from(Outer(io::Error::other("disk on fire"))));
    assert_eq!(error.to_string(), "a cache tier failed");
    assert_eq!(format!("{error:#}"), "a cache tier failed: cannot load the page: disk on fire");
    assert!(error.source_as::<Outer>().is_some());
    assert_eq!(error.source_as::<io::Error>().unwrap().to_string(), "disk on fire");
    assert!(error.source_as::<fmt::Error>().is_none());
    assert_eq!(error.source().unwrap().to_string(), "cannot load the page");
}

// S7
#[test]
fn an_error_tells_which_side_failed() {
    let tier = Error::from(TierError::msg("x"));
    assert_eq!((tier.is_tier(), tier.is_load(), tier.is_panic()), (true, false, false));
    assert_eq!((tier.error_type(), tier.tier_name()), ("tier", None));
    let typed = Error::from(TierError::msg("x").with_type("connect"));
    assert_eq!(typed.error_type(), "connect");
    // Wrapped in itself it stays what it was.
    assert_eq!(Error::from(TierError::from(typed)).error_type(), "connect");
    assert_eq!(
        Error::from(TierError::from(Box::<dyn std::error::Error + Send + Sync>::from("text")))
            .source()
            .unwrap()
            .to_string(),
        "text"
    );
}

// S7
#[test]
fn the_class_of_an_error_survives_the_way_to_the_caller() {
    /// Cannot be reached.
    struct Remote;

    #[cache_tier]
    impl CacheTier<str, u32> for Remote {
        async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
            Err(TierError::from(io::Error::from(io::ErrorKind::ConnectionRefused)).with_type("connect"))
        }

        async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
            Err(io::Error::from(io::ErrorKind::ConnectionRefused))?
        }

        async fn invalidate(&self, _: &str) -> Result<(), TierError> {
            Ok(())
        }

        async fn clear(&self) -> Result<(), TierError> {
            Ok(())
        }
    }

    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(Remote)));
    let error = ready(test.cache.get("ada")).unwrap_err();
    assert_eq!((error.error_type(), error.tier_name()), ("connect", Some("remote")));
    assert_eq!(error.source_as::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(format!("{error:#}"), "cache tier `remote` failed: connection refused");
    let error = ready(test.cache.insert("ada", 1)).unwrap_err();
    assert_eq!(error.source_as::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionRefused);
}
