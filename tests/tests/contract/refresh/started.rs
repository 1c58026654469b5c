//! S31, S34: what starts a refresh, who it says it is, and what becomes of it when there is no cache left to run it for.

use std::sync::atomic::{AtomicUsize, Ordering};

use cachet::future::RuntimeFuture;
use cachet::telemetry::{CacheOperation, OperationOutcome, Stats, TierOperation::Get};
use cachet::telemetry::{CacheOperationEvent, EventMask};
use cachet::testing::Behavior::{Fail, Pend};
use cachet::testing::RecordingHandler;
use cachet::{CacheEntry, CacheEventHandler, ManualClock, RequestId, Runtime, Tier};
use cachet_tests::events::{self, completion, completions, tiers};
use cachet_tests::{ManualRuntime, ManualTask, ready};

use super::{DUE, Refreshed};
use crate::{Ages, Mock, TestCache, must_not_run, secs, value};

// S31
#[test]
fn every_method_that_serves_an_entry_has_it_refreshed() {
    let it = Refreshed::due();
    let refreshed = ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"];
    for kind in ["get_or_insert", "try_get_or_insert", "optionally_get_or_insert"] {
        let found = match kind {
            "get_or_insert" => *ready(it.cache().get_or_insert("ada", || async { must_not_run::<u32>() })).unwrap(),
            "try_get_or_insert" => {
                *ready(it.cache().try_get_or_insert("ada", || async { must_not_run::<Result<u32, &str>>() })).unwrap()
            }
            _ => *ready(it.cache().optionally_get_or_insert("ada", || async { must_not_run::<Option<u32>>() }))
                .unwrap()
                .unwrap(),
        };
        assert!([1, 2].contains(&found));
        assert_eq!(it.lines(), ["l1 get: hit".to_owned(), format!("{kind}: stale")]);
        it.tasks.run();
        assert_eq!(it.lines(), refreshed, "{kind}");
        it.clock().advance(DUE);
    }
    let found = ready(it.cache().get_many(["ada"]));
    assert_eq!(*found[0].as_ref().unwrap().as_ref().unwrap().value(), 2);
    assert_eq!(it.lines(), ["l1 get_many: hit", "get_many: stale"]);
    it.tasks.run();
    assert_eq!(it.lines(), refreshed);
}

// S59, law 3: both were served an entry that is due, by one lookup, and one refresh is started.
#[test]
fn a_follower_of_a_leader_that_was_served_an_entry_that_is_due_was_served_it_too() {
    let (l2, tasks) = (Mock::new(), ManualRuntime::new());
    let test = TestCache::new(
        Ages::builder("ages")
            .tier(Tier::memory(10).name("l1"))
            .tier(Tier::new(l2.clone()).name("l2").refresh_after(secs(0)))
            .tier(Tier::new(Mock::new()).name("l3"))
            .runtime(tasks.clone())
            .stampede_protection(),
    );
    l2.put("ada", CacheEntry::restore(1, None, test.clock.wall()));
    l2.next(Get, Pend(1));
    let ask = || ManualTask::new(test.cache.get_or_insert("ada", || async { 2 }));
    let (mut leader, mut follower) = (ask(), ask());
    leader.pend(1);
    follower.pend(1);
    assert_eq!((*leader.ready().unwrap(), *follower.ready().unwrap()), (1, 1));
    let events = test.events();
    let ends: Vec<_> = completions(&events).iter().map(|end| (end.outcome().as_str(), end.coalesced())).collect();
    assert_eq!(ends, [("stale", false), ("stale", true)]);
    assert_eq!(tasks.tasks(), 1);
}

// S31
#[test]
fn every_key_of_a_lookup_of_several_is_refreshed_by_itself_and_only_those_that_are_due() {
    let it = Refreshed::new();
    for key in ["a", "b"] {
        ready(it.cache().insert(key, 1)).unwrap();
    }
    it.clock().advance(DUE);
    ready(it.cache().insert("c", 1)).unwrap();
    it.lines();
    let found = ready(it.cache().get_many(["a", "b", "c", "a", "d"]));
    assert_eq!(found.iter().filter(|answer| answer.as_ref().unwrap().is_some()).count(), 4);
    assert_eq!(it.lines(), ["l1 get_many: miss", "l2 get_many: miss (fallback)", "get_many: miss"]);
    assert_eq!((it.tasks.tasks(), it.status()), (2, (2, 0)));
    it.tasks.run();
    let refreshed = ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"];
    assert_eq!(it.lines(), [refreshed, refreshed].concat());
}

