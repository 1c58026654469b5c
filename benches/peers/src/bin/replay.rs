//! Replays a trace through cachet and other libraries; see [`cachet_benches::replay`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cachet_benches::replay::run(cachet_bench_peers::LIBRARIES)
}
