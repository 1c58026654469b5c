//! Events: complete in themselves, at the right level, with and without spans.

use std::collections::BTreeMap;

use cachet::telemetry::CacheOperationEvent;
use cachet::telemetry::TierOperation::{Get, Insert, Invalidate};
use cachet::telemetry::{CacheOperation, OperationOutcome, Stats, TierOperation, TierOutcome};
use cachet::testing::Behavior::{Fail, Hang, Panic, Reject};
use cachet::testing::RecordingHandler;
use cachet::{CacheEntry, CacheEventHandler, InsertPolicy, Tier};
use cachet_tests::trace::{Recorder, Seen};
use cachet_tests::{ManualTask, ready};
use tracing::Level;

use crate::{Ages, Logged, Mock, millis};

// S35
#[test]
fn an_event_is_complete_in_itself() {
    let logged = Logged::new();
    logged.put_below("ada", 1, millis(1234));
    let mut get = ManualTask::new(logged.cache.get("ada"));
    logged.l2.next(Get, cachet::testing::Behavior::Pend(1));
    let seen = Recorder::listen(|| {
        get.pend(1);
        logged.clock.advance(millis(2));
        assert!(get.ready().unwrap().is_some());
    });
    seen.check();
    assert_eq!(
        seen.events_as_lines(),
        [
            r#"- DEBUG cachet::testing "l1 get: miss" cache.name="ages" cache.tier="l1" cache.operation="get" cache.outcome="miss" cache.request_id=#1 cache.fallback=false cache.hit=false cache.duration_ns=0"#,
            r#"- DEBUG cachet::testing "l2 get: hit" cache.name="ages" cache.tier="l2" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.fallback=true cache.hit=true cache.age_ms=1236 cache.duration_ns=2000000"#,
            r#"- DEBUG cachet::testing "l1 insert: inserted" cache.name="ages" cache.tier="l1" cache.operation="insert" cache.outcome="inserted" cache.request_id=#1 cache.fallback=false cache.duration_ns=0"#,
            r#"- DEBUG cachet::event "get: hit" cache.name="ages" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.hit=true cache.hit_tier="l2" cache.age_ms=1236 cache.fallback=true cache.coalesced=false cache.duration_ns=2000000"#,
        ]
    );
}

/// Level and text of each event.
fn reported(seen: &Seen) -> Vec<String> {
    seen.events.iter().map(|event| format!("{} {}", event.level, event.text("message").unwrap())).collect()
}

// S35
#[test]
fn a_returned_error_is_an_error_and_a_handled_one_a_warning() {
    let logged = Logged::new();
    logged.put_below("ada", 1, millis(0));
    logged.l1.always(Get, Fail("unplugged"));
    logged.l1.always(Insert, Fail("full"));
    let seen = Recorder::listen(|| {
        assert!(ready(logged.cache.get("ada")).unwrap().is_some());
        drop(ready(logged.cache.get("bob")).unwrap_err());
        drop(ready(logged.cache.insert("bob", 1)).unwrap_err());
        drop(ready(logged.cache.try_get_or_insert("eve", || async { Err::<u32, _>("no such user") })).unwrap_err());
    });
    seen.check();
    assert_eq!(
        reported(&seen),
        [
            "WARN l1 get: error: unplugged",
            "DEBUG l2 get: hit",
            "WARN l1 insert: error: full",
            "DEBUG get: hit",
            "WARN l1 get: error: unplugged",
            "DEBUG l2 get: miss",
            "ERROR get: error: unplugged",
            "WARN l1 insert: error: full",
            "DEBUG l1 invalidate: invalidated",
            "DEBUG l2 insert: inserted",
            "ERROR insert: error: full",
            "WARN l1 get: error: unplugged",
            "DEBUG l2 get: miss",
            "ERROR try_get_or_insert: error: no such user",
        ]
    );
}