// S31, S4: no caller was served.
#[test]
fn looking_whether_there_is_an_entry_refreshes_nothing() {
    for listening in [true, false] {
        let it = Refreshed::due();
        let quiet = Ages::builder("quiet")
            .tier(Tier::new(it.l1.clone()).refresh_after(DUE))
            .tier(Tier::new(it.l2.clone()))
            .clock(it.clock().clone())
            .runtime(it.tasks.clone())
            .build();
        assert!(ready(if listening { it.cache() } else { &quiet }.contains("ada")).unwrap());
        if listening {
            assert_eq!(it.lines(), ["l1 contains: hit", "contains: hit"]);
        }
        assert_eq!(it.tasks.tasks(), 0);
    }
}

// S34
#[test]
fn a_refresh_is_an_operation_of_its_own_and_names_its_trigger() {
    let it = Refreshed::due();
    assert_eq!(value(it.cache(), "ada"), Some(1));
    let trigger = completion(&it.test.events()).request_id();
    it.clock().advance(secs(1));
    // The operation that happens to run the task is not its parent.
    let someone = it.cache().clone();
    let tasks = it.tasks.clone();
    ready(someone.get_or_insert("bob", || async move {
        tasks.run();
        1
    }))
    .unwrap();
    let events = it.test.events();
    let [refresh, _] = completions(&events)[..] else { panic!("two operations") };
    assert_eq!(refresh.operation(), CacheOperation::Refresh);
    assert_eq!(refresh.parent_request_id(), Some(trigger));
    assert_ne!(refresh.request_id(), trigger);
    assert_eq!((refresh.cache(), refresh.hit_tier(), refresh.fallback()), ("ages", Some("l2"), false));
    assert_eq!((refresh.coalesced(), refresh.error().is_none(), refresh.load_duration()), (false, true, None));
    let calls: Vec<_> = refresh.tiers().iter().map(|call| (call.tier(), call.request_id())).collect();
    assert_eq!(calls, [("l2", Some(refresh.request_id())), ("l1", Some(refresh.request_id()))]);
}

// S34, S23: with one that is nested, too; and what it asks the tiers is asked in its name.
#[test]
fn a_nested_read_is_the_parent_of_the_refresh_that_it_triggers() {
    let it = Refreshed::due();
    let cache = it.cache().clone();
    ready(it.cache().get_or_insert("bob", || async move { *cache.get("ada").await.unwrap().unwrap() })).unwrap();
    let events = it.test.events();
    let [inner, outer] = completions(&events)[..] else { panic!("two operations") };
    assert_eq!((inner.outcome(), outer.outcome()), (OperationOutcome::Stale, OperationOutcome::Computed));
    it.tasks.run();
    let refresh = it.test.events();
    assert_eq!(completion(&refresh).parent_request_id(), Some(inner.request_id()));
    assert_eq!(inner.parent_request_id(), Some(outer.request_id()));
    assert!(RequestId::current().is_none());
}

// S34, S35: its time is that of the task, not that of the wait for it.
#[test]
fn the_duration_of_a_refresh_begins_with_its_task() {
    let it = Refreshed::due();
    it.l2.next(Get, Pend(1));
    assert_eq!(it.stale("ada"), Some(1));
    it.clock().advance(secs(7));
    it.tasks.poll();
    it.clock().advance(secs(2));
    it.tasks.run();
    let events = it.test.events();
    assert_eq!(completion(&events).duration(), Some(secs(2)));
    assert_eq!(tiers(&events)[0].duration(), Some(secs(2)));
}

// S31, S38
#[test]
fn the_last_handle_takes_the_tasks_with_it() {
    for begun in [false, true] {
        let it = Refreshed::due();
        it.l2.next(Get, Pend(1));
        assert_eq!(it.stale("ada"), Some(1));
        if begun {
            it.tasks.poll();
        }
        let Refreshed { test, l2, tasks, .. } = it;
        let (TestCache { cache, seen, invariants, .. }, wakes) = (test, tasks.wakes());
        let clone = cache.clone();
        drop(cache);
        assert_eq!((tasks.wakes(), seen.take_lines()), (wakes.clone(), vec![]));
        drop(clone);
        assert_eq!(tasks.wakes(), [wakes[0] + usize::from(begun)], "begun: {begun}");
        tasks.run();
        let expected: &[&str] =
            if begun { &["l2 get: cancelled", "refresh: cancelled"] } else { &["refresh: cancelled"] };
        assert_eq!(seen.take_lines(), expected);
        assert_eq!(l2.calls().iter().filter(|call| **call == Get).count(), usize::from(begun));
        drop(invariants);
    }
}

