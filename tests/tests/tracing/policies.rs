//! Which operations get spans.

use cachet::telemetry::SpanPolicy;
use cachet::telemetry::TierOperation::Get;
use cachet::testing::Behavior::Fail;
use cachet::{ManualClock, Tier};
use cachet_tests::ready;
use cachet_tests::trace::{Recorder, Seen};

use crate::{Ages, Logged, Mock, millis};

/// Memory over a scripted tier that has "below".
fn layered(policy: SpanPolicy) -> (Ages, Mock) {
    let below = Mock::new();
    below.put("below", 1);
    let cache = Ages::builder("ages")
        .clock(ManualClock::new())
        .tier(Tier::memory(10).name("l1"))
        .tier(Tier::new(below.clone()).name("l2"))
        .enable_logs()
        .span_policy(policy)
        .build();
    (cache, below)
}

fn run(cache: &Ages) -> Seen {
    let seen = Recorder::listen(|| {
        ready(cache.insert("near", 1)).unwrap();
        ready(cache.get("near")).unwrap();
        ready(cache.get("below")).unwrap();
        ready(cache.get_or_insert("absent", || async { 2 })).unwrap();
    });
    seen.check();
    seen
}

const EVENTS: [&str; 15] = [
    "l1 insert: inserted",
    "l2 insert: inserted",
    "insert: inserted",
    "l1 get: hit",
    "get: hit",
    "l1 get: miss",
    "l2 get: hit",
    "l1 insert: inserted",
    "get: hit",
    "l1 get: miss",
    "l2 get: miss",
    "l1 insert: inserted",
    "l2 insert: inserted",
    "get_or_insert: computed",
    "",
];

fn messages(seen: &Seen) -> Vec<&str> {
    seen.events.iter().map(|event| event.text("message").unwrap()).collect()
}

// S35
#[test]
fn by_default_every_operation_has_a_span() {
    let seen = run(&layered(SpanPolicy::default()).0);
    assert_eq!(
        seen.outline(),
        [
            "cache.insert: inserted",
            "  cache.tier l1 insert: inserted",
            "  cache.tier l2 insert: inserted",
            "cache.get: hit",
            "  cache.tier l1 get: hit",
            "cache.get: hit",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: hit",
            "  cache.tier l1 insert: inserted",
            "cache.get_or_insert: computed",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
            "  cache.load: computed",
            "  cache.tier l1 insert: inserted",
            "  cache.tier l2 insert: inserted",
        ]
    );
    assert_eq!(messages(&seen), EVENTS[..14]);
}

// S35
#[test]
fn on_the_slow_path_only_what_the_first_tier_did_not_answer_has_a_span() {
    let seen = run(&layered(SpanPolicy::SlowPath).0);
    assert_eq!(
        seen.outline(),
        [
            "cache.get: hit",
            "  cache.tier l2 get: hit",
            "  cache.tier l1 insert: inserted",
            "cache.get_or_insert: computed",
            "  cache.tier l2 get: miss",
            "  cache.load: computed",
            "  cache.tier l1 insert: inserted",
            "  cache.tier l2 insert: inserted",
        ]
    );
    assert_eq!(messages(&seen), EVENTS[..14]);
}

// S35: also where the first tier has to be waited for.
#[test]
fn on_the_slow_path_a_hit_of_a_first_tier_that_may_wait_has_no_span_either() {
    let logged = Logged::with(|builder| builder.span_policy(SpanPolicy::SlowPath));
    logged.l1.put("near", 1);
    let seen = Recorder::listen(|| assert!(ready(logged.cache.get("near")).unwrap().is_some()));
    assert_eq!(seen.outline(), [""; 0]);
    assert_eq!(messages(&seen), ["l1 get: hit", "get: hit"]);
}

// S35
#[test]
fn a_failing_first_tier_did_not_answer() {
    let logged = Logged::with(|builder| builder.span_policy(SpanPolicy::SlowPath));
    logged.put_below("ada", 1, millis(0));
    logged.l1.next(Get, Fail("unplugged"));
    let seen = Recorder::listen(|| assert!(ready(logged.cache.get("ada")).unwrap().is_some()));
    seen.check();
    assert_eq!(seen.outline().first().map(String::as_str), Some("cache.get: hit"));
}

// S35
#[test]
fn with_spans_off_there_are_events_and_no_span() {
    let seen = run(&layered(SpanPolicy::Off).0);
    assert_eq!(seen.outline(), [""; 0]);
    assert_eq!(messages(&seen), EVENTS[..14]);
}

// S35, S36
#[test]
fn without_logs_nothing_is_told() {
    let cache = Ages::builder("ages")
        .tier(Tier::memory(10).name("l1"))
        .tier(Tier::new(Mock::new()).name("l2"))
        .span_policy(SpanPolicy::All)
        .event_handler(cachet::testing::RecordingHandler::new())
        .build();
    let seen = run(&cache);
    assert_eq!(seen.journal, [""; 0]);
}
