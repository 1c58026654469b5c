use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Tee<H>(#[cache_event(forward)] H);

struct Counters;

fn handler(_: impl CacheEventHandler) {}

fn main() {
    handler(Tee(Counters));
}
