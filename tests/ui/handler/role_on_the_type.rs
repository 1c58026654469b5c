use cachet::CacheEventHandler;
use cachet::telemetry::Stats;

#[derive(CacheEventHandler)]
#[cache_event(forward)]
struct Sink(Stats);

fn main() {}
