//! S35: events of a tier whose own span is filtered out.

use cachet::Tier;
use cachet::telemetry::{RecordKeys, TierOperation};
use cachet_tests::ready;
use cachet_tests::tiers::Immediate;
use cachet_tests::trace::Recorder;
use tracing_subscriber::layer::SubscriberExt;

use crate::{Ages, Mock};

// S35
#[test]
fn what_a_tier_without_a_span_says_is_in_the_operations_span() {
    let parent = |record_keys| {
        let recorder = Recorder::new();
        let subscriber = tracing_subscriber::Registry::default()
            .with(tracing::level_filters::LevelFilter::DEBUG)
            .with(recorder.clone());
        let quiet = Immediate::new(Mock::new());
        quiet.mock.before(TierOperation::Get, || tracing::info!("inside"));
        tracing::subscriber::with_default(subscriber, || {
            let cache = Ages::builder("ages").tier(Tier::new(quiet)).enable_logs().record_keys(record_keys).build();
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
