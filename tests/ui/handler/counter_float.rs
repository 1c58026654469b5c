use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(operation))]
    hits: f64,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(None::<Metrics>);
}
