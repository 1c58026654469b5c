use cachet::telemetry::CacheTierEvent;
use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
#[cache_event(on_tier = log, on_tier = log)]
struct Sink;

impl Sink {
    fn log(&self, _: &CacheTierEvent<'_>) {}
}

fn main() {}
