use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(tier, outcome = "hit"))]
    hits: u64,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(None::<Metrics>);
}
