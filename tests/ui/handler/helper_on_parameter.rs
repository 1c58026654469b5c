use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Sink<#[cache_event(forward)] H>(H);

fn main() {}
