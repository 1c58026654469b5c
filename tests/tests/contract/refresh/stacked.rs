//! S31 with more than two tiers, and S18: which tiers a refresh asks, and which take what it found.

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::testing::Behavior::{Fail, Reject};
use cachet::{CacheEntry, InsertPolicy, Tier};
use cachet_tests::events::{self, completion};
use cachet_tests::{ManualRuntime, ready};

use super::{DUE, Refreshed};
use crate::{Ages, Mock, TestCache, secs, stored, value};

/// Three scripted tiers, with `ada` at 1 everywhere.
struct Three {
    test: TestCache,
    tiers: [Mock; 3],
    tasks: ManualRuntime,
}

impl Three {
    /// The first ones of them are refreshed after these times.
    fn new(refresh_after: &[std::time::Duration]) -> Self {
        let (tiers, tasks) = ([Mock::new(), Mock::new(), Mock::new()], ManualRuntime::new());
        let mut stack = tiers.iter().zip(["l1", "l2", "l3"]).enumerate().map(|(number, (mock, name))| {
            let tier = Tier::new(mock.clone()).name(name);
            match refresh_after.get(number) {
                Some(after) if !after.is_zero() => tier.refresh_after(*after),
                _ => tier,
            }
        });
        let mut next = || stack.next().unwrap();
        let builder = Ages::builder("ages").tier(next()).tier(next()).tier(next()).runtime(tasks.clone());
        let test = TestCache::new(builder);
        ready(test.cache.insert("ada", 1)).unwrap();
        test.lines();
        Self { test, tiers, tasks }
    }

    fn stored(&self) -> [Option<u32>; 3] {
        [0, 1, 2].map(|tier| stored(&self.tiers[tier], "ada"))
    }
}

