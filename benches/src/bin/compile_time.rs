//! What `#[cache_tier]` costs at compile time: 200 tiers with the attribute against the same 200 without it.
//!
//! Two packages are generated in a temporary directory and checked in turn. What is compared are the medians: once with
//! incremental compilation, after the file was touched, and once without.
//!
//! ```text
//! cargo run --release -p cachet-benches --bin compile_time
//! ```

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cachet_benches::generated::{Package, in_temporary_directory, tiers};

const TIERS: usize = 200;
const ROUNDS: usize = 9;
/// The most that the attribute may cost.
const BUDGET: f64 = 1.25;

fn check(package: &Package, target: &Path, incremental: bool) -> io::Result<Duration> {
    let target = target.join(if incremental { "incremental" } else { "whole" });
    let start = Instant::now();
    package.cargo(&["check"], &target, incremental)?;
    Ok(start.elapsed())
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// How much longer the annotated package takes.
fn compare(plain: &Package, annotated: &Package, target: &Path, incremental: bool) -> io::Result<f64> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let samples = (check(plain, target, incremental)?, check(annotated, target, incremental)?);
        // The first round builds what they depend on.
        if round > 0 {
            without.push(samples.0);
            with.push(samples.1);
        }
    }
    let (without, with) = (median(without), median(with));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    let kind = if incremental { "incremental" } else { "whole" };
    println!("{kind:<12} {without:>10.1?} without, {with:>10.1?} with: {ratio:.3}×");
    Ok(ratio)
}

fn run(directory: &Path) -> io::Result<bool> {
    let plain = Package::generate(directory, "plain", "lib.rs", tiers(TIERS, |_| String::new())?)?;
    let annotated = tiers(TIERS, |number| {
        // Every fourth tier uses what there is.
        if number.is_multiple_of(4) {
            format!("#[cachet::cache_tier(name = \"t{number}\", level = \"trace\", fields(shard = self.shard))]\n")
        } else {
            "#[cachet::cache_tier]\n".to_owned()
        }
    })?;
    let annotated = Package::generate(directory, "annotated", "lib.rs", annotated)?;
    println!("cargo check of {TIERS} tiers, medians of {ROUNDS} rounds");
    let target = directory.join("target");
    let mut is_good = true;
    for incremental in [true, false] {
        is_good &= compare(&plain, &annotated, &target, incremental)? <= BUDGET;
    }
    println!("budget: {BUDGET}×");
    Ok(is_good)
}

fn main() -> ExitCode {
    in_temporary_directory("compile-time", run)
}