// S35: nothing at ERROR inside the tree of an operation that did not fail.
#[test]
fn a_handled_failure_never_sends_an_event_at_error() {
    let logged = Logged::new();
    for operation in TierOperation::ALL {
        logged.l1.always(*operation, Fail("unplugged"));
    }
    logged.put_below("ada", 1, millis(0));
    let seen = Recorder::listen(|| {
        assert!(ready(logged.cache.get("ada")).unwrap().is_some());
        assert!(ready(logged.cache.contains("ada")).unwrap());
        assert_eq!(*ready(logged.cache.get_or_insert("bob", || async { 1 })).unwrap(), 1);
    });
    assert!(seen.events.iter().all(|event| event.level != Level::ERROR), "{:#?}", reported(&seen));
    assert!(seen.spans.iter().all(|span| span.level != Level::ERROR));
}

// S35
#[test]
fn what_an_operator_may_want_to_know_is_at_info() {
    let logged = Logged::new();
    let cache = Ages::builder("ages")
        .clock(logged.clock.clone())
        .tier(Tier::memory(1).name("l1").ttl(millis(10)))
        .tier(Tier::new(logged.l2.clone()).name("l2").insert_policy(InsertPolicy::never()))
        .enable_logs()
        .build();
    let seen = Recorder::listen(|| {
        ready(cache.insert("ada", 1)).unwrap();
        ready(cache.insert("bob", 2)).unwrap();
        logged.clock.advance(millis(11));
        ready(cache.get("bob")).unwrap();
    });
    seen.check();
    assert_eq!(
        reported(&seen),
        [
            "DEBUG l1 insert: inserted",
            "INFO l2 insert: rejected",
            "DEBUG insert: inserted",
            "INFO l1 evict: evicted",
            "DEBUG l1 insert: inserted",
            "INFO l2 insert: rejected",
            "DEBUG insert: inserted",
            "INFO l1 get: expired",
            "DEBUG l2 get: miss",
            "DEBUG get: miss",
        ]
    );
    // S40
    assert_eq!(
        seen.events_as_lines()[3],
        r#"- INFO cachet::tier "l1 evict: evicted" cache.name="ages" cache.tier="l1" cache.operation="evict" cache.outcome="evicted" cache.request_id=#2 cache.fallback=false cache.age_ms=0"#
    );
}

// S35: "a tier failed but the operation did not" is a warning, whatever the tier was asked to do.
#[test]
fn an_expired_entry_that_cannot_be_removed_is_a_warning() {
    let logged = Logged::new();
    logged.l1.put("ada", CacheEntry::restore(1, Some(millis(1)), logged.clock.wall() - millis(50)));
    logged.l1.next(Invalidate, Fail("read-only"));
    let seen = Recorder::listen(|| assert!(ready(logged.cache.get("ada")).unwrap().is_none()));
    seen.check();
    assert_eq!(reported(&seen), ["WARN l1 get: expired: read-only", "DEBUG l2 get: miss", "DEBUG get: miss"]);
}

// S19, S35
#[test]
fn a_superseded_promotion_is_at_info() {
    let logged = Logged::new();
    logged.put_below("ada", 1, millis(0));
    logged.l2.next(Invalidate, cachet::testing::Behavior::Pend(1));
    let seen = Recorder::listen(|| {
        // What is read while a write is under way may be old.
        let mut invalidate = ManualTask::new(logged.cache.invalidate("ada"));
        invalidate.pend(1);
        ready(logged.cache.get("ada")).unwrap();
        invalidate.finish().unwrap();
    });
    seen.check();
    assert_eq!(
        reported(&seen),
        [
            "DEBUG l1 invalidate: invalidated",
            "DEBUG l1 get: miss",
            "DEBUG l2 get: hit",
            "INFO l1 insert: superseded",
            "DEBUG get: hit",
            "DEBUG l2 invalidate: invalidated",
            "DEBUG invalidate: invalidated",
        ]
    );
}

