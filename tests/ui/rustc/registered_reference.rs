use cachet::telemetry::Stats;
use cachet::{Cache, Tier};

fn main() {
    let builder = Cache::<str, u32>::builder("pages").tier(Tier::memory(10));
    let _ = builder.event_handler(&Stats::new()).build();
}
