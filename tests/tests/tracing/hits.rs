//! Lookups in a first tier that answers at once: what is reported of them, whatever way it takes inside the library.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use cachet::telemetry::{RecordKeys, SpanPolicy};
use cachet::{CacheEntry, CacheTier, InsertOutcome, ManualClock, Tier, TierError, cache_tier};
use cachet_tests::ready;
use cachet_tests::trace::{Recorder, Seen};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use crate::{Ages, Mock, millis};

/// A tier that answers at once, declares a field, and has keys at which it fails or panics.
#[derive(Default)]
struct Near(Mutex<HashMap<String, CacheEntry<u32>>>);

#[cache_tier(name = "near", target = "app::near", immediate, fields(shard = 7))]
impl CacheTier<str, u32> for Near {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        match key {
            "broken" => Err(TierError::msg("unplugged")),
            "cursed" => panic!("boom"),
            _ => Ok(self.0.lock().unwrap().get(key).cloned()),
        }
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0.lock().unwrap().insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.lock().unwrap().clear();
        Ok(())
    }
}

/// The tier over a scripted one that has "below" and "due"; "near" is fresh, "due" is to be refreshed, "old" is expired.
fn cache(policy: SpanPolicy, record_keys: RecordKeys<str>) -> Ages {
    let (below, clock) = (Mock::new(), ManualClock::new());
    below.put("below", CacheEntry::restore(1, None, clock.wall()));
    below.put("due", CacheEntry::restore(2, None, clock.wall()));
    let cache = Ages::builder("ages")
        .clock(clock.clone())
        .tier(Tier::new(Near::default()).ttl(millis(100)).refresh_after(millis(50)))
        .tier(Tier::new(below).name("l2"))
        .enable_logs()
        .span_policy(policy)
        .record_keys(record_keys)
        .build();
    ready(cache.insert("old", 1)).unwrap();
    clock.advance(millis(60));
    ready(cache.insert("due", 1)).unwrap();
    clock.advance(millis(55));
    ready(cache.insert("near", 1)).unwrap();
    clock.advance(millis(7));
    cache
}

fn read_everything(cache: &Ages) {
    for key in ["near", "due", "old", "below", "absent", "broken"] {
        drop(ready(cache.get(key)));
        drop(ready(cache.get_or_insert(key, || async { 1 })));
        drop(ready(cache.optionally_get_or_insert(key, || async { None::<u32> })));
    }
}

