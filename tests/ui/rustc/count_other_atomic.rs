use std::sync::atomic::AtomicU32;

use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(operation))]
    hits: AtomicU32,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(None::<Metrics>);
}
