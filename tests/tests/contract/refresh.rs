//! S31–S34: an entry that is due is served at once, and brought up to date in the background.

mod ends;
mod overtaken;
mod panics;
mod stacked;
mod started;

use std::time::Duration;

use cachet::status::RefreshStatus;
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, InsertOutcome, ManualClock, Tier};
use cachet_tests::{ManualRuntime, ready};

use crate::{Ages, Mock, NANO, TestCache, secs, stored, value};

/// The age from which on entries of the first tier are due.
const DUE: Duration = secs(60);
/// The last age at which they are not.
const NOT_YET: Duration = DUE.saturating_sub(NANO);

/// An observed cache of two scripted tiers, of which the first is refreshed in a runtime that is driven by hand.
struct Refreshed {
    test: TestCache,
    l1: Mock,
    l2: Mock,
    tasks: ManualRuntime,
}

impl Refreshed {
    fn new() -> Self {
        Self::with(|l1| l1, |builder| builder)
    }

    fn with(
        first: impl FnOnce(Tier<str, u32>) -> Tier<str, u32>,
        configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>,
    ) -> Self {
        let (l1, l2, tasks) = (Mock::new(), Mock::new(), ManualRuntime::new());
        let builder = Ages::builder("ages")
            .tier(first(Tier::new(l1.clone()).name("l1").refresh_after(DUE)))
            .tier(Tier::new(l2.clone()).name("l2"))
            .runtime(tasks.clone());
        Self { test: TestCache::new(configure(builder)), l1, l2, tasks }
    }

    /// The same, with `ada` at 1 in both tiers, and due; and 2 in the second one since.
    fn due() -> Self {
        Self::due_with(|l1| l1, |builder| builder)
    }

    fn due_with(
        first: impl FnOnce(Tier<str, u32>) -> Tier<str, u32>,
        configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>,
    ) -> Self {
        let refreshed = Self::with(first, configure);
        refreshed.becomes_due("ada");
        refreshed.l2.put("ada", 2);
        refreshed
    }

    fn cache(&self) -> &Ages {
        &self.test.cache
    }

    fn clock(&self) -> &ManualClock {
        &self.test.clock
    }

    fn becomes_due(&self, key: &str) {
        assert_eq!(ready(self.cache().insert(key, 1)).unwrap(), InsertOutcome::Accepted);
        self.clock().advance(DUE);
        self.lines();
    }

    /// Reads, and finds a value that is no longer fresh.
    #[track_caller]
    fn stale(&self, key: &str) -> Option<u32> {
        let value = value(self.cache(), key);
        let lines = self.lines();
        assert_eq!(lines.last().map(String::as_str), Some("get: stale"), "{lines:?}");
        value
    }

    fn lines(&self) -> Vec<String> {
        self.test.lines()
    }

    /// How many are running, and how many keys are cooling down.
    fn status(&self) -> (usize, usize) {
        let RefreshStatus { running, cooling_down, .. } = self.cache().refreshes();
        (running, cooling_down)
    }
}

// S31
#[test]
fn an_entry_that_is_due_is_served_at_once_and_one_task_brings_it_up_to_date() {
    let it = Refreshed::due();
    assert_eq!(value(it.cache(), "ada"), Some(1));
    assert_eq!(it.lines(), ["l1 get: hit", "get: stale"]);
    assert_eq!(value(it.cache(), "ada"), Some(1));
    assert_eq!(it.lines(), ["l1 get: hit", "get: stale"]);
    assert_eq!((it.tasks.tasks(), it.status()), (1, (1, 0)));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
    assert_eq!(it.status(), (0, 0));
    assert_eq!(value(it.cache(), "ada"), Some(2));
    assert_eq!(it.lines(), ["l1 get: hit", "get: hit"]);
}

