//! What a cache operation costs, next to other libraries; for the arguments see `benches/benches/side_by_side.rs`.

use std::process::ExitCode;

use cachet_bench_peers::ENTRANTS;
use cachet_benches::{ALLOCATOR, CountingAllocator, command};

#[global_allocator]
static GLOBAL: &CountingAllocator = ALLOCATOR;

fn main() -> ExitCode {
    command::run(ENTRANTS, include_str!("../Cargo.lock"))
}
