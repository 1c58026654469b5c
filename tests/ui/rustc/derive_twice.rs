// rustc says so of every derive.
// says: originates in

use cachet::CacheEventHandler;
use cachet::telemetry::Stats;

#[derive(CacheEventHandler)]
struct Tee(#[cache_event(forward)] Stats);

impl CacheEventHandler for Tee {}

fn main() {}
