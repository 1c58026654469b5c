//! Leaders and followers in the eyes of `tracing`.

use cachet::telemetry::TierOperation::Get;
use cachet::telemetry::{CacheOperationEvent, EventMask, SpanPolicy};
use cachet::testing::Behavior::Pend;
use cachet::testing::RecordingHandler;
use cachet::{CacheBuilder, CacheEventHandler};
use cachet_tests::task::pend;
use cachet_tests::trace::{Fields, Recorder, Seen, SpanSeen, Value};
use cachet_tests::{ManualTask, events};

use crate::{Ages, Logged, millis};

fn protected() -> Logged {
    Logged::with(CacheBuilder::stampede_protection)
}

fn ask(
    cache: &Ages,
    polls: u32,
) -> ManualTask<impl Future<Output = Result<cachet::CacheEntry<u32>, cachet::Error>> + '_> {
    ManualTask::new(cache.get_or_insert("ada", move || async move {
        pend(polls).await;
        1
    }))
}

fn operations(seen: &Seen) -> Vec<(usize, &SpanSeen)> {
    seen.spans.iter().enumerate().filter(|(_, span)| span.name == "cache.get_or_insert").collect()
}

fn field<'s>(fields: &'s Fields, wanted: &str) -> Option<&'s Value> {
    fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

// S35, S25
#[test]
fn a_followers_span_follows_from_its_leaders_and_names_it() {
    let logged = protected();
    let seen = Recorder::listen(|| {
        let (mut leader, mut follower) = (ask(&logged.cache, 1), ask(&logged.cache, 0));
        leader.pend(1);
        follower.pend(1);
        leader.ready().unwrap();
        follower.ready().unwrap();
    });
    seen.check();
    assert_eq!(
        seen.spans_as_lines(),
        [
            r#"cache.get_or_insert DEBUG cachet::op cache.name="ages" cache.operation="get_or_insert" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="computed" cache.hit=false cache.fallback=true cache.coalesced=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="miss" cache.hit=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="get" cache.request_id=#1 cache.fallback=true otel.kind="internal" | cache.outcome="miss" cache.hit=false"#,
            r#"  cache.load DEBUG cachet::op cache.name="ages" cache.operation="load" cache.request_id=#1 otel.kind="internal" | cache.outcome="computed""#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="insert" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="insert" cache.request_id=#1 cache.fallback=false otel.kind="internal" | cache.outcome="inserted""#,
            r#"cache.get_or_insert DEBUG cachet::op cache.name="ages" cache.operation="get_or_insert" cache.request_id=#2 otel.kind="internal" sentry.op="cache.get" | cache.outcome="computed" cache.hit=false cache.fallback=true cache.coalesced=true cache.leader_request_id=#1"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l1" cache.operation="get" cache.request_id=#2 cache.fallback=false otel.kind="internal" | cache.outcome="miss" cache.hit=false"#,
            r#"  cache.tier DEBUG cachet::testing cache.name="ages" cache.tier="l2" cache.operation="get" cache.request_id=#2 cache.fallback=true otel.kind="internal" | cache.outcome="miss" cache.hit=false"#,
        ]
    );
    let [(leader, led), (_, followed)] = operations(&seen)[..] else { panic!("two operations") };
    assert_eq!((&led.follows[..], &followed.follows[..]), (&[][..], &[Some(leader)][..]));
    // Linked when it joins.
    let linked =
        seen.journal.iter().position(|line| line == "cache.get_or_insert follows cache.get_or_insert").unwrap();
    let landed = seen.journal.iter().position(|line| line == "event get_or_insert: computed").unwrap();
    assert!(linked < landed);
}

// S35
#[test]
fn a_followers_event_is_complete_and_its_duration_is_its_wait() {
    let logged = protected();
    let seen = Recorder::listen(|| {
        let (mut leader, mut follower) = (ask(&logged.cache, 1), ask(&logged.cache, 0));
        leader.pend(1);
        logged.clock.advance(millis(3));
        follower.pend(1);
        logged.clock.advance(millis(5));
        leader.ready().unwrap();
        logged.clock.advance(millis(2));
        follower.ready().unwrap();
    });
    let lines = seen.events_as_lines();
    let ends: Vec<_> = lines.iter().filter(|line| line.contains("get_or_insert: ")).collect();
    assert_eq!(
        ends,
        [
            r#"- DEBUG cachet::event "get_or_insert: computed" cache.name="ages" cache.operation="get_or_insert" cache.outcome="computed" cache.request_id=#1 cache.hit=false cache.fallback=true cache.coalesced=false cache.duration_ns=8000000"#,
            r#"- DEBUG cachet::event "get_or_insert: computed" cache.name="ages" cache.operation="get_or_insert" cache.outcome="computed" cache.request_id=#2 cache.leader_request_id=#1 cache.hit=false cache.fallback=true cache.coalesced=true cache.duration_ns=7000000"#,
        ]
    );
}

