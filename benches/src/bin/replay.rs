//! Replays a trace through cachet and the engine it is built on; see [`cachet_benches::replay`].
//!
//! ```text
//! cargo run --release -p cachet-benches --bin replay -- FILE --capacity 1000
//! ```
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin replay -- FILE` does the same with other libraries too.

use std::process::ExitCode;

fn main() -> ExitCode {
    cachet_benches::replay::run(&[])
}