// S31
#[test]
fn an_entry_that_is_due_in_the_middle_tier_is_promoted_and_refreshed_from_the_last() {
    let three = Three::new(&[secs(0), DUE]);
    let [l1, _, l3] = &three.tiers;
    three.test.clock.advance(DUE);
    ready(cachet::CacheTier::clear(l1)).unwrap();
    l3.put("ada", 2);
    assert_eq!(value(&three.test.cache, "ada"), Some(1));
    assert_eq!(three.test.lines(), ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: stale"]);
    three.tasks.run();
    assert_eq!(three.test.lines(), ["l3 get: hit", "l1 insert: inserted", "l2 insert: inserted", "refresh: refreshed"]);
    assert_eq!(three.stored(), [Some(2); 3]);
}

// S31
#[test]
fn a_refresh_of_the_first_tier_asks_the_others_in_their_order() {
    let three = Three::new(&[DUE]);
    let [_, l2, l3] = &three.tiers;
    three.test.clock.advance(DUE);
    l3.put("ada", 2);
    ready(cachet::CacheTier::clear(l2)).unwrap();
    assert_eq!(value(&three.test.cache, "ada"), Some(1));
    three.test.lines();
    three.tasks.run();
    assert_eq!(
        three.test.lines(),
        ["l2 get: miss", "l3 get: hit (fallback)", "l1 insert: inserted", "l2 insert: inserted", "refresh: refreshed"]
    );
    assert_eq!(three.stored(), [Some(2); 3]);
}

// S31, S13: the nearest answer counts, and the last tier is not troubled.
#[test]
fn a_refresh_is_content_with_the_first_tier_below_that_has_the_entry() {
    let three = Three::new(&[DUE]);
    three.test.clock.advance(DUE);
    three.tiers[1].put("ada", 2);
    three.tiers[2].put("ada", 3);
    assert_eq!(value(&three.test.cache, "ada"), Some(1));
    three.test.lines();
    three.tasks.run();
    assert_eq!(three.test.lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
    assert_eq!(three.stored(), [Some(2), Some(2), Some(3)]);
}

// S14, S31: a tier that fails is passed over.
#[test]
fn a_refresh_passes_over_a_tier_that_fails() {
    let three = Three::new(&[DUE]);
    three.test.clock.advance(DUE);
    three.tiers[1].next(Get, Fail("down"));
    three.tiers[2].put("ada", 3);
    assert_eq!(value(&three.test.cache, "ada"), Some(1));
    three.test.lines();
    three.tasks.run();
    assert_eq!(
        three.test.lines(),
        ["l2 get: error", "l3 get: hit (fallback)", "l1 insert: inserted", "l2 insert: inserted", "refresh: refreshed"]
    );
}

// S31, S34: what a refresh has found may be due in turn.
#[test]
fn a_refresh_that_finds_an_entry_that_is_due_has_that_one_refreshed_from_below() {
    let three = Three::new(&[DUE, DUE]);
    three.test.clock.advance(DUE);
    three.tiers[2].put("ada", 2);
    assert_eq!(value(&three.test.cache, "ada"), Some(1));
    three.test.lines();
    three.tasks.poll();
    let first = three.test.events();
    let lines = events::lines(&first);
    assert_eq!(lines, ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
    assert_eq!((three.tasks.tasks(), three.test.cache.refreshes().running), (1, 1));
    three.tasks.run();
    let second = three.test.events();
    let lines = events::lines(&second);
    assert_eq!(lines, ["l3 get: hit", "l1 insert: inserted", "l2 insert: inserted", "refresh: refreshed"]);
    assert_eq!(completion(&second).parent_request_id(), Some(completion(&first).request_id()));
    assert_eq!((three.stored(), three.test.cache.refreshes().running), ([Some(2); 3], 0));
}

// S32: the cool-down is that of the tier whose entry was due.
#[test]
fn a_key_cools_down_for_as_long_as_the_tier_says_whose_entry_was_due() {
    let three = Three::new(&[secs(100), secs(10)]);
    three.test.clock.advance(secs(10));
    ready(cachet::CacheTier::clear(&three.tiers[0])).unwrap();
    three.tiers[2].next(Get, Fail("down"));
    assert_eq!(value(&three.test.cache, "ada"), Some(1));
    three.tasks.run();
    assert_eq!(three.test.cache.refreshes().cooling_down, 1);
    three.test.clock.advance(secs(10));
    assert_eq!(three.test.cache.refreshes().cooling_down, 0);
}

// S18, S17
#[test]
fn a_policy_that_rejects_a_refreshed_entry_has_the_older_one_dropped() {
    let odd = InsertPolicy::when(|_: &str, entry: &CacheEntry<u32>| entry.value() % 2 == 1);
    let it = Refreshed::due_with(|l1| l1.insert_policy(odd), |builder| builder);
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: rejected", "l1 invalidate: invalidated", "refresh: rejected"]);
    assert_eq!((stored(&it.l1, "ada"), it.status()), (None, (0, 0)));
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

// S17: in a tier that turns it away itself.
#[test]
fn a_tier_that_rejects_a_refreshed_entry_does_not_go_on_serving_the_older_one() {
    let it = Refreshed::due();
    it.l1.next(Insert, Reject);
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: rejected", "l1 invalidate: invalidated", "refresh: rejected"]);
    assert_eq!((stored(&it.l1, "ada"), it.status()), (None, (0, 0)));
}

// S16: of two tiers above, one that takes it is enough.
#[test]
fn a_refresh_is_done_if_any_tier_above_has_taken_the_entry() {
    let three = Three::new(&[secs(0), DUE]);
    three.test.clock.advance(DUE);
    ready(cachet::CacheTier::clear(&three.tiers[0])).unwrap();
    three.tiers[2].put("ada", 2);
    assert_eq!(value(&three.test.cache, "ada"), Some(1));
    three.test.lines();
    three.tiers[0].next(Insert, Reject);
    three.tasks.run();
    assert_eq!(
        three.test.lines(),
        [
            "l3 get: hit",
            "l1 insert: rejected",
            "l1 invalidate: invalidated",
            "l2 insert: inserted",
            "refresh: refreshed"
        ]
    );
    assert_eq!(three.stored(), [None, Some(2), Some(2)]);
}

// S10: an entry's own deadline travels with it.
#[test]
fn a_refreshed_entry_keeps_its_own_deadline() {
    let it = Refreshed::due();
    let inserted = it.clock().wall();
    it.l2.put("ada", CacheEntry::restore(2, Some(secs(30)), inserted));
    assert_eq!(it.stale("ada"), Some(1));
    it.clock().advance(secs(10));
    it.tasks.run();
    it.clock().advance(secs(20));
    assert_eq!(value(it.cache(), "ada"), Some(2));
    it.clock().advance(crate::NANO);
    assert_eq!(value(it.cache(), "ada"), None);
}
