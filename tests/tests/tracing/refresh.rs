//! Refreshes in the eyes of `tracing`.

use std::time::Duration;

use cachet::telemetry::TierOperation::Get;
use cachet::telemetry::{RecordKeys, SpanLevel, SpanPolicy};
use cachet::testing::Behavior::{Fail, Panic, Pend};
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, CacheTier, ManualClock, Tier};
use cachet_tests::trace::{Recorder, Seen};
use cachet_tests::{ManualRuntime, ready};

use crate::{Ages, Mock};

const DUE: Duration = Duration::from_mins(1);

/// A cache with logs enabled, of two scripted tiers, with `ada` at 1 in both, and due in the first.
struct Due {
    cache: Ages,
    l2: Mock,
    clock: ManualClock,
    tasks: ManualRuntime,
}

impl Due {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>) -> Self {
        let (l2, clock, tasks) = (Mock::new(), ManualClock::new(), ManualRuntime::new());
        let builder = Ages::builder("ages")
            .tier(Tier::new(Mock::new()).name("l1").refresh_after(DUE))
            .tier(Tier::new(l2.clone()).name("l2"))
            .clock(clock.clone())
            .runtime(tasks.clone())
            .enable_logs();
        let cache = configure(builder).build();
        ready(cache.insert("ada", 1)).unwrap();
        clock.advance(DUE);
        Self { cache, l2, clock, tasks }
    }

    fn get(&self) {
        assert!(ready(self.cache.get("ada")).unwrap().is_some());
    }

    /// What is to be seen of a read and the refresh that it triggers.
    fn listen(&self) -> Seen {
        let seen = Recorder::listen(|| {
            self.get();
            self.tasks.run();
        });
        seen.check();
        seen
    }

    /// The last event of those.
    #[track_caller]
    fn last_event(&self) -> String {
        self.listen().events_as_lines().pop().unwrap()
    }
}

/// The positions of the spans that the refresh's span follows, and whether it is a root.
#[track_caller]
fn links(seen: &Seen) -> (Vec<Option<usize>>, bool) {
    let mut refreshes = seen.spans.iter().filter(|span| span.name == "cache.refresh");
    let refresh = refreshes.next().unwrap();
    assert!(refreshes.next().is_none());
    (refresh.follows.clone(), refresh.parent.is_none())
}

// S34, S35
#[test]
fn a_refresh_has_a_span_of_its_own_that_follows_from_its_triggers() {
    let due = Due::new();
    let seen = due.listen();
    assert_eq!(
        seen.spans_as_lines(),
        [
            r#"cache.get DEBUG cachet::op cache.name="ages" cache.operation="get" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="stale" cache.hit=true cache.hit_tier="l1" cache.age_ms=60000 cache.fallback=false cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="hit" cache.hit=true cache.age_ms=60000"#,
            r#"cache.refresh DEBUG cachet::op cache.name="ages" cache.operation="refresh" cache.request_id=#2 cache.parent_request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="refreshed" cache.hit_tier="l2" cache.age_ms=60000 cache.fallback=false cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="get" cache.request_id=#2 cache.fallback=false otel.kind="internal" | cache.outcome="hit" cache.hit=true cache.age_ms=60000"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="insert" cache.request_id=#2 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
        ]
    );
    let get = seen.spans.iter().position(|span| span.name == "cache.get");
    assert_eq!(links(&seen), (vec![get], true));
    // Linked before either is closed.
    let linked = seen.journal.iter().position(|line| line == "cache.refresh follows cache.get").unwrap();
    let closed = seen.journal.iter().position(|line| line == "close cache.get").unwrap();
    assert!(linked < closed);
}

// S34: whatever span is current where the read is made, or where the task is run.
#[test]
fn the_span_of_a_refresh_is_a_root_wherever_it_is_started_and_run() {
    let due = Due::new();
    let seen = Recorder::listen(|| {
        tracing::info_span!("request").in_scope(|| due.get());
        tracing::info_span!("worker").in_scope(|| due.tasks.run());
    });
    seen.check();
    let tree: Vec<_> = seen.spans.iter().map(|span| (span.name, span.parent)).collect();
    assert_eq!(
        tree,
        [
            ("request", None),
            ("cache.get", Some(0)),
            ("cache.tier", Some(1)),
            ("cache.refresh", None),
            ("worker", None),
            ("cache.tier", Some(3)),
            ("cache.tier", Some(3)),
        ]
    );
    assert_eq!(links(&seen), (vec![Some(1)], true));
}

