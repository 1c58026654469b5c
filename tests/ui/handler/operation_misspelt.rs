use std::sync::atomic::AtomicU64;

use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(operation, operation = "get_or_inser"))]
    hits: AtomicU64,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(None::<Metrics>);
}
