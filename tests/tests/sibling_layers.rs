//! S35: two layers with filters of their own, side by side. Asking such a subscriber whether a span is enabled, without
//! making the span, would let one of them lose the user's next one.

use cachet::telemetry::TierOperation::Get;
use cachet::telemetry::{SpanLevel, SpanPolicy};
use cachet::testing::{Behavior, MockTier, RecordingHandler};
use cachet::{Cache, Tier};
use cachet_tests::trace::{Recorder, Seen};
use cachet_tests::{ManualTask, ready};
use tracing::level_filters::LevelFilter;
use tracing::{Level, info, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

type Ages = Cache<str, u32>;

/// One layer for the user's spans and events, and one for all. Of what is the user's, both are always interested, so
/// they are asked only about what is the library's.
fn listen(work: impl FnOnce()) -> [Seen; 2] {
    let [users, all] = [Recorder::new(), Recorder::new()];
    let mine = Targets::new().with_target(module_path!(), LevelFilter::TRACE);
    let subscriber =
        Registry::default().with(users.clone().with_filter(mine)).with(all.clone().with_filter(LevelFilter::TRACE));
    tracing::subscriber::with_default(subscriber, work);
    [users.take(), all.take()]
}

fn names(seen: &Seen) -> Vec<&str> {
    seen.spans.iter().map(|span| span.name).collect()
}

// What the tests below would see if the library did it wrong.
#[test]
fn a_probe_without_a_span_does_lose_the_next_one() {
    let [users, all] = listen(|| {
        if tracing::enabled!(target: "cachet::probe", Level::DEBUG) {
            info_span!("next");
        }
    });
    assert_eq!((names(&users), names(&all)), (vec![], vec!["next"]));
}

/// A use of the library, by name.
type Way = (&'static str, Box<dyn Fn()>);

fn way(name: &'static str, work: impl Fn() + 'static) -> Way {
    (name, Box::new(work))
}

fn every_way_of_use(policy: SpanPolicy, level: SpanLevel) -> Vec<Way> {
    let build = || {
        let below = MockTier::<str, u32>::new();
        below.put("below", 1);
        let cache = Ages::builder("ages")
            .tier(Tier::memory(10).name("l1"))
            .tier(Tier::new(below.clone()).name("l2"))
            .enable_logs()
            .span_policy(policy)
            .span_level(level)
            .event_handler(RecordingHandler::new())
            .build();
        (cache, below)
    };
    let (cache, below) = build();
    let with = move |work: fn(&Ages, &MockTier<str, u32>)| {
        let (cache, below) = (cache.clone(), below.clone());
        move || work(&cache, &below)
    };
    vec![
        way("get, miss", with(|cache, _| drop(ready(cache.get("absent"))))),
        way("get, promotion", with(|cache, _| drop(ready(cache.get("below"))))),
        way("get, hit", with(|cache, _| drop(ready(cache.get("below"))))),
        way("insert", with(|cache, _| drop(ready(cache.insert("ada", 1))))),
        way("contains", with(|cache, _| drop(ready(cache.contains("ada"))))),
        way("len", with(|cache, _| drop(ready(cache.len())))),
        way("invalidate", with(|cache, _| drop(ready(cache.invalidate("ada"))))),
        way("compute", with(|cache, _| drop(ready(cache.get_or_insert("bob", || async { 1 }))))),
        way(
            "error",
            with(|cache, below| {
                below.next(Get, Behavior::Fail("unplugged"));
                drop(ready(cache.get("absent")));
            }),
        ),
        way(
            "cancel",
            with(|cache, below| {
                below.next(Get, Behavior::Hang);
                ManualTask::new(cache.get("absent")).pend(1);
            }),
        ),
        way("clear", with(|cache, _| drop(ready(cache.clear())))),
    ]
}

// S35
#[test]
fn neither_layer_loses_the_users_next_span_or_event() {
    for policy in [SpanPolicy::All, SpanPolicy::SlowPath, SpanPolicy::Off] {
        for level in [SpanLevel::Trace, SpanLevel::Debug, SpanLevel::Info] {
            for (way, work) in every_way_of_use(policy, level) {
                let context = format!("{way}, {policy:?}, {level:?}");
                let [users, all] = listen(|| {
                    work();
                    let span = info_span!("next");
                    work();
                    span.in_scope(|| info!("event"));
                    work();
                    drop(info_span!("last"));
                });
                assert_eq!(names(&users), ["next", "last"], "{context}");
                assert_eq!(users.events_as_lines(), [format!(r#"- INFO {} "event""#, module_path!())], "{context}");
                assert_eq!(users.events[0].parent, Some(0), "{context}");
                let mine: Vec<_> = names(&all).into_iter().filter(|name| !name.starts_with("cache.")).collect();
                assert_eq!(mine, ["next", "last"], "{context}");
                all.check();
            }
        }
    }
}

// S35: the other layer gets the library's, whole.
#[test]
fn the_layer_of_the_library_gets_every_span_and_event() {
    let cache = Ages::builder("ages").tier(Tier::memory(10).name("l1")).enable_logs().build();
    let [users, library] = [Recorder::new(), Recorder::new()];
    let theirs = Targets::new().with_target("cachet", LevelFilter::TRACE);
    let mine = Targets::new().with_target(module_path!(), LevelFilter::TRACE);
    let subscriber =
        Registry::default().with(users.clone().with_filter(mine)).with(library.clone().with_filter(theirs));
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..2 {
            let request = info_span!("request");
            let _entered = request.enter();
            ready(cache.get_or_insert("ada", || async { info_span!("closure").in_scope(|| 1) })).unwrap();
            info!("done");
        }
    });
    let (users, library) = (users.take(), library.take());
    assert_eq!(users.outline(), ["request:", "  closure:", "request:"]);
    assert_eq!(users.events.len(), 2);
    library.check();
    assert_eq!(
        library.outline(),
        [
            "cache.get_or_insert: computed",
            "  cache.tier l1 get: miss",
            "  cache.load: computed",
            "  cache.tier l1 insert: inserted",
            "cache.get_or_insert: hit",
            "  cache.tier l1 get: hit",
        ]
    );
    let messages: Vec<_> = library.events.iter().map(|event| event.text("message").unwrap()).collect();
    assert_eq!(
        messages,
        ["l1 get: miss", "l1 insert: inserted", "get_or_insert: computed", "l1 get: hit", "get_or_insert: hit"]
    );
}
