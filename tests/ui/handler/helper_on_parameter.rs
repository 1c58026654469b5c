// The second error is rustc's, which does not say where the attribute goes.
// errors: 2

use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Sink<#[cache_event(forward)] H>(H);

fn main() {}
