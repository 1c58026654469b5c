//! What comes of refreshes that bring nothing: the cool-down, and the bound on their number.

use std::error::Error;

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::testing::Behavior::{Fail, Hang, Panic, Pend, Work};
use cachet_tests::events::{self, completions};
use cachet_tests::ready;

use super::{DUE, NOT_YET, Refreshed};
use crate::{NANO, secs, stored, value};

// S31, S32: the state is visible, and reported once.
#[test]
fn a_failed_refresh_is_not_repeated_until_the_key_has_cooled_down_for_as_long_as_until_it_was_due() {
    let it = Refreshed::due();
    it.l2.next(Get, Fail("down"));
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: error", "refresh: error"]);
    assert_eq!((it.status(), stored(&it.l1, "ada")), ((0, 1), Some(1)));

    assert_eq!(value(it.cache(), "ada"), Some(1));
    assert_eq!(it.lines(), ["l1 get: hit", "refresh: suppressed", "get: stale"]);
    it.clock().advance(NOT_YET);
    assert_eq!(value(it.cache(), "ada"), Some(1));
    assert_eq!(it.lines(), ["l1 get: hit", "get: stale"]);
    assert_eq!((it.tasks.tasks(), it.status()), (0, (0, 1)));

    it.clock().advance(NANO);
    assert_eq!(it.status(), (0, 0));
    assert_eq!((it.stale("ada"), it.status()), (Some(1), (1, 0)));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
    assert_eq!(it.status(), (0, 0));
}

// S32
#[test]
fn the_cool_down_is_what_it_was_configured_to_be() {
    for cool_down in [secs(5), DUE * 3] {
        let it = Refreshed::due_with(|l1| l1.refresh_cool_down(cool_down), |builder| builder);
        it.l2.next(Get, Fail("down"));
        assert_eq!(it.stale("ada"), Some(1));
        it.tasks.run();
        it.clock().advance(cool_down.saturating_sub(NANO));
        assert_eq!((it.stale("ada"), it.tasks.tasks(), it.status()), (Some(1), 0, (0, 1)));
        it.clock().advance(NANO);
        assert_eq!((it.stale("ada"), it.tasks.tasks(), it.status()), (Some(1), 1, (1, 0)));
        it.tasks.run();
        assert_eq!(value(it.cache(), "ada"), Some(2));
    }
}

// S32: without a cool-down, every read tries again.
#[test]
fn a_cool_down_of_zero_is_none() {
    let it = Refreshed::due_with(|l1| l1.refresh_cool_down(secs(0)), |builder| builder);
    it.l2.always(Get, Fail("down"));
    for _ in 0..3 {
        assert_eq!((it.stale("ada"), it.tasks.tasks()), (Some(1), 1));
        it.tasks.run();
        assert_eq!(it.lines(), ["l2 get: error", "refresh: error"]);
        assert_eq!(it.status(), (0, 0));
    }
}

