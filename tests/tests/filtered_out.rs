//! A process whose only subscriber takes nothing below INFO, as most do in production: hits must not notice it. What one
//! subscriber takes, the callsites of the whole process know; so this test shares its process with no other one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cachet::telemetry::{CacheOperationEvent, EventMask, SpanPolicy};
use cachet::{
    Cache, CacheEntry, CacheEventHandler, CacheTier, InsertOutcome, ManualClock, RequestId, Tier, TierError, cache_tier,
};
use cachet_tests::ready;
use cachet_tests::trace::Recorder;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Has an entry for every key: the id that is current inside it. At 0 it fails.
struct Asked;

#[cache_tier(name = "asked", immediate)]
impl CacheTier<u64, Option<u64>> for Asked {
    async fn get(&self, key: &u64) -> Result<Option<CacheEntry<Option<u64>>>, TierError> {
        if *key == 0 {
            return Err(TierError::msg("unplugged"));
        }
        Ok(Some(RequestId::current().map(RequestId::get).into()))
    }

    async fn insert(&self, _: u64, _: CacheEntry<Option<u64>>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Rejected)
    }

    async fn invalidate(&self, _: &u64) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

struct Counting(AtomicU64);

impl CacheEventHandler for Counting {
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        assert_eq!(event.duration(), None);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type Ids = Cache<u64, Option<u64>>;

// S35, S36, S37
#[test]
fn a_hit_that_nobody_wants_to_know_of_has_no_id_and_everything_else_has_one() {
    let recorder = Recorder::new();
    Registry::default().with(recorder.clone()).with(LevelFilter::INFO).init();
    let clock = ManualClock::new();
    let id = |cache: &Ids| ready(cache.get(&1)).unwrap().unwrap().into_value();

    for policy in [SpanPolicy::All, SpanPolicy::SlowPath, SpanPolicy::Off] {
        let cache =
            Ids::builder("ids").tier(Tier::new(Asked)).clock(clock.clone()).enable_logs().span_policy(policy).build();
        assert_eq!(id(&cache), None, "{policy:?}");
        assert_eq!(*ready(cache.get_or_insert(&1, || async { None })).unwrap(), None);
        assert_eq!(recorder.take().journal, [""; 0]);

        // A failure is reported, under an id.
        drop(ready(cache.get(&0)).unwrap_err());
        let seen = recorder.take();
        seen.check();
        assert_eq!(
            seen.events_as_lines(),
            [
                r#"- WARN filtered_out "asked get: error: unplugged" cache.name="ids" cache.tier="asked" cache.operation="get" cache.outcome="error" cache.request_id=#1 cache.fallback=false cache.duration_ns=0 error.type="tier""#,
                r#"- ERROR cachet::event "get: error: unplugged" cache.name="ids" cache.operation="get" cache.outcome="error" cache.request_id=#1 cache.fallback=false cache.coalesced=false cache.duration_ns=0 error.type="tier""#,
            ]
            .map(String::from)
        );
    }

    // A handler wants to know of hits, but not how long they took.
    let counting = Arc::new(Counting(AtomicU64::new(0)));
    let cache = Ids::builder("ids").tier(Tier::new(Asked)).enable_logs().event_handler(counting.clone()).build();
    assert!(id(&cache).is_some());
    assert_eq!(counting.0.load(Ordering::Relaxed), 1);
}
