//! All cache metrics of a service in one annotated struct, exported by `prometheus-client`.
//!
//! `#[derive(CacheEventHandler)]` turns the struct into a handler: an attribute on each field selects the events that it counts or
//! records. The clock is read only because one field records durations.
//!
//! ```text
//! cargo run -p cachet-examples --example derived_metrics
//! ```

use std::sync::Arc;
use std::time::Duration;

use cachet::telemetry::{EventCounter, EventHistogram};
use cachet::{Cache, CacheEventHandler, Tier};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Adapts a counter of the metrics library to a field of a handler.
#[derive(Clone, Default)]
struct Count(Counter);

impl EventCounter for Count {
    fn increment(&self) {
        self.0.inc();
    }
}

/// The same for a histogram. Prometheus expects seconds.
#[derive(Clone)]
struct Seconds(Histogram);

impl EventHistogram for Seconds {
    fn record(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }
}

impl Default for Seconds {
    fn default() -> Self {
        // From a tenth of a microsecond to about a tenth of a second.
        Self(Histogram::new(exponential_buckets(1e-7, 4.0, 11)))
    }
}

/// The cache metrics of the service.
#[derive(Default, CacheEventHandler)]
struct CacheMetrics {
    #[cache_event(count(operation, outcome = "hit"))]
    hits: Count,
    #[cache_event(count(operation, outcome = any("miss", "computed", "none")))]
    misses: Count,
    #[cache_event(count(operation, outcome = any("error", "panicked")))]
    failures: Count,
    #[cache_event(count(tier, tier = "l1", operation = "evict"))]
    evictions: Count,
    #[cache_event(record(operation, operation = any("get", "get_or_insert")))]
    lookup: Seconds,
}

impl CacheMetrics {
    /// Clones of a metric share its values, so the registry reads what the handler records.
    fn register(&self, registry: &mut Registry) {
        let caches = registry.sub_registry_with_prefix("pages");
        caches.register("hits", "Lookups that found an entry", self.hits.0.clone());
        caches.register("misses", "Lookups that found no entry", self.misses.0.clone());
        caches.register("failures", "Operations that failed", self.failures.0.clone());
        caches.register("evictions", "Entries evicted to make room", self.evictions.0.clone());
        caches.register_with_unit("lookup", "Duration of a lookup", Unit::Seconds, self.lookup.0.clone());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let metrics = Arc::new(CacheMetrics::default());
    let mut registry = Registry::default();
    metrics.register(&mut registry);

    let pages = Cache::<u64, String>::builder("pages")
        .tier(Tier::memory(50).name("l1"))
        .event_handler(Arc::clone(&metrics))
        .build();

    // A hundred pages in a cache for fifty; the first ten are requested repeatedly.
    for round in 0..20 {
        for page in (0..10).chain(round * 5..round * 5 + 5) {
            pages.get_or_insert(&page, || async move { format!("<h1>Page {page}</h1>") }).await?;
        }
    }

    // The response of a `/metrics` endpoint.
    let mut text = String::new();
    encode(&mut text, &registry)?;
    print!("{text}");

    let (hits, misses) = (metrics.hits.0.get(), metrics.misses.0.get());
    println!("\n{hits} hits and {misses} misses in {} lookups", hits + misses);
    Ok(())
}
