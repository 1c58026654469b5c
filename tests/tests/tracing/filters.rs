//! What subscribers do not want.

use cachet::telemetry::TierOperation::Get;
use cachet::testing::Behavior::Fail;
use cachet_tests::ready;
use cachet_tests::trace::{Recorder, Seen};
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::{Logged, millis};

fn get(logged: &Logged) {
    ready(logged.cache.get("ada")).unwrap();
}

fn is_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
}

/// What is left of a run when only some spans and events are wanted.
fn filtered(wanted: fn(&Metadata<'_>) -> bool, work: impl FnOnce()) -> Seen {
    let recorder = Recorder::new();
    let subscriber = Registry::default().with(recorder.clone()).with(filter_fn(wanted));
    tracing::subscriber::with_default(subscriber, work);
    recorder.take()
}

// S35
#[test]
fn filtering_spans_does_not_filter_events() {
    let logged = Logged::new();
    logged.put_below("ada", 1, millis(3));
    let seen = filtered(|metadata| !metadata.is_span(), || get(&logged));
    seen.check();
    assert_eq!(seen.outline(), [""; 0]);
    assert_eq!(
        seen.events_as_lines(),
        [
            r#"- DEBUG cachet::testing "l1 get: miss" cache.name="ages" cache.tier="l1" cache.operation="get" cache.outcome="miss" cache.request_id=#1 cache.fallback=false cache.hit=false cache.duration_ns=0"#,
            r#"- DEBUG cachet::testing "l2 get: hit" cache.name="ages" cache.tier="l2" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.fallback=true cache.hit=true cache.age_ms=3 cache.duration_ns=0"#,
            r#"- DEBUG cachet::testing "l1 insert: inserted" cache.name="ages" cache.tier="l1" cache.operation="insert" cache.outcome="inserted" cache.request_id=#1 cache.fallback=false cache.duration_ns=0"#,
            r#"- DEBUG cachet::event "get: hit" cache.name="ages" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.hit=true cache.hit_tier="l2" cache.age_ms=3 cache.fallback=true cache.coalesced=false cache.duration_ns=0"#,
        ]
    );
}

// S35
#[test]
fn filtering_events_does_not_filter_spans() {
    let logged = Logged::new();
    let seen = filtered(is_span, || get(&logged));
    seen.check();
    assert_eq!(seen.outline(), ["cache.get: miss", "  cache.tier l1 get: miss", "  cache.tier l2 get: miss"]);
    assert_eq!(seen.events_as_lines(), [""; 0]);
}

// S35
#[test]
fn one_tier_can_be_picked_by_its_target() {
    let logged = Logged::new();
    let seen = filtered(
        |metadata| metadata.target() == "cachet::testing" || metadata.name() == "request",
        || {
            info_span!("request").in_scope(|| get(&logged));
        },
    );
    seen.check();
    assert_eq!(seen.outline(), ["request:", "  cache.tier l1 get: miss", "  cache.tier l2 get: miss"]);
    assert_eq!(seen.events.len(), 2);
}

// S35
#[test]
fn without_the_tiers_spans_their_events_lie_in_the_operations() {
    let logged = Logged::new();
    let seen = filtered(|metadata| !(metadata.is_span() && metadata.name() == "cache.tier"), || get(&logged));
    seen.check();
    assert_eq!(seen.outline(), ["cache.get: miss"]);
    let parents: Vec<_> = seen.events.iter().map(|event| event.parent).collect();
    assert_eq!(parents, [Some(0), Some(0), Some(0)]);
}

// S35: at WARN, failures are left, and nothing else.
#[test]
fn a_level_filter_leaves_failures() {
    let logged = Logged::new();
    logged.l1.next(Get, Fail("unplugged"));
    logged.l2.next(Get, Fail("unplugged too"));
    let recorder = Recorder::new();
    let subscriber = Registry::default().with(recorder.clone()).with(LevelFilter::WARN);
    tracing::subscriber::with_default(subscriber, || {
        drop(ready(logged.cache.get("ada")).unwrap_err());
        ready(logged.cache.insert("ada", 1)).unwrap();
    });
    let seen = recorder.take();
    assert_eq!(seen.outline(), [""; 0]);
    let messages: Vec<_> = seen.events.iter().map(|event| event.text("message").unwrap()).collect();
    assert_eq!(messages, ["l1 get: error: unplugged", "l2 get: error: unplugged too", "get: error: unplugged"]);
}