/// Everything that was reported, without the keys, and how often a span was entered, which does not matter.
fn without_keys(seen: &Seen) -> Vec<String> {
    seen.check();
    let mut journal = seen.journal.clone();
    journal.retain(|line| !line.starts_with("enter ") && !line.starts_with("exit "));
    let lines = seen.as_lines().into_iter().chain(journal);
    lines.map(|line| line.replace(r#" cache.key="""#, "")).collect()
}

// S35: with recorded keys the code path is another, and the reports are the same.
#[test]
fn lookups_tell_the_same_whether_or_not_keys_are_recorded() {
    for policy in [SpanPolicy::All, SpanPolicy::SlowPath, SpanPolicy::Off] {
        let reported = |record_keys| {
            let cache = cache(policy, record_keys);
            without_keys(&Recorder::listen(|| read_everything(&cache)))
        };
        let (brief, full) = (reported(RecordKeys::omitted()), reported(RecordKeys::with(|_: &str| String::new())));
        assert!(brief.len() > 40, "{brief:#?}");
        for (brief, full) in brief.iter().zip(&full) {
            assert_eq!(brief, full, "{policy:?}");
        }
        assert_eq!(brief.len(), full.len(), "{policy:?}");
    }
}

// S35
#[test]
fn a_hit_is_a_span_with_that_of_its_tier_and_its_fields() {
    let cache = cache(SpanPolicy::All, RecordKeys::omitted());
    let seen = Recorder::listen(|| assert!(ready(cache.get("near")).unwrap().is_some()));
    seen.check();
    assert_eq!(
        seen.as_lines(),
        [
            r#"cache.get DEBUG cachet::op cache.name="ages" cache.operation="get" cache.request_id=#1 otel.kind="internal" sentry.op="cache.get" | cache.outcome="hit" cache.hit=true cache.hit_tier="near" cache.age_ms=7 cache.fallback=false cache.coalesced=false"#,
            r#"  cache.tier DEBUG app::near cache.name="ages" cache.tier="near" cache.operation="get" cache.request_id=#1 cache.fallback=false otel.kind="internal" shard=7 | cache.outcome="hit" cache.hit=true cache.age_ms=7"#,
            r#"    - DEBUG app::near "near get: hit" cache.name="ages" cache.tier="near" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.fallback=false cache.hit=true cache.age_ms=7 cache.duration_ns=0"#,
            r#"  - DEBUG cachet::event "get: hit" cache.name="ages" cache.operation="get" cache.outcome="hit" cache.request_id=#1 cache.hit=true cache.hit_tier="near" cache.age_ms=7 cache.fallback=false cache.coalesced=false cache.duration_ns=0"#,
        ]
    );
}

// S35: the tier is asked twice, once whether it has something simple to say; that is one call.
#[test]
fn an_entry_that_is_due_has_one_span_of_its_tier() {
    let cache = cache(SpanPolicy::All, RecordKeys::omitted());
    let seen = Recorder::listen(|| assert!(ready(cache.get("due")).unwrap().is_some()));
    seen.check();
    assert_eq!(seen.outline()[..2], ["cache.get: stale", "  cache.tier near get: hit"]);
    assert_eq!(seen.outline().iter().filter(|line| line.contains("near get")).count(), 1);
}

// S35, S38
#[test]
fn a_tier_that_panics_in_a_lookup_is_told_of_once() {
    let reported = |policy| {
        let cache = cache(policy, RecordKeys::omitted());
        let seen = Recorder::listen(|| {
            assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get("cursed")))).is_err());
        });
        seen.check();
        (seen.outline(), seen.events.iter().map(|event| event.text("message").unwrap().to_owned()).collect::<Vec<_>>())
    };
    let (spans, events) = reported(SpanPolicy::All);
    assert_eq!(spans, ["cache.get: panicked", "  cache.tier near get: panicked"]);
    assert_eq!(events, ["near get: panicked: the panic goes on to the caller", "get: panicked"]);
    assert_eq!(reported(SpanPolicy::Off).1, events);
}

/// The messages that reach a subscriber that takes nothing below a level.
fn at_level(level: LevelFilter, work: impl FnOnce()) -> Vec<String> {
    let recorder = Recorder::new();
    tracing::subscriber::with_default(Registry::default().with(recorder.clone()).with(level), work);
    let seen = recorder.take();
    seen.check();
    assert_eq!(seen.outline(), [""; 0]);
    seen.events.iter().map(|event| event.text("message").unwrap().to_owned()).collect()
}

// S35: hits are filtered out; everything else is reported.
#[test]
fn where_hits_are_filtered_out_the_rest_is_told() {
    let run = |level| {
        let cache = cache(SpanPolicy::All, RecordKeys::omitted());
        at_level(level, || {
            read_everything(&cache);
            assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get("cursed")))).is_err());
            drop(ready(cache.try_get_or_insert("broken", || async { Err::<u32, _>("no") })));
        })
    };
    assert_eq!(
        run(LevelFilter::WARN),
        [
            "refresh: error: a refresh or a timeout needs an async runtime: use the cache inside a Tokio runtime with time enabled (crate feature `tokio`), or set one with `CacheBuilder::runtime`",
            "near get: error: unplugged",
            "get: error: unplugged",
            "near get: error: unplugged",
            "near get: error: unplugged",
            "near get: panicked: the panic goes on to the caller",
            "get: panicked",
            "near get: error: unplugged",
        ]
    );
}