// S32: for that key; and each cool-down is reported once more.
#[test]
fn a_cool_down_concerns_one_key_and_every_one_is_told_of_once() {
    let it = Refreshed::due();
    it.becomes_due("bob");
    it.l2.put("ada", 2);
    for _ in 0..2 {
        it.l2.next(Get, Fail("down"));
        assert_eq!(it.stale("ada"), Some(1));
        it.tasks.run();
        it.lines();
        assert_eq!(value(it.cache(), "ada"), Some(1));
        assert_eq!(it.lines(), ["l1 get: hit", "refresh: suppressed", "get: stale"]);
        it.clock().advance(DUE);
    }
    assert_eq!(it.stale("bob"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
}

// S32, S31: a refresh that finds nothing is in vain too.
#[test]
fn a_refresh_that_finds_nothing_makes_the_key_cool_down() {
    let it = Refreshed::due();
    ready(cachet::CacheTier::clear(&it.l2)).unwrap();
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.status(), (0, 1));
    it.lines();
    assert_eq!(value(it.cache(), "ada"), Some(1));
    assert_eq!(it.lines(), ["l1 get: hit", "refresh: suppressed", "get: stale"]);
}

// S32, S17: what cannot be stored is an error of the refresh, and no older value is left to hide the newer one below.
#[test]
fn a_refresh_that_cannot_store_what_it_found_has_failed() {
    let it = Refreshed::due();
    it.l1.next(Insert, Fail("full"));
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: error", "l1 invalidate: invalidated", "refresh: error"]);
    assert_eq!(it.status(), (0, 1));
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

// S33
#[test]
fn a_panicking_tier_does_not_leave_its_key_marked() {
    let it = Refreshed::due();
    it.l2.next(Get, Panic("boom"));
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    let events = it.test.events();
    let lines = events::lines(&events);
    assert_eq!(lines, ["l2 get: panicked", "refresh: panicked"]);
    let error = completions(&events)[0].error().cloned().unwrap();
    assert_eq!((error.error_type(), error.source().unwrap().to_string().as_str()), ("panic", "boom"));
    assert_eq!(it.status(), (0, 1));
    it.clock().advance(DUE);
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

// S33: wherever it panics, and at whichever poll.
#[test]
fn a_panic_while_storing_does_not_leave_the_key_marked() {
    let it = Refreshed::due();
    it.l2.next(Get, Pend(2));
    it.l1.next(Insert, Panic("boom"));
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: panicked", "refresh: panicked"]);
    assert_eq!(it.status(), (0, 1));
    // Nor is a write of the key kept waiting.
    ready(it.cache().insert("ada", 3)).unwrap();
    assert_eq!(value(it.cache(), "ada"), Some(3));
}

// S33
#[test]
fn so_many_refreshes_run_at_the_same_time_and_no_more() {
    for limit in [0, 1, 2] {
        let it = Refreshed::with(|l1| l1, |builder| builder.max_concurrent_refreshes(limit));
        for key in ["a", "b", "c"] {
            ready(it.cache().insert(key, 1)).unwrap();
        }
        it.clock().advance(DUE);
        it.l2.always(Get, Hang);
        for key in ["a", "b", "c"] {
            // Served as it is, whether there was room or not.
            assert_eq!(it.stale(key), Some(1));
        }
        assert_eq!((it.tasks.tasks(), it.status()), (limit, (limit, 0)));
        it.tasks.poll();
        assert_eq!((it.lines(), it.stale("c"), it.tasks.tasks()), (vec![], Some(1), limit));
        it.tasks.drop_tasks();
        it.l2.always(Get, Work);
        it.lines();
        assert_eq!((it.stale("c"), it.tasks.tasks()), (Some(1), limit.min(1)));
        it.tasks.run();
        assert_eq!(it.status(), (0, 0));
    }
}

// S33, S49: a hung refresh does not use up the number of refreshes for ever.
#[test]
fn a_refresh_that_takes_longer_than_it_may_has_failed() {
    for (limit, limited) in [(secs(60), false), (secs(5), true)] {
        let it = Refreshed::due_with(
            |l1| l1,
            |builder| {
                let builder = builder.max_concurrent_refreshes(1);
                if limited { builder.refresh_time_limit(limit) } else { builder }
            },
        );
        it.l2.next(Get, Hang);
        assert_eq!(it.stale("ada"), Some(1));
        it.tasks.poll();
        it.clock().advance(limit.saturating_sub(NANO));
        it.tasks.poll();
        assert_eq!(it.status(), (1, 0));
        it.clock().advance(NANO);
        it.tasks.run();
        assert_eq!(it.lines(), ["l2 get: cancelled", "refresh: error"]);
        assert_eq!(it.status(), (0, 1));
        it.clock().advance(DUE);
        assert_eq!((it.stale("ada"), it.tasks.tasks()), (Some(1), 1));
        it.tasks.run();
        assert_eq!(value(it.cache(), "ada"), Some(2));
    }
}
