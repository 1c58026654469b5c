use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Tee(#[cache_event(forward)] Stats);

fn main() {}
