use cachet::{Cache, CacheEventHandler};

#[derive(CacheEventHandler)]
#[cache_event(on_tier = log())]
struct Metrics {
    field: std::sync::atomic::AtomicU64,
}

fn main() {
    let _ = Cache::<str, u32>::builder("pages").event_handler(Metrics { field: Default::default() });
}
