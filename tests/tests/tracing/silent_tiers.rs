//! S35: events of a tier whose own span is filtered out.

use cachet::telemetry::RecordKeys;
use cachet::{CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};
use cachet_tests::ready;
use cachet_tests::trace::Recorder;
use tracing_subscriber::layer::SubscriberExt;

use crate::{Ages, Mock};

#[derive(Default)]
struct Quiet(Mock);

#[cache_tier(name = "quiet", immediate, level = "trace")]
impl CacheTier<str, u32> for Quiet {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        tracing::info!("inside");
        Ok(self.0.stored(key))
    }
    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0.put(key, entry);
        Ok(InsertOutcome::Accepted)
    }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

// S35
#[test]
fn what_a_tier_without_a_span_says_is_in_the_operations_span() {
    let parent = |record_keys| {
        let recorder = Recorder::new();
        let subscriber = tracing_subscriber::Registry::default()
            .with(tracing::level_filters::LevelFilter::DEBUG)
            .with(recorder.clone());
        tracing::subscriber::with_default(subscriber, || {
            let cache =
                Ages::builder("ages").tier(Tier::new(Quiet::default())).enable_logs().record_keys(record_keys).build();
            ready(cache.insert("a", 1)).unwrap();
            ready(cache.get("a")).unwrap();
        });
        let seen = recorder.take();
        let event = seen.events.iter().find(|event| event.text("message") == Some("inside")).unwrap();
        event.parent.map(|parent| seen.spans[parent].name)
    };
    assert_eq!(parent(RecordKeys::with(|_: &str| String::new())), Some("cache.get"), "slow");
    assert_eq!(parent(RecordKeys::omitted()), Some("cache.get"), "brief");
}
