
#[derive(cachet::CacheEventHandler)]
fn log() {}

fn main() {}
