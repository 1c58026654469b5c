use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
#[cache_event(on_operation = log)]
struct Sink;

impl Sink {
    fn log(&self) {}
}

fn main() {}
