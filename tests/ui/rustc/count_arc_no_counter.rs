use std::sync::Arc;

use cachet::CacheEventHandler;

struct Counters;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(operation))]
    hits: Arc<Counters>,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(None::<Metrics>);
}