// S35
#[test]
fn a_refresh_that_has_stored_a_new_entry_is_a_debug_event() {
    let due = Due::new();
    assert_eq!(
        due.listen().events_as_lines(),
        [
            r#"- DEBUG cachet::testing "l1 get: hit" cache.name="ages" cache.tier="l1" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.fallback=false cache.hit=true cache.age_ms=60000 cache.duration_ns=0"#,
            r#"- DEBUG cachet::event "get: stale" cache.name="ages" cache.operation="get" cache.outcome="stale" cache.request_id=#1 cache.hit=true cache.hit_tier="l1" cache.age_ms=60000 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
            r#"- DEBUG cachet::testing "l2 get: hit" cache.name="ages" cache.tier="l2" cache.operation="get" cache.outcome="hit" cache.request_id=#2 cache.fallback=false cache.hit=true cache.age_ms=60000 cache.duration_ns=0"#,
            r#"- DEBUG cachet::testing "l1 insert: inserted" cache.name="ages" cache.tier="l1" cache.operation="insert" cache.outcome="inserted" cache.request_id=#2 cache.fallback=false cache.duration_ns=0"#,
            r#"- DEBUG cachet::event "refresh: refreshed" cache.name="ages" cache.operation="refresh" cache.outcome="refreshed" cache.request_id=#2 cache.parent_request_id=#1 cache.hit_tier="l2" cache.age_ms=60000 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
        ]
    );
}

// S35, S32: a failed refresh is a warning, since no operation of the user's has failed.
#[test]
fn a_refresh_that_fails_is_a_warning() {
    let due = Due::new();
    due.l2.next(Get, Fail("down"));
    assert_eq!(
        due.listen().events_as_lines(),
        [
            r#"- DEBUG cachet::testing "l1 get: hit" cache.name="ages" cache.tier="l1" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.fallback=false cache.hit=true cache.age_ms=60000 cache.duration_ns=0"#,
            r#"- DEBUG cachet::event "get: stale" cache.name="ages" cache.operation="get" cache.outcome="stale" cache.request_id=#1 cache.hit=true cache.hit_tier="l1" cache.age_ms=60000 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
            r#"- WARN cachet::testing "l2 get: error: down" cache.name="ages" cache.tier="l2" cache.operation="get" cache.outcome="error" cache.request_id=#2 cache.fallback=false cache.duration_ns=0 error.type="tier""#,
            r#"- WARN cachet::event "refresh: error: down" cache.name="ages" cache.operation="refresh" cache.outcome="error" cache.request_id=#2 cache.parent_request_id=#1 cache.fallback=false cache.coalesced=false cache.duration_ns=0 error.type="tier""#,
        ]
    );
}

// S35, S33
#[test]
fn a_refresh_that_panics_is_a_warning() {
    let due = Due::new();
    due.l2.next(Get, Panic("boom"));
    assert_eq!(
        due.last_event(),
        r#"- WARN cachet::event "refresh: panicked: boom" cache.name="ages" cache.operation="refresh" cache.outcome="panicked" cache.request_id=#2 cache.parent_request_id=#1 cache.fallback=false cache.coalesced=false cache.duration_ns=0 error.type="panic""#
    );
}

// S35
#[test]
fn a_refresh_that_finds_nothing_is_information_and_so_is_the_cooling_down_after_it() {
    let due = Due::new();
    ready(due.l2.clear()).unwrap();
    assert_eq!(
        due.last_event(),
        r#"- INFO cachet::event "refresh: miss" cache.name="ages" cache.operation="refresh" cache.outcome="miss" cache.request_id=#2 cache.parent_request_id=#1 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#
    );
    assert_eq!(
        due.listen().events_as_lines(),
        [
            r#"- DEBUG cachet::testing "l1 get: hit" cache.name="ages" cache.tier="l1" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.fallback=false cache.hit=true cache.age_ms=60000 cache.duration_ns=0"#,
            r#"- INFO cachet::event "refresh: suppressed" cache.name="ages" cache.operation="refresh" cache.outcome="suppressed" cache.request_id=#2 cache.parent_request_id=#1 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
            r#"- DEBUG cachet::event "get: stale" cache.name="ages" cache.operation="get" cache.outcome="stale" cache.request_id=#1 cache.hit=true cache.hit_tier="l1" cache.age_ms=60000 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
        ]
    );
    // Reported once.
    assert_eq!(
        due.listen().events_as_lines(),
        [
            r#"- DEBUG cachet::testing "l1 get: hit" cache.name="ages" cache.tier="l1" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.fallback=false cache.hit=true cache.age_ms=60000 cache.duration_ns=0"#,
            r#"- DEBUG cachet::event "get: stale" cache.name="ages" cache.operation="get" cache.outcome="stale" cache.request_id=#1 cache.hit=true cache.hit_tier="l1" cache.age_ms=60000 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
        ]
    );
}

