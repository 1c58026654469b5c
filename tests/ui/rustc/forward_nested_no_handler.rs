use cachet::CacheEventHandler;

struct Counters;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(forward)]
    hits: Vec<Option<Box<Counters>>>,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(None::<Metrics>);
}
