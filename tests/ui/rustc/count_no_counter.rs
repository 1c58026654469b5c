use cachet::CacheEventHandler;

struct Counters;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(operation))]
    hits: Counters,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(None::<Metrics>);
}
