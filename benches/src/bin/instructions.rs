//! The instructions of the hottest operations and of known cliffs, compared with a committed baseline.
//!
//! Callgrind counts the instructions, so that the figures hardly depend on the load of the machine, and a change that makes a hit
//! slower is noticed with the change. They depend on the compiler, and a little on the seeds of hash tables.
//!
//! ```text
//! cargo run --release -p cachet-benches --bin instructions             # compares; fails if a figure differs
//! cargo run --release -p cachet-benches --bin instructions -- --renew  # writes the baseline; say why in the commit
//! ```
//!
//! Needs `valgrind`. A figure that is lower than its baseline by more than the tolerance fails too: otherwise the baseline would
//! hide the cost of the next change.

use std::env;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, io};

use cachet_benches::bench::Bench;
use cachet_benches::scenarios;

/// The scenarios that are counted: the hottest operations, then operations that cost several times their simple form.
const COUNTED: [&str; 20] = [
    "hit / u64 / cachet",
    "hit / str / cachet",
    "miss / u64 / cachet",
    "insert over / u64 / cachet",
    "hit, counting handler / u64 / cachet",
    "hit, logs, filtered out by level / u64 / cachet",
    "hit, logs, accepted and discarded / u64 / cachet",
    "get_or_insert hit / u64 / cachet",
    "get_or_insert miss, protected / u64 / cachet",
    "two tiers, second-tier hit, promoted / u64 / cachet",
    "insert over, two tiers / u64 / cachet",
    "insert over, three tiers / u64 / cachet",
    "two tiers, second-tier hit, ttl / u64 / cachet",
    "two tiers, second-tier hit, counting handler / u64 / cachet",
    "get_many of 100 / u64 / cachet",
    "insert_many of 100 / u64 / cachet",
    "hit, awaited tier / u64 / cachet",
    "hit, ttl / u64 / cachet",
    "hit, timing handler / u64 / cachet",
    "hit, timing handler, tsc clock / u64 / cachet",
];
/// Operations that are counted, or keys where an operation has several.
const OPERATIONS: u64 = 50_000;
/// The largest relative difference from the baseline.
const TOLERANCE: f64 = 0.03;

/// The function whose instructions are counted, with everything that it calls.
#[inline(never)]
fn counted_from_here(bench: &mut Bench, operations: u64) -> u64 {
    black_box(bench.run(black_box(operations)).expected)
}

/// Prepares a scenario and runs it, in the process whose instructions are counted.
fn run(name: &str) -> io::Result<()> {
    let missing = || io::Error::other(format!("there is no scenario `{name}`"));
    let mut bench = scenarios::find(name)
        .ok_or_else(missing)?
        .prepare()
        .map_err(|reason| io::Error::other(format!("{reason:?}")))?;
    let operations = OPERATIONS / bench.elements();
    // Warms up, and lets one-time allocations happen.
    bench.run(operations / 10);
    let expected = counted_from_here(&mut bench, operations);
    if expected == operations { Ok(()) } else { Err(io::Error::other(format!("`{name}` did not do what it says"))) }
}

/// Counts the instructions of a scenario, per operation or key, in a process of its own.
fn count(name: &str) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_from_here*")
        .arg(env::current_exe()?)
        .args(["--run", name])
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("valgrind cannot be run: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(instructions) if output.status.success() => Ok(instructions / OPERATIONS),
        _ => Err(io::Error::other(format!("`{name}` was not counted:\n{text}"))),
    }
}

fn baseline_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/instructions.txt")
}

/// Finds the baseline of a scenario in a file with a line for each: the number, a space, the name.
fn baseline_of(baseline: &str, name: &str) -> Option<u64> {
    baseline.lines().filter_map(|line| line.split_once(' ')).find(|(_, known)| *known == name)?.0.parse().ok()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn compare() -> io::Result<bool> {
    let baseline = fs::read_to_string(baseline_file())?;
    let mut is_good = true;
    println!("{:>12} {:>8} {:>7}  instructions per operation or key", "instructions", "baseline", "ratio");
    for name in COUNTED {
        let counted = count(name)?;
        let Some(known) = baseline_of(&baseline, name) else {
            is_good = false;
            println!("{counted:>12} {:>8} {:>7}  {name}: not in the baseline", "", "");
            continue;
        };
        let ratio = counted as f64 / known as f64;
        let is_near = (ratio - 1.0).abs() <= TOLERANCE;
        is_good &= is_near;
        println!("{counted:>12} {known:>8} {ratio:>7.3}  {name}{}", if is_near { "" } else { "  <- differs" });
    }
    if !is_good {
        println!(
            "differs by more than {:.0} % from {}; if that is intended, run with `--renew`",
            TOLERANCE * 100.0,
            baseline_file().display()
        );
    }
    Ok(is_good)
}

fn renew() -> io::Result<bool> {
    let mut baseline = String::new();
    for name in COUNTED {
        let counted = count(name)?;
        println!("{counted:>12}  {name}");
        writeln!(baseline, "{counted} {name}").map_err(io::Error::other)?;
    }
    fs::write(baseline_file(), baseline)?;
    Ok(true)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => compare(),
        ["--renew"] => renew(),
        ["--run", name] => run(name).map(|()| true),
        _ => Err(io::Error::other("usage: instructions [--renew]")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
