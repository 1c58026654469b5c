// Every fault is reported in one compile.
// errors: 8

use std::sync::atomic::AtomicU64;

use cachet::CacheEventHandler;
use cachet::telemetry::{Histogram, Stats};

#[derive(CacheEventHandler)]
#[cache_event(on_opration = Self::log, crate = cachet)]
struct Metrics {
    #[cache_event(count(tier, operation = "insert", outcome = "hit"))]
    hits: AtomicU64,
    #[cache_event(forwrad)]
    inner: Stats,
    #[cache_event(count(operation), record(operation))]
    all: AtomicU64,
    #[cache_event(count(tier))]
    calls: u64,
    #[cache_event(record(operation, outcome = "found", tier = "l1"))]
    latency: Histogram,
}

fn main() {}
