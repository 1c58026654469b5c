use cachet::{Cache, CacheEventHandler};

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(forward, count(tier))]
    field: u8,
}

fn main() {
    let _ = Cache::<str, u32>::builder("pages").event_handler(Metrics { field: Default::default() });
}