// S35
#[test]
fn panics_and_cancellations_are_told() {
    let logged = Logged::new();
    logged.l1.next(Get, Panic("boom"));
    logged.l1.next(Get, Hang);
    let seen = Recorder::listen(|| {
        let get = std::panic::AssertUnwindSafe(|| ready(logged.cache.get("ada")));
        assert!(std::panic::catch_unwind(get).is_err());
        ManualTask::new(logged.cache.get("ada")).pend(1);
    });
    seen.check();
    assert_eq!(
        reported(&seen),
        ["WARN l1 get: panicked: boom", "ERROR get: panicked", "DEBUG l1 get: cancelled", "DEBUG get: cancelled"]
    );
    let classes: Vec<_> = seen.events.iter().map(|event| event.text("error.type")).collect();
    assert_eq!(classes, [Some("panic"), Some("panic"), None, None]);
}

/// Panics at every event.
struct Bomb;

impl CacheEventHandler for Bomb {
    fn on_operation_event(&self, _: &CacheOperationEvent<'_>) {
        panic!("bomb");
    }
}

// S39, S35
#[test]
fn a_panicking_handler_is_a_warning_once() {
    let logged = Logged::with(|builder| builder.event_handler(Bomb));
    let seen = Recorder::listen(|| {
        for _ in 0..3 {
            ready(logged.cache.len()).unwrap();
        }
    });
    seen.check();
    let warnings: Vec<_> = seen.events_as_lines().into_iter().filter(|line| line.starts_with("- WARN")).collect();
    assert_eq!(
        warnings,
        [
            r#"- WARN cachet::event "an event handler panicked, further panics are only counted: bomb" cache.name="ages" error.type="panic""#
        ]
    );
    assert_eq!(logged.cache.handler_panics(), 3);
}

// S35
#[test]
fn settings_that_contradict_each_other_are_a_warning() {
    let seen = Recorder::listen(|| {
        let _cache = Ages::builder("ages")
            .tier(Tier::memory(10).name("l1").ttl(millis(5)).refresh_after(millis(5)))
            .tier(Tier::memory(10).name("l2").ttl(millis(20)).refresh_after(millis(5)))
            .serve_stale_on_error(millis(10))
            .enable_logs()
            .build();
        // Nothing to be warned of.
        let _cache = Ages::builder("ages")
            .tier(Tier::memory(10).name("l1").ttl(millis(5)).refresh_after(millis(4)))
            .tier(Tier::memory(10).name("l2"))
            .serve_stale_on_error(millis(6))
            .enable_logs()
            .build();
    });
    assert_eq!(
        seen.events_as_lines(),
        [
            r#"- WARN cachet::event "tier `l1` refreshes entries from an age of 5ms on, but they expire at 5ms: nothing is refreshed" cache.name="ages" cache.tier="l1""#,
            r#"- WARN cachet::event "tier `l2` is the last one, so there is nothing to refresh it from: `refresh_after` is ignored" cache.name="ages" cache.tier="l2""#,
            r#"- WARN cachet::event "tier `l2` serves expired entries up to an age of 10ms, but they are fresh up to 20ms: none is served" cache.name="ages" cache.tier="l2""#,
        ]
    );
}

// S36
#[test]
fn a_handler_and_the_logs_are_told_the_same() {
    let handler = RecordingHandler::new();
    let logged = Logged::with(|builder| builder.event_handler(handler.clone()));
    logged.put_below("ada", 1, millis(0));
    let seen = Recorder::listen(|| {
        ready(logged.cache.get("ada")).unwrap();
        ready(logged.cache.insert("bob", 1)).unwrap();
        logged.l1.next(Insert, Reject);
        ready(logged.cache.insert("eve", 1)).unwrap();
    });
    let messages: Vec<_> = seen.events.iter().map(|event| event.text("message").unwrap().to_owned()).collect();
    let lines: Vec<_> = handler.take_lines().iter().map(|line| line.replace(" (fallback)", "")).collect();
    assert_eq!(messages, lines);
}

