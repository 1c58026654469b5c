use cachet::{Cache, Tier};

struct Metrics;

fn main() {
    let builder = Cache::<str, u32>::builder("pages").tier(Tier::memory(10));
    let _ = builder.event_handler(vec![Metrics]).build();
}
