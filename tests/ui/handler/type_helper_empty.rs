use cachet::CacheEventHandler;
use cachet::telemetry::Stats;

#[derive(CacheEventHandler)]
#[cache_event()]
struct Sink(#[cache_event(forward)] Stats);

fn main() {}
