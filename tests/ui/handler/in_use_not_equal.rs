use cachet::{Cache, CacheEventHandler};

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(tier, outcome != "hit"))]
    field: std::sync::atomic::AtomicU64,
}

fn main() {
    let _ = Cache::<str, u32>::builder("pages").event_handler(Metrics { field: Default::default() });
}
