//! S19, S31: a write that happens while a refresh is under way beats it.

use std::pin::Pin;

use cachet::Tier;
use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::testing::Behavior::Pend;

use cachet_tests::{ManualRuntime, ready};

use super::{DUE, Refreshed};
use crate::{Ages, Mock, TestCache, stored, value};

type Write = for<'c> fn(&'c Ages) -> Pin<Box<dyn Future<Output = ()> + 'c>>;

/// Every way to write a key, and what is there afterwards.
const WRITES: [(&str, Write, Option<u32>); 5] = [
    ("insert", |cache| Box::pin(async { assert!(cache.insert("ada", 3).await.is_ok()) }), Some(3)),
    ("insert_many", |cache| Box::pin(async { assert!(cache.insert_many([("ada", 3)]).await[0].is_ok()) }), Some(3)),
    ("invalidate", |cache| Box::pin(async { cache.invalidate("ada").await.unwrap() }), None),
    (
        "invalidate_many",
        |cache| Box::pin(async { cache.invalidate_many(["ada"]).await.into_iter().for_each(Result::unwrap) }),
        None,
    ),
    ("clear", |cache| Box::pin(async { cache.clear().await.unwrap() }), None),
];

// S19
#[test]
fn a_refresh_that_is_overtaken_by_a_write_drops_what_it_found() {
    for (name, write, left) in WRITES {
        let it = Refreshed::due();
        it.l2.next(Get, Pend(1));
        assert_eq!(it.stale("ada"), Some(1));
        it.tasks.poll();
        ready(write(it.cache()));
        it.l2.put("ada", 2);
        it.lines();
        it.tasks.run();
        assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: superseded", "refresh: superseded"], "{name}");
        assert_eq!(stored(&it.l1, "ada"), left, "{name}");
        // It was not in vain.
        assert_eq!(it.status(), (0, 0));
    }
}

// S19: over a tier that answers at once, too.
#[test]
fn a_refresh_of_a_memory_tier_that_is_overtaken_by_a_write_drops_what_it_found() {
    for (name, write, left) in WRITES {
        let (l2, tasks) = (Mock::new(), ManualRuntime::new());
        let test = TestCache::new(
            Ages::builder("ages")
                .tier(Tier::memory(100).name("l1").refresh_after(DUE))
                .tier(Tier::new(l2.clone()).name("l2"))
                .runtime(tasks.clone()),
        );
        ready(test.cache.insert("ada", 1)).unwrap();
        test.clock.advance(DUE);
        l2.next(Get, Pend(1));
        assert_eq!(value(&test.cache, "ada"), Some(1));
        tasks.poll();
        ready(write(&test.cache));
        l2.put("ada", 2);
        test.lines();
        tasks.run();
        assert_eq!(test.lines(), ["l2 get: hit", "l1 insert: superseded", "refresh: superseded"], "{name}");
        ready(cachet::CacheTier::clear(&l2)).unwrap();
        assert_eq!(value(&test.cache, "ada"), left, "{name}");
    }
}

// S19: a write of another key is none of its business.
#[test]
fn a_write_of_another_key_does_not_overtake_a_refresh() {
    let it = Refreshed::due();
    it.l2.next(Get, Pend(1));
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.poll();
    ready(it.cache().insert("bob", 3)).unwrap();
    it.lines();
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
}

// S46: a write does not wait for an older value that is being stored. Its key is owed in that tier until the store has ended
// and what it left has been removed.
#[test]
fn a_write_that_comes_while_a_refresh_is_storing_is_the_last_that_is_read() {
    for (name, write, left) in WRITES {
        let it = Refreshed::due();
        it.l1.next(Insert, Pend(2));
        assert_eq!(it.stale("ada"), Some(1));
        it.tasks.poll();
        ready(write(it.cache()));
        assert_eq!(value(it.cache(), "ada"), left, "{name}, while the refresh is storing");
        it.tasks.run();
        assert_eq!(value(it.cache(), "ada"), left, "{name}");
        assert_ne!(stored(&it.l1, "ada"), Some(2), "{name}");
        assert_eq!(it.status(), (0, 0));
    }
}

// S19: a refresh that has ended was not overtaken by what comes after.
#[test]
fn a_write_after_a_refresh_is_just_a_write() {
    let it = Refreshed::due();
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
    ready(it.cache().insert("ada", 3)).unwrap();
    assert_eq!(value(it.cache(), "ada"), Some(3));
}
