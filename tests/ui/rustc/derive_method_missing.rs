use cachet::telemetry::CacheOperationEvent;
use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
#[cache_event(on_operation = log)]
struct Sink;

impl Sink {
    fn _log(&self, _: &CacheOperationEvent<'_>) {}
}

fn main() {}
