//! What a cache operation costs, side by side with the engine that cachet is built on.
//!
//! `cargo bench -p cachet-benches` runs everything; words after `--` select the scenarios whose names contain them, and
//! `--help` lists the options. Paths are relative to this package.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` includes other libraries.

use std::process::ExitCode;

use cachet_benches::bench::{ALLOCATOR, CountingAllocator};
use cachet_benches::command;

#[global_allocator]
static GLOBAL: &CountingAllocator = ALLOCATOR;

fn main() -> ExitCode {
    command::run(&[], include_str!("../../Cargo.lock"))
}