// S31
#[test]
fn a_clone_of_the_cache_keeps_its_tasks() {
    let it = Refreshed::due();
    assert_eq!(it.stale("ada"), Some(1));
    let Refreshed { test, tasks, .. } = it;
    let TestCache { cache, seen, invariants, .. } = test;
    let clone = cache.clone();
    drop(cache);
    tasks.run();
    assert_eq!(seen.take_lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
    assert_eq!(value(&clone, "ada"), Some(2));
    drop(invariants);
}

// S31: a task holds the tiers only as long as it runs.
#[test]
fn nothing_of_the_cache_is_left_once_its_tasks_have_ended() {
    let kept = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&kept);
    let it = Refreshed::due_with(
        |l1| {
            l1.insert_policy(cachet::InsertPolicy::when(move |_: &str, _: &CacheEntry<u32>| {
                let _ = &held;
                true
            }))
        },
        |builder| builder,
    );
    assert_eq!(it.stale("ada"), Some(1));
    let Refreshed { test, tasks, .. } = it;
    drop(test.cache);
    assert_eq!(std::sync::Arc::strong_count(&kept), 2);
    tasks.run();
    assert_eq!(std::sync::Arc::strong_count(&kept), 1);
    drop(test.invariants);
}

// S33, S38
#[test]
fn a_task_that_is_dropped_before_it_has_run_reports_so_and_frees_its_key() {
    let it = Refreshed::due();
    assert_eq!((it.stale("ada"), it.status()), (Some(1), (1, 0)));
    it.tasks.drop_tasks();
    assert_eq!((it.lines(), it.status()), (vec!["refresh: cancelled".to_owned()], (0, 0)));
    // It has not been in vain, it has not been.
    assert_eq!((it.stale("ada"), it.status()), (Some(1), (1, 0)));
    it.tasks.run();
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

// S33, S38
#[test]
fn a_task_that_is_dropped_half_way_reports_so_and_frees_its_key() {
    let it = Refreshed::due();
    it.l2.next(Get, Pend(1));
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.poll();
    it.tasks.drop_tasks();
    assert_eq!(it.lines(), ["l2 get: cancelled", "refresh: cancelled"]);
    assert_eq!((it.status(), it.stale("ada"), it.status()), ((0, 0), Some(1), (1, 0)));
    it.tasks.run();
    assert_eq!(value(it.cache(), "ada"), Some(2));
}

/// Refuses so many tasks, one way or the other, and takes none of the others.
struct Refusing {
    by_panic: bool,
    refused: AtomicUsize,
}

impl Runtime for Refusing {
    fn spawn(&self, task: RuntimeFuture) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        assert!(!self.by_panic, "closed");
        drop(task);
    }

    fn sleep(&self, _duration: std::time::Duration) -> RuntimeFuture {
        panic!("closed");
    }
}

// S33
#[test]
fn a_runtime_that_refuses_a_task_harms_nobody() {
    for by_panic in [true, false] {
        let it = Refreshed::due_with(
            |l1| l1,
            |builder| builder.runtime(Refusing { by_panic, refused: AtomicUsize::new(0) }),
        );
        for _ in 0..2 {
            assert_eq!(value(it.cache(), "ada"), Some(1));
            assert_eq!(it.lines(), ["l1 get: hit", "refresh: cancelled", "get: stale"]);
            assert_eq!(it.status(), (0, 0));
        }
    }
}

// S31, S32
#[test]
fn without_a_runtime_the_refresh_fails_and_the_read_does_not() {
    let (l1, l2) = (Mock::new(), Mock::new());
    let test = TestCache::new(
        Ages::builder("ages").tier(Tier::new(l1).name("l1").refresh_after(DUE)).tier(Tier::new(l2.clone()).name("l2")),
    );
    ready(test.cache.insert("ada", 1)).unwrap();
    test.clock.advance(DUE);
    test.lines();
    assert_eq!(value(&test.cache, "ada"), Some(1));
    let events = test.events();
    let lines = events::lines(&events);
    assert_eq!(lines, ["l1 get: hit", "refresh: error", "get: stale"]);
    let [refresh, get] = completions(&events)[..] else { panic!("two operations") };
    assert_eq!(refresh.error().map(cachet::Error::error_type), Some("no_runtime"));
    assert!(get.error().is_none());
    // Not at every read.
    assert_eq!(value(&test.cache, "ada"), Some(1));
    assert_eq!(test.lines(), ["l1 get: hit", "refresh: suppressed", "get: stale"]);
    assert_eq!(test.cache.refreshes().cooling_down, 1);
    assert_eq!(l2.calls(), [cachet::telemetry::TierOperation::Insert]);
}