/// How often each line occurs.
fn count(lines: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

// Law 5: `Stats`, a handler and the events of `tracing` count the same.
#[test]
fn stats_a_handler_and_the_events_count_the_same() {
    let (stats, handler) = (Stats::new(), RecordingHandler::new());
    let l2 = Mock::new();
    let logged = Logged::new();
    let cache = Ages::builder("ages")
        .clock(logged.clock.clone())
        .tier(Tier::memory(3).name("l1").ttl(millis(10)))
        .tier(Tier::new(l2.clone()).name("l2").ttl(millis(100)))
        .event_handler(stats.clone())
        .event_handler(handler.clone())
        .enable_logs()
        .build();
    let seen = Recorder::listen(|| {
        for round in 0..30_u32 {
            let key = format!("{}", round % 7);
            if round % 4 == 0 {
                l2.next(Get, Fail("busy"));
                l2.next(Insert, Reject);
            }
            drop(ready(cache.get(&key)));
            drop(ready(cache.get_or_insert(&key, || async { round })));
            drop(ready(cache.contains(&key)));
            drop(ready(cache.insert(key.as_str(), round)));
            if round % 9 == 0 {
                drop(ready(cache.invalidate(&key)));
                drop(ready(cache.clear()));
                l2.next(Get, Hang);
                ManualTask::new(cache.get("absent")).pend(1);
            }
            logged.clock.advance(millis(4));
        }
    });
    seen.check();

    let by_events = count(seen.events.iter().map(|event| {
        let tier = event.text("cache.tier").map(|tier| format!("{tier} ")).unwrap_or_default();
        format!("{tier}{}: {}", event.text("cache.operation").unwrap(), event.text("cache.outcome").unwrap())
    }));
    let by_handler = count(handler.take_lines().into_iter().map(|line| line.replace(" (fallback)", "")));
    let mut by_stats = BTreeMap::new();
    for operation in CacheOperation::ALL {
        for outcome in OperationOutcome::ALL {
            by_stats.insert(format!("{operation}: {outcome}"), stats.operations(*operation, *outcome));
        }
    }
    for tier in stats.tiers() {
        for operation in TierOperation::ALL {
            for outcome in TierOutcome::ALL {
                by_stats.insert(format!("{} {operation}: {outcome}", tier.name()), tier.count(*operation, *outcome));
            }
        }
    }
    by_stats.retain(|_, count| *count > 0);
    assert_eq!(by_events, by_handler);
    assert_eq!(by_events, by_stats);
    assert!(by_events.len() > 15, "{by_events:#?}");

    // And the spans, where a span is a call.
    let by_spans = count(seen.spans.iter().map(|span| {
        let fields: BTreeMap<_, _> = span.fields.iter().chain(&span.recorded).cloned().collect_text();
        let tier = fields.get("cache.tier").map(|tier| format!("{tier} ")).unwrap_or_default();
        format!("{tier}{}: {}", fields["cache.operation"], fields["cache.outcome"])
    }));
    let mut spans_and_evictions = by_spans;
    spans_and_evictions.retain(|line, _| !line.starts_with("load"));
    let mut calls = by_events;
    calls.retain(|line, _| !line.contains(" evict:"));
    assert_eq!(spans_and_evictions, calls);
}

/// The fields that are strings, by name.
trait CollectText {
    fn collect_text(self) -> BTreeMap<&'static str, String>;
}

impl<I: Iterator<Item = (&'static str, cachet_tests::trace::Value)>> CollectText for I {
    fn collect_text(self) -> BTreeMap<&'static str, String> {
        self.filter_map(|(name, value)| match value {
            cachet_tests::trace::Value::Str(text) => Some((name, text)),
            _ => None,
        })
        .collect()
    }
}
