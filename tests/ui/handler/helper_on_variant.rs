use cachet::CacheEventHandler;
use cachet::telemetry::Stats;

#[derive(CacheEventHandler)]
enum Sink {
    Off,
    #[cache_event(forward)]
    On(Stats),
}

fn main() {}