// S31: by default, in the Tokio runtime that the read runs in.
#[test]
fn tokio_serves_without_being_told() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for given in [false, true] {
        let it = if given {
            Refreshed::due_with(|l1| l1, |builder| builder.runtime(tokio.handle().clone()))
        } else {
            let (l1, l2, tasks) = (Mock::new(), Mock::new(), ManualRuntime::new());
            let test = TestCache::new(
                Ages::builder("ages")
                    .tier(Tier::new(l1.clone()).name("l1").refresh_after(DUE))
                    .tier(Tier::new(l2.clone()).name("l2")),
            );
            let it = Refreshed { test, l1, l2, tasks };
            it.becomes_due("ada");
            it.l2.put("ada", 2);
            it
        };
        if given {
            // From outside.
            assert_eq!(it.stale("ada"), Some(1));
        } else {
            tokio.block_on(async { assert_eq!(it.stale("ada"), Some(1)) });
        }
        assert_eq!(it.status(), (1, 0));
        tokio.block_on(tokio::task::yield_now());
        assert_eq!(it.lines(), ["l2 get: hit", "l1 insert: inserted", "refresh: refreshed"]);
        assert_eq!(value(it.cache(), "ada"), Some(2));
    }
}

/// Wants neither tiers nor times.
struct Ends(RecordingHandler);

impl CacheEventHandler for Ends {
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.0.on_operation_event(event);
    }
}

// S36: with every kind of listener, the entry is refreshed.
#[test]
fn who_listens_makes_no_difference() {
    for (memory, listening) in [(false, false), (false, true), (true, false), (true, true)] {
        let (l2, tasks, clock) = (Mock::new(), ManualRuntime::new(), ManualClock::new());
        let seen = RecordingHandler::new();
        let first = if memory { Tier::memory(10) } else { Tier::new(Mock::new()) };
        let mut builder = Ages::builder("ages")
            .tier(first.refresh_after(DUE))
            .tier(Tier::new(l2.clone()))
            .clock(clock.clone())
            .runtime(tasks.clone());
        if listening {
            builder = builder.event_handler(Ends(seen.clone()));
        }
        let cache = builder.build();
        ready(cache.insert("ada", 1)).unwrap();
        clock.advance(DUE);
        l2.put("ada", 2);
        seen.take();
        assert_eq!((value(&cache, "ada"), value(&cache, "ada"), tasks.tasks()), (Some(1), Some(1), 1));
        tasks.run();
        assert_eq!(value(&cache, "ada"), Some(2));
        clock.advance(DUE);
        l2.next(Get, Fail("down"));
        assert_eq!(*ready(cache.get_or_insert("ada", || async { must_not_run::<u32>() })).unwrap(), 2);
        tasks.run();
        assert_eq!((value(&cache, "ada"), cache.refreshes().cooling_down), (Some(2), 1));
        let expected: &[&str] = &[
            "get: stale",
            "get: stale",
            "refresh: refreshed",
            "get: hit",
            "get_or_insert: stale",
            "refresh: error",
            "refresh: suppressed",
            "get: stale",
        ];
        assert_eq!(seen.take_lines(), if listening { expected } else { &[] }, "memory: {memory}");
    }
}

// S35, law 5
#[test]
fn stats_count_refreshes() {
    let stats = Stats::new();
    let it = Refreshed::due_with(|l1| l1, |builder| builder.event_handler(stats.clone()));
    assert_eq!(it.stale("ada"), Some(1));
    it.tasks.run();
    it.clock().advance(DUE);
    it.l2.next(Get, Fail("down"));
    assert_eq!(it.stale("ada"), Some(2));
    it.tasks.run();
    assert_eq!((it.stale("ada"), it.stale("ada")), (Some(2), Some(2)));
    let of = |outcome| stats.operations(CacheOperation::Refresh, outcome);
    assert_eq!([OperationOutcome::Refreshed, OperationOutcome::Error, OperationOutcome::Suppressed].map(of), [1, 1, 1]);
    assert_eq!(stats.operations_of(CacheOperation::Refresh), 3);
    assert_eq!(stats.operations(CacheOperation::Get, OperationOutcome::Stale), 4);
}
