use std::sync::atomic::AtomicU64;

use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
enum Metrics {
    Off,
    On(AtomicU64),
}

fn main() {}