// S35: for handlers too, however the flight ends.
#[test]
fn handlers_are_told_how_long_a_follower_has_waited() {
    for ending in ["computed", "none", "error", "panicked", "cancelled"] {
        let seen = RecordingHandler::new();
        let logged = Logged::with(|builder| builder.stampede_protection().event_handler(seen.clone()));
        let ask = || {
            ManualTask::new(logged.cache.optionally_get_or_insert("ada", || async {
                pend(1).await;
                assert_ne!(ending, "panicked");
                (ending != "none").then_some(1)
            }))
        };
        let fail = || {
            ManualTask::new(logged.cache.try_get_or_insert("ada", || async {
                pend(1).await;
                Err::<u32, _>("no")
            }))
        };
        let mut follower = ask();
        // What cannot fail by itself may follow what can.
        if ending == "error" {
            let mut leader = fail();
            leader.pend(1);
            follower.pend(1);
            logged.clock.advance(millis(5));
            assert!(leader.ready().is_err());
        } else {
            let mut leader = ask();
            leader.pend(1);
            follower.pend(1);
            logged.clock.advance(millis(5));
            assert_eq!(leader.ready().is_err(), ending == "panicked");
        }
        logged.clock.advance(millis(2));
        if ending == "cancelled" {
            drop(follower);
        } else {
            drop(follower.ready());
        }
        let recorded = seen.take();
        let [_, follower] = events::completions(&recorded)[..] else { panic!("two operations") };
        assert_eq!((follower.outcome().as_str(), follower.coalesced()), (ending, true));
        assert_eq!(follower.duration(), Some(millis(7)), "{ending}");
        assert_eq!(follower.load_duration(), None);
    }
}

// S35, S26
#[test]
fn whoever_takes_over_is_linked_to_the_one_that_gave_up_but_not_coalesced() {
    let logged = protected();
    let seen = Recorder::listen(|| {
        let (mut leader, mut heir, mut other) = (ask(&logged.cache, 1), ask(&logged.cache, 1), ask(&logged.cache, 0));
        leader.pend(1);
        heir.pend(1);
        other.pend(1);
        drop(leader);
        heir.pend(1);
        other.pend(1);
        heir.ready().unwrap();
        other.ready().unwrap();
    });
    seen.check();
    let [(leader, _), (heir, took_over), (_, other)] = operations(&seen)[..] else { panic!("three operations") };
    assert_eq!(took_over.follows, [Some(leader)]);
    assert_eq!(field(&took_over.recorded, "cache.coalesced"), Some(&Value::Bool(false)));
    assert_eq!(field(&took_over.recorded, "cache.leader_request_id"), None);
    assert_eq!(other.follows, [Some(leader), Some(heir)]);
    assert_eq!(field(&other.recorded, "cache.coalesced"), Some(&Value::Bool(true)));
    assert_eq!(field(&other.recorded, "cache.leader_request_id"), field(&took_over.fields, "cache.request_id"));
}

// S35, S26: it was not polled while another follower took over, and so has to ask again.
#[test]
fn a_follower_that_did_not_hear_of_the_new_leader_finds_what_that_has_stored() {
    let logged = protected();
    let seen = Recorder::listen(|| {
        let (mut leader, mut heir, mut other) = (ask(&logged.cache, 1), ask(&logged.cache, 0), ask(&logged.cache, 0));
        leader.pend(1);
        heir.pend(1);
        other.pend(1);
        drop(leader);
        heir.ready().unwrap();
        other.ready().unwrap();
    });
    seen.check();
    let [(leader, _), _, (_, other)] = operations(&seen)[..] else { panic!("three operations") };
    assert_eq!(other.follows, [Some(leader)]);
    assert_eq!(field(&other.recorded, "cache.outcome"), Some(&Value::Str("hit".to_owned())));
    assert_eq!(field(&other.recorded, "cache.coalesced"), Some(&Value::Bool(false)));
    assert_eq!(field(&other.recorded, "cache.leader_request_id"), None);
}

