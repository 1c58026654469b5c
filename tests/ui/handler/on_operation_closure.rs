use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
#[cache_event(on_operation = |this, event| {})]
struct Sink;

fn main() {}
