use std::sync::atomic::AtomicU64;

struct Metrics {
    #[cache_event(count(operation))]
    all: AtomicU64,
}

fn main() {}