// S35, S38
#[test]
fn a_cancelled_follower_says_so_and_whom_it_has_followed() {
    let logged = protected();
    let seen = Recorder::listen(|| {
        let (mut leader, mut follower) = (ask(&logged.cache, 1), ask(&logged.cache, 0));
        leader.pend(1);
        follower.pend(1);
        drop(follower);
        leader.ready().unwrap();
    });
    seen.check();
    let [(_, led), (_, followed)] = operations(&seen)[..] else { panic!("two operations") };
    assert_eq!(field(&followed.recorded, "cache.outcome"), Some(&Value::Str("cancelled".to_owned())));
    assert_eq!(field(&followed.recorded, "cache.coalesced"), Some(&Value::Bool(true)));
    assert_eq!(field(&followed.recorded, "cache.leader_request_id"), field(&led.fields, "cache.request_id"));
}

// S35, S27: "a leader panicked" is an error, as is every call that returned one.
#[test]
fn a_panic_is_an_error_event_of_leader_and_follower_and_of_the_closure() {
    let logged = protected();
    let panics = || {
        ManualTask::new(logged.cache.get_or_insert("ada", || async {
            pend(1).await;
            if true { panic!("boom") } else { 1 }
        }))
    };
    let seen = Recorder::listen(|| {
        let (mut leader, mut follower) = (panics(), panics());
        leader.pend(1);
        follower.pend(1);
        leader.ready().unwrap_err();
        follower.ready().unwrap_err();
    });
    seen.check();
    assert_eq!(
        seen.outline(),
        [
            "cache.get_or_insert: panicked",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
            "  cache.load: panicked",
            "cache.get_or_insert: panicked",
            "  cache.tier l1 get: miss",
            "  cache.tier l2 get: miss",
        ]
    );
    let errors: Vec<_> = seen.events.iter().filter(|event| event.level == tracing::Level::ERROR).collect();
    for (event, coalesced) in errors.iter().zip([false, true]) {
        assert_eq!(event.text("message"), Some("get_or_insert: panicked: boom"));
        assert_eq!(event.text("error.type"), Some("panic"));
        assert_eq!(event.field("cache.coalesced"), Some(&Value::Bool(coalesced)));
    }
    assert_eq!(errors.len(), 2);
    for (_, span) in operations(&seen) {
        assert_eq!(field(&span.recorded, "otel.status_code"), Some(&Value::Str("ERROR".to_owned())));
    }
}

// S35: without spans, the events say it.
#[test]
fn followers_are_marked_under_every_policy() {
    for policy in [SpanPolicy::All, SpanPolicy::SlowPath, SpanPolicy::Off] {
        let logged = Logged::with(|builder| builder.stampede_protection().span_policy(policy));
        logged.l1.next(Get, Pend(1));
        let seen = Recorder::listen(|| {
            let (mut leader, mut follower) = (ask(&logged.cache, 1), ask(&logged.cache, 0));
            leader.pend(2);
            follower.pend(1);
            leader.ready().unwrap();
            follower.ready().unwrap();
        });
        let ends: Vec<_> = seen.events.iter().filter(|event| event.field("cache.coalesced").is_some()).collect();
        assert_eq!(ends.len(), 2);
        assert_eq!(ends[1].field("cache.coalesced"), Some(&Value::Bool(true)));
        assert_eq!(ends[1].field("cache.leader_request_id"), ends[0].field("cache.request_id"));
        let operations = operations(&seen);
        if policy == SpanPolicy::Off {
            assert!(operations.is_empty());
        } else {
            assert_eq!(operations[1].1.follows, [Some(operations[0].0)], "{policy:?}");
        }
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

// S35: no clock is read for those who do not want to know.
#[test]
fn without_timing_a_follower_has_no_duration_and_is_coalesced() {
    let seen = RecordingHandler::new();
    let cache = Ages::builder("ages")
        .tier(cachet::Tier::memory(10))
        .event_handler(Ends(seen.clone()))
        .stampede_protection()
        .build();
    let (mut leader, mut follower) = (ask(&cache, 1), ask(&cache, 0));
    leader.pend(1);
    follower.pend(1);
    leader.ready().unwrap();
    follower.ready().unwrap();
    let recorded = seen.take();
    let [leader, follower] = events::completions(&recorded)[..] else { panic!("two operations") };
    assert_eq!(follower.leader_request_id(), Some(leader.request_id()));
    assert_eq!((leader.duration(), follower.duration()), (None, None));
}