// S35, S19
#[test]
fn a_refresh_that_is_superseded_is_information() {
    let due = Due::new();
    due.l2.next(Get, Pend(1));
    let seen = Recorder::listen(|| {
        due.get();
        due.tasks.poll();
        ready(due.cache.invalidate("ada")).unwrap();
        due.l2.put("ada", 1);
        due.tasks.run();
    });
    seen.check();
    let lines = seen.events_as_lines();
    assert_eq!(
        lines[lines.len() - 2..],
        [
            r#"- INFO cachet::testing "l1 insert: superseded" cache.name="ages" cache.tier="l1" cache.operation="insert" cache.outcome="superseded" cache.request_id=#3 cache.fallback=false cache.duration_ns=0"#,
            r#"- INFO cachet::event "refresh: superseded" cache.name="ages" cache.operation="refresh" cache.outcome="superseded" cache.request_id=#3 cache.parent_request_id=#1 cache.hit_tier="l2" cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
        ]
    );
}

// S38
#[test]
fn a_task_that_is_dropped_says_so_in_its_span() {
    for begun in [false, true] {
        let due = Due::new();
        due.l2.next(Get, Pend(1));
        let seen = Recorder::listen(|| {
            due.get();
            if begun {
                due.tasks.poll();
            }
            due.tasks.drop_tasks();
        });
        seen.check();
        let expected: &[&str] = if begun {
            &[
                "cache.get: stale",
                "  cache.tier l1 get: hit",
                "cache.refresh: cancelled",
                "  cache.tier l2 get: cancelled",
            ]
        } else {
            &["cache.get: stale", "  cache.tier l1 get: hit", "cache.refresh: cancelled"]
        };
        assert_eq!(seen.outline(), expected, "begun: {begun}");
    }
}

// S34: without a span of the trigger there is nothing to follow, and the refresh is a slow path.
#[test]
fn the_span_policy_holds_for_refreshes() {
    for (policy, expected) in [
        (
            SpanPolicy::All,
            &[
                "cache.get: stale",
                "  cache.tier l1 get: hit",
                "cache.refresh: refreshed",
                "  cache.tier l2 get: hit",
                "  cache.tier l1 insert: inserted",
            ][..],
        ),
        (
            SpanPolicy::SlowPath,
            &["cache.refresh: refreshed", "  cache.tier l2 get: hit", "  cache.tier l1 insert: inserted"],
        ),
        (SpanPolicy::Off, &[]),
    ] {
        let due = Due::with(|builder| builder.span_policy(policy));
        let seen = due.listen();
        assert_eq!(seen.outline(), expected, "{policy:?}");
        assert_eq!(seen.events.len(), 5);
    }
}

// S35
#[test]
fn level_and_key_of_the_spans_hold_for_refreshes() {
    let due = Due::with(|builder| builder.span_level(SpanLevel::Info).record_keys(RecordKeys::full()));
    let seen = due.listen();
    assert_eq!(
        seen.spans_as_lines(),
        [
            r#"cache.get INFO cachet::op cache.name="ages" cache.operation="get" cache.request_id=#1 cache.key="ada" otel.kind="internal" sentry.op="cache.get" | cache.outcome="stale" cache.hit=true cache.hit_tier="l1" cache.age_ms=60000 cache.fallback=false cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#1 cache.fallback=false cache.key="ada" otel.kind="internal" | cache.outcome="hit" cache.hit=true cache.age_ms=60000"#,
            r#"cache.refresh INFO cachet::op cache.name="ages" cache.operation="refresh" cache.request_id=#2 cache.parent_request_id=#1 cache.key="ada" otel.kind="internal" sentry.op="cache.get" | cache.outcome="refreshed" cache.hit_tier="l2" cache.age_ms=60000 cache.fallback=false cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="get" cache.request_id=#2 cache.fallback=false cache.key="ada" otel.kind="internal" | cache.outcome="hit" cache.hit=true cache.age_ms=60000"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="insert" cache.request_id=#2 cache.fallback=false cache.key="ada" otel.kind="internal" | cache.outcome="inserted""#,
        ]
    );
}

// S34: of a lookup of several keys, too.
#[test]
fn each_refresh_of_a_lookup_of_several_follows_from_that() {
    let due = Due::new();
    ready(due.cache.insert("bob", 1)).unwrap();
    due.clock.advance(DUE);
    let seen = Recorder::listen(|| {
        assert_eq!(ready(due.cache.get_many(["ada", "bob"])).len(), 2);
        due.tasks.run();
    });
    seen.check();
    assert_eq!(
        seen.outline(),
        [
            "cache.get_many: stale",
            "  cache.tier l1 get_many: hit",
            "cache.refresh: refreshed",
            "cache.refresh: refreshed",
            "  cache.tier l2 get: hit",
            "  cache.tier l1 insert: inserted",
            "  cache.tier l2 get: hit",
            "  cache.tier l1 insert: inserted",
        ]
    );
    for refresh in seen.spans.iter().filter(|span| span.name == "cache.refresh") {
        assert_eq!((&refresh.follows[..], refresh.parent), (&[Some(0)][..], None));
    }
}
