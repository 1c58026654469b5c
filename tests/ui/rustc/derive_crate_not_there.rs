use cachet::CacheEventHandler;
use cachet::telemetry::Stats;

#[derive(CacheEventHandler)]
#[cache_event(crate = ::cash)]
struct Tee(#[cache_event(forward)] Stats);

fn main() {}
