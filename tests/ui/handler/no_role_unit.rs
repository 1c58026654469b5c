use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics;

fn main() {}
