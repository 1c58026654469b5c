use std::sync::atomic::AtomicU64;

use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics<'a> {
    #[cache_event(count(operation))]
    all: AtomicU64,
    name: &'a str,
}

fn handler(_: impl CacheEventHandler) {}

fn main() {
    let name = String::from("pages");
    handler(Metrics { all: AtomicU64::new(0), name: &name });
}
