use cachet::telemetry::CacheOperationEvent;
use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
#[cache_event(on_opration = Self::log)]
struct Sink;

impl Sink {
    fn log(&self, _: &CacheOperationEvent<'_>) {}
}

fn main() {}
