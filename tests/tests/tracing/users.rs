//! The user's own spans and events around and inside the library's.

use cachet::telemetry::SpanPolicy;
use cachet::telemetry::TierOperation::{Get, Insert, Invalidate};
use cachet::testing::Behavior;
use cachet::{CacheEntry, Tier};
use cachet_tests::task::pend;
use cachet_tests::trace::Recorder;
use cachet_tests::{ManualTask, ready};
use tracing::{info, info_span};

use crate::{Ages, Mock, millis};

/// The user's events, with the path of spans each was sent in.
fn places(seen: &cachet_tests::trace::Seen) -> Vec<String> {
    seen.events
        .iter()
        .filter(|event| event.field("cache.name").is_none())
        .map(|event| {
            let mut path = Vec::new();
            let mut parent = event.parent;
            while let Some(span) = parent {
                path.insert(0, seen.spans[span].name);
                parent = seen.spans[span].parent;
            }
            format!("{}: {}", path.join("/"), event.text("message").unwrap())
        })
        .collect()
}

/// A tier that sends events while it works, also when it is dropped, and has an expired entry.
fn chatty(policy: SpanPolicy) -> Ages {
    let mock = Mock::new();
    mock.put("ada", CacheEntry::restore(1, Some(millis(1)), std::time::UNIX_EPOCH));
    mock.before(Get, || info!("before"));
    mock.next(Get, Behavior::Pend(1));
    mock.after(Get, || info_span!("inner").in_scope(|| info!("after")));
    mock.next(Insert, Behavior::Hang);
    mock.cancelled(Insert, || info!("farewell"));
    mock.before(Invalidate, || info!("removing"));
    Ages::builder("ages").tier(Tier::new(mock)).enable_logs().span_policy(policy).build()
}

// S35
#[test]
fn what_a_tier_says_lands_in_its_span() {
    let cache = chatty(SpanPolicy::All);
    let seen = Recorder::listen(|| {
        let mut insert = ManualTask::new(cache.insert("ada", 1));
        insert.pend(2);
        drop(insert);
        ready(cache.invalidate("ada")).unwrap();
    });
    assert_eq!(places(&seen), ["cache.insert/cache.tier: farewell", "cache.invalidate/cache.tier: removing"]);
}

// S35: also after a wait, in spans of its own, and while it removes what has expired.
#[test]
fn what_a_tier_says_in_a_lookup_lands_in_its_span() {
    let cache = chatty(SpanPolicy::All);
    let seen = Recorder::listen(|| assert!(ManualTask::new(cache.get("ada")).finish().unwrap().is_none()));
    assert_eq!(
        places(&seen),
        ["cache.get/cache.tier: before", "cache.get/cache.tier/inner: after", "cache.get/cache.tier: removing",]
    );
}

// S35
#[test]
fn what_a_tier_says_without_spans_lands_in_the_callers() {
    let cache = chatty(SpanPolicy::Off);
    let seen = Recorder::listen(|| {
        let request = info_span!("request");
        request.in_scope(|| ManualTask::new(cache.get("ada")).finish()).unwrap();
    });
    assert_eq!(places(&seen), ["request: before", "request/inner: after", "request: removing"]);
}

// S35
#[test]
fn what_a_closure_says_lands_in_its_load() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).enable_logs().build();
    let seen = Recorder::listen(|| {
        ManualTask::new(cache.get_or_insert("ada", || {
            info!("called");
            async {
                info!("polled");
                pend(1).await;
                info!("polled again");
                1
            }
        }))
        .finish()
        .unwrap();
    });
    seen.check();
    assert_eq!(
        places(&seen),
        [
            "cache.get_or_insert/cache.load: called",
            "cache.get_or_insert/cache.load: polled",
            "cache.get_or_insert/cache.load: polled again",
        ]
    );
}

// S35: the caller's span may have fields of the same names.
#[test]
fn nothing_is_ever_recorded_on_the_callers_span() {
    let below = Mock::new();
    below.put("ada", 1);
    for (logs, policy) in [(false, SpanPolicy::All), (true, SpanPolicy::Off), (true, SpanPolicy::SlowPath)] {
        let mut builder = Ages::builder("ages")
            .tier(Tier::memory(10).name("l1"))
            .tier(Tier::new(below.clone()).name("l2"))
            .span_policy(policy);
        if logs {
            builder = builder.enable_logs();
        }
        let cache = builder.build();
        let seen = Recorder::listen(|| {
            let request = info_span!(
                "request",
                "cache.outcome" = tracing::field::Empty,
                "cache.hit" = tracing::field::Empty,
                "error.type" = tracing::field::Empty,
                "otel.status_code" = tracing::field::Empty
            );
            let _entered = request.enter();
            ready(cache.get("ada")).unwrap();
            ready(cache.get("bob")).unwrap();
            ready(cache.insert("bob", 1)).unwrap();
            ready(cache.get_or_insert("eve", || async { 1 })).unwrap();
        });
        assert_eq!(seen.spans[0].recorded, [], "{policy:?}");
        assert_eq!(seen.journal.iter().filter(|line| *line == "record request").count(), 0);
        if !logs {
            assert_eq!(seen.journal, ["new request", "enter request", "exit request", "close request"]);
        }
    }
}

// S35, S37: between polls the caller's span is the current one again.
#[test]
fn the_callers_span_is_current_again_after_every_poll() {
    let cache = chatty(SpanPolicy::All);
    let seen = Recorder::listen(|| {
        let request = info_span!("request");
        let _entered = request.enter();
        let mut get = ManualTask::new(cache.get("ada"));
        get.pend(1);
        info!("between");
        get.finish().unwrap();
        info!("behind");
    });
    assert_eq!(
        places(&seen),
        [
            "request/cache.get/cache.tier: before",
            "request: between",
            "request/cache.get/cache.tier/inner: after",
            "request/cache.get/cache.tier: removing",
            "request: behind",
        ]
    );
}
