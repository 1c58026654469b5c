//! What a cache operation costs, side by side with other libraries; for the arguments see `benches/benches/side_by_side.rs`.

use std::process::ExitCode;

use cachet_bench_peers::LIBRARIES;
use cachet_benches::bench::{ALLOCATOR, CountingAllocator};
use cachet_benches::command;

#[global_allocator]
static GLOBAL: &CountingAllocator = ALLOCATOR;

fn main() -> ExitCode {
    command::run(LIBRARIES, include_str!("../Cargo.lock"))
}
