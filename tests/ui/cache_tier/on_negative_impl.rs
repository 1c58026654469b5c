// The second error is rustc's: negative impls are not stable.
// errors: 2

use cachet::{CacheTier, cache_tier};

struct Disk;

#[cache_tier]
impl !CacheTier<str, u32> for Disk {}

fn main() {}