// S31, S10: it counts from the insertion into the tier.
#[test]
fn an_entry_is_due_at_the_very_age_and_not_before() {
    let it = Refreshed::new();
    ready(it.cache().insert("ada", 1)).unwrap();
    for _ in 0..3 {
        it.clock().advance(NOT_YET);
        it.lines();
        assert_eq!(value(it.cache(), "ada"), Some(1));
        assert_eq!((it.lines(), it.tasks.tasks()), (vec!["l1 get: hit".to_owned(), "get: hit".to_owned()], 0));
        it.clock().advance(NANO);
        assert_eq!((it.stale("ada"), it.tasks.tasks()), (Some(1), 1));
        it.tasks.run();
    }
}

// S31, S10: an entry that came from below is as old as its stay in the first tier.
#[test]
fn a_promoted_entry_is_due_after_its_own_time_in_the_tier() {
    let it = Refreshed::new();
    it.l2.put("ada", 1);
    it.clock().advance(DUE);
    assert_eq!(value(it.cache(), "ada"), Some(1));
    it.clock().advance(NOT_YET);
    it.lines();
    assert_eq!(value(it.cache(), "ada"), Some(1));
    assert_eq!(it.lines(), ["l1 get: hit", "get: hit"]);
    it.clock().advance(NANO);
    assert_eq!(it.stale("ada"), Some(1));
}

// S31: a tier that forgets when its entries were inserted.
#[test]
fn an_entry_of_unknown_age_is_due() {
    let it = Refreshed::new();
    it.l1.put("ada", 1);
    it.l2.put("ada", 2);
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

// S31, S9: what is expired is neither served nor refreshed.
#[test]
fn an_expired_entry_is_looked_up_below_and_no_task_is_started() {
    let it = Refreshed::due_with(|l1| l1.ttl(DUE), |builder| builder);
    it.clock().advance(NANO);
    assert_eq!(value(it.cache(), "ada"), Some(2));
    assert_eq!(it.lines(), ["l1 get: expired", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"]);
    assert_eq!(it.tasks.tasks(), 0);
}

// S31
#[test]
fn every_key_has_a_task_of_its_own() {
    let it = Refreshed::new();
    for key in ["ada", "bob"] {
        ready(it.cache().insert(key, 1)).unwrap();
        it.l2.put(key, 2);
    }
    it.clock().advance(DUE);
    assert_eq!((it.stale("ada"), it.stale("bob"), it.stale("ada")), (Some(1), Some(1), Some(1)));
    assert_eq!((it.tasks.tasks(), it.status()), (2, (2, 0)));
    it.tasks.run();
    assert_eq!((value(it.cache(), "ada"), value(it.cache(), "bob")), (Some(2), Some(2)));
}

// S31
#[test]
fn a_refresh_that_finds_nothing_leaves_the_entry_alone() {
    let it = Refreshed::due();
    ready(cachet::CacheTier::clear(&it.l2)).unwrap();
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: miss", "refresh: miss"]);
    assert_eq!((it.stale("ada"), stored(&it.l1, "ada")), (Some(1), Some(1)));
}

// S31: with an entry below that is expired itself, there is nothing either.
#[test]
fn a_refresh_that_finds_an_expired_entry_leaves_the_one_above_alone() {
    let (l1, l2, tasks) = (Mock::new(), Mock::new(), ManualRuntime::new());
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::new(l1).name("l1").refresh_after(DUE))
            .tier(Tier::new(l2.clone()).name("l2").ttl(secs(1)))
            .runtime(tasks.clone()),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(DUE);
    assert_eq!(value(&test.cache, "ada"), Some(1));
    test.lines();
    tasks.run();
    assert_eq!(test.lines(), ["l2 get: expired", "refresh: miss"]);
    assert_eq!((value(&test.cache, "ada"), stored(&l2, "ada")), (Some(1), None));
}

// S31: on the last tier, there is nothing to ask.
#[test]
fn the_last_tier_is_never_refreshed() {
    let (mock, tasks) = (Mock::new(), ManualRuntime::new());
    let test = TestCache::new(
        Ages::builder("ages").tier(Tier::new(mock).name("l1").refresh_after(DUE)).runtime(tasks.clone()),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(DUE * 2);
    test.lines();
    assert_eq!(value(&test.cache, "ada"), Some(1));
    assert_eq!((test.lines(), tasks.tasks()), (vec!["l1 get: hit".to_owned(), "get: hit".to_owned()], 0));
}
