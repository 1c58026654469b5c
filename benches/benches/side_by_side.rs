//! What a cache operation costs, next to the engine that cachet is built on.
//!
//! `cargo bench -p cachet-benches` runs everything; words after `--` pick the scenarios whose names contain them, `--quick`
//! measures less, `--json FILE` and `--svg FILE` keep the figures. Paths are relative to this package.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` runs the same with other libraries beside.

use std::process::ExitCode;

use cachet_benches::{ALLOCATOR, CountingAllocator, command};

#[global_allocator]
static GLOBAL: &CountingAllocator = ALLOCATOR;

fn main() -> ExitCode {
    command::run(&[], include_str!("../../Cargo.lock"))
}
